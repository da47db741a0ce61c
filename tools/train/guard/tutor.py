# SPDX-License-Identifier: AGPL-3.0-or-later
"""A larger network that has read more, for the guard to learn from: all-mpnet-base-v2 with three new heads, in float.

    python tutor.py train --parts PARTS --mpnet FOLDER --out TUTOR [--minutes 24] [--bf16]
    python tutor.py say --parts PARTS --out TUTOR [--bf16] [--report PART ...]

FOLDER is what tools/golden/fetch_mpnet.sh left. `train` learns the labelled texts, `say` writes TUTOR/said.jsonl for
`train.py --said`: texts with "said", the tutor's probability for each head, also where the source says nothing of a head.
With --report it is asked about parts or files as report.py takes them, and tells how far it can be trusted.
"""

import argparse
import csv
import json
import pathlib
import random
import time

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import MPNetForSequenceClassification

from data import HEADS, SEED
from model import batches, padded
from report import print_figures, rows_of
from train import WINDOW, loss_of, noisy, texts_of_epoch

RATE = 5e-5
FROZEN = 4  # of 12 layers, with the embeddings: a quarter less time, and what low layers know is general
PAD = 1
# About 24,000 texts: what two cores learn in 25 minutes. Long ones and what is said a hundred times come seldom.
LEARNED = {
    "davidson": 900, "wiki": 900, "clinc150": 400, "banking77": 200, "civil": 3000, "edos": 1500, "stormfront": 900,
    "hatemoji": 2300, "own_attack": 700, "own_benign": 700, "own_kind": 700, "own_abuse": 400, "planted": 700,
    "documents": 400, "factbook": 150, "storybook": 150, "rust_book": 150, "jackhhao": 500, "pyrit": 150, "wnut": 0,
    "sentences_papers": 400, "sentences_claims": 400, "sentences_book": 300, "sentences_ours": 400,
}  # fmt: skip
# What the guard hears its word on: other texts of the large sources too.
SAID = {
    "davidson": 2500, "wiki": 2000, "clinc150": 1000, "banking77": 500, "civil": 5000, "edos": 4000, "stormfront": 2500,
    "own_attack": 1200, "own_benign": 1200, "own_kind": 1200, "own_abuse": 800, "planted": 1500, "documents": 800,
    "factbook": 400, "storybook": 400, "rust_book": 400, "jackhhao": 900, "pyrit": 300, "sentences_papers": 1000,
    "sentences_claims": 1000, "sentences_book": 700,
}  # fmt: skip


def tokenizer_of(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(WINDOW)
    return tokenizer


def train(options, device):
    model = MPNetForSequenceClassification.from_pretrained(
        options.mpnet, id2label=dict(enumerate(HEADS)), label2id={head: n for n, head in enumerate(HEADS)}
    )
    model.to(device).train()
    model.mpnet.embeddings.requires_grad_(False)
    model.mpnet.encoder.relative_attention_bias.requires_grad_(False)
    for layer in model.mpnet.encoder.layer[:FROZEN]:
        layer.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=RATE, weight_decay=0.01, fused=True)
    tokenizer = tokenizer_of(options.mpnet)
    rows = rows_of(options.parts / "train.jsonl")
    log = csv.writer(open(options.out / "log.csv", "w", newline="", buffering=1))
    log.writerow(["step", "minutes", "rate", "loss"])
    begin, limit, step, mean, epoch = time.time(), 60 * options.minutes, 0, None, 0
    while time.time() - begin < limit:
        rng = random.Random(f"tutor {epoch} {SEED}")
        chosen = texts_of_epoch(rows, epoch, rng, LEARNED, {})
        ids = [tokenizer.encode(noisy(item["text"], rng)).ids for item in chosen]
        print(f"epoch {epoch}: {len(ids)} texts, {sum(map(len, ids))} tokens", flush=True)
        for batch in batches([len(row) for row in ids], options.tokens, rng):
            done = (time.time() - begin) / limit
            if done >= 1:
                break
            rate = RATE * min(1.0, (step + 1) / 60) * (1 - done)
            for group in optimizer.param_groups:
                group["lr"] = rate
            tokens, mask = padded([ids[n] for n in batch], PAD)
            with torch.autocast(device, dtype=torch.bfloat16, enabled=options.bf16):
                logits = model(input_ids=tokens.to(device), attention_mask=mask.to(device)).logits.float()
            loss = loss_of(logits, [chosen[n] for n in batch], device)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step, mean = step + 1, loss.item() if mean is None else 0.97 * mean + 0.03 * loss.item()
            if step % 50 == 0:
                row = [step, f"{(time.time() - begin) / 60:.1f}", f"{rate:.2e}", f"{mean:.4f}"]
                log.writerow(row)
                print(*row, flush=True)
        epoch += 1
    model.save_pretrained(options.out / "tutor")
    tokenizer.save(str(options.out / "tutor/tokenizer.json"))


def logits_of(model, tokenizer, texts, device, bf16):
    """Logits [texts, heads] of the first window of each text."""
    ids = [tokenizer.encode(text).ids for text in texts]
    found = torch.zeros(len(ids), len(HEADS))
    plan = batches([len(row) for row in ids], 4096, random.Random(0))
    for number, batch in enumerate(plan):
        tokens, mask = padded([ids[n] for n in batch], PAD)
        with torch.no_grad(), torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
            found[batch] = model(input_ids=tokens.to(device), attention_mask=mask.to(device)).logits.float().cpu()
        if number % 100 == 99:
            print(f"{number + 1} of {len(plan)} batches", flush=True)
    return found


def say(options, device):
    model = MPNetForSequenceClassification.from_pretrained(options.out / "tutor").to(device).eval()
    tokenizer = tokenizer_of(options.out / "tutor")
    for part in options.report:
        rows = rows_of(options.parts / f"{part}.jsonl" if "." not in part else pathlib.Path(part))
        scores = logits_of(model, tokenizer, [item["text"] for item in rows], device, options.bf16)
        print_figures(part, rows, scores.numpy())
    if options.only_report:
        return
    # From the end of each source: what training has not begun with.
    rows = rows_of(options.parts / "train.jsonl")
    chosen = texts_of_epoch(rows, 1, random.Random(SEED), SAID, {})
    said = logits_of(model, tokenizer, [item["text"] for item in chosen], device, options.bf16).sigmoid()
    with open(options.out / "said.jsonl", "w", encoding="utf-8") as file:
        for item, row in zip(chosen, said.tolist(), strict=True):
            file.write(json.dumps({**item, "said": [round(value, 4) for value in row]}, ensure_ascii=False) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=("train", "say"))
    parser.add_argument("--mpnet", type=pathlib.Path, help="what tools/golden/fetch_mpnet.sh left")
    parser.add_argument("--parts", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float, default=24)
    parser.add_argument("--tokens", type=int, default=1280, help="tokens a batch")
    parser.add_argument("--report", nargs="*", default=[], metavar="PART")
    parser.add_argument("--only-report", action="store_true", help="write no said.jsonl")
    parser.add_argument("--bf16", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    {"train": train, "say": say}[options.what](options, device)


if __name__ == "__main__":
    main()
