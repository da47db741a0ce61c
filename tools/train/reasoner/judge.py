# SPDX-License-Identifier: AGPL-3.0-or-later
"""Trains the judge: (premise, claim) to entailment, neutral or contradiction.

    python judge.py teacher --pairs PAIRS --minilm FOLDER --out TEACHER [--minutes 30] [--bf16]
    python judge.py student --pairs PAIRS --minilm FOLDER --teacher TEACHER/judge --out RUN [--scale row] [--bf16] [--resume]
    python judge.py pupil --said TUTOR/said.jsonl --minilm FOLDER --init RUN/judge --out RUN2 [--minutes 30] [--bf16] [--resume]

PAIRS is what pairs.py wrote. The teacher is all-MiniLM-L6-v2 with a new head, in float. The student starts as the teacher,
turns ternary little by little, and learns the teacher's hidden states, what it says of the labelled pairs and of pairs
without labels, and the labels themselves. The pupil is a student, ternary from the start, that goes on with what a larger
network said of the pairs (tutor.py). All keep MiniLM's word embeddings as they are. The checkpoint of each is in OUT/judge; the
teacher's is float and not for conversion to ternary weights.
"""

import json
import pathlib
import sys

import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional
from transformers import BertConfig, BertForSequenceClassification, BertModel

from distil import Run, arguments, compiled, hidden_loss
from pairs import LABELS

RATES = {"teacher": 1.2e-4, "student": 6e-4, "pupil": 4e-4}
LENGTH = 128  # tokens of a pair, special ones included: what is longer loses the end of the premise


def items_of(file):
    return [json.loads(line) for line in open(file, encoding="utf-8")]


def tokenizer_of(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LENGTH, strategy="only_first")
    return tokenizer


def rows_of(tokenizer, items):
    """(ids, segment ids, (label or -1, weight, what a tutor said or none)) of each pair."""
    found = []
    for item in items:
        try:
            row = tokenizer.encode(item["premise"], item["hypothesis"])
        except Exception:  # the claim alone is longer than the window
            continue
        label = LABELS.index(item["label"]) if item["label"] else -1
        found.append((row.ids, row.type_ids, (label, item["weight"], item.get("said"))))
    return found


def from_minilm(folder):
    """MiniLM with a pooler that passes its first token on and a head that says nothing yet."""
    whole = BertModel.from_pretrained(folder, add_pooling_layer=False)
    config = BertConfig(**json.loads((folder / "config.json").read_text()))
    config.id2label = dict(enumerate(LABELS))
    config.label2id = {label: number for number, label in enumerate(LABELS)}
    config._attn_implementation = "eager"
    model = BertForSequenceClassification(config)
    model.bert.embeddings.load_state_dict(whole.embeddings.state_dict())
    model.bert.encoder.load_state_dict(whole.encoder.state_dict())
    nn.init.eye_(model.bert.pooler.dense.weight)
    nn.init.zeros_(model.bert.pooler.dense.bias)
    nn.init.normal_(model.classifier.weight, std=0.02)
    nn.init.zeros_(model.classifier.bias)
    return model


def labelled_loss(logits, belongings, device):
    """Cross-entropy of the rows that have a label, by weight, a little smoothed."""
    labels = torch.tensor([label for label, _, _ in belongings], device=device)
    weights = torch.tensor([weight for _, weight, _ in belongings], device=device) * (labels >= 0)
    each = functional.cross_entropy(logits, labels.clamp(min=0), reduction="none", label_smoothing=0.05)
    return (each * weights).sum() / weights.sum().clamp(min=1)


def pupil(options, rows):
    """Of a pair that the tutor read, what it said and, half as much, the label; of another pair, the label."""
    options.ramp = 0.0
    run = Run(options, BertForSequenceClassification.from_pretrained(options.init, attn_implementation="eager"), ["tutor", "labels"])
    forward = compiled(run.student, options)

    def loss_of(student, inputs, belongings, done):
        with torch.autocast(run.device, dtype=torch.bfloat16, enabled=options.bf16):
            logits = forward(**inputs).logits
        logits = logits.float()
        heard = [n for n, (_, _, said) in enumerate(belongings) if said]
        tutor = logits.sum() * 0
        if heard:
            target = torch.tensor([belongings[n][2] for n in heard], device=run.device)
            tutor = functional.kl_div(functional.log_softmax(logits[heard], dim=-1), target, reduction="sum") / len(belongings)
        halved = [(label, weight * (0.5 if said else 1.0), said) for label, weight, said in belongings]
        labels = labelled_loss(logits, halved, run.device)
        return 2 * tutor + labels, (tutor, labels)

    run.train(lambda epoch, rng: rows, loss_of)
    run.export(options.out / "judge")


def main():
    role = sys.argv[1] if sys.argv[1:2] and sys.argv[1] in RATES else "student"
    parser = arguments(__doc__.split("\n\n")[0], RATES[role])
    parser.add_argument("role", choices=tuple(RATES))
    for name, needed in (("pairs", role != "pupil"), ("teacher", role == "student"), ("said", role == "pupil"), ("init", role == "pupil")):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=needed)
    options = parser.parse_args()
    tokenizer = tokenizer_of(options.minilm)
    if options.role == "pupil":
        return pupil(options, rows_of(tokenizer, items_of(options.said)))
    labelled = rows_of(tokenizer, items_of(options.pairs / "train.jsonl"))
    if options.role == "teacher":
        run = Run(options, from_minilm(options.minilm), ["loss"], ternary=False)
        forward = compiled(run.student, options)

        def loss_of(student, inputs, belongings, done):
            with torch.autocast(run.device, dtype=torch.bfloat16, enabled=options.bf16):
                logits = forward(**inputs).logits
            loss = labelled_loss(logits.float(), belongings, run.device)
            return loss, (loss,)

        run.train(lambda epoch, rng: labelled, loss_of)
    else:
        more = rows_of(tokenizer, items_of(options.pairs / "unlabelled.jsonl"))
        load = lambda: BertForSequenceClassification.from_pretrained(options.teacher, attn_implementation="eager")
        run = Run(options, load(), ["hidden", "teacher", "labels"])
        teacher, forward = compiled(load().to(run.device).eval(), options), compiled(run.student, options)

        def loss_of(student, inputs, belongings, done):
            with torch.autocast(run.device, dtype=torch.bfloat16, enabled=options.bf16):
                with torch.no_grad():
                    theirs = teacher(**inputs, output_hidden_states=True)
                ours = forward(**inputs, output_hidden_states=True)
            hidden = hidden_loss(ours.hidden_states, theirs.hidden_states, inputs["attention_mask"])
            target = functional.softmax(theirs.logits.float(), dim=-1)
            said = functional.cross_entropy(ours.logits.float(), target) - functional.cross_entropy(theirs.logits.float(), target)
            labels = labelled_loss(ours.logits.float(), belongings, run.device)
            return options.hidden * (1 - 0.9 * done) * hidden + 2 * said + labels, (hidden, said, labels)

        def epoch_of(epoch, rng):
            return labelled + rng.sample(more, min(len(more), len(labelled) // 2))

        run.train(epoch_of, loss_of)
    run.export(options.out / "judge")


if __name__ == "__main__":
    main()
