#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Figures of scored and labelled texts, as scikit-learn computes them (`pip install scikit-learn==1.7.2`).

tests/golden/eval/ranking.json gets a few cases of different shape: well and badly separated, with many ties, with few
positives, badly calibrated. ECE is not in scikit-learn: it is summed here from NumPy's histograms over 15 bins of equal
width, each with its lower edge and without its upper, 1 in the last.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn import metrics

BINS = 15


def ece(labels, scores):
    edges = np.arange(BINS + 1) / BINS
    edges[-1] = 1.0
    gaps = np.histogram(scores, edges, weights=labels)[0] - np.histogram(scores, edges, weights=scores)[0]
    return float(np.abs(gaps).sum() / len(scores))


def figures(labels, scores, threshold):
    fpr, tpr, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    flagged = (scores >= threshold).astype(int)
    return {
        "auc": metrics.roc_auc_score(labels, scores),
        "average_precision": metrics.average_precision_score(labels, scores),
        "recall_at_1_fpr": tpr[fpr <= 0.01].max(),
        "recall_at_5_fpr": tpr[fpr <= 0.05].max(),
        "recall": metrics.recall_score(labels, flagged),
        "fpr": flagged[labels == 0].mean(),
        "precision": metrics.precision_score(labels, flagged),
        "f1": metrics.f1_score(labels, flagged),
        "accuracy": metrics.accuracy_score(labels, flagged),
        "ece": ece(labels, scores),
        "brier": metrics.brier_score_loss(labels, scores),
    }


def case(name, seed, n, share, gap, ties, threshold):
    random = np.random.default_rng(seed)
    labels = (random.random(n) < share).astype(int)
    scores = 1 / (1 + np.exp(-(random.normal(size=n) + gap * (labels - 0.5))))
    # Few decimals: the file is small, and equal scores are equal here and there.
    scores = np.round(scores * ties) / ties
    values = {key: float(value) for key, value in figures(labels, scores, threshold).items()}
    return {
        "name": name,
        "threshold": threshold,
        "scores": [float(score) for score in scores],
        "labels": [int(label) for label in labels],
        "figures": values,
    }


def main():
    here = Path(__file__).resolve().parents[2] / "tests" / "golden" / "eval"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=here / "ranking.json")
    output = parser.parse_args().output
    output.parent.mkdir(exist_ok=True)
    cases = [
        case("well separated", 1, 400, 0.5, 4.0, 10_000, 0.5),
        case("badly separated", 2, 300, 0.5, 0.5, 10_000, 0.5),
        case("many ties", 3, 300, 0.4, 2.0, 10, 0.6),
        case("few positives", 4, 500, 0.03, 3.0, 10_000, 0.5),
        case("few negatives", 5, 200, 0.9, 2.0, 1000, 0.7),
        case("low threshold", 6, 150, 0.3, 6.0, 1000, 0.05),
    ]
    document = {"scikit-learn": sklearn.__version__, "numpy": np.__version__, "cases": cases}
    output.write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
