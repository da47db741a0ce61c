#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""One markdown table of ternary multiplications: the peers' kernels, ours, and how many times faster ours is.

Reads what bench_kernels.sh collects: one JSON object a line, a row of ggml_matmul or a document of `bho bench kernels`.
A cell is the median over the rounds. Formats differ in bytes, so the ratio is one of times for the same product, the
fastest peer's over ours. Where the peers are built for AVX2 alone, ours is avx2; else the fastest of both sides counts. The
format of ours is named.
"""

import argparse
import json
import statistics
from pathlib import Path

OURS = {"ternary": "2 bits", "dense": "1.6 bits"}
FORMATS = ["tq2_0", "tq1_0", "iq2_bn", "iq2_bn_r4", "iq1_bn"]


def read(file):
    """`{case: {(kernel, isa): ([seconds of each round], bytes)}}`; a kernel is a peer's format or one of OURS."""
    cases = {}
    for line in file.read_text().splitlines():
        document = json.loads(line)
        for row in document["rows"] if "limits" in document else [document]:
            case = (row["rows"], row["cols"], row["mode"], row["pages"], row["tokens"], row["threads"])
            kernel = (row["format"] if "format" in row else OURS[row["op"]], row["isa"])
            times, _ = cases.setdefault(case, {}).setdefault(kernel, ([], row["packed_bytes"]))
            times.append(row["seconds"]["median"])
    return cases


def cell(case, seconds, size):
    rows, cols, _, _, tokens, _ = case
    work, unit = (size, "GB/s") if tokens == 1 else (2 * rows * cols * tokens, "GOP/s")
    return f"{seconds * 1e3:.3g} ms, {work / seconds / 1e9:.3g} {unit}"


def table(cases, build):
    """Lines for the peers' `build` ("native" or "avx2")."""
    yield f"| weights | in | tokens | threads | {' | '.join(f.upper() for f in FORMATS)} | bho | ratio |"
    yield "|---|---|---:|---:|" + "---:|" * (len(FORMATS) + 2)
    for case, kernels in sorted(cases.items()):
        medians = {key: (statistics.median(times), size) for key, (times, size) in kernels.items()}
        rows, cols, mode, pages, tokens, threads = case
        line = [f"{rows}x{cols}", mode if mode == "cache" else f"{mode}, {pages} pages", str(tokens), str(threads)]
        line += [cell(case, *medians[f, build]) if (f, build) in medians else "-" for f in FORMATS]
        allowed = {key: value for key, value in medians.items() if build == "native" or key[1] == build}
        ours = min(
            ((s, size, f"{isa}, {f}") for (f, isa), (s, size) in allowed.items() if f in OURS.values()), default=None
        )
        peer = min((s for (f, _), (s, _) in allowed.items() if f in FORMATS), default=None)
        line.append(f"{cell(case, *ours[:2])} ({ours[2]})" if ours else "-")
        line.append(f"**{peer / ours[0]:.2f}**" if ours and peer else "-")
        yield f"| {' | '.join(line)} |"


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    p.add_argument("rows", type=Path, help="a file of bench_kernels.sh: one JSON object a line")
    cases = read(p.parse_args().rows)
    for build, title in [("native", "Every instruction set of this CPU"), ("avx2", "AVX2 alone")]:
        print(f"\n{title}:\n")
        print("\n".join(table(cases, build)))
    spread = [max(t) / min(t) for kernels in cases.values() for t, _ in kernels.values() if len(t) > 1]
    if spread:
        print(f"\nRounds differ by {statistics.median(spread) - 1:.0%} in the median, {max(spread) - 1:.0%} at most.")


if __name__ == "__main__":
    main()
