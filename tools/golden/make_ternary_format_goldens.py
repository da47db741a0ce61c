#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Small tensors in the ternary formats of other programs, packed by those programs' own code.

- hf_packed: `pack_weights` of transformers; what `weight_scale` means is checked on both of its
  linear layers.
- tq1_0, tq2_0: `gguf.quants`, llama.cpp's own Python package.
- i2_s: bitnet.cpp is in no package registry, so the packing is written here in numpy, from what
  microsoft/BitNet's src/ggml-bitnet-mad.cpp does: 128 inputs a block on x86, 64 on Arm.

Each case becomes three files: CASE.packed (the foreign bytes), CASE.weights (int8, row-major) and
CASE.scales (one little-endian f32 a row). tests/golden/README.md lists the cases.
"""

import argparse
import os
import zlib
from pathlib import Path

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # unpack_weights would be compiled, with a C++ compiler

import numpy as np
import torch
from gguf import GGMLQuantizationType, quants
from transformers.integrations.bitnet import AutoBitLinear, BitLinear, pack_weights, unpack_weights

TQ_COLS = 256


def rng(name: str) -> np.random.Generator:
    """A generator that depends on the case alone, so that adding a case changes no other."""
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))


def trits(name: str, rows: int, cols: int) -> np.ndarray:
    return rng(name).integers(-1, 2, size=(rows, cols), dtype=np.int8)


def hf_packed(name: str, rows: int, cols: int, weight_scale: float, divide: bool):
    weights = trits(name, rows, cols)
    packed = pack_weights(torch.from_numpy(weights.copy()))
    assert (unpack_weights(packed, torch.int8)[:rows].numpy() == weights).all()
    scale = torch.tensor([weight_scale], dtype=torch.bfloat16).float()
    assert scale.item() == weight_scale, "the scale must be a bf16 value"
    row_scale = np.float32(1) / np.float32(weight_scale) if divide else np.float32(weight_scale)
    if rows % 4 == 0:
        # 127 quantizes to itself, so the layer's output shows what a weight is worth.
        layer = (BitLinear if divide else AutoBitLinear)(cols, rows, False, dtype=torch.float32)
        layer.load_state_dict({"weight": packed, "weight_scale": scale})
        output = layer(127 * torch.eye(cols)).detach().numpy().T / np.float32(127)
        np.testing.assert_allclose(output, row_scale * weights, rtol=1e-6)
    return packed.numpy().tobytes(), weights, np.full(rows, row_scale)


def i2_s(name: str, rows: int, cols: int, width: int):
    weights = trits(name, rows, cols)
    scale = np.float32(rng(name).uniform(0.5, 2))
    codes = (weights + 1).astype(np.uint8).reshape(-1, 4, width)
    packed = codes[:, 0] << 6 | codes[:, 1] << 4 | codes[:, 2] << 2 | codes[:, 3]
    # bitnet.cpp writes only the scale; what follows it is whatever was in memory.
    trailer = scale.astype("<f4").tobytes() + rng(name).bytes(28)
    return packed.tobytes() + trailer, weights, np.full(rows, scale)


def tq(name: str, rows: int, cols: int, kind: GGMLQuantizationType):
    weights = trits(name, rows, cols)
    weights[1, :TQ_COLS] = 0  # a first block of zeros, a last one, a row
    weights[2, -TQ_COLS:] = 0
    weights[3] = 0
    scales = rng(name).uniform(0.01, 2, size=rows).astype(np.float16).astype(np.float32)
    scales[3] = 0
    values = scales[:, None] * weights
    packed = quants.quantize(values, kind)
    assert (quants.dequantize(packed, kind) == values).all()
    return packed.tobytes(), weights, scales


def tq1_0_every_byte(name: str, rows: int, cols: int):
    """Every byte value at every place of a block; llama.cpp itself writes only 243 of them."""
    blocks = rows * cols // TQ_COLS
    assert blocks % 64 == 0, "256 values in the last 4 bytes take 64 blocks"
    packed = np.zeros((blocks, 54), dtype=np.uint8)
    for start, end in ((0, 32), (32, 48), (48, 52)):
        packed[:, start:end] = np.arange(blocks * (end - start)).reshape(blocks, -1) % 256
    packed[:, 52:] = np.array([0.75], dtype="<f2").view(np.uint8)
    kind = GGMLQuantizationType.TQ1_0
    values = quants.dequantize(packed.reshape(rows, -1), kind)
    weights = (values / np.float32(0.75)).astype(np.int8)
    assert (np.abs(weights) <= 1).all() and (weights * np.float32(0.75) == values).all()
    return packed.tobytes(), weights, np.full(rows, np.float32(0.75))


CASES = {
    "hf_packed_8x20": lambda name: hf_packed(name, 8, 20, 1.21875, divide=True),
    "hf_packed_20x33": lambda name: hf_packed(name, 20, 33, 0.076171875, divide=False),
    "hf_packed_37x50": lambda name: hf_packed(name, 37, 50, 2.5, divide=False),
    "i2_s_x86_19x384": lambda name: i2_s(name, 19, 384, 32),
    "i2_s_arm_19x192": lambda name: i2_s(name, 19, 192, 16),
    "tq1_0_19x768": lambda name: tq(name, 19, 768, GGMLQuantizationType.TQ1_0),
    "tq1_0_every_byte_2x8192": lambda name: tq1_0_every_byte(name, 2, 8192),
    "tq2_0_19x768": lambda name: tq(name, 19, 768, GGMLQuantizationType.TQ2_0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, make in CASES.items():
        packed, weights, scales = make(name)
        (out / f"{name}.packed").write_bytes(packed)
        (out / f"{name}.weights").write_bytes(weights.astype(np.int8).tobytes())
        (out / f"{name}.scales").write_bytes(scales.astype("<f4").tobytes())
        print(f"{name}: {len(packed)} bytes packed, {weights.size} weights")


if __name__ == "__main__":
    main()
