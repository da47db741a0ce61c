# SPDX-License-Identifier: AGPL-3.0-or-later
"""Texts to distil sentence embeddings on, one a line, shuffled.

    python texts.py DATA_FOLDER OUT.txt [--count 400000]

DATA_FOLDER holds the public sets (MANIFEST.tsv names each with its licence). A text is a sentence, two or three in a row, or
a question, as the encoder meets them in summaries, claims and retrieval. No text of STS-B, nor of a test split, is among
them: what equals one of them, case and punctuation aside, is left out.
"""

import argparse
import json
import lzma
import pathlib
import random
import re

SEED = 20261122  # as in distil.py


def rows(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def sentences(text):
    """A plain split: this is training text, a wrong cut does no harm."""
    return [part.strip() for part in re.split(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(A-Z0-9])", text) if part.strip()]


def pieces(paragraph, rng):
    """Sentences, and now and then a few together."""
    found = sentences(re.sub(r"\s+", " ", paragraph))
    at = 0
    while at < len(found):
        count = rng.choice((1, 1, 1, 1, 2, 3))
        yield " ".join(found[at : at + count])
        at += count


def books(data, rng):
    with lzma.open(data / "lm_classic_books/paragraphs.txt.xz", "rt", encoding="utf-8") as file:
        for paragraph in file:
            yield from pieces(paragraph, rng)


def plain(path):
    def read(data, rng):
        for paragraph in (data / path).read_text(encoding="utf-8").split("\n"):
            if len(paragraph) > 20:
                yield from pieces(paragraph, rng)

    return read


def fields(path, *names):
    def read(data, rng):
        for item in rows(data / path):
            for name in names:
                value = item[name]
                for text in value if isinstance(value, list) else [value]:
                    yield text

    return read


# Source and the most texts taken of it: much of what the agents read, less of old novels.
SOURCES = {
    "books": (books, 150_000),
    "factbook": (plain("lm_factbook/factbook.txt"), 40_000),
    "rust_book": (plain("lm_rust_book/book.txt"), 8_000),
    "storybook": (plain("lm_african_storybook_en/stories.txt"), 12_000),
    "snli": (fields("nli_snli_devtest/dev.jsonl", "premise", "hypothesis"), 12_000),
    "counterfactual": (fields("nli_counterfactual/train.jsonl", "premise", "hypothesis"), 10_000),
    "creak": (fields("nli_creak/train.jsonl", "sentence", "explanation"), 20_000),
    "foolmetwice": (fields("nli_foolmetwice/dev.jsonl", "claim", "evidence", "retrieved"), 15_000),
    "scitldr": (fields("summ_scitldr_A/train.jsonl", "source", "target"), 20_000),
    "clinc150": (fields("benign_clinc150/all.jsonl", "text"), 10_000),
    "banking77": (fields("benign_banking77/all.jsonl", "text"), 6_000),
    "civil": (fields("tox_civil_spans/comments.jsonl", "text"), 10_000),
    "wiki": (fields("tox_wiki_context/gn.jsonl", "text"), 10_000),
}

# Never learned from.
REPORTED = [
    ("ret_stsb_en/train.jsonl", ("a", "b")),
    ("ret_stsb_en/dev.jsonl", ("a", "b")),
    ("ret_stsb_en/test.jsonl", ("a", "b")),
    ("nli_snli_devtest/test.jsonl", ("premise", "hypothesis")),
    ("nli_counterfactual/dev.jsonl", ("premise", "hypothesis")),
    ("nli_counterfactual/test.jsonl", ("premise", "hypothesis")),
    ("nli_creak/dev.jsonl", ("sentence", "explanation")),
    ("nli_creak/contrast_set.jsonl", ("sentence",)),
    ("summ_scitldr_A/dev.jsonl", ("source", "target")),
    ("summ_scitldr_A/test.jsonl", ("source", "target")),
]


def key(text):
    return re.sub(r"\W+", " ", text.lower()).strip()


def reported(data):
    return {key(text) for path, names in REPORTED for text in fields(path, *names)(data, None)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=400_000)
    options = parser.parse_args()
    seen, found = reported(options.data), []
    for name, (read, most) in SOURCES.items():
        rng = random.Random(f"{name} {SEED}")
        texts = []
        for text in read(options.data, rng):
            text = re.sub(r"\s+", " ", text).strip()
            if 15 <= len(text) <= 700 and key(text) not in seen:
                seen.add(key(text))
                texts.append(text)
        rng.shuffle(texts)
        print(f"{name:15} {len(texts):8} texts, {min(most, len(texts))} taken")
        found += texts[:most]
    random.Random(SEED).shuffle(found)
    options.out.write_text("".join(text + "\n" for text in found[: options.count]), encoding="utf-8")


if __name__ == "__main__":
    main()
