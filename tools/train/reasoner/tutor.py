# SPDX-License-Identifier: AGPL-3.0-or-later
"""A larger network that has read more, for the judge to learn from: all-mpnet-base-v2 with a new head, in float.

    python tutor.py train --mpnet FOLDER --pairs PAIRS --out TUTOR [--minutes 30] [--bf16]
    python tutor.py say --pairs PAIRS --out TUTOR [--unlabelled 40000] [--bf16]

`train` learns the labelled pairs; `say` writes TUTOR/said.jsonl: the labelled pairs and as many without labels, each with
"said", what the tutor gives the three labels. Pairs of our own making keep their label alone, which is right by how they
were made.
"""

import argparse
import json
import pathlib
import random
import sys

import torch

from distil import SEED, batches
from judge import LENGTH, items_of, labelled_loss
from pairs import LABELS

sys.path.append(str(pathlib.Path(__file__).parents[1]))
import mpnet

FROZEN = 3  # layers: a fifth less time
PUBLIC = {"snli": 1.25, "counterfactual": 1.25, "creak": 0.5, "foolmetwice": 0.7}  # share of a source in an epoch
MADE = {"made_factbook": 0.15, "made_books": 0.15, "denials": 0.5, "unrelated": 0.4}


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


def train(options, device):
    model = mpnet.load(options.mpnet, LABELS)
    tokenizer = mpnet.tokenizer_of(options.mpnet, LENGTH, "only_first")
    items, ids = tokens_of(tokenizer, items_of(options.pairs / "train.jsonl"))
    share = {**PUBLIC, **MADE}

    def epoch_of(number):
        rng = random.Random(f"tutor {number} {SEED}")
        chosen = [n for n, item in enumerate(items) for _ in range(int(share[item["source"]] + rng.random()))]
        plan = batches([len(ids[n]) for n in chosen], options.tokens, rng)
        return ids, [[chosen[n] for n in batch] for batch in plan], loss_of

    def loss_of(logits, batch):
        return labelled_loss(logits, [(LABELS.index(items[n]["label"]), items[n]["weight"], None) for n in batch], device)

    mpnet.fit(model, epoch_of, options, device, FROZEN)
    mpnet.save(model, tokenizer, options.out / "tutor")


def say(options, device):
    model = mpnet.load(options.out / "tutor").to(device).eval()
    tokenizer = mpnet.tokenizer_of(options.out / "tutor", LENGTH, "only_first")
    probabilities = lambda ids: mpnet.logits_of(model, ids, batches, device, options.bf16).softmax(dim=-1)
    for part in options.report:
        whole = items_of(options.pairs / f"{part}.jsonl")
        items, ids = tokens_of(tokenizer, random.Random(SEED).sample(whole, min(1500, len(whole))))
        said = probabilities(ids).argmax(1)
        labels = torch.tensor([LABELS.index(item["label"]) for item in items])
        print(f"{part}: accuracy {(said == labels).float().mean():.4f} over {len(items)} pairs", flush=True)
    labelled = items_of(options.pairs / "train.jsonl")
    more = items_of(options.pairs / "unlabelled.jsonl")
    more = random.Random(SEED).sample(more, min(len(more), options.unlabelled))
    asked, ids = tokens_of(tokenizer, [item for item in labelled if item["source"] in PUBLIC] + more)
    said = probabilities(ids)
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
    mpnet.arguments(parser, 30)
    parser.add_argument("--unlabelled", type=int, default=40000, help="pairs without labels to be asked about")
    parser.add_argument("--report", nargs="*", default=["calibrate"], metavar="PART")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    {"train": train, "say": say}[options.what](options, device)


if __name__ == "__main__":
    main()
