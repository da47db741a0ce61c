# SPDX-License-Identifier: AGPL-3.0-or-later
"""Attacks that PyPI packages carry for testing assistants: fetched with

    pip download --no-deps --dest PACKAGES pyrit==1.1.0 spikee==0.9.2

and read out of the wheels as they are, nothing of them is run. pyrit (MIT): 600 jailbreak templates by many authors.
spikee (Apache-2.0): ways to plant an order in a document, and orders.
"""

import io
import json
import random
import zipfile

import yaml

WHEELS = {"pyrit": "pyrit-1.1.0-py3-none-any.whl", "spikee": "spikee-0.9.2-py3-none-any.whl"}


def members(folder, package):
    """The wheel's files as (path, text)."""
    path = folder / WHEELS[package]
    if not path.exists():
        raise SystemExit(f"{path} is not there: pip download --no-deps --dest {folder} {package}")
    with zipfile.ZipFile(path) as wheel:
        for name in sorted(wheel.namelist()):
            if name.endswith((".yaml", ".jsonl")):
                yield name, io.TextIOWrapper(wheel.open(name), "utf-8").read()


def jailbreaks(folder, requests, seed):
    """pyrit's templates, each with one of the requests in its place."""
    rng = random.Random(f"pyrit {seed}")
    for name, text in members(folder, "pyrit"):
        if "/jailbreak/templates/" in name:
            value = yaml.safe_load(text).get("value") or ""
            request = rng.choice(requests)
            for place in ("{{ prompt }}", "{{prompt}}"):
                value = value.replace(place, request)
            if "{{" not in value:
                yield value


def planted(folder, each, seed):
    """spikee's ways of planting, each with some of its orders."""
    rng = random.Random(f"spikee {seed}")
    orders, ways = set(), set()
    for name, text in members(folder, "spikee"):
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        if name.endswith("/instructions.jsonl"):
            orders |= {line["instruction"] for line in lines if "instruction" in line}
        elif name.endswith("/jailbreaks.jsonl"):
            ways |= {line["text"] for line in lines if line.get("jailbreak_type") != "no-jailbreak" and "text" in line}
    orders = sorted(orders)
    for way in sorted(ways):
        for order in rng.sample(orders, each):
            yield way.replace("<INSTRUCTION>", order)
