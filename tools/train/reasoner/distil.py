# SPDX-License-Identifier: AGPL-3.0-or-later
"""What both distillations share: batches, the losses of hidden states, and the loop that keeps to its time."""

import argparse
import csv
import math
import pathlib
import random
import time

import torch
from torch import nn
from torch.nn import functional

from ternary import SCALES, set_share, to_bitlinear

SEED = 20261122
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
WINDOW_FILE = "sentence_bert_config.json"  # tokens that an embedding reads at once; it says nothing of a judge


def batches(lengths, tokens, rng):
    """Indexes in batches of texts about as long as each other, at most `tokens` padded tokens each, in random order."""
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i] + rng.randrange(6), rng.random()))
    found, batch, longest = [], [], 0
    for i in order:
        longest = max(longest, lengths[i])
        if batch and (len(batch) + 1) * longest > tokens:
            found.append(batch)
            batch, longest = [], lengths[i]
        batch.append(i)
    found.append(batch)
    rng.shuffle(found)
    return found


def padded(rows, device):
    """A list of (ids, types) as what a BERT takes: ids, mask and segment ids, each [texts, longest]."""
    longest = max(len(ids) for ids, _ in rows)
    fill = lambda row: row + [0] * (longest - len(row))
    found = {
        "input_ids": [fill(ids) for ids, _ in rows],
        "attention_mask": [fill([1] * len(ids)) for ids, _ in rows],
        "token_type_ids": [fill(types) for _, types in rows],
    }
    return {name: torch.tensor(value, device=device) for name, value in found.items()}


def pooled(hidden, mask):
    """The mean over the tokens [texts, tokens, dim], of length 1: what the engine calls an embedding."""
    mask = mask.unsqueeze(-1).to(hidden.dtype)
    return functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)


def hidden_loss(student, teacher, mask):
    """The mean square error of each layer's output, in units of the teacher's variance; the mean over layers."""
    keep = mask.bool()
    total = 0
    for ours, theirs in zip(student[1:], teacher[1:], strict=True):
        ours, theirs = ours[keep].float(), theirs[keep].float()
        total = total + functional.mse_loss(ours, theirs) / theirs.var()
    return total / (len(student) - 1)


def quiet(model):
    """No dropout: the teacher's states are the target, noise is none of them."""
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return model


def compiled(model, options):
    return torch.compile(model, dynamic=True) if options.compile else model


def arguments(description, rate):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--minilm", type=pathlib.Path, required=True, help="what tools/golden/fetch_minilm.sh left")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--scale", choices=SCALES, default="row", help="what a ternary matrix has one scale for")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--tokens", type=int, default=2048, help="tokens a batch")
    parser.add_argument("--rate", type=float, default=rate, help=f"at the start, falling to nothing; {rate} by default")
    parser.add_argument("--ramp", type=float, default=0.25, help="share of the run until all weights are ternary")
    parser.add_argument("--hidden", type=float, default=1.0, help="weight of the hidden states at the start")
    parser.add_argument("--save", type=float, default=5, help="minutes between saves")
    parser.add_argument("--bf16", action="store_true", help="twice as fast where the CPU or GPU has such units")
    parser.add_argument("--compile", action="store_true", help="a fifth faster after some minutes of compiling; needs a C++ compiler")
    parser.add_argument("--resume", action="store_true")
    return parser


def encoder_of(model):
    """The BERT inside a model with a head; the model itself where it has none."""
    return getattr(model, "bert", model)


class Run:
    """A student that learns for so many minutes, saved whole every now and then."""

    def __init__(self, options, student, names, ternary=True):
        self.options, self.names = options, names
        options.out.mkdir(parents=True, exist_ok=True)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.manual_seed(SEED)
        self.student = (quiet(student) if ternary else student).to(self.device).train()
        encoder = encoder_of(student)
        self.ternary = ternary
        if ternary:
            to_bitlinear(encoder.encoder, options.scale)
        # The table stays the teacher's, so that all networks share it in one file.
        encoder.embeddings.requires_grad_(False)
        parameters = [p for p in student.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(parameters, lr=options.rate, weight_decay=0.0, betas=(0.9, 0.98), fused=True)
        self.state = {"step": 0, "epoch": 0, "batch": 0, "seconds": 0.0}
        self.file = options.out / "run.pt"
        if options.resume and self.file.exists():
            kept = torch.load(self.file, map_location=self.device)
            self.student.load_state_dict(kept["student"])
            self.optimizer.load_state_dict(kept["optimizer"])
            self.state = kept["state"]

    def save(self):
        part = self.file.with_suffix(".part")
        torch.save({"student": self.student.state_dict(), "optimizer": self.optimizer.state_dict(), "state": self.state}, part)
        part.rename(self.file)

    def train(self, epoch_of, loss_of):
        """`epoch_of(epoch, rng)` gives rows (ids, types, what belongs to them); `loss_of(student, inputs, belongings,
        done)` the loss and the values to log, `done` from 0 to 1."""
        options, state = self.options, self.state
        log = csv.writer(open(options.out / "log.csv", "a" if state["step"] else "w", newline="", buffering=1))
        if not state["step"]:
            log.writerow(["step", "minutes", "share", "rate", *self.names, "tokens/s"])
        limit, means, seen, since, last_save = 60 * options.minutes, None, 0, time.time(), time.time()
        while state["seconds"] < limit:
            rng = random.Random(f"epoch {state['epoch']} {SEED}")
            rows = epoch_of(state["epoch"], rng)
            plan = batches([len(row[0]) for row in rows], options.tokens, rng)
            for number in range(state["batch"], len(plan)):
                begin, done = time.time(), min(1.0, state["seconds"] / limit)
                share = min(1.0, done / options.ramp) if options.ramp > 0 else 1.0
                # In steps of a twentieth: each is a jolt, and is learned away before the next.
                set_share(self.student, math.floor(share * 20) / 20)
                rate = options.rate * min(1.0, (state["step"] + 1) / 50) * max(0.01, 1 - done)
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                batch = [rows[i] for i in plan[number]]
                inputs = padded([row[:2] for row in batch], self.device)
                loss, values = loss_of(self.student, inputs, [row[2] for row in batch], done)
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
                self.optimizer.step()
                values = torch.tensor([float(torch.as_tensor(value).detach()) for value in values])
                means = values if means is None else 0.95 * means + 0.05 * values
                seen += inputs["input_ids"].numel()
                state.update(step=state["step"] + 1, batch=number + 1, seconds=state["seconds"] + time.time() - begin)
                if state["step"] % 50 == 0:
                    shown = (f"{value:.4f}" for value in means.tolist())
                    speed = seen / (time.time() - since)
                    row = [state["step"], f"{state['seconds'] / 60:.1f}", f"{share:.2f}", f"{rate:.2e}", *shown, f"{speed:.0f}"]
                    log.writerow(row)
                    print(*row, flush=True)
                    seen, since = 0, time.time()
                if time.time() - last_save > 60 * options.save:
                    self.save()
                    last_save = time.time()
                if state["seconds"] >= limit:
                    break
            else:
                state.update(epoch=state["epoch"] + 1, batch=0)
        self.save()

    def export(self, folder):
        """The latent weights as a checkpoint that `bho convert` makes ternary."""
        if self.ternary:
            self.student.config.ternary_scale = self.options.scale
        self.student.save_pretrained(folder)
        for name in (*TOKENIZER_FILES, *([WINDOW_FILE] if encoder_of(self.student) is self.student else [])):
            (folder / name).write_bytes((self.options.minilm / name).read_bytes())
