#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Small GGUF files with a tensor of every type, and the values that the `gguf` package finds in them.

- types.gguf, types.f32: one tensor [3, 256] of each type that the package can dequantize, a 3-D one
  and a vector; beside it the values of all tensors as f32, one after another in the file's order. Metadata
  holds a value of every type.
- i2_s.gguf, i2_s.f32: bitnet.cpp's type 36, which the package does not know, in both layouts; so
  the file and the packing are written here byte by byte, after microsoft/BitNet's
  src/ggml-bitnet-mad.cpp.

Types that the package quantizes are quantized from normal values with a row of zeros. The others, and
again those of small blocks, are random bytes under random f16 scales, so that every bit of a block matters.
"""

import argparse
import struct
import zlib
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFValueType, GGUFWriter, quants
from gguf.constants import GGML_QUANT_SIZES

ROWS, COLS = 3, 256
QUANTIZED = (Type.F32, Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.TQ1_0, Type.TQ2_0)
# Places of the f16 numbers in a block.
RANDOM = {
    Type.Q4_0: (0,),
    Type.Q4_1: (0, 2),
    Type.Q5_0: (0,),
    Type.Q5_1: (0, 2),
    Type.Q8_0: (0,),
    Type.Q4_K: (0, 2),
    Type.Q5_K: (0, 2),
    Type.Q6_K: (208,),
}


def rng(name: str) -> np.random.Generator:
    """A generator that depends on the tensor alone, so that adding one changes no other."""
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))


def quantized(name: str, kind: Type, shape=(ROWS, COLS)) -> np.ndarray:
    values = rng(name).normal(size=shape).astype(np.float32)
    if len(shape) > 1:
        values[1] = 0
    return quants.quantize(values, kind)


def random_blocks(name: str, kind: Type) -> np.ndarray:
    elements, size = GGML_QUANT_SIZES[kind]
    blocks = np.frombuffer(rng(name).bytes(ROWS * COLS // elements * size), np.uint8).reshape(-1, size).copy()
    for at in RANDOM[kind]:
        scales = rng(f"{name} {at}").uniform(-1, 1, size=len(blocks)).astype("<f2")
        scales[0] = 6e-8  # subnormal
        blocks[:, at : at + 2] = scales.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(ROWS, -1)


def types(out: Path) -> None:
    tensors = {f"quantized.{kind.name}": (quantized(f"quantized.{kind.name}", kind), kind) for kind in QUANTIZED}
    tensors |= {f"random.{kind.name}": (random_blocks(f"random.{kind.name}", kind), kind) for kind in RANDOM}
    tensors["three_dims"] = (quantized("three_dims", Type.F16, (2, 3, 5)), Type.F16)
    tensors["vector"] = (quantized("vector", Type.F32, (7,)), Type.F32)

    writer = GGUFWriter(out / "types.gguf", "golden")
    writer.add_uint8("is.u8", 200)
    writer.add_int8("is.i8", -100)
    writer.add_uint16("is.u16", 60000)
    writer.add_int16("is.i16", -30000)
    writer.add_uint32("is.u32", 4_000_000_000)
    writer.add_int32("is.i32", -2_000_000_000)
    writer.add_uint64("is.u64", 2**64 - 1)
    writer.add_int64("is.i64", -(2**63))
    writer.add_float32("is.f32", 0.1)
    writer.add_float64("is.f64", 0.1)
    writer.add_bool("is.bool", True)
    writer.add_string("is.string", "zwölf Boxkämpfer 🥊")
    writer.add_array("is.strings", ["", "a", "é"])
    writer.add_array("is.ints", [1, -2, 3])
    writer.add_array("is.floats", [0.5, -0.25])
    writer.add_array("is.bools", [True, False])
    writer.add_key_value("is.nested", [[1, 2], [3]], GGUFValueType.ARRAY, GGUFValueType.ARRAY)
    for name, (data, kind) in tensors.items():
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    values = [quants.dequantize(data, kind).astype("<f4").tobytes() for data, kind in tensors.values()]
    (out / "types.f32").write_bytes(b"".join(values))


def i2_s(out: Path) -> None:
    packed, values, infos = b"", b"", b""
    # The last 28 bytes of a tensor are whatever was in bitnet.cpp's memory.
    for name, width, cols in (("x86", 32, 256), ("arm", 16, 192)):
        codes = rng(name).integers(0, 3, size=(ROWS, cols)).astype(np.uint8)
        scale = np.float32(rng(name).uniform(0.5, 2))
        parts = codes.reshape(-1, 4, width)
        parts = parts[:, 0] << 6 | parts[:, 1] << 4 | parts[:, 2] << 2 | parts[:, 3]
        infos += struct.pack(f"<Q{len(name)}sIQQIQ", len(name), name.encode(), 2, cols, ROWS, 36, len(packed))
        packed += parts.tobytes() + scale.astype("<f4").tobytes() + rng(name).bytes(28)
        packed += bytes(-len(packed) % 32)
        values += (scale * (codes.astype(np.float32) - 1)).astype("<f4").tobytes()
    header = b"GGUF" + struct.pack("<IQQ", 3, 2, 0) + infos
    (out / "i2_s.gguf").write_bytes(header + bytes(-len(header) % 32) + packed)
    (out / "i2_s.f32").write_bytes(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    types(out)
    i2_s(out)
    for file in sorted(out.iterdir()):
        print(f"{file.name}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
