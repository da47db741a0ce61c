# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a run gives, before conversion.

    python report.py trunk FOLDER --data DATA_FOLDER [--split dev]     Spearman's correlation with STS-B's scores
    python report.py judge FOLDER --pairs PAIRS report-snli ...        accuracy by label, and how far to trust it

FOLDER is a checkpoint: with `ternary_scale` in its config its linear layers are made ternary first, otherwise they stay
float. `bho eval similarity` and `bho eval claims` measure the same of what was converted.
"""

import argparse
import json
import pathlib
import random

import numpy
import torch
from tokenizers import Tokenizer
from transformers import BertForSequenceClassification, BertModel

from distil import batches, padded, pooled
from judge import items_of, rows_of, tokenizer_of
from pairs import LABELS
from ternary import to_bitlinear
from texts import rows


def load(kind, folder, **options):
    model = kind.from_pretrained(folder, **options).eval()
    scale = getattr(model.config, "ternary_scale", None)
    if scale:
        to_bitlinear(getattr(model, "bert", model).encoder, scale)
    return model


def ranks(values):
    """Ranks with ties shared."""
    values = numpy.asarray(values)
    order = values.argsort(kind="stable")
    found = numpy.empty(len(values))
    found[order] = numpy.arange(len(values))
    for value in numpy.unique(values):
        same = values == value
        found[same] = found[same].mean()
    return found


def embed(model, tokenizer, texts):
    ids = [(row.ids, row.type_ids) for row in tokenizer.encode_batch(texts)]
    vectors = torch.zeros(len(texts), model.config.hidden_size)
    with torch.no_grad():
        for batch in batches([len(row) for row, _ in ids], 6000, random.Random(0)):
            inputs = padded([ids[i] for i in batch], "cpu")
            vectors[batch] = pooled(model(**inputs).last_hidden_state, inputs["attention_mask"])
    return vectors


def trunk(folder, data, split):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    items = rows(data / f"ret_stsb_en/{split}.jsonl")
    model = load(BertModel, folder, add_pooling_layer=False)
    a, b = (embed(model, tokenizer, [item[side] for item in items]) for side in "ab")
    cosine = (a * b).sum(-1).numpy()
    spearman = numpy.corrcoef(ranks(cosine), ranks([item["score"] for item in items]))[0, 1]
    print(f"STS-B {split}: Spearman {spearman:.4f} over {len(items)} pairs")


def softened(logits, labels):
    """The temperature with the least mean negative log-likelihood, and the calibration error (15 bins) at it and at 1."""

    def log_likelihood(temperature):
        said = logits / temperature
        said = said - numpy.log(numpy.exp(said - said.max(1, keepdims=True)).sum(1, keepdims=True)) - said.max(1, keepdims=True)
        return said

    def error(temperature):
        sure = numpy.exp(log_likelihood(temperature))
        top, right = sure.max(1), sure.argmax(1) == labels
        bins = numpy.minimum((top * 15).astype(int), 14)
        return sum(abs(top[bins == b].sum() - right[bins == b].sum()) for b in range(15)) / len(labels)

    tried = numpy.arange(0.5, 4.01, 0.02)
    best = min(tried, key=lambda t: -log_likelihood(t)[numpy.arange(len(labels)), labels].mean())
    return best, error(best), error(1.0)


def judge(folder, pairs, parts):
    tokenizer = tokenizer_of(folder)
    model = load(BertForSequenceClassification, folder)
    for part in parts:
        found = rows_of(tokenizer, items_of(pairs / f"{part}.jsonl"))
        labels = numpy.array([label for _, _, (label, _, _) in found])
        said = numpy.zeros((len(found), len(LABELS)))
        with torch.no_grad():
            for batch in batches([len(ids) for ids, _, _ in found], 6000, random.Random(0)):
                said[batch] = model(**padded([found[i][:2] for i in batch], "cpu")).logits
        best = said.argmax(1)
        line = f"{part}: accuracy {(best == labels).mean():.4f} over {len(labels)} pairs"
        sides = numpy.isin(labels, (0, 2))
        if sides.all():
            line += f"; entailment or contradiction {((said[:, 0] > said[:, 2]) == (labels == 0)).mean():.4f}"
        temperature, after, before = softened(said, labels)
        line += f"; temperature {temperature:.2f} (calibration error {after:.3f}, without {before:.3f})"
        print(line, *(f"{name} {(best == number)[labels == number].mean():.3f}" for number, name in enumerate(LABELS) if (labels == number).any()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    of_trunk, of_judge = kinds.add_parser("trunk"), kinds.add_parser("judge")
    for kind in (of_trunk, of_judge):
        kind.add_argument("folder", type=pathlib.Path)
    of_trunk.add_argument("--data", type=pathlib.Path, required=True)
    of_trunk.add_argument("--split", default="dev")
    of_judge.add_argument("--pairs", type=pathlib.Path, required=True)
    of_judge.add_argument("part", nargs="+")
    options = parser.parse_args()
    if options.kind == "trunk":
        trunk(options.folder, options.data, options.split)
    else:
        judge(options.folder, options.pairs, options.part)


if __name__ == "__main__":
    main()
