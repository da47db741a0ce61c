# SPDX-License-Identifier: AGPL-3.0-or-later
"""Scores predictions against labelled texts; a second opinion to `bho eval guard`, which has the same rules.

    python score.py DATA.jsonl PREDICTIONS.jsonl [PREDICTIONS.jsonl ...]

Strict: same bytes and type. Overlap: a byte in common and the same type; recall counts labels that were met, precision findings
that met one. Bytes: covered, whatever the type. Intervals: 95 %, bootstrap over texts. Labels of types that the guard
does not have (ORGANIZATION, DATE_TIME, ...) are out of the count, and so are bytes that only they cover.
"""

import argparse
import collections
import json

import numpy

EITHER = {"LOCATION": ("place", "address"), "STREET_ADDRESS": ("address", "place")}
# A date may be one of birth, which the labels do not say: what is found there is neither right nor wrong.
IGNORED = ("DATE_TIME",)
LEARNED = ("name", "place", "address")
GOLD, FOUND, STRICT, MET, MEETING = range(5)
RESAMPLES = 1000
FEWEST = 5  # labels of a type that has a row of its own; the others are in the sums alone


def rows_of(path):
    return [json.loads(line) for line in open(path, encoding="utf-8") if line.strip()]


def overlaps(a, b):
    return a["start"] < b["end"] and b["start"] < a["end"]


def accepted(name):
    """The guard's types that meet a label; it counts as the first. Names in capitals are types that the guard does not have."""
    return EITHER.get(name) or ((name,) if name.islower() else ())


def is_met(label, finding):
    return finding["type"] in accepted(label["type"]) and overlaps(label, finding)


def by_type(labels, findings):
    """{type: [labels, findings, strict, labels met, findings that met one]} of one text."""
    counts = collections.defaultdict(lambda: numpy.zeros(5, int))
    same = set()
    for finding in findings:
        met = [label for label in labels if is_met(label, finding)]
        if not met and any(label["type"] in IGNORED and overlaps(label, finding) for label in labels):
            continue
        bounds = (finding["start"], finding["end"])
        exact = [label for label in met if (label["start"], label["end"]) == bounds and id(label) not in same]
        same.update(id(label) for label in exact[:1])
        slot = counts[accepted((exact or met)[0]["type"])[0] if met else finding["type"]]
        slot += [0, 1, bool(exact), 0, bool(met)]
    for label in labels:
        if accepted(label["type"]):
            met = any(is_met(label, finding) for finding in findings)
            counts[accepted(label["type"])[0]] += [1, 0, 0, met, 0]
    return counts


def in_bytes(labels, findings):
    """[labelled, found, common] of one text."""
    known, other, found = set(), set(), set()
    for label in labels:
        (known if accepted(label["type"]) else other).update(range(label["start"], label["end"]))
    for finding in findings:
        found.update(range(finding["start"], finding["end"]))
    return numpy.array([len(known), len(found - (other - known)), len(known & found)])


def rates(gold, found, strict, met, meeting):
    def f1(precision, recall):
        return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0

    with numpy.errstate(divide="ignore", invalid="ignore"):
        precision, recall = numpy.nan_to_num([meeting / found, met / gold])
        exact = f1(*numpy.nan_to_num([strict / found, strict / gold]))
    return precision, recall, f1(precision, recall), exact


def figures(data, predictions):
    """{what: (labels, precision, recall, F1, strict F1, F1 low, F1 high)} by type and overall.

    Structured is all but names, places and addresses; bytes count whatever the type and have no strict F1.
    """
    per_text = [by_type(row["spans"], guess["spans"]) for row, guess in zip(data, predictions, strict=True)]
    names = sorted({name for counts in per_text for name in counts})
    table = numpy.array([[counts.get(name, numpy.zeros(5, int)) for name in names] for counts in per_text])
    covered = numpy.array([in_bytes(row["spans"], guess["spans"]) for row, guess in zip(data, predictions, strict=True)])
    picks = numpy.random.default_rng(0).integers(0, len(data), (RESAMPLES, len(data)))
    weights = numpy.array([numpy.bincount(pick, minlength=len(data)) for pick in picks])

    def row(counts):
        spread = [rates(*sample)[2] for sample in weights @ counts]
        return (int(counts.sum(0)[GOLD]), *rates(*counts.sum(0)), *numpy.percentile(spread, [2.5, 97.5]))

    out = {name: row(table[:, i]) for i, name in enumerate(names)}
    kinds = [i for i, name in enumerate(names) if name not in LEARNED]
    out["structured"] = row(table[:, kinds].sum(1))
    out["all types"] = row(table.sum(1))
    gold, found, common = covered.T
    out["bytes"] = row(numpy.stack([gold, found, common, common, common], axis=1))
    return out


def kept(data, predictions):
    """{technique: (labels, recall, share of what was found in plain text that is found in the disguise too)}."""
    groups = collections.defaultdict(list)
    for row, guess in zip(data, predictions, strict=True):
        hits = [any(is_met(label, finding) for finding in guess["spans"]) for label in row["spans"]]
        groups[row["group"]].extend(hits)
    plain = numpy.array(groups["plain"])
    out = {}
    for name, hits in groups.items():
        hits = numpy.array(hits)
        out[name] = (len(hits), hits.mean(), (hits & plain).sum() / max(1, plain.sum()))
    return out


def table_of(systems, data):
    """Markdown: a row a type, a column a system: precision, recall, F1 and its interval, F1 of exact spans."""
    lines = ["| | labels |" + "".join(f" {name} |" for name in systems), "|---|---:|" + "---|" * len(systems)]
    scored = {name: figures(data, guesses) for name, guesses in systems.items()}
    overall = ("structured", *LEARNED, "all types", "bytes")
    labelled = {name for found in scored.values() for name, row in found.items() if row[0] >= FEWEST}
    for what in (*sorted(labelled - {*overall}), *(name for name in overall if name in labelled)):
        cells, labels = "", 0
        for found in scored.values():
            labels, p, r, f1, strict, low, high = found.get(what, (labels, 0, 0, 0, 0, 0, 0))
            last = "" if what == "bytes" else f", strict {strict:.3f}"
            cells += f" {p:.3f} {r:.3f} **{f1:.3f}** ({low:.3f}-{high:.3f}){last} |"
        lines.append(f"| {what} | {labels} |{cells}")
    return "\n".join(lines)


def kept_table(systems, data):
    """Markdown: how much of what was found in plain text is found in each disguise, and recall of all labels there."""
    lines = ["| technique | labels |" + "".join(f" {name} |" for name in systems), "|---|---:|" + "---:|" * len(systems)]
    scored = {name: kept(data, guesses) for name, guesses in systems.items()}
    for technique in next(iter(scored.values())):
        cells = "".join(f" {found[technique][2]:.1%} ({found[technique][1]:.3f}) |" for found in scored.values())
        lines.append(f"| {technique} | {next(iter(scored.values()))[technique][0]} |{cells}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data")
    parser.add_argument("predictions", nargs="+")
    options = parser.parse_args()
    data = rows_of(options.data)
    systems = {path.rsplit("/", 1)[-1].removesuffix(".jsonl"): rows_of(path) for path in options.predictions}
    print((kept_table if "group" in data[0] else table_of)(systems, data))


if __name__ == "__main__":
    main()
