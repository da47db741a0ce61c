#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Two tiny encoders with latent weights, their ternary codes, and what PyTorch computes with those.

`trunk` is a BertModel with one scale a matrix, `judge` a BertForSequenceClassification with one scale a row and
sub-norms before its output layers. Both have the same tokenizer and the same embedding tables, so that one file can hold
them (`bho convert trunk OUT --judge judge --weights ternary`). Each folder gets a Hugging Face style checkpoint of latent
float weights and `golden.safetensors`: the codes and scales of every linear layer of the encoder, and outputs computed in
f32 from `code * scale`, with float activations. The file layout is described in tests/golden/README.md.

`ternarize` is the definition that models/src/convert/ternary.rs states, and it gives the same bits: a training recipe that
rounds by it exports what `bho convert` packs.

Weights are drawn as in make_bert_goldens.py. The script fails where fp32 is far from float64 or outputs are trivial.
"""

import argparse
import json
import os
import shutil
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import safetensors.numpy
import torch
import transformers
from transformers import BertConfig, BertForSequenceClassification, BertModel
from transformers.models.bert.modeling_bert import BertOutput, BertSelfOutput

from make_bert_goldens import seed_of

LENGTHS = (1, 2, 7, 16, 17, 40)
LABELS = ("entailment", "neutral", "contradiction")
SHAPE = {
    "vocab_size": 101,
    "hidden_size": 36,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 70,
    "max_position_embeddings": 40,
}
LINEAR = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)


def ternarize(weight, per_row):
    """Codes (int8, as `weight`) and the scale of each row (f32) of a float32 matrix `[rows, cols]`.

    Absmean of BitNet b1.58 (arXiv:2402.17764, section 2, equations 1 to 3). The sum is taken in float64 one weight after
    another, which `np.cumsum` does and `np.sum` does not; everything behind it is float32; ties go to even.
    """
    weight = np.ascontiguousarray(weight, dtype=np.float32)
    rows = weight if per_row else weight.reshape(1, -1)
    total = np.cumsum(np.abs(rows), axis=1, dtype=np.float64)[:, -1:]
    mean = np.maximum((total / rows.shape[1]).astype(np.float32), np.float32(1e-5))
    inverse = np.float32(1) / mean
    codes = np.clip(np.rint(rows * inverse), -1, 1).astype(np.int8).reshape(weight.shape)
    scales = np.ascontiguousarray(np.broadcast_to((np.float32(1) / inverse)[:, 0], weight.shape[:1]))
    return codes, scales


class SubNormSelfOutput(BertSelfOutput):
    """Attention's output layer behind a layer norm of its own."""

    def forward(self, hidden_states, input_tensor):
        return super().forward(self.sub_norm(hidden_states), input_tensor)


class SubNormOutput(BertOutput):
    """The feed-forward part's output layer behind a layer norm of its own."""

    def forward(self, hidden_states, input_tensor):
        return super().forward(self.sub_norm(hidden_states), input_tensor)


def add_sub_norms(trunk):
    for layer in trunk.encoder.layer:
        for module, kind in ((layer.attention.output, SubNormSelfOutput), (layer.output, SubNormOutput)):
            module.sub_norm = torch.nn.LayerNorm(module.dense.in_features, eps=trunk.config.layer_norm_eps)
            module.__class__ = kind


def build(name):
    """A model with latent weights; embeddings do not depend on the name."""
    config = BertConfig(**SHAPE, ternary_scale="matrix" if name == "trunk" else "row", attn_implementation="eager")
    if name == "trunk":
        model = BertModel(config, add_pooling_layer=False)
    else:
        config.id2label = dict(enumerate(LABELS))
        config.label2id = {label: i for i, label in enumerate(LABELS)}
        model = BertForSequenceClassification(config)
        add_sub_norms(model.bert)
    with torch.no_grad():
        for full, parameter in sorted(model.named_parameters()):
            local = full.removeprefix("bert.")
            owner = "embeddings" if local.startswith("embeddings.") else name
            rng = np.random.Generator(np.random.PCG64(seed_of(f"ternary/{owner}/{local}")))
            draw = rng.standard_normal(tuple(parameter.shape))
            if local.endswith(("LayerNorm.weight", "sub_norm.weight")):
                draw = rng.uniform(0.5, 1.5, tuple(parameter.shape))
            elif "embeddings" in local and not local.endswith("LayerNorm.bias"):
                draw *= 0.5
            elif local.endswith(".bias"):
                draw *= 0.3
            elif ".query." in local or ".key." in local:
                draw *= np.sqrt(2.0 / parameter.shape[1])
            else:
                # Rows of different sizes, or scales of rows would be those of the matrix.
                draw *= np.sqrt(1.0 / parameter.shape[1]) * rng.uniform(0.5, 1.5, (parameter.shape[0], 1))
            parameter.copy_(torch.from_numpy(draw.astype(np.float32)))
    return model.eval()


def forward(model, ids, types):
    """All reference outputs of one sequence, as numpy arrays without a batch axis."""
    with torch.no_grad():
        trunk = model.bert if hasattr(model, "bert") else model
        hidden = trunk(input_ids=ids, token_type_ids=types).last_hidden_state[0]
        mean = hidden.mean(dim=0)
        out = {"last_hidden_state": hidden, "mean_l2": mean / mean.norm()}
        if trunk is not model:
            out["logits"] = model(input_ids=ids, token_type_ids=types).logits[0]
    return {key: np.ascontiguousarray(value.numpy()) for key, value in out.items()}


def make(name, folder, tokenizer):
    """Writes one checkpoint with its references; returns a line for the console."""
    model = build(name)
    model.save_pretrained(folder)
    shutil.copy(tokenizer, folder / "tokenizer.json")
    trunk = model.bert if hasattr(model, "bert") else model
    tensors = {"lengths": np.array(LENGTHS, dtype=np.int32)}
    for i, layer in enumerate(trunk.encoder.layer):
        for part in LINEAR:
            weight = layer.get_submodule(part).weight
            codes, scales = ternarize(weight.detach().numpy(), name == "judge")
            tensors[f"codes.encoder.layer.{i}.{part}"] = codes
            tensors[f"scales.encoder.layer.{i}.{part}"] = scales
            with torch.no_grad():
                weight.copy_(torch.from_numpy(scales[:, None] * codes.astype(np.float32)))

    rng = np.random.Generator(np.random.PCG64(seed_of(f"ternary/{name}/inputs")))
    inputs = []
    for i, n in enumerate(LENGTHS):
        ids = rng.integers(0, SHAPE["vocab_size"], (1, n))
        types = np.zeros((1, n), dtype=np.int64)
        types[0, rng.integers(0, n + 1) :] = 1
        inputs.append((torch.from_numpy(ids), torch.from_numpy(types)))
        tensors[f"seq{i}.input_ids"] = ids[0].astype(np.int32)
        tensors[f"seq{i}.token_type_ids"] = types[0].astype(np.int32)
        for key, value in forward(model, *inputs[-1]).items():
            tensors[f"seq{i}.{key}"] = value
    exact, worst = model.double(), 0.0
    for i, (ids, types) in enumerate(inputs):
        for key, value in forward(exact, ids, types).items():
            worst = max(worst, float(np.abs(tensors[f"seq{i}.{key}"] - value).max()))
    spread = float(tensors[f"seq{len(LENGTHS) - 1}.last_hidden_state"].std(axis=0).mean())
    assert worst < 2e-5, f"{name}: fp32 is {worst:.1e} from float64"
    assert spread > 0.2, f"{name}: tokens hardly differ ({spread:.3f})"
    meta = {"torch": torch.__version__, "transformers": transformers.__version__, "max_abs_f32_minus_f64": f"{worst:.2e}"}
    safetensors.numpy.save_file(tensors, folder / "golden.safetensors", metadata={"golden": json.dumps(meta)})
    for file in folder.iterdir():
        file.chmod(0o644)  # transformers and safetensors create private files
    size = sum(f.stat().st_size for f in folder.iterdir())
    return f"{name:6} {size / 1024:7.1f} KiB  |f32-f64| {worst:.1e}  token spread {spread:.2f}"


def main():
    golden = Path(__file__).resolve().parents[2] / "tests" / "golden"
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=golden / "bert_ternary", help="folder to (re)write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in ("trunk", "judge"):
        folder = args.out / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(make(name, folder, golden / "bert" / "seqcls_3" / "tokenizer.json"), flush=True)


if __name__ == "__main__":
    main()
