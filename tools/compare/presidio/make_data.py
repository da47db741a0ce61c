# SPDX-License-Identifier: AGPL-3.0-or-later
"""Labelled texts in the format of `bho eval guard`: byte spans and the guard's names of types.

    python make_data.py SOURCE.jsonl OUT.jsonl               # presidio-research's generated sentences, as they are
    python make_data.py SOURCE.jsonl OUT.jsonl --evasions    # those with structured data, plain and in twelve disguises

SOURCE has {"text" or "full_text", "spans": [{"start", "end", "type" or "entity_type"}]} with offsets in characters, or in bytes
with --bytes.
In the disguised set only the values that are structured data are disguised and labelled; `group` names the technique.
"""

import argparse
import json

from evasions import TECHNIQUES, disguise

# Types that the guard does not have keep their names. Where a place ends and an address begins annotators do not
# agree on, so those two keep the names under which either is accepted.
TYPES = {
    "CREDIT_CARD": "card",
    "EMAIL_ADDRESS": "email",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "PERSON": "name",
    "PHONE_NUMBER": "phone",
    "US_DRIVER_LICENSE": "driver_license",
    "US_SSN": "ssn",
    "ADDRESS": "STREET_ADDRESS",
    "GPE": "LOCATION",
}
STRUCTURED = ("card", "email", "iban", "ip", "phone", "ssn")


def read(path, by_bytes):
    """Texts with their spans, in characters, sorted."""
    for line in open(path, encoding="utf-8"):
        row = json.loads(line)
        text = row.get("text", row.get("full_text"))
        spans = []
        for span in row["spans"]:
            name = span.get("type", span.get("entity_type"))
            start, end = span["start"], span["end"]
            if by_bytes:
                start, end = (len(text.encode()[:place].decode()) for place in (start, end))
            spans.append({"start": start, "end": end, "type": TYPES.get(name, name)})
        yield text, sorted(spans, key=lambda span: (span["start"], span["end"]))


def in_bytes(text, spans):
    def at(place):
        return len(text[:place].encode())

    return [{**span, "start": at(span["start"]), "end": at(span["end"])} for span in spans]


def rows(source, by_bytes, evasions):
    for text, spans in read(source, by_bytes):
        if not evasions:
            yield {"text": text, "spans": in_bytes(text, spans)}
            continue
        spans = [span for span in spans if span["type"] in STRUCTURED]
        if not spans:
            continue
        yield {"text": text, "spans": in_bytes(text, spans), "group": "plain"}
        for technique in TECHNIQUES:
            disguised, moved = disguise(text, spans, technique)
            yield {"text": disguised, "spans": in_bytes(disguised, moved), "group": technique}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("--bytes", action="store_true", help="offsets of SOURCE are bytes")
    parser.add_argument("--evasions", action="store_true")
    options = parser.parse_args()
    with open(options.out, "w", encoding="utf-8") as out:
        for row in rows(options.source, options.bytes, options.evasions):
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
