# SPDX-License-Identifier: AGPL-3.0-or-later
"""Texts of our own making, grown from the grammars in grammar/*.txt.

A grammar file is lines: `@rule` opens a rule, every other line is one alternative of it, `{rule}` in an alternative is
replaced by a random alternative of that rule, `[words]` is kept half of the time, `\\[`, `\\]`, `\\{` and `\\}` stand for
themselves, and `#` starts a comment. The same seed grows the same texts.
"""

import pathlib
import random
import re

ESCAPES = {"\\[": "\x01", "\\]": "\x02", "\\{": "\x03", "\\}": "\x04", "\\n": "\n"}
FOLDER = pathlib.Path(__file__).parent / "grammar"


class Grammar:
    """The rules of one file, together with those of shared.txt."""

    def __init__(self, name):
        self.rules = {}
        for file in ("shared", name):
            self._read(FOLDER / f"{file}.txt")
        for rule, alternatives in self.rules.items():
            for text in alternatives:
                for used in re.findall(r"\{(\w+)\}", text):
                    if used not in self.rules:
                        raise SystemExit(f"{name}.txt: rule {rule} names {{{used}}}, which is not there")

    def _read(self, path):
        rule = None
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            if line.startswith("@"):
                rule = self.rules.setdefault(line[1:], [])
            elif rule is None:
                raise SystemExit(f"{path.name}:{number}: text before the first @rule")
            else:
                for escape, stand_in in ESCAPES.items():
                    line = line.replace(escape, stand_in)
                rule.append(line)

    def grow(self, rule, rng):
        """One random text of the rule."""
        text = rng.choice(self.rules[rule])
        text = re.sub(r"\[([^\[\]]*)\]", lambda part: part[1] if rng.random() < 0.5 else "", text)
        text = re.sub(r"\{(\w+)\}", lambda part: self.grow(part[1], rng), text)
        return re.sub(r" +([,.;:!?])", r"\1", re.sub(r" {2,}", " ", text))

    def texts(self, rule, count, seed):
        """Up to count different texts of the rule."""
        rng = random.Random(f"{rule} {seed}")
        found = {}
        for _ in range(count * 4):
            if len(found) == count:
                break
            text = self.grow(rule, rng).strip()
            for escape, stand_in in ESCAPES.items():
                text = text.replace(stand_in, escape[1:] if stand_in != "\n" else "\n")
            found.setdefault(text)
        return list(found)
