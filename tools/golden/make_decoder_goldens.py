#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tiny random decoders and what transformers computes with them.

Each case of decoder_cases.py becomes one folder: a checkpoint (`config.json` and safetensors as public models have
them) and `golden.safetensors` with prompts and reference outputs; tests/golden/README.md describes the files.

References come from transformers (BitNet-b1.58 and the embedding models from its Llama, Qwen3 and Gemma3 with replaced
linear layers), eager attention, float32, one sequence at a time, weights as saved. Decoding uses the KV cache.
Everything is computed again by decoder_reference.py: float64, integer products, no cache. The largest difference is
in the file's metadata, beside the smallest distance between the two best logits of any greedy step.

Prompts are chosen from thousands: generated tokens vary, the two best logits are well apart at every step, tokens stay
the same when keys and values are rounded to f16, and no activation comes near a tie of its rounding to int8 (of one
token, exact ties are common: values are small integers times 8-bit weights). Then
"identical greedy tokens" is a fair demand, and logits that are off by more than rounding are a bug.
"""

import argparse
import json
import os
import shutil
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["TORCHDYNAMO_DISABLE"] = "1"  # the bitnet integration compiles its element-wise steps

import numpy as np
import safetensors.torch
import torch
import transformers

from decoder_cases import CASES, Tensors, seed_of
from decoder_hf import load
from decoder_reference import Decoder

PROMPTS = (1, 7, 37)
TEXTS = (1, 3, 7, 16, 29, 41)
STEPS = 32
MIN_GAP = 0.04
MIN_DISTINCT = 8
BATCHES = 24


def save_checkpoint(case, folder):
    """Writes config.json and the tensors, in one file or sharded with an index."""
    (folder / "config.json").write_text(json.dumps(case.config, indent=2) + "\n")
    tensors = Tensors(case).draw()
    if case.shards == 1:
        safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = list(tensors)
    where = {}
    for i in range(case.shards):
        file = f"model-{i + 1:05}-of-{case.shards:05}.safetensors"
        # Layers are split in the middle, as large checkpoints are.
        part = names[i * len(names) // case.shards:(i + 1) * len(names) // case.shards]
        safetensors.torch.save_file({n: tensors[n] for n in part}, folder / file, metadata={"format": "pt"})
        where.update(dict.fromkeys(part, file))
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def gap(logits):
    """Distance between the two largest logits of each row."""
    top = logits.topk(2).values
    return top[..., 0] - top[..., 1]


@torch.no_grad()
def generate(model, ids):
    """Greedy continuation of a batch [B, L] of prompts of one length, with the KV cache.

    Returns prefill logits [B, L, V], generated ids [B, STEPS + 1] and the logits [B, STEPS, V] after feeding each of
    the first STEPS of them.
    """
    out = model(input_ids=ids, use_cache=True)
    prefill = out.logits
    tokens, steps = [prefill[:, -1].argmax(-1)], []
    for _ in range(STEPS):
        out = model(input_ids=tokens[-1][:, None], past_key_values=out.past_key_values, use_cache=True)
        steps.append(out.logits[:, -1])
        tokens.append(steps[-1].argmax(-1))
    return prefill, torch.stack(tokens, 1), torch.stack(steps, 1)


def find_prompt(case, model, folder, length):
    """The best of a seeded series of prompts: clear, varied, far from rounding ties, the same with an f16 KV cache."""
    rng = np.random.Generator(np.random.PCG64(seed_of(f"{case.name}/prompt/{length}")))
    vocab, clear = case.config["vocab_size"], []
    for _ in range(1 if length == 1 else BATCHES):
        # Of one token there are only as many prompts as tokens.
        ids = torch.arange(vocab)[:, None] if length == 1 else torch.from_numpy(rng.integers(0, vocab, (64, length)))
        prefill, tokens, steps = generate(model, ids)
        least = torch.minimum(gap(prefill[:, -1]), gap(steps).amin(-1))
        clear += [(least[i].item(), ids[i].tolist(), tokens[i].tolist()) for i in range(len(ids))
                  if least[i] >= MIN_GAP and len(tokens[i].unique()) >= MIN_DISTINCT]
    exact, rounded = Decoder(folder), Decoder(folder, torch.float16)
    best, found = -1.0, None
    for _, ids, tokens in sorted(clear, reverse=True):
        run, exact.margin = ids + tokens[:-1], np.inf
        same = exact.logits(run)[length - 1:].argmax(-1).tolist() == tokens
        if exact.margin > best and same and rounded.logits(run)[length - 1:].argmax(-1).tolist() == tokens:
            best, found = exact.margin, ids
            if best == np.inf:  # without quantization there are no ties: the clearest prompt wins
                break
    if found is None:
        raise SystemExit(f"{case.name}: no prompt of {length} tokens found")
    return found


@torch.no_grad()
def layer_states(model, ids):
    """States before the first layer and after each layer, [L, hidden]."""
    states, hooks = [], []
    base = getattr(model, "model", model)
    hooks.append(base.layers[0].register_forward_pre_hook(
        lambda _m, args, kwargs: states.append(kwargs.get("hidden_states", args[0] if args else None)[0].clone()),
        with_kwargs=True))
    for layer in base.layers:
        hooks.append(layer.register_forward_hook(
            lambda _m, _a, out: states.append((out[0] if isinstance(out, tuple) else out)[0].clone())))
    model(input_ids=torch.tensor([ids]))
    for h in hooks:
        h.remove()
    return states


def compare(found, wanted):
    return float((found.double() - wanted).abs().max())


def causal(case, model, folder, tensors):
    """Goldens of a language model; returns metadata."""
    exact, rounded, int8 = Decoder(folder), Decoder(folder, torch.float16), Decoder(folder, int8=True)
    worst, uncached, f16, i8, least, same, spread = 0.0, 0.0, 0.0, 0.0, np.inf, True, []
    agree = 0
    for i, length in enumerate(PROMPTS):
        ids = find_prompt(case, model, folder, length)
        prefill, tokens, steps = (t[0] for t in generate(model, torch.tensor([ids])))
        everything = ids + tokens[:-1].tolist()
        both = torch.cat((prefill, steps))
        with torch.no_grad():
            uncached = max(uncached, compare(both, model(input_ids=torch.tensor([everything])).logits[0].double()))
        second = exact.logits(everything)
        worst = max(worst, compare(both, second))
        f16 = max(f16, compare(rounded.logits(everything), second))
        third = int8.logits(everything)
        i8 = max(i8, compare(third, second))
        agree += int((third[length - 1:].argmax(-1) == tokens).sum())
        same &= second[length - 1:].argmax(-1).tolist() == tokens.tolist()
        least = min(least, gap(prefill[-1]).item(), gap(steps).min().item())
        spread.append(len(tokens.unique()))
        tensors[f"prompt{i}.input_ids"] = torch.tensor(ids, dtype=torch.int32)
        tensors[f"prompt{i}.logits"] = prefill
        tensors[f"prompt{i}.generated"] = tokens.to(torch.int32)
        tensors[f"prompt{i}.step_logits"] = steps
    states = layer_states(model, ids)
    state_diff = max(compare(a, b) for a, b in zip(states, exact.hidden(ids)[:-1], strict=True))
    tensors.update({f"hidden.{k}": s for k, s in enumerate(states)})
    meta = {"max_abs_f32_minus_exact": f"{worst:.1e}", "max_abs_cache_minus_no_cache": f"{uncached:.1e}",
            "max_abs_hidden_f32_minus_exact": f"{state_diff:.1e}", "max_abs_f16_kv_minus_exact": f"{f16:.1e}",
            "min_greedy_gap": f"{least:.3f}", "rounding_tie_margin": f"{exact.margin:.1e}",
            "logits_std": f"{prefill.std().item():.2f}", "distinct_generated": spread}
    if exact.margin > 1:  # activations stay float in this architecture
        meta |= {"max_abs_int8_activations_minus_exact": f"{i8:.1e}",
                 "int8_activations_same_tokens": f"{agree} of {len(PROMPTS) * (STEPS + 1)}"}
    if exact.weight_margin < 1:
        meta["weight_tie_margin"] = f"{exact.weight_margin:.1e}"
    if not same or max(worst, uncached) > 1e-4 or exact.weight_margin < 1e-6:
        raise SystemExit(f"{case.name}: second implementation or cache disagrees: {meta}")
    return meta


def embedder(case, model, folder, tensors):
    """Goldens of an embedding model; returns metadata."""
    worst, margin, rows = 0.0, np.inf, []
    rng = np.random.Generator(np.random.PCG64(seed_of(case.name + "/inputs")))
    for i, length in enumerate(TEXTS):
        best = -1.0
        for draw in rng.integers(0, case.config["vocab_size"], (100, length)).tolist():
            decoder = Decoder(folder)
            decoder.hidden(draw)
            if decoder.margin > best:
                best, ids, exact = decoder.margin, draw, decoder
        margin = min(margin, best)
        with torch.no_grad():
            last = model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
        rows.append(last / last.norm())
        worst = max(worst, compare(rows[-1], exact.embedding(ids)))
        tensors[f"text{i}.input_ids"] = torch.tensor(ids, dtype=torch.int32)
    tensors["embeddings"] = torch.stack(rows)
    states = layer_states(model, ids)
    worst = max(worst, *(compare(a, b) for a, b in zip(states, exact.hidden(ids)[:-1], strict=True)))
    tensors.update({f"hidden.{k}": s for k, s in enumerate(states)})
    cos = tensors["embeddings"] @ tensors["embeddings"].T - 2 * torch.eye(len(TEXTS))
    assert worst < 1e-4 and cos.max() < 0.9, (case.name, worst, cos.max())
    return {"max_abs_f32_minus_exact": f"{worst:.1e}", "rounding_tie_margin": f"{margin:.1e}",
            "weight_tie_margin": f"{exact.weight_margin:.1e}", "max_cosine_between_texts": f"{cos.max().item():.3f}"}


def make(case, folder):
    """Writes one case; returns a line for the console."""
    save_checkpoint(case, folder)
    model, tensors = load(case, folder), {}
    meta = {"case": case.name, "torch": torch.__version__, "transformers": transformers.__version__}
    meta |= (embedder if case.embedder else causal)(case, model, folder, tensors)
    tensors = {k: v.contiguous() for k, v in sorted(tensors.items())}
    # One key: the crate writes several in hash order, and the file should not change between runs.
    safetensors.torch.save_file(tensors, folder / "golden.safetensors", metadata={"golden": json.dumps(meta)})
    for file in folder.iterdir():
        file.chmod(0o644)
    size = sum(f.stat().st_size for f in folder.iterdir())
    facts = ", ".join(f"{k} {v}" for k, v in meta.items() if k not in ("case", "torch", "transformers"))
    return f"{case.name:28} {size / 1024:6.1f} KiB  {facts}"


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    p.add_argument("--out", type=Path, default=Path("tests/golden/decoder"), help="folder to (re)write")
    p.add_argument("--only", nargs="*", help="cases to make; all by default")
    args = p.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    for case in CASES:
        if args.only and case.name not in args.only:
            continue
        folder = args.out / case.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(make(case, folder), flush=True)


if __name__ == "__main__":
    main()
