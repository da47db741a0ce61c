#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""What PyTorch computes with the bundled reasoner's two networks: embeddings of sentences, logits of pairs.

    python make_reasoner_goldens.py --trunk RUN/trunk --judge RUN/judge [--out tests/golden/reasoner]

The folders are the checkpoints that tools/train/reasoner writes. Linear layers are computed from `code * scale` with the codes of
`ternarize` (make_bert_ternary_goldens.py), embeddings from the checkpoint's own table, activations in f32: what the engine rounds
besides is in the tolerances of tests/tests/reasoner_parity.rs. Sentences are those of tests/golden/minilm; pairs.jsonl is written
from the sentences below, each premise with each of its claims and with one of another premise.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import tokenizers
import torch
import transformers

from make_bert_ternary_goldens import LABELS, ternarize
from make_guard_goldens import ids_of, save

PAIRS = [
    ("The bakery on the corner opens at six and sells out of bread by ten.", "The bakery has no bread left at noon.", "The bakery opens at nine."),
    ("Two children are building a tower of wooden blocks on the carpet.", "Children are playing indoors.", "The children are asleep."),
    ("Rain fell all night and the river rose by half a metre.", "The river was higher in the morning.", "The river dried up overnight."),
    ("The committee approved the budget with seven votes to two.", "Most members voted for the budget.", "The budget was rejected."),
    ("Ada Lovelace wrote notes on the Analytical Engine in 1843.", "Lovelace wrote about a computing machine.", "Lovelace was born in 1943."),
    ("The museum is closed on Mondays, except on public holidays.", "On most Mondays visitors cannot enter.", "The museum is open every Monday."),
    ("A man in a red jacket is climbing an icy wall with two axes.", "Someone is climbing.", "The man is swimming in the sea."),
    ("The new engine uses 12 percent less fuel than the old one.", "The old engine needed more fuel.", "Fuel use grew by 12 percent."),
    ("Copper conducts electricity better than iron does.", "Iron is a worse conductor than copper.", "Copper does not conduct electricity."),
    ("The ferry takes forty minutes and does not run in winter.", "There is no ferry in January.", "The crossing takes four hours."),
    ("None of the samples contained lead.", "The samples were free of lead.", "Some samples contained lead."),
    ("The letter was signed by the director and her deputy.", "Two people signed the letter.", "Nobody signed the letter."),
    ("Honey bees dance to tell the hive where flowers are.", "Bees pass on where food is.", "Bees cannot communicate."),
    ("The old bridge was replaced by a tunnel after the flood of 1953.", "There is a tunnel where a bridge once stood.", "The bridge still stands."),
    ("Three of the four turbines were running when the storm came.", "One turbine stood still.", "All turbines were running."),
    ("She sold her car and now cycles to work every day.", "She no longer owns that car.", "She drives to work."),
]


def pairs():
    found = []
    for at, (premise, *claims) in enumerate(PAIRS):
        found += [(premise, claim) for claim in (*claims, PAIRS[(at + 5) % len(PAIRS)][1])]
    return found


def load(folder, architecture, **options):
    """The model with the linear layers of its encoder rounded."""
    model = architecture.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", **options).eval()
    scale = model.config.ternary_scale
    with torch.no_grad():
        for layer in getattr(model, "bert", model).encoder.modules():
            if isinstance(layer, torch.nn.Linear):
                codes, scales = ternarize(layer.weight.numpy(), scale == "row")
                layer.weight.copy_(torch.from_numpy(codes * scales[:, None]))
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--trunk", type=Path, required=True)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--sentences", type=Path, default=Path("tests/golden/minilm/sentences.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("tests/golden/reasoner"))
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizers.Tokenizer.from_file(str(options.trunk / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    trunk = load(options.trunk, transformers.BertModel, add_pooling_layer=False)
    sentences = [json.loads(line)["text"] for line in options.sentences.read_text(encoding="utf-8").splitlines()]
    ids = [tokenizer.encode(sentence).ids for sentence in sentences]
    with torch.no_grad():
        means = [trunk(input_ids=torch.tensor([row])).last_hidden_state[0].mean(dim=0) for row in ids]
    embeddings = np.stack([(mean / mean.norm()).numpy() for mean in means])
    save(options.out / "trunk.safetensors", {"embeddings": embeddings})

    judge = load(options.judge, transformers.BertForSequenceClassification)
    assert tuple(judge.config.id2label[i] for i in range(3)) == LABELS
    rows = [tokenizer.encode(*pair) for pair in pairs()]
    lines = "".join(json.dumps({"premise": a, "hypothesis": b}, ensure_ascii=False) + "\n" for a, b in pairs())
    (options.out / "pairs.jsonl").write_text(lines, encoding="utf-8")
    with torch.no_grad():
        tensors = [{"input_ids": torch.tensor([row.ids]), "token_type_ids": torch.tensor([row.type_ids])} for row in rows]
        logits = np.stack([judge(**inputs).logits[0].numpy() for inputs in tensors])
    save(options.out / "judge.safetensors", ids_of([row.ids for row in rows]) | {"logits": logits})
    counts = np.bincount(logits.argmax(1), minlength=3)
    print(f"{len(sentences)} sentences; {len(rows)} pairs:", *(f"{count} {label}" for label, count in zip(LABELS, counts)))


if __name__ == "__main__":
    main()
