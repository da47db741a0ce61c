#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Puts our encoder bench beside the peer's: criterion's medians and bench_encoder_ort.py's JSON.

A criterion id that ends in `t{THREADS}/{TOKENS}` is matched with the peer's row; others are listed below the table.
"""

import argparse
import json
import re
from pathlib import Path


def criterion_medians(folder, since):
    """`{benchmark id: median in ms}` of the encoder benches run after the time `since`."""
    medians = {}
    for file in sorted(folder.glob("**/new/benchmark.json")):
        bench = json.loads(file.read_text())["full_id"]
        estimates = file.with_name("estimates.json")
        if "encoder" in bench and estimates.stat().st_mtime >= since:
            medians[bench] = json.loads(estimates.read_text())["median"]["point_estimate"] / 1e6
    return medians


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    p.add_argument("peer", type=Path, help="output of bench_encoder_ort.py --json")
    p.add_argument("criterion", type=Path, help="criterion's folder: <target dir>/criterion")
    p.add_argument("--since", type=float, default=0.0, help="leave out results older than this Unix time")
    args = p.parse_args()

    peer = json.loads(args.peer.read_text())
    ours = criterion_medians(args.criterion, args.since)
    matched = {}
    for bench, ms in ours.items():
        found = re.search(r"t(\d+)/(\d+)$", bench)
        if found:
            matched.setdefault((int(found[1]), int(found[2])), []).append((bench, ms))
    print(f"{peer['cpu']}; median ms, batch 1")
    print(f"{'threads':>7} {'tokens':>6} {'onnxruntime':>12} {'bho':>9} {'ratio':>6}  bench")
    for result in peer["results"]:
        for row in result["latency"]:
            key = (result["threads"], row["tokens"])
            for bench, ms in matched.pop(key, [("(not run)", None)]):
                mine = f"{ms:9.2f} {row['median_ms'] / ms:6.2f}" if ms else f"{'-':>9} {'-':>6}"
                print(f"{key[0]:7} {key[1]:6} {row['median_ms']:12.2f} {mine}  {bench}")
    rest = set(ours) - {bench for benches in matched.values() for bench, _ in benches}
    for bench in sorted(b for b in rest if not re.search(r"t\d+/\d+$", b)):
        print(f"{bench}: {ours[bench]:.3f} ms")
    for benches in matched.values():
        for bench, ms in benches:
            print(f"{bench}: {ms:.3f} ms (no peer row)")
    for result in peer["results"]:
        print(
            f"onnxruntime {result['onnxruntime']}, {result['threads']} thread(s): peak RSS "
            f"{result['peak_rss_mib']:.0f} MiB, cosine to fp32 mean {result['cosine_mean']:.4f}, min {result['cosine_min']:.4f}"
        )


if __name__ == "__main__":
    main()
