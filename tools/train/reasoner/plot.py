# SPDX-License-Identifier: AGPL-3.0-or-later
"""Draws the log of a run: each loss, and the share of ternary weight, over the minutes.

    python plot.py RUN/log.csv --out log.svg
"""

import argparse
import csv
import pathlib

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "bho"  # the same log gives the same bytes
from matplotlib import pyplot

ABOUT = ("step", "minutes", "share", "rate", "tokens/s")
NAMES = {"share": "ternary share"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("log", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    with open(options.log, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    minutes = [float(row["minutes"]) for row in rows]
    losses = [name for name in rows[0] if name not in ABOUT]
    shown = losses + (["share"] if len({row.get("share") for row in rows}) > 1 else [])
    figure, axes = pyplot.subplots(len(shown), squeeze=False, sharex=True, figsize=(7, 1.6 * len(shown)), layout="constrained")
    axes = axes[:, 0]
    for axis, name in zip(axes, shown, strict=True):
        axis.plot(minutes, [float(row[name]) for row in rows], linewidth=1)
        axis.set_ylabel(NAMES.get(name, name))
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("minutes")
    figure.savefig(options.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
