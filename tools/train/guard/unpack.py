# SPDX-License-Identifier: AGPL-3.0-or-later
"""Turns an int8 classifier file of this project back into an f32 checkpoint, to train on from there.

    python unpack.py tinybert-guard-int8.safetensors OUT

OUT holds what `train.py --init OUT` and transformers read: config.json, model.safetensors, tokenizer.json and
sentence_bert_config.json. Each weight is its int8 code times its row's scale (docs/formats.md), so what was lost by
rounding stays lost.
"""

import argparse
import json
import pathlib

import torch
from safetensors import safe_open
from safetensors.torch import save_file


def rows_of(tiles, rows, columns):
    """int8 codes [rows, columns] out of offset-binary blocks [rows/16, columns/4, 16, 4]."""
    blocks = tiles.to(torch.int16) - 128
    return blocks.permute(0, 2, 1, 3).reshape(tiles.shape[0] * 16, tiles.shape[1] * 4)[:rows, :columns]


def unpacked(file, config):
    """Every tensor of the file in f32, under its name."""
    found = {}
    for name in file.keys():
        if name.endswith("weight_scale"):
            continue
        tensor = file.get_tensor(name)
        if f"{name}_scale" in file.keys():
            scale = file.get_tensor(f"{name}_scale")
            if tensor.dtype == torch.uint8:
                columns = config["intermediate_size"] if name.endswith(".output.dense.weight") and ".attention." not in name else config["hidden_size"]
                tensor = rows_of(tensor, len(scale), columns)
            tensor = tensor.float() * scale[:, None]
        found[name] = tensor.float().contiguous()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    options = parser.parse_args()
    with safe_open(options.file, "pt") as file:
        about = file.metadata()
        config = json.loads(about["bho.config"])
        tensors = unpacked(file, config)
    # transformers keeps the trunk under `bert.`.
    heads = ("classifier.", "bert.")
    tensors = {name if name.startswith(heads) else f"bert.{name}": tensor for name, tensor in tensors.items()}
    options.out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, options.out / "model.safetensors", {"format": "pt"})
    (options.out / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True))
    (options.out / "tokenizer.json").write_text(about["bho.tokenizer"])
    (options.out / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": int(about["bho.max_tokens"])}))
    print(f"{len(tensors)} tensors in {options.out}")


if __name__ == "__main__":
    main()
