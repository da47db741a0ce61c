# SPDX-License-Identifier: AGPL-3.0-or-later
"""A larger network that has read more, for the guard to learn from: all-mpnet-base-v2 with three new heads, in float.

    python tutor.py train --parts PARTS --mpnet FOLDER --out TUTOR [--minutes 24] [--epoch 0] [--bf16]
    python tutor.py say --parts PARTS --out TUTOR [--bf16] [--report PART ...]

FOLDER is what tools/golden/fetch_mpnet.sh left, or TUTOR/tutor, to train it on; --epoch 1 then begins with texts that epoch 0
did not choose. `train` learns the labelled texts, `say` writes TUTOR/said.jsonl for
`train.py --said`: texts with "said", the tutor's probability for each head, also where the source says nothing of a head.
Texts that stand in said.jsonl with its word are not asked about again.
With --report it is asked about parts or files as report.py takes them, and tells how far it can be trusted.
"""

import argparse
import json
import pathlib
import random
import sys

import torch

from data import HEADS, SEED
from model import batches
from report import print_figures, rows_of
from train import WINDOW, loss_of, noisy, texts_of_epoch

sys.path.append(str(pathlib.Path(__file__).parents[1]))
import mpnet

FROZEN = 4  # layers: a quarter less time
# About 24,000 texts: what two cores learn in 25 minutes. Long ones and what is said a hundred times come seldom.
LEARNED = {
    "davidson": 900, "wiki": 900, "clinc150": 400, "banking77": 200, "civil": 3000, "edos": 1500, "stormfront": 900,
    "hatemoji": 2300, "own_attack": 700, "own_benign": 700, "own_kind": 700, "own_abuse": 400, "planted": 700,
    "documents": 400, "factbook": 150, "storybook": 150, "rust_book": 150, "jackhhao": 500, "pyrit": 150, "wnut": 0,
    "sentences_papers": 400, "sentences_claims": 400, "sentences_book": 300, "sentences_ours": 400,
}  # fmt: skip
# What the guard hears its word on: other texts of the large sources too.
SAID = {
    "davidson": 4000, "wiki": 2500, "clinc150": 1000, "banking77": 500, "civil": 9000, "edos": 5000, "stormfront": 2500,
    "own_attack": 1200, "own_benign": 1200, "own_kind": 1200, "own_abuse": 800, "planted": 1500, "documents": 800,
    "factbook": 400, "storybook": 400, "rust_book": 400, "jackhhao": 900, "pyrit": 300, "sentences_papers": 1000,
    "sentences_claims": 1000, "sentences_book": 700,
}  # fmt: skip


def train(options, device):
    model = mpnet.load(options.mpnet, HEADS)
    tokenizer = mpnet.tokenizer_of(options.mpnet, WINDOW)
    rows = rows_of(options.parts / "train.jsonl")

    def epoch_of(number):
        rng = random.Random(f"tutor {number} {SEED}")
        chosen = texts_of_epoch(rows, number, rng, LEARNED, {})
        ids = [tokenizer.encode(noisy(item["text"], rng)).ids for item in chosen]
        plan = batches([len(row) for row in ids], options.tokens, rng)
        return ids, plan, lambda logits, batch: loss_of(logits, [chosen[n] for n in batch], device)

    # What it said before would be taken for its word of now.
    (options.out / "said.jsonl").unlink(missing_ok=True)
    mpnet.fit(model, epoch_of, options, device, FROZEN)
    mpnet.save(model, tokenizer, options.out / "tutor")


def say(options, device):
    model = mpnet.load(options.out / "tutor").to(device).eval()
    tokenizer = mpnet.tokenizer_of(options.out / "tutor", WINDOW)

    def logits_of(rows):
        ids = [tokenizer.encode(item["text"]).ids for item in rows]
        return mpnet.logits_of(model, ids, batches, device, options.bf16)

    for part in options.report:
        rows = rows_of(options.parts / f"{part}.jsonl" if "." not in part else pathlib.Path(part))
        print_figures(part, rows, logits_of(rows).numpy())
    if options.only_report:
        return
    # From the end of each source: what training has not begun with.
    rows = rows_of(options.parts / "train.jsonl")
    chosen = texts_of_epoch(rows, 1, random.Random(SEED), SAID, {})
    path = options.out / "said.jsonl"
    said = {item["text"]: item["said"] for item in rows_of(path)} if path.exists() else {}
    new = [item for item in chosen if item["text"] not in said]
    print(f"{len(new)} of {len(chosen)} texts are new", flush=True)
    for item, row in zip(new, logits_of(new).sigmoid().tolist(), strict=True):
        said[item["text"]] = [round(value, 4) for value in row]
    with open(path.with_suffix(".part"), "w", encoding="utf-8") as file:
        for item in chosen:
            file.write(json.dumps({**item, "said": said[item["text"]]}, ensure_ascii=False) + "\n")
    path.with_suffix(".part").rename(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=("train", "say"))
    parser.add_argument("--mpnet", type=pathlib.Path, help="what tools/golden/fetch_mpnet.sh left")
    parser.add_argument("--parts", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    mpnet.arguments(parser, 24)
    parser.add_argument("--report", nargs="*", default=[], metavar="PART")
    parser.add_argument("--only-report", action="store_true", help="write no said.jsonl")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    {"train": train, "say": say}[options.what](options, device)


if __name__ == "__main__":
    main()
