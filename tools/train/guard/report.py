# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a trained run does: python report.py --parts PARTS --minilm FOLDER --run RUN [--layers ...] PART...

A PART is one that data.py wrote (report-bastion), or a file in the format of `bho eval guard`, which goes through the
same view of texts. Recall and false alarms are at 0.5, before calibration.
"""

import argparse
import json
import pathlib
import random

import numpy
import torch
from tokenizers import Tokenizer

from data import HEADS
from model import batches, from_minilm, logits_of, padded
from train import WINDOW
from view import view


def scores_of(model, tokenizer, texts):
    """Logits [texts, heads]: the highest over windows with a stride of half a window."""
    windows, owner = [], []
    for number, text in enumerate(texts):
        ids = tokenizer.encode(text).ids
        body, size = ids[1:-1], WINDOW - 2
        for start in range(0, max(1, len(body) - size // 2), size // 2):
            windows.append([ids[0], *body[start : start + size], ids[-1]])
            owner.append(number)
    logits = torch.zeros(len(windows), len(HEADS))
    model.eval()
    with torch.no_grad():
        for batch in batches([len(row) for row in windows], 4096, random.Random(0)):
            logits[batch] = logits_of(model, *padded([windows[i] for i in batch]))
    best = torch.full((len(texts), len(HEADS)), -1e9)
    for row, number in zip(logits, owner, strict=True):
        best[number] = torch.maximum(best[number], row)
    return best.numpy()


def auc(scores, labels):
    order = numpy.argsort(scores, kind="stable")
    ranks = numpy.empty(len(scores))
    ranks[order] = numpy.arange(1, len(scores) + 1)
    for value in numpy.unique(scores):
        same = scores == value
        ranks[same] = ranks[same].mean()
    positives = labels.sum()
    return (ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * (len(labels) - positives))


def rows_of(file):
    """Texts, labels and sources."""
    rows = [json.loads(line) for line in open(file, encoding="utf-8") if line.strip()]
    if "source" in rows[0]:
        return rows
    return [
        {"text": view(item["text"]), "source": item.get("group", "")} | {head: item["labels"].get(head) for head in HEADS}
        for item in rows
    ]


def print_figures(part, rows, scores):
    """A line for each head, over all and by source: recall and false alarms at 0.5, AUC. `scores`: logits [texts, heads]."""
    for source in [None, *sorted({item["source"] for item in rows})]:
        for number, head in enumerate(HEADS):
            mine = [i for i, item in enumerate(rows) if item[head] is not None and source in (None, item["source"])]
            if not mine:
                continue
            labels = numpy.array([rows[i][head] >= 0.5 for i in mine])
            chance = 1 / (1 + numpy.exp(-scores[mine, number]))
            flagged = chance >= 0.5
            line = f"{part:24} {source or 'all':12} {head:10} {len(mine):6} texts"
            if labels.any():
                line += f"  recall {flagged[labels].mean():.3f}"
            if not labels.all():
                line += f"  false alarms {flagged[~labels].mean():.3f}"
            if labels.any() and not labels.all():
                line += f"  AUC {auc(chance, labels):.4f}"
            print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--parts", type=pathlib.Path, required=True)
    parser.add_argument("--minilm", type=pathlib.Path, required=True)
    parser.add_argument("--run", type=pathlib.Path, required=True)
    parser.add_argument("--layers", type=int, nargs="*", default=[0, 1, 3, 5])
    parser.add_argument("part", nargs="+")
    options = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(options.minilm / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    model = from_minilm(options.minilm, options.layers)
    file = options.run / "model.pt"
    state = torch.load(file if file.exists() else options.run / "run.pt", map_location="cpu")
    model.load_state_dict(state.get("model", state))
    for part in options.part:
        rows = rows_of(options.parts / f"{part}.jsonl" if "." not in part else pathlib.Path(part))
        scores = scores_of(model, tokenizer, [item["text"] for item in rows])
        print_figures(part, rows, scores)


if __name__ == "__main__":
    main()
