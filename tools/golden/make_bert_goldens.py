#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tiny random BERT models and what PyTorch computes with them.

Each case becomes one folder: a Hugging Face style checkpoint (`config.json`, `model.safetensors`,
for some also `vocab.txt`, `tokenizer.json` and `tokenizer_cases.json`) and `golden.safetensors` with
inputs and reference outputs. The file layout is described in tests/golden/README.md.

Weights are drawn with numpy's PCG64 from a seed that depends on the case's name alone, so that adding
a case does not change the others. Standard deviations are 0.5 for embeddings, sqrt(2 / fan_in) for
queries and keys, sqrt(1 / fan_in) for the other matrices (0.09 to 0.32 at these sizes) and 0.3 for biases;
LayerNorm gains lie in [0.5, 1.5]. Outputs are far from trivial, attention is neither flat nor
one-hot, and fp32 rounding stays near 1e-6. The script fails if that is not so.

References are fp32, one unpadded sequence at a time, from the weights as saved (so for fp16 and bf16
files from the rounded weights). `max_abs_f32_minus_f64` in the file's metadata says how far
they are from a float64 evaluation of the same weights.
"""

import argparse
import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import safetensors.numpy
import tokenizers
import torch
import transformers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)

LENGTHS = (1, 2, 7, 16, 17)


@dataclass
class Case:
    """One model: its shape, how it is stored, and which sequence lengths it is run at."""

    name: str
    hidden: int
    heads: int
    ffn: int
    layers: int
    vocab: int
    positions: int
    act: str = "gelu"
    types: int = 2
    eps: float = 1e-12
    dtype: torch.dtype = torch.float32
    kind: str = "encoder"
    pooler: bool = True
    tokenizer: bool = False
    extra_lengths: tuple = ()
    labels: tuple = field(default=())


CASES = [
    # Head width 4, one token type, hidden and FFN sizes that are a multiple of no SIMD width.
    Case("h20_gelu", 20, 5, 37, 1, 57, 19, act="gelu", types=1),
    Case("h36_gelu_new", 36, 3, 70, 3, 101, 24, act="gelu_new", tokenizer=True),
    Case("h64_relu", 64, 4, 129, 2, 131, 33, act="relu", eps=1e-5),
    Case("h48_gelu_tanh_f16", 48, 6, 96, 2, 67, 20, act="gelu_pytorch_tanh", dtype=torch.float16),
    Case("h40_gelu_bf16", 40, 2, 83, 2, 73, 18, dtype=torch.bfloat16, pooler=False),
    # Longer than a cache block or a tile of tokens, and one off each power of two.
    Case("h32_long", 32, 4, 64, 2, 89, 160, extra_lengths=(63, 64, 65, 128, 129)),
    Case(
        "seqcls_3", 32, 4, 50, 2, 101, 24, kind="sequence", tokenizer=True,
        labels=("contradiction", "entailment", "neutral"),
    ),
    Case(
        "tokcls_5", 24, 2, 45, 2, 101, 24, kind="token", pooler=False, tokenizer=True,
        labels=("O", "B-PER", "I-PER", "B-LOC", "I-LOC"),
    ),
]

WORDS = (
    "the a of and in to is was not it he she they we said river city small red new model text run time "
    "north walk day old king . , ? ! ' - : 0 1 2 3 5 7 ##ing ##ed"
).split()
TEXTS = (
    "The old king was in the city.",
    "She said: it is not the red river!",
    "Walking, walked, walks",
    "RUN 1-2-3 times?",
    "Café déjà vu",
    "  tabs\tand\nnew   lines  ",
    "zebra",
    "",
    "price: 7530 € (new)",
    "河 is a river",
    "un" + "believ" * 20,
)
PAIRS = (
    ("The king was old.", "The king was not new."),
    ("", "a small model"),
    ("they run", "they walk"),
)


def seed_of(name):
    """A 64-bit seed from the case's name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


def tiny_vocab(size):
    """A WordPiece vocabulary: specials, letters, continued letters, a few words; filled up with unused."""
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + WORDS + letters[1:]
    vocab += ["##" + c for c in letters]
    assert len(set(vocab)) == len(vocab)
    if len(vocab) > size:
        raise SystemExit(f"vocabulary of {len(vocab)} entries does not fit {size}")
    return vocab + [f"[unused{i}]" for i in range(size - len(vocab))]


def write_tokenizer(case, folder):
    """Writes vocab.txt, tokenizer.json, tokenizer_config.json and tokenizer_cases.json."""
    vocab = tiny_vocab(case.vocab)
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8")
    tok = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({w: i for i, w in enumerate(vocab)}, unk_token="[UNK]")
    )
    tok.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tok.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tok.decoder = tokenizers.decoders.WordPiece(prefix="##")
    tok.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tok.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tok.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": case.positions})
        + "\n"
    )
    # The reference is the pure Python implementation: a second opinion on the `tokenizers` crate.
    slow = transformers.BertTokenizer(str(folder / "vocab.txt"), do_lower_case=True)
    rows = []
    for text, pair in [(t, None) for t in TEXTS] + list(PAIRS):
        enc = slow(text, pair)
        fast = tok.encode(text, pair)
        assert fast.ids == enc["input_ids"] and fast.type_ids == enc["token_type_ids"], (text, pair)
        rows.append({"text": text, "pair": pair, "ids": fast.ids, "type_ids": fast.type_ids})
    (folder / "tokenizer_cases.json").write_text(
        "[\n" + ",\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n]\n", encoding="utf-8"
    )


def build(case, folder):
    """Saves the checkpoint and returns it as transformers reads it back."""
    config = BertConfig(
        vocab_size=case.vocab,
        hidden_size=case.hidden,
        num_hidden_layers=case.layers,
        num_attention_heads=case.heads,
        intermediate_size=case.ffn,
        hidden_act=case.act,
        max_position_embeddings=case.positions,
        type_vocab_size=case.types,
        layer_norm_eps=case.eps,
    )
    cls = BertModel
    if case.kind != "encoder":
        cls = {"sequence": BertForSequenceClassification, "token": BertForTokenClassification}[case.kind]
        config.id2label = dict(enumerate(case.labels))
        config.label2id = {label: i for i, label in enumerate(case.labels)}
    model = cls(config) if cls is not BertModel else cls(config, add_pooling_layer=case.pooler)

    rng = np.random.Generator(np.random.PCG64(seed_of(case.name)))
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            draw = rng.standard_normal(tuple(p.shape))
            if name.endswith("LayerNorm.weight"):
                draw = rng.uniform(0.5, 1.5, tuple(p.shape))
            elif "embeddings" in name and not name.endswith("LayerNorm.bias"):
                draw *= 0.5
            elif name.endswith(".bias"):
                draw *= 0.3
            elif ".query." in name or ".key." in name:
                draw *= np.sqrt(2.0 / p.shape[1])
            else:
                # No more than 1: what attention mixes in must not drown the token's own state.
                draw *= np.sqrt(1.0 / p.shape[1])
            p.copy_(torch.from_numpy(draw.astype(np.float32)))
    model.to(case.dtype).save_pretrained(folder)
    load = {"dtype": torch.float32, "attn_implementation": "eager"}
    if cls is BertModel:
        load["add_pooling_layer"] = case.pooler
    return cls.from_pretrained(folder, **load).eval()


def forward(model, case, ids, types):
    """All reference outputs of one sequence, as float tensors without a batch axis."""
    out = {}
    with torch.no_grad():
        enc = model if case.kind == "encoder" else model.bert
        res = enc(input_ids=ids, token_type_ids=types, output_attentions=True)
        hidden = res.last_hidden_state[0]
        mean = hidden.mean(dim=0)
        out["last_hidden_state"] = hidden
        out["mean"] = mean
        out["mean_l2"] = mean / mean.norm()
        if res.pooler_output is not None:
            out["pooler_output"] = res.pooler_output[0]
        if case.kind != "encoder":
            out["logits"] = model(input_ids=ids, token_type_ids=types).logits[0]
    peak = torch.stack([a.amax(dim=-1).mean() for a in res.attentions]).mean().item()
    return out, peak


def make(case, folder):
    """Writes one case; returns a line for the console."""
    model = build(case, folder)
    if case.tokenizer:
        write_tokenizer(case, folder)
    lengths = sorted(set(LENGTHS) | set(case.extra_lengths) | {case.positions})
    rng = np.random.Generator(np.random.PCG64(seed_of(case.name + "/inputs")))
    tensors = {"lengths": np.array(lengths, dtype=np.int32)}
    worst, peaks, inputs = 0.0, [], []
    for i, n in enumerate(lengths):
        ids = rng.integers(0, case.vocab, (1, n))
        # Type 1 from a random place on, as the second text of a pair.
        types = np.zeros((1, n), dtype=np.int64)
        if case.types > 1:
            types[0, rng.integers(0, n + 1):] = 1
        inputs.append((ids, types))
        out, peak = forward(model, case, torch.from_numpy(ids), torch.from_numpy(types))
        tensors[f"seq{i}.input_ids"] = ids[0].astype(np.int32)
        tensors[f"seq{i}.token_type_ids"] = types[0].astype(np.int32)
        for key, value in out.items():
            tensors[f"seq{i}.{key}"] = np.ascontiguousarray(value.numpy())
        if n > 2:
            peaks.append(peak * n)

    exact = model.double()
    for i, (ids, types) in enumerate(inputs):
        out, _ = forward(exact, case, torch.from_numpy(ids), torch.from_numpy(types))
        for key, value in out.items():
            worst = max(worst, float(np.abs(tensors[f"seq{i}.{key}"] - value.numpy()).max()))

    # A golden that a broken engine could pass is worse than none.
    hidden = tensors[f"seq{len(lengths) - 1}.last_hidden_state"]
    spread = float(hidden.std(axis=0).mean())
    assert worst < 2e-5, f"{case.name}: fp32 is {worst:.1e} from float64"
    assert spread > 0.2, f"{case.name}: tokens hardly differ ({spread:.3f})"
    assert max(peaks) > 1.5, f"{case.name}: attention is flat"
    # One key: the crate writes several in hash order, and the file should not change between runs.
    meta = {
        "case": case.name,
        "seed": str(seed_of(case.name)),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "max_abs_f32_minus_f64": f"{worst:.2e}",
    }
    safetensors.numpy.save_file(tensors, folder / "golden.safetensors", metadata={"golden": json.dumps(meta)})
    for file in folder.iterdir():
        file.chmod(0o644)  # transformers and safetensors create private files
    size = sum(f.stat().st_size for f in folder.iterdir())
    return (
        f"{case.name:18} {size / 1024:7.1f} KiB  lengths {lengths}  |f32-f64| {worst:.1e}  "
        f"token spread {spread:.2f}  attention peak/uniform {np.mean(peaks):.1f}"
    )


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    p.add_argument("--out", type=Path, default=Path("tests/golden/bert"), help="folder to (re)write")
    args = p.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for case in CASES:
        folder = args.out / case.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(make(case, folder), flush=True)


if __name__ == "__main__":
    main()
