# SPDX-License-Identifier: AGPL-3.0-or-later
"""Trains the guard's model on the parts that data.py wrote.

    python train.py --parts PARTS --minilm FOLDER --out RUN [--epochs 3] [--init CHECKPOINT] [--said FILE] [--resume]

With --init a trained guard (what export.py or unpack.py wrote) is trained on, as on texts of your own; best at a tenth
of the rate. With --said the texts are those of tutor.py, and what counts most is the tutor's word on them. FOLDER holds
config.json, model.safetensors and tokenizer.json of all-MiniLM-L6-v2 in f32. Uses a GPU where there is one. Every --save
minutes the run is saved whole (weights, optimizer, place in the epoch), and --resume goes on from there with the same
texts in the same order. RUN/log.csv has a row every 100 steps.
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

from data import HEADS, SEED
from model import batches, from_checkpoint, from_minilm, logits_of, padded

WINDOW = 128  # tokens, with [CLS] and [SEP], as at run time


CAPS = {
    "davidson": 7000, "wiki": 7000, "clinc150": 3000, "banking77": 1500, "civil": 12000, "edos": 8000,
    "stormfront": 5000, "own_attack": 4000, "planted": 3000, "sentences_papers": 1500, "sentences_claims": 1500, "sentences_book": 1000,
}  # fmt: skip
# The last pass: what the public sets hold little of (threats, quoted abuse, requests in the words of attacks, ...) comes
# often, what they hold much of now and then, so that it is not forgotten.
LAST_CAPS = {
    "davidson": 1500, "wiki": 2500, "clinc150": 1000, "banking77": 500, "civil": 4000, "edos": 2000, "stormfront": 2000,
    "hatemoji": 3000, "own_attack": 1500, "own_benign": 1500, "own_kind": 1500, "own_abuse": 1000, "planted": 1500,
    "documents": 800, "factbook": 500, "storybook": 500, "rust_book": 500,
    "sentences_papers": 1000, "sentences_claims": 1000, "sentences_book": 700, "sentences_ours": 700,
}  # fmt: skip
LAST_REPEATS = {"written": 5, "deepset": 2, "spikee": 2}


def texts_of_epoch(rows, epoch, rng, cap, repeats):
    """A source with more texts than its cap gives another part of them each epoch."""
    by_source = {}
    for item in rows:
        by_source.setdefault(item["source"], []).append(item)
    chosen = []
    for source, items in sorted(by_source.items()):
        random.Random(f"{source} {SEED}").shuffle(items)
        count = min(cap.get(source, len(items)), len(items))
        start = epoch * count
        chosen += [items[(start + i) % len(items)] for i in range(count)] * repeats.get(source, 1)
    rng.shuffle(chosen)
    return chosen


def noisy(text, rng):
    """Now and then the small disguises that are left after the normaliser: dropped, doubled or swapped letters, case."""
    chance = rng.random()
    if chance < 0.04:
        letters = list(text)
        for _ in range(max(1, len(letters) // 25)):
            place = rng.randrange(len(letters))
            kind = rng.randrange(3)
            if kind == 0:
                letters[place] = ""
            elif kind == 1:
                letters[place] *= 2
            elif place + 1 < len(letters):
                letters[place], letters[place + 1] = letters[place + 1], letters[place]
        return "".join(letters)
    if chance < 0.06:
        return text.rstrip(".!?") + rng.choice(["", "!!", "...", " ?", " lol"])
    return text


def window_of(ids, rng, first=False):
    """The first window of the text, now and then a later one unless only the first is asked for, between [CLS] and [SEP]."""
    body, size = ids[1:-1], WINDOW - 2
    start = 0
    if len(body) > size and not first and rng.random() < 0.4:
        start = rng.randrange(len(body) - size)
    return [ids[0], *body[start : start + size], ids[-1]]


def corrected(item, share):
    """The tutor's word on a text of our own hand, moved towards the label, which was chosen with care: a tutor of minutes
    is still in doubt about a fifth of the attacks, and about ordinary prose in many languages."""
    if item["source"] != "written" or not share:
        return item
    labels = [item[head] for head in HEADS]
    said = [word if label is None else (1 - share) * word + share * label for word, label in zip(item["said"], labels, strict=True)]
    return item | {"said": said}


def loss_of(logits, rows, device):
    """The mean over what the rows say, weighted; a little smoothed, as labels are noisy. Of rows that a tutor has
    read, half of that and twice how far the answers are from the tutor's."""
    labels = torch.tensor([[item[head] if item[head] is not None else -1.0 for head in HEADS] for item in rows])
    weights = torch.tensor([[item["weight"]] for item in rows]) * (labels >= 0)
    labels, weights = labels.to(device), weights.to(device)
    smooth = labels.clamp(min=0) * 0.96 + 0.02
    each = nn.functional.binary_cross_entropy_with_logits(logits, smooth, reduction="none")
    loss = (each * weights).sum() / weights.sum().clamp(min=1)
    if all("said" in item for item in rows):
        said = torch.tensor([item["said"] for item in rows], device=device)
        loss = 0.5 * loss + 2 * nn.functional.binary_cross_entropy_with_logits(logits, said)
    return loss


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--parts", type=pathlib.Path, required=True)
    parser.add_argument("--minilm", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--layers", type=int, nargs="*", default=[0, 1, 3, 5])
    parser.add_argument("--init", type=pathlib.Path, metavar="CHECKPOINT")
    parser.add_argument("--said", type=pathlib.Path, metavar="FILE", help="what tutor.py say left, instead of PARTS/train.jsonl")
    parser.add_argument("--last", action="store_true", help="the last pass: written texts often, public ones seldom; with --said all written ones once")
    parser.add_argument("--own", type=float, default=0, metavar="SHARE", help="of the label in what a tutor says of a written text")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=2048, help="tokens a batch")
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--compile", action="store_true", help="a fifth faster after a minute; needs a C++ compiler")
    parser.add_argument("--bf16", action="store_true", help="twice as fast where the CPU or GPU has such units")
    parser.add_argument("--save", type=float, default=5, help="minutes between saves")
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(SEED)

    rows = [json.loads(line) for line in open(options.said or options.parts / "train.jsonl", encoding="utf-8")]
    cap, repeats = (LAST_CAPS, LAST_REPEATS) if options.last else ({}, {}) if options.said else (CAPS, {})
    if options.said:
        repeats = {}
        rows = [corrected(item, options.own) for item in rows]
    tokenizer = Tokenizer.from_file(str(options.minilm / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    model = from_checkpoint(options.init) if options.init else from_minilm(options.minilm, options.layers)
    # Words that the training texts lack stay beside the words they mean much the same as, and a third of a step is saved.
    model.bert.embeddings.word_embeddings.weight.requires_grad_(False)
    model.to(device)
    heads = [p for name, p in model.named_parameters() if "classifier" in name or "pooler" in name]
    known = {id(p) for p in heads}
    trunk = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    optimizer = torch.optim.AdamW(
        [{"params": trunk, "lr": options.rate}, {"params": heads, "lr": options.rate * 5}], weight_decay=0.01, fused=True
    )
    peaks = [group["lr"] for group in optimizer.param_groups]
    place = {"epoch": 0, "step": 0, "batch": 0}
    saved = options.out / "run.pt"
    if options.resume and saved.exists():
        state = torch.load(saved, map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        place = state["place"]

    def save():
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "place": place}, saved.with_suffix(".part"))
        saved.with_suffix(".part").rename(saved)

    log = csv.writer(open(options.out / "log.csv", "a" if options.resume else "w", newline="", buffering=1))
    total, last_save, mean, since = None, time.time(), None, time.time()
    texts = 0
    model.train()
    forward = torch.compile(model, dynamic=True) if options.compile else model
    for epoch in range(place["epoch"], options.epochs):
        rng = random.Random(f"epoch {epoch} {SEED}")
        chosen = texts_of_epoch(rows, epoch, rng, cap, repeats)
        ids = [window_of(tokenizer.encode(noisy(item["text"], rng)).ids, rng, "said" in item) for item in chosen]
        plan = batches([len(row) for row in ids], options.tokens, rng)
        total = total or len(plan) * options.epochs
        for number in range(place["batch"], len(plan)):
            batch = plan[number]
            done = place["step"] / total
            factor = min(1, place["step"] / (0.05 * total + 1)) * max(0.02, 1 - done)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            tokens, mask = padded([ids[i] for i in batch])
            with torch.autocast(device, dtype=torch.bfloat16, enabled=options.bf16):
                logits = logits_of(forward, tokens.to(device), mask.to(device)).float()
            loss = loss_of(logits, [chosen[i] for i in batch], device)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
            texts += len(batch)
            place = {"epoch": epoch, "step": place["step"] + 1, "batch": number + 1}
            if place["step"] % 100 == 0:
                speed = texts / (time.time() - since)
                log.writerow([epoch, place["step"], total, f"{mean:.4f}", f"{speed:.0f}"])
                print(f"epoch {epoch} step {place['step']}/{total} loss {mean:.4f}, {speed:.0f} texts/s", flush=True)
                texts, since = 0, time.time()
            if time.time() - last_save > 60 * options.save:
                save()
                last_save = time.time()
        place = {"epoch": epoch + 1, "step": place["step"], "batch": 0}
        save()
    torch.save(model.state_dict(), options.out / "model.pt")


if __name__ == "__main__":
    main()
