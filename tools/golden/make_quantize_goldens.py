#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ternary weights of a float checkpoint, as PyTorch rounds them.

The formula is BitNet b1.58's (arXiv:2402.17764, §2): what weights are multiplied by is the inverse of their absolute
mean, over a whole matrix or over each of its rows; then they are rounded, ties to even, and clamped to -1..1.

For each linear layer of the first block of a checkpoint of decoder/, tests/golden/quantize/CASE.safetensors gets
`{tensor,row}.LAYER.codes` (I8, as the matrix), `.scales` (F32, one or one a row: what a code of 1 is worth) and `.errors`
(F32 [4]: relative Frobenius error, largest absolute error, share of zeros, cosine; computed in float64). A case in which a
weight comes near a tie of its rounding is refused: then identical codes are a fair demand.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

CASES = ("llama_f32", "llama_bias")
MARGIN = 1e-5


def quantize(weight, per_row):
    weight = weight.float()
    mean = weight.abs().mean(dim=1, keepdim=True) if per_row else weight.abs().mean()
    inverse = 1.0 / mean.clamp(min=1e-5)
    scaled = weight * inverse
    tie = ((scaled.abs() - 0.5).abs()).min().item()
    assert tie > MARGIN, f"a weight is {tie} from a tie"
    codes = scaled.round().clamp(-1, 1)
    scales = 1.0 / inverse
    exact, back = weight.double(), (codes * scales).double()
    difference = exact - back
    errors = torch.tensor([
        (difference.norm() / exact.norm()).item(),
        difference.abs().max().item(),
        (codes == 0).double().mean().item(),
        ((exact * back).sum() / exact.norm() / back.norm()).item(),
    ])
    return codes.to(torch.int8), scales.reshape(-1).contiguous(), errors


def main():
    here = Path(__file__).resolve().parents[2] / "tests" / "golden"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", type=Path, default=here)
    golden = parser.parse_args().golden
    (golden / "quantize").mkdir(exist_ok=True)
    for case in CASES:
        weights = load_file(golden / "decoder" / case / "model.safetensors")
        tensors = {}
        for name, weight in weights.items():
            if not (name.startswith("model.layers.0.") and name.endswith("_proj.weight")):
                continue
            layer = name.removesuffix(".weight")
            for kind in ("tensor", "row"):
                for part, value in zip(("codes", "scales", "errors"), quantize(weight, kind == "row")):
                    tensors[f"{kind}.{layer}.{part}"] = value
        metadata = {"torch": torch.__version__, "case": case}
        save_file(tensors, golden / "quantize" / f"{case}.safetensors", metadata=metadata)


if __name__ == "__main__":
    main()
