#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""The table of bench_e2e.sh: medians over all samples, in tokens a second, and ratios to the fastest peer."""

import json
import statistics
import sys


def main():
    samples, ours = {}, []
    for line in open(sys.argv[1]):
        row = json.loads(line)
        if "rows" in row:
            name = f"bho, {row['model']}"
            if name not in ours:
                ours.append(name)
            for test in row["rows"]:
                samples.setdefault((name, test["threads"], test["test"]), []).extend(test["seconds"])
        else:
            samples.setdefault((row["engine"], row["threads"], row["test"]), []).extend(row["seconds"])
    columns = sorted({key[1:] for key in samples if key[2][0] in "pt"}, key=lambda c: (c[1], c[0]))
    columns = [c for c in columns if any((name, *c) in samples for name in ours)]
    columns = [c for c in columns if any((name, *c) in samples for name in {k[0] for k in samples} - set(ours))]

    def speed(name, column):
        seconds = samples.get((name, *column))
        return int(column[1][2:]) / statistics.median(seconds) if seconds else None

    names = sorted({key[0] for key in samples} - set(ours))
    best = {c: max(filter(None, (speed(name, c) for name in names))) for c in columns}
    head = [f"{test}, {threads} thread{'s' if threads > 1 else ''}" for threads, test in columns]
    print("| tokens a second | " + " | ".join(head) + " |")
    print("|---|" + "---:|" * len(columns))
    for name in names + ours:
        cells = []
        for column in columns:
            value = speed(name, column)
            ratio = f" ({value / best[column]:.2f}x)" if name in ours and value else ""
            cells.append(f"{value:.1f}{ratio}" if value else "")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
