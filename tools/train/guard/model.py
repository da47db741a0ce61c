# SPDX-License-Identifier: AGPL-3.0-or-later
"""The guard's model: a few layers of all-MiniLM-L6-v2 as a BertForSequenceClassification, one sigmoid a question."""

import json
import pathlib

import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, BertModel

from data import HEADS


def from_minilm(folder, layers):
    """A guard whose layers are the named ones of the checkpoint in the folder, and whose pooler and heads are new."""
    folder = pathlib.Path(folder)
    whole = BertModel.from_pretrained(folder, add_pooling_layer=False)
    config = BertConfig(**json.loads((folder / "config.json").read_text()))
    config.num_hidden_layers = len(layers)
    config.id2label = dict(enumerate(HEADS))
    config.label2id = {head: number for number, head in enumerate(HEADS)}
    config.problem_type = "multi_label_classification"
    model = BertForSequenceClassification(config)
    model.bert.embeddings.load_state_dict(whole.embeddings.state_dict())
    for ours, theirs in enumerate(layers):
        model.bert.encoder.layer[ours].load_state_dict(whole.encoder.layer[theirs].state_dict())
    nn.init.eye_(model.bert.pooler.dense.weight)
    nn.init.zeros_(model.bert.pooler.dense.bias)
    nn.init.normal_(model.classifier.weight, std=0.02)
    nn.init.zeros_(model.classifier.bias)
    return model


def from_checkpoint(folder):
    """A guard that was trained before: what export.py or unpack.py wrote."""
    model = BertForSequenceClassification.from_pretrained(folder)
    labels = [model.config.id2label[number] for number in range(model.config.num_labels)]
    if labels != list(HEADS):
        raise SystemExit(f"{folder}: the labels are {labels}; accepted: {list(HEADS)}")
    return model


def logits_of(model, ids, mask):
    """Logits [texts, heads] of token ids [texts, tokens] with a mask of the same shape."""
    return model(input_ids=ids, attention_mask=mask).logits


def batches(lengths, tokens, rng):
    """Indexes in batches of texts about as long as each other, in random order; a batch has at most `tokens` tokens."""
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i] + rng.randrange(8), rng.random()))
    found, batch = [], []
    for i in order:
        if batch and (len(batch) + 1) * max(lengths[i], *(lengths[j] for j in batch)) > tokens:
            found.append(batch)
            batch = []
        batch.append(i)
    found.append(batch)
    rng.shuffle(found)
    return found


def padded(ids, pad=0):
    """Token ids and their mask as tensors [texts, longest]."""
    longest = max(len(row) for row in ids)
    tokens = torch.tensor([row + [pad] * (longest - len(row)) for row in ids])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
    return tokens, mask
