# SPDX-License-Identifier: AGPL-3.0-or-later
"""Fits the salience model of `bitnet.summarizer` and writes its weights as Rust.

    cargo run --release -p bho-orchestrator --example summary_report -- --features train.jsonl DATA/train.jsonl
    cargo run --release -p bho-orchestrator --example summary_report -- --features dev.jsonl DATA/dev.jsonl
    python fit.py train.jsonl --dev dev.jsonl --out orchestrator/src/agents/summarizer/weights.rs

The features are computed by the program itself, so that the model sees in use what it was fitted on. A text's sentences
compete: p = softmax(by_hand + w x) over them, and w maximises the mean over texts of the log-likelihood of a soft label,
softmax(ROUGE / temperature), ROUGE being the mean of ROUGE-1 and ROUGE-L F1 against the text's summaries; L2 pulls w to
zero. Temperature and L2 are chosen by the expected ROUGE of the chosen sentence in 5-fold cross-validation on the
training texts; --dev is only reported on. Slope and intercept of the calibration come from logistic regression of "has
the best ROUGE of its text" on the out-of-fold logits. Deterministic: full-batch L-BFGS in float64 from zero.
"""

import argparse
import json
import pathlib

import numpy as np
import torch

TEMPERATURES = (0.03, 0.05, 0.1)
PENALTIES = (0.001, 0.003, 0.01, 0.03)
FOLDS = 5


def read(path):
    """Names of the features, and per text (features [n, f], by_hand [n], rouge [n, 3], title known)."""
    with open(path, encoding="utf-8") as lines:
        names = json.loads(next(lines))["names"]
        texts = []
        for line in lines:
            row = json.loads(line)
            sentences = row["sentences"]
            if not sentences:
                continue
            texts.append((
                np.array([s["features"] for s in sentences], dtype=np.float64),
                np.array([s["by_hand"] for s in sentences], dtype=np.float64),
                np.array([s["rouge"] for s in sentences], dtype=np.float64),
                row["title"],
            ))
    return names, texts


def pad(texts, features):
    """Tensors [texts, longest, ...] and a mask of the sentences that are there."""
    longest = max(len(t[0]) for t in texts)
    x = torch.zeros(len(texts), longest, features, dtype=torch.float64)
    offset = torch.zeros(len(texts), longest, dtype=torch.float64)
    rouge = torch.zeros(len(texts), longest, dtype=torch.float64)
    mask = torch.zeros(len(texts), longest, dtype=torch.bool)
    for i, (f, by_hand, r, _) in enumerate(texts):
        n = len(f)
        x[i, :n], offset[i, :n] = torch.from_numpy(f), torch.from_numpy(by_hand)
        rouge[i, :n] = torch.from_numpy((r[:, 0] + r[:, 2]) / 2)
        mask[i, :n] = True
    return x, offset, rouge, mask


def fit(data, scale, temperature, penalty):
    """Weights [f] in the units of the features; the penalty is on features divided by `scale`."""
    x, offset, rouge, mask = data
    x = x / scale
    target = torch.softmax((rouge / temperature).masked_fill(~mask, -torch.inf), dim=1)
    w = torch.zeros(x.shape[2], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([w], max_iter=300, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def step():
        optimiser.zero_grad()
        logits = (offset + x @ w).masked_fill(~mask, -1e9)
        loss = -(target * torch.log_softmax(logits, dim=1)).sum(dim=1).mean() + penalty * (w * w).sum()
        loss.backward()
        return loss

    optimiser.step(step)
    return (w / scale).detach()


def logits(data, w):
    x, offset, _, mask = data
    return (offset + x @ w).masked_fill(~mask, -torch.inf)


def chosen(data, w):
    """Mean of ROUGE-1 and ROUGE-L of the sentence with the largest logit, per text."""
    return data[2].gather(1, logits(data, w).argmax(dim=1, keepdim=True)).squeeze(1)


def subset(data, keep):
    return tuple(part[keep] for part in data)


def calibrate(z, best):
    """Slope and intercept of a logistic regression of `best` on `z`, by Newton's method."""
    a = np.array([1.0, -1.0])
    x = np.stack([z, np.ones_like(z)], axis=1)
    for _ in range(50):
        p = 1 / (1 + np.exp(-(x @ a)))
        gradient = x.T @ (p - best)
        hessian = (x * (p * (1 - p))[:, None]).T @ x
        a = a - np.linalg.solve(hessian, gradient)
    return a


def rust(names, features, w, slope, intercept):
    def table(name, doc, entries):
        rows = "".join(f"    ({json.dumps(n)}, {v:.4f}),\n" for n, v in entries)
        return f"/// {doc}\n#[rustfmt::skip]\npub(super) static {name}: &[(&str, f32)] = &[\n{rows}];\n\n"

    pairs = list(zip(names, w.tolist(), strict=True))
    return (
        "// SPDX-License-Identifier: AGPL-3.0-or-later\n"
        "//! Weights of the salience model. Written by `tools/train/reasoner/summary/fit.py`: do not edit.\n\n"
        + table("WEIGHTS", "Name and weight of each feature.", pairs[:features])
        + table("CUE_WEIGHTS", "Cue and weight.", pairs[features:])
        + "/// Slope and intercept that turn logits into the chance to be the sentence that says most.\n"
        + f"pub(super) const CALIBRATION: (f64, f64) = ({slope:.4f}, {intercept:.4f});\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=pathlib.Path)
    parser.add_argument("--dev", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    torch.set_num_threads(1)

    names, texts = read(args.train)
    first_cue = next(i for i, name in enumerate(names) if name == "first_announcement") + 1
    data = pad(texts, len(names))
    mask = data[3]
    scale = data[0][mask].std(dim=0).clamp(min=1e-3)
    # A text with and without its title is in one fold.
    titled = np.array([t[3] for t in texts])
    text_of = np.cumsum(~titled) - 1
    fold_of_text = np.random.default_rng(0).integers(0, FOLDS, text_of.max() + 1)
    fold = torch.from_numpy(fold_of_text[text_of])

    best = None
    for temperature in TEMPERATURES:
        for penalty in PENALTIES:
            values = torch.zeros(len(texts), dtype=torch.float64)
            z = torch.full(mask.shape, -torch.inf, dtype=torch.float64)
            for f in range(FOLDS):
                w = fit(subset(data, fold != f), scale, temperature, penalty)
                values[fold == f] = chosen(subset(data, fold == f), w)
                z[fold == f] = logits(subset(data, fold == f), w)
            plain = torch.from_numpy(~titled)
            print(f"temperature {temperature} penalty {penalty}: {100 * values[plain].mean():.2f} "
                  f"with titles {100 * values[~plain].mean():.2f}")
            score = values[plain].mean().item()
            if best is None or score > best[0]:
                best = (score, temperature, penalty, z)
    _, temperature, penalty, z = best
    w = fit(data, scale, temperature, penalty)
    label = (data[2] == data[2].masked_fill(~mask, -1).max(dim=1, keepdim=True).values) & mask
    slope, intercept = calibrate(z[mask].numpy(), label[mask].numpy().astype(np.float64))
    print(f"chosen: temperature {temperature}, penalty {penalty}; calibration {slope:.3f} {intercept:.3f}")
    for name, value in sorted(zip(names, (w * scale).tolist(), strict=True), key=lambda p: -abs(p[1]))[:25]:
        print(f"  {value:+.3f} per deviation  {name}")
    for part, d in (("train", data), ("dev", None)):
        if part == "dev":
            if not args.dev:
                continue
            _, dev = read(args.dev)
            d, flags = pad(dev, len(names)), np.array([t[3] for t in dev])
        else:
            flags = titled
        values = chosen(d, w).numpy()
        print(f"{part}: {100 * values[~flags].mean():.2f}, with titles {100 * values[flags].mean():.2f}, "
              f"first {100 * d[2][:, 0].numpy()[~flags].mean():.2f}")
    if args.out:
        args.out.write_text(rust(names, first_cue, w, slope, intercept), encoding="utf-8")


if __name__ == "__main__":
    main()
