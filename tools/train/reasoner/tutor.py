# SPDX-License-Identifier: AGPL-3.0-or-later
"""A larger network that has read more, for the judge to learn from: all-mpnet-base-v2 with a new head, in float.

    python tutor.py train --mpnet FOLDER --pairs PAIRS --out TUTOR [--minutes 30] [--bf16]
    python tutor.py say --pairs PAIRS --out TUTOR [--unlabelled 40000] [--bf16]

`train` learns the labelled pairs; `say` writes TUTOR/said.jsonl: the labelled pairs and as many without labels, each with
"said", what the tutor gives the three labels. Pairs of our own making keep their label alone, which is right by how they
were made.
"""

import argparse
import csv
import json
import pathlib
import random
import time

import torch
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import MPNetForSequenceClassification

from distil import SEED, batches
from judge import LENGTH, items_of, labelled_loss
from pairs import LABELS

RATE = 5e-5
FROZEN = 3  # of 12 layers, with the embeddings: a fifth less time, and what low layers know is general
PUBLIC = {"snli": 1.25, "counterfactual": 1.25, "creak": 0.5, "foolmetwice": 0.7}  # share of a source in an epoch
MADE = {"made_factbook": 0.15, "made_books": 0.15, "denials": 0.5, "unrelated": 0.4}
PAD = 1


def tokenizer_of(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LENGTH, strategy="only_first")
    return tokenizer


def tokens_of(tokenizer, items):
    """The pairs that fit, and the ids of each."""
    kept, found = [], []
    for item in items:
        try:
            found.append(tokenizer.encode(item["premise"], item["hypothesis"]).ids)
        except Exception:  # the claim alone is longer than the window
            continue
        kept.append(item)
    return kept, found


def inputs_of(rows, device):
    longest = max(map(len, rows))
    ids = torch.tensor([row + [PAD] * (longest - len(row)) for row in rows], device=device)
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


def train(options, device):
    model = MPNetForSequenceClassification.from_pretrained(
        options.mpnet, id2label=dict(enumerate(LABELS)), label2id={label: n for n, label in enumerate(LABELS)}
    )
    model.to(device).train()
    model.mpnet.embeddings.requires_grad_(False)
    model.mpnet.encoder.relative_attention_bias.requires_grad_(False)
    for layer in model.mpnet.encoder.layer[:FROZEN]:
        layer.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=RATE, weight_decay=0.01, fused=True)
    tokenizer = tokenizer_of(options.mpnet)
    items, ids = tokens_of(tokenizer, items_of(options.pairs / "train.jsonl"))
    log = csv.writer(open(options.out / "log.csv", "w", newline="", buffering=1))
    log.writerow(["step", "minutes", "rate", "loss"])
    begin, limit, step, mean, epoch = time.time(), 60 * options.minutes, 0, None, 0
    while time.time() - begin < limit:
        rng = random.Random(f"tutor {epoch} {SEED}")
        share = {**PUBLIC, **MADE}
        chosen = [n for n, item in enumerate(items) for _ in range(int(share[item["source"]] + rng.random()))]
        for batch in batches([len(ids[n]) for n in chosen], options.tokens, rng):
            batch = [chosen[n] for n in batch]
            done = min(1.0, (time.time() - begin) / limit)
            if done >= 1:
                break
            rate = RATE * min(1.0, (step + 1) / 60) * (1 - done)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with torch.autocast(device, dtype=torch.bfloat16, enabled=options.bf16):
                logits = model(**inputs_of([ids[n] for n in batch], device)).logits
            belongings = [(LABELS.index(items[n]["label"]), items[n]["weight"], None) for n in batch]
            loss = labelled_loss(logits.float(), belongings, device)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step, mean = step + 1, loss.item() if mean is None else 0.97 * mean + 0.03 * loss.item()
            if step % 50 == 0:
                row = [step, f"{(time.time() - begin) / 60:.1f}", f"{rate:.2e}", f"{mean:.4f}"]
                log.writerow(row)
                print(*row, flush=True)
        epoch += 1
    model.save_pretrained(options.out / "tutor")
    tokenizer.save(str(options.out / "tutor/tokenizer.json"))


def probabilities(model, ids, device, bf16):
    found = torch.zeros(len(ids), len(LABELS))
    plan = batches([len(row) for row in ids], 4096, random.Random(0))
    for number, batch in enumerate(plan):
        with torch.no_grad(), torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
            logits = model(**inputs_of([ids[n] for n in batch], device)).logits
        found[batch] = functional.softmax(logits.float(), dim=-1).cpu()
        if number % 100 == 99:
            print(f"{number + 1} of {len(plan)} batches", flush=True)
    return found


def say(options, device):
    model = MPNetForSequenceClassification.from_pretrained(options.out / "tutor").to(device).eval()
    tokenizer = tokenizer_of(options.out / "tutor")
    for part in options.report:
        whole = items_of(options.pairs / f"{part}.jsonl")
        items, ids = tokens_of(tokenizer, random.Random(SEED).sample(whole, min(1500, len(whole))))
        said = probabilities(model, ids, device, options.bf16).argmax(1)
        labels = torch.tensor([LABELS.index(item["label"]) for item in items])
        print(f"{part}: accuracy {(said == labels).float().mean():.4f} over {len(items)} pairs", flush=True)
    labelled = items_of(options.pairs / "train.jsonl")
    more = items_of(options.pairs / "unlabelled.jsonl")
    more = random.Random(SEED).sample(more, min(len(more), options.unlabelled))
    asked, ids = tokens_of(tokenizer, [item for item in labelled if item["source"] in PUBLIC] + more)
    said = probabilities(model, ids, device, options.bf16)
    with open(options.out / "said.jsonl", "w", encoding="utf-8") as file:
        for item, row in zip(asked, said.tolist(), strict=True):
            file.write(json.dumps({**item, "said": [round(value, 4) for value in row]}, ensure_ascii=False) + "\n")
        for item in labelled:
            if item["source"] not in PUBLIC:
                file.write(json.dumps(item, ensure_ascii=False) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=("train", "say"))
    parser.add_argument("--mpnet", type=pathlib.Path, help="what tools/golden/fetch_mpnet.sh left")
    parser.add_argument("--pairs", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--tokens", type=int, default=1280, help="tokens a batch")
    parser.add_argument("--unlabelled", type=int, default=40000, help="pairs without labels to be asked about")
    parser.add_argument("--report", nargs="*", default=["calibrate"], metavar="PART")
    parser.add_argument("--bf16", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    {"train": train, "say": say}[options.what](options, device)


if __name__ == "__main__":
    main()
