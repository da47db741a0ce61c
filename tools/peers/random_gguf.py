#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Writes a GGUF file with random ternary weights in the shape of BitNet b1.58 2B-4T, for the peers' llama-bench.

    random_gguf.py OUT --type tq2_0|tq1_0|iq2_bn --arch bitnet|bitnet-b1.58

Every byte of the weights is a legal one and all scales are sane, so that no peer meets an infinity or a NaN, which
would be slow. The head, tied to the token table, is Q6_K. The tokenizer is "no_vocab": llama-bench needs token ids only.
The same arguments give the same bytes.
"""

import argparse
import random
import struct

LAYERS, HIDDEN, FFN, HEADS, KV_HEADS, VOCAB = 30, 2560, 6912, 20, 5, 128256
KV = HIDDEN // HEADS * KV_HEADS
ALIGNMENT = 32

# GGUF value types and tensor types, by their numbers in the files.
UINT32, FLOAT32, STRING = 4, 6, 8
F32 = 0


class Blocks:
    """Blocks of so many weights and bytes, the last two of which are an f16 scale."""

    def __init__(self, number, weights, size, scale, codes=None):
        self.number, self.weights, self.size, self.codes = number, weights, size, codes
        self.scale = struct.pack("<e", scale)

    def row_bytes(self, columns):
        assert columns % self.weights == 0
        return columns // self.weights * self.size

    def rows(self, rng, count, columns):
        data = bytearray(rng.randbytes(count * self.row_bytes(columns)))
        if self.codes:
            data = data.translate(self.codes)
        for at in range(2):
            data[self.size - 2 + at :: self.size] = self.scale[at : at + 1] * (len(data) // self.size)
        return data


class Q6K(Blocks):
    """Scales of 16 sub-blocks stand before the last scale: small ones here."""

    def rows(self, rng, count, columns):
        data = super().rows(rng, count, columns)
        for at in range(192, 208):
            data[at :: self.size] = b"\x08" * (len(data) // self.size)
        return data


class ScaledRows:
    """Rows of 2-bit codes behind one f32 scale."""

    number = 135

    def row_bytes(self, columns):
        return 4 + columns // 4

    def rows(self, rng, count, columns):
        data = bytearray(rng.randbytes(count * self.row_bytes(columns))).translate(TWO_BIT)
        scale = struct.pack("<f", 0.02)
        for at in range(4):
            data[at :: self.row_bytes(columns)] = scale[at : at + 1] * count
        return data


# Any byte as one whose four codes of 2 bits are 0, 1 or 2.
TWO_BIT = bytes(sum(min(byte >> shift & 3, 2) << shift for shift in (0, 2, 4, 6)) for byte in range(256))

TYPES = {
    "tq2_0": Blocks(35, 256, 66, 0.02, TWO_BIT),
    "tq1_0": Blocks(34, 256, 54, 0.02),
    "iq2_bn": ScaledRows(),
}
HEAD = Q6K(14, 256, 210, 0.0002)


def tensors(kind):
    """Name, type and (columns, rows) of every tensor."""
    yield "token_embd.weight", HEAD, (HIDDEN, VOCAB)
    yield "output_norm.weight", None, (HIDDEN, 1)
    for layer in range(LAYERS):
        for name, shape in [
            ("attn_norm", (HIDDEN, 1)),
            ("attn_sub_norm", (HIDDEN, 1)),
            ("ffn_norm", (HIDDEN, 1)),
            ("ffn_sub_norm", (FFN, 1)),
        ]:
            yield f"blk.{layer}.{name}.weight", None, shape
        for name, shape in [
            ("attn_q", (HIDDEN, HIDDEN)),
            ("attn_k", (HIDDEN, KV)),
            ("attn_v", (HIDDEN, KV)),
            ("attn_output", (HIDDEN, HIDDEN)),
            ("ffn_gate", (HIDDEN, FFN)),
            ("ffn_up", (HIDDEN, FFN)),
            ("ffn_down", (FFN, HIDDEN)),
        ]:
            yield f"blk.{layer}.{name}.weight", kind, shape


def string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def metadata(arch):
    values = [
        ("general.architecture", arch),
        ("general.name", "random 2B-4T"),
        (f"{arch}.block_count", LAYERS),
        (f"{arch}.context_length", 4096),
        (f"{arch}.embedding_length", HIDDEN),
        (f"{arch}.feed_forward_length", FFN),
        (f"{arch}.attention.head_count", HEADS),
        (f"{arch}.attention.head_count_kv", KV_HEADS),
        (f"{arch}.attention.layer_norm_rms_epsilon", 1e-5),
        (f"{arch}.rope.freq_base", 500000.0),
        (f"{arch}.rope.dimension_count", HIDDEN // HEADS),
        (f"{arch}.vocab_size", VOCAB),
        ("tokenizer.ggml.model", "no_vocab"),
    ]
    out = b""
    for key, value in values:
        out += string(key)
        if isinstance(value, str):
            out += struct.pack("<I", STRING) + string(value)
        elif isinstance(value, float):
            out += struct.pack("<If", FLOAT32, value)
        else:
            out += struct.pack("<II", UINT32, value)
    return len(values), out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--type", choices=TYPES, required=True)
    parser.add_argument("--arch", choices=["bitnet", "bitnet-b1.58"], default="bitnet")
    args = parser.parse_args()
    all_tensors = list(tensors(TYPES[args.type]))
    count, header = metadata(args.arch)
    info, offset = b"", 0
    for name, kind, (columns, rows) in all_tensors:
        shape = (columns,) if kind is None else (columns, rows)
        info += string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        info += struct.pack("<IQ", F32 if kind is None else kind.number, offset)
        size = 4 * columns if kind is None else kind.row_bytes(columns) * rows
        offset += -(-size // ALIGNMENT) * ALIGNMENT
    rng = random.Random(0)
    with open(args.out, "wb") as out:
        head = b"GGUF" + struct.pack("<IQQ", 3, len(all_tensors), count) + header + info
        out.write(head + bytes(-len(head) % ALIGNMENT))
        for _, kind, (columns, rows) in all_tensors:
            if kind is None:
                data = struct.pack("<f", 1.0) * columns
            else:
                data = b"".join(
                    kind.rows(rng, min(1024, rows - at), columns) for at in range(0, rows, 1024)
                )
            out.write(data + bytes(-len(data) % ALIGNMENT))


if __name__ == "__main__":
    main()
