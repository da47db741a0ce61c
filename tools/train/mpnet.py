# SPDX-License-Identifier: AGPL-3.0-or-later
"""The network of both tutors: all-mpnet-base-v2 with a new head, learning for as many minutes as it gets."""

import csv
import random
import time

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import MPNetForSequenceClassification

PAD = 1


def load(folder, labels=None):
    """What tools/golden/fetch_mpnet.sh left in the folder, with a new head for the labels, or what `fit` left there."""
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: n for n, label in enumerate(labels)}} if labels else {}
    return MPNetForSequenceClassification.from_pretrained(folder, **names)


def tokenizer_of(folder, window, strategy="longest_first"):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(window, strategy=strategy)
    return tokenizer


def inputs_of(rows, device):
    """Lists of token ids as what the network takes: ids and mask [texts, longest]."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [PAD] * (longest - len(row)) for row in rows], device=device)
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


def fit(model, epoch_of, options, device, frozen):
    """Trains for `options.minutes` at a rate that rises for 60 steps and falls to zero by the clock. The embeddings and
    the first `frozen` of 12 layers stay as they are: less time, and what they know is general. `epoch_of(number)` gives
    the ids of each text, the batches as lists of indexes, and the loss of (logits, batch). Writes OUT/log.csv."""
    model.to(device).train()
    model.mpnet.embeddings.requires_grad_(False)
    model.mpnet.encoder.relative_attention_bias.requires_grad_(False)
    for layer in model.mpnet.encoder.layer[:frozen]:
        layer.requires_grad_(False)
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=options.rate, weight_decay=0.01, fused=True)
    log = csv.writer(open(options.out / "log.csv", "w", newline="", buffering=1))
    log.writerow(["step", "minutes", "rate", "loss"])
    begin, step, mean, epoch = time.time(), 0, None, options.epoch
    while True:
        ids, plan, loss_of = epoch_of(epoch)
        print(f"epoch {epoch}: {len(ids)} texts, {sum(map(len, ids))} tokens", flush=True)
        for batch in plan:
            done = (time.time() - begin) / (60 * options.minutes)
            if done >= 1:
                return
            rate = options.rate * min(1.0, (step + 1) / 60) * (1 - done)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with torch.autocast(device, dtype=torch.bfloat16, enabled=options.bf16):
                logits = model(**inputs_of([ids[n] for n in batch], device)).logits.float()
            loss = loss_of(logits, batch)
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


def logits_of(model, ids, batches, device, bf16):
    """Logits [texts, labels] of lists of token ids; `batches` is the function that plans them."""
    found = torch.zeros(len(ids), model.config.num_labels)
    plan = batches([len(row) for row in ids], 4096, random.Random(0))
    for number, batch in enumerate(plan):
        with torch.no_grad(), torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
            logits = model(**inputs_of([ids[n] for n in batch], device)).logits
        found[batch] = logits.float().cpu()
        if number % 100 == 99:
            print(f"{number + 1} of {len(plan)} batches", flush=True)
    return found


def arguments(parser, minutes):
    """The arguments that both tutors have."""
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--epoch", type=int, default=0, help="number of the first pass: other texts, another order")
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--tokens", type=int, default=1280, help="tokens a batch")
    parser.add_argument("--bf16", action="store_true", help="twice as fast where the CPU or GPU has such units")


def save(model, tokenizer, folder):
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
