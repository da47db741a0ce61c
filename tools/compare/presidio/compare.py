# SPDX-License-Identifier: AGPL-3.0-or-later
"""Presidio and bho on the same texts and machine; prints Markdown.

    python compare.py SOURCE.jsonl BHO OUT_FOLDER [--engines rules,rampart] [--timing [--rounds 5]]

SOURCE is as make_data.py takes it, BHO the program built with --release. OUT_FOLDER gets the labelled texts and everybody's
predictions, so that `bho eval guard --data OUT/plain.jsonl --predictions OUT/presidio-rules.jsonl` can score them as well. With --timing
nothing is scored: programs run in turn, on one core, each in a new process, so that a busy minute hits all of them.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import score

HERE = pathlib.Path(__file__).parent
# Besides Presidio's default of reporting all: from here on its scores are more than a pattern without context or checksum.
SURE = 0.35


def run(command, environment=None, one_core=False):
    """Standard output and seconds of a program that must succeed."""
    if one_core and hasattr(os, "sched_setaffinity"):
        core = min(os.sched_getaffinity(0))
        pin = lambda: os.sched_setaffinity(0, {core})  # noqa: E731
    else:
        pin = None
    begin = time.perf_counter()
    done = subprocess.run(
        [str(part) for part in command], env={**os.environ, **(environment or {})}, preexec_fn=pin, capture_output=True, text=True
    )
    took = time.perf_counter() - begin
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed ({done.returncode}):\n{done.stderr[-2000:]}")
    return done.stdout, took


def python(script, *arguments, **options):
    return run([sys.executable, HERE / script, *arguments], **options)


def bho_environment(kind):
    return {"GUARD_REGEX_ONLY": "1"} if kind == "rules" else {}


def bho(program, kind, data, **options):
    command = [program, "guard", "check", "--jsonl", data, "--pipeline", HERE / "everything.yml"]
    return run(command, environment=bho_environment(kind), **options)


def predictions_of(cards, data):
    """Cards of `bho guard check` as predictions."""
    cards = [json.loads(line) for line in cards.splitlines()]
    for row, card in zip(data, cards, strict=True):
        found = card["redactions"]
        spans = [{"start": r["span"][0], "end": r["span"][1], "type": r["type"].removeprefix("PII.")} for r in found]
        yield {"text": row["text"], "spans": spans}


def write(path, rows):
    with open(path, "w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def make_data(options, path, *more):
    python("make_data.py", options.source, path, *(["--bytes"] if options.bytes else []), *more)


def quality(options):
    for part, title, table in (
        ("plain", "As they are", score.table_of),
        ("evasions", "Structured data in disguise", score.kept_table),
    ):
        path = options.out / f"{part}.jsonl"
        make_data(options, path, *(["--evasions"] if part == "evasions" else []))
        data, systems = score.rows_of(path), {}
        suffix = "" if part == "plain" else f"-{part}"
        for kind in ("rules", "full"):
            out = options.out / f"bho-{kind}{suffix}.jsonl"
            write(out, predictions_of(bho(options.bho, kind, path)[0], data))
            systems[f"bho {kind}"] = score.rows_of(out)
        for engine in options.engines:
            out = options.out / f"presidio-{engine.replace(':', '-')}{suffix}.jsonl"
            python("run_presidio.py", path, out, "--engine", engine)
            guesses = systems[f"Presidio {engine}"] = score.rows_of(out)
            if part == "plain":
                sure = [{**g, "spans": [s for s in g["spans"] if s["score"] >= SURE]} for g in guesses]
                systems[f"Presidio {engine}, score >= {SURE}"] = sure
        print(f"## {options.source.name}: {title.lower()} ({len(data):,} texts)\n\n{table(systems, data)}\n", flush=True)


def timing(options):
    path, one = options.out / "plain.jsonl", options.out / "one.jsonl"
    make_data(options, path)
    texts = score.rows_of(path)
    write(one, texts[:1])
    rows = {}
    for _ in range(options.rounds):
        for kind in ("rules", "full"):
            start = bho(options.bho, kind, one, one_core=True)[1]
            command = [options.bho, "eval", "guard", "--data", path, "--json", "--bootstrap", "0"]
            said = json.loads(run(command, environment=bho_environment(kind), one_core=True)[0])["latency"]
            rows.setdefault(f"bho {kind}", []).append((start, said["mean_ms"], said["p50_ms"]))
        for engine in options.engines:
            out = options.out / "timed.jsonl"
            said = json.loads(python("run_presidio.py", path, out, "--engine", engine, one_core=True)[0].splitlines()[-1])
            ms = [row["ms"] for row in score.rows_of(out)]
            rows.setdefault(f"Presidio {engine}", []).append((sum(said.values()), statistics.fmean(ms), statistics.median(ms)))
    size = statistics.fmean(len(row["text"].encode()) for row in texts)
    print(f"## Time, one core, median of {options.rounds} rounds in turn; {len(texts):,} texts of {size:.0f} bytes\n")
    print("| | start until the first answer | mean of a text | median of a text |\n|---|---:|---:|---:|")
    for name, samples in rows.items():
        start, mean, median = (statistics.median(column) for column in zip(*samples))
        print(f"| {name} | {start * 1e3:.0f} ms | {mean:.4f} ms | {median:.4f} ms |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("bho", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--bytes", action="store_true", help="offsets of SOURCE are bytes, as in tests/data/guard/pii.jsonl")
    parser.add_argument("--engines", type=lambda text: text.split(","), default=["rules", "rampart"])
    parser.add_argument("--timing", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    (timing if options.timing else quality)(options)


if __name__ == "__main__":
    main()
