# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pairs of a premise and a claim that the judge is trained, calibrated and reported on, as one JSONL file a part.

    python pairs.py DATA_FOLDER OUT_FOLDER [--without SOURCE ...]

A row is {"premise", "hypothesis", "label", "source", "weight"}; labels: entailment, neutral, contradiction. Parts: train,
calibrate (every 20th premise of the training sources, by hash), unlabelled (no label: the student asks its teacher) and
report-*. No text of a reported pair is in another part. `--without` turns a training source into a report, to measure on a
source never seen.

Besides the public sets (MANIFEST.tsv names each with its licence) pairs are made here, of sentences about the world and of
books: a claim with another number, year, month, unit, country or weekday; with or without a "not"; cut short; with a
clause that belongs to another sentence; denials that agree with what says the same in other words (denials.py); a claim
beside a premise about something else. That is what the sets teach too little of, and what claims err in.
"""

import argparse
import collections
import hashlib
import json
import pathlib
import random
import re

from denials import denials
from texts import books, key, plain, rows

SEED = 20261122
LABELS = ("entailment", "neutral", "contradiction")


def pair(premise, hypothesis, label, source, weight=1.0):
    tidy = lambda text: re.sub(r"\s+([.,!?;:])", r"\1", re.sub(r"\s+", " ", text)).strip()
    return {"premise": tidy(premise), "hypothesis": tidy(hypothesis), "label": label, "source": source, "weight": weight}


# -- public sets ------------------------------------------------------------------------------------------------------


def nli(path, source):
    def read(data, rng):
        for item in rows(data / path):
            if item["label"] in LABELS:
                yield pair(item["premise"], item["hypothesis"], item["label"], source)

    return read


def creak(data, rng):
    """A claim and why its writer says that it holds or not: what the writer says is the premise."""
    for item in rows(data / "nli_creak/train.jsonl"):
        label = "entailment" if item["label"] == "true" else "contradiction"
        yield pair(item["explanation"], item["sentence"], label, "creak", 0.7)


def overlap(a, b):
    a, b = set(key(a).split()), set(key(b).split())
    return len(a & b) / max(1, len(b))


def foolmetwice(data, rng):
    """Claims with their evidence; sentences of the same article that share least words with the claim leave it open."""
    for item in rows(data / "nli_foolmetwice/dev.jsonl"):
        label = "entailment" if item["label"] == "SUPPORTS" else "contradiction"
        claim, evidence = item["claim"], item["evidence"]
        yield pair(evidence, claim, label, "foolmetwice", 1.5)
        others = sorted((text for text in item["retrieved"] if text not in evidence), key=lambda text: overlap(text, claim))
        for text in others[:1]:
            yield pair(text, claim, "neutral", "foolmetwice", 0.7)
        if others:  # evidence among what says nothing
            around = [others[-1], evidence] if rng.random() < 0.5 else [evidence, others[-1]]
            yield pair(" ".join(around), claim, label, "foolmetwice", 1.0)


# -- pairs of our own making ------------------------------------------------------------------------------------------

MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
NUMBER_WORDS = "two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred thousand million".split()
OPPOSITES = [
    ("north", "south"), ("east", "west"), ("northern", "southern"), ("eastern", "western"), ("largest", "smallest"), ("highest", "lowest"),
    ("more", "fewer"), ("increased", "decreased"), ("before", "after"), ("first", "last"), ("old", "young"), ("rich", "poor"), ("early", "late"),
    ("above", "below"), ("always", "never"), ("all", "none of the"), ("many", "few"), ("began", "ended"), ("male", "female"), ("import", "export"),
    ("imports", "exports"), ("gained", "lost"), ("rose", "fell"), ("won", "lost"), ("cold", "hot"), ("long", "short"), ("majority", "minority"),
    ("father", "mother"), ("brother", "sister"), ("public", "private"), ("rural", "urban"), ("better", "worse"), ("strong", "weak"),
]  # fmt: skip
SWAPS = {a: b for pair_ in OPPOSITES for a, b in (pair_, pair_[::-1])}
VERBS = r"\b(is|are|was|were|has|have|had|can|could|will|would|may|must|did|does|do)\b(?! not)(?!n't)"


def other_number(word, rng):
    """Another number written the same way; a year stays near."""
    digits = word.replace(",", "")
    if re.fullmatch(r"(1[5-9]|20)\d\d", word):
        return str(int(word) + rng.choice((-30, -12, -7, -3, 2, 4, 9, 25)))
    value = float(digits)
    changed = value * rng.choice((0.2, 0.5, 0.7, 1.4, 2, 3, 10)) + rng.choice((0, 1, 2))
    if "." in digits:
        places = len(digits.split(".")[1])
        return f"{changed:.{places}f}"
    return f"{int(changed):,}" if "," in word else str(int(changed))


def wrong(sentence, names, rng):
    """The sentence with one fact changed, or none where there is no fact to change."""
    ways = []
    for match in re.finditer(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w])", sentence):
        ways.append((match, lambda word: other_number(word.rstrip(","), rng) + ("," if word.endswith(",") else "")))
    for words in (MONTHS, DAYS, NUMBER_WORDS):
        for match in re.finditer(r"\b(" + "|".join(words) + r")\b", sentence):
            ways.append((match, lambda word, words=words: rng.choice([other for other in words if other != word])))
    for match in re.finditer(r"(?<=[a-z,] )[A-Z][a-z]{2,}(?: [A-Z][a-z]{2,})*", sentence):
        if match.group() in names:
            ways.append((match, lambda word: rng.choice([other for other in names[word] if other != word] or [word])))
    swaps = [match for match in re.finditer(r"\b[a-z]+\b", sentence) if match.group() in SWAPS]
    ways += [(match, lambda word: SWAPS[word]) for match in swaps]
    negations = list(re.finditer(VERBS, sentence))
    if negations and rng.random() < 0.35:
        match = rng.choice(negations)
        return sentence[: match.end()] + " not" + sentence[match.end() :]
    without = re.search(r"\b(is|are|was|were|has|have|had|can|could|will|would|may|must|did|does|do) (not|never)\b", sentence)
    if without and rng.random() < 0.7:
        return sentence[: without.end(1)] + sentence[without.end() :]
    if not ways:
        return None
    match, change = rng.choice(ways)
    return sentence[: match.start()] + change(match.group()) + sentence[match.end() :]


def shorter(sentence, rng):
    """Something the sentence says, in fewer of its words; none where no cut is safe."""
    if re.search(r"\b(if|unless|whether|would|could|might|said|says|thought|believed|not|never|no|hardly|without)\b", sentence):
        return None
    cut = re.sub(r" \([^()]*\)", "", sentence)
    clause = re.match(r"^([^,;]{25,}?)(?:, (?:which|who|where|while|although|but|and)\b|;)", cut)
    if clause:
        cut = clause.group(1) + "."
    elif rng.random() < 0.5:
        tail = re.match(r"^(.{30,}?[a-z])(?: (?:during|because|since|despite|throughout|until|after|by|from) [^,;]+)\.$", cut)
        cut = tail.group(1) + "." if tail else cut
    return cut if cut != sentence and len(cut) > 25 else None


def names_of(texts):
    """Names in mid-sentence, those that stand behind the same word together: of each a list to choose another from."""
    behind = collections.defaultdict(collections.Counter)
    for text in texts:
        for match in re.finditer(r"\b([a-z]+) ([A-Z][a-z]{2,}(?: [A-Z][a-z]{2,})*)", text):
            behind[match.group(1)][match.group(2)] += 1
    found = {}
    for counts in behind.values():
        common = [name for name, count in counts.most_common(300) if count > 1]
        for name in common:
            found.setdefault(name, common)
    return found


def made(source, read, most):
    def make(data, rng):
        texts = []
        for text in read(data, rng):
            if 40 <= len(text) <= 300 and not re.search(r"[\"_*|{}<>]", text):
                texts.append(text)
            if len(texts) >= 6 * most:
                break
        names = names_of(texts)
        count = 0
        for at in range(1, len(texts) - 1):
            text = texts[at]
            sentence = re.split(r"(?<=[.!?]) ", text)[0]
            premise = text if rng.random() < 0.7 else f"{texts[at - 1]} {text}" if rng.random() < 0.5 else f"{text} {texts[at + 1]}"
            if len(sentence) > 220 or not re.search(VERBS + r"|[a-z]ed\b", sentence) or not sentence[0].isupper():
                continue  # a list of figures, or a sentence as long as a page
            short, changed = shorter(sentence, rng), wrong(sentence, names, rng)
            if changed is None or changed == sentence:
                continue
            yield pair(premise, changed, "contradiction", source, 0.8)
            yield pair(premise, short or sentence, "entailment", source, 0.8 if short else 0.3)
            if short:
                altered = wrong(short, names, rng)
                if altered and altered != short:
                    yield pair(premise, altered, "contradiction", source, 0.8)
            yield pair(texts[at - 1], sentence, "neutral", source, 0.5)
            count += 1
            if count >= most:
                return

    return make


def denied(data, rng):
    for premise, claim, label, weight in denials()(rng):
        yield pair(premise, claim, label, "denials", weight)


def unrelated(sources, most):
    """Facts beside claims of other subjects, which they leave open. Not of SNLI: there two captions of different scenes
    contradict each other, by the rule that both are of one picture."""

    def make(data, rng):
        for read in sources:
            items = list(read(data, random.Random(SEED)))
            for _ in range(most):
                one, other = rng.choice(items), rng.choice(items)
                words = {word for word in key(other["hypothesis"]).split() if len(word) > 4}
                if words.isdisjoint(key(one["premise"]).split()):
                    yield pair(one["premise"], other["hypothesis"], "neutral", "unrelated", 0.6)

    return make


def both(*makers):
    def make(data, rng):
        for maker in makers:
            yield from maker(data, rng)

    return make


SOURCES = {
    "snli": nli("nli_snli_devtest/dev.jsonl", "snli"),
    "counterfactual": both(
        nli("nli_counterfactual/train.jsonl", "counterfactual"), nli("nli_counterfactual/dev.jsonl", "counterfactual")
    ),
    "creak": creak,
    "foolmetwice": foolmetwice,
    "made_factbook": made("made_factbook", plain("lm_factbook/factbook.txt"), 3000),
    "made_books": made("made_books", books, 2000),
    "denials": denied,
}
SOURCES["unrelated"] = unrelated([SOURCES[name] for name in ("creak", "foolmetwice", "made_factbook", "denials")], 1200)

REPORTS = {
    "report-snli": nli("nli_snli_devtest/test.jsonl", "snli"),
    "report-counterfactual": nli("nli_counterfactual/test.jsonl", "counterfactual"),
}


def unlabelled(pairs, rng):
    """Premises with claims made for other premises: near ones, as sets list them side by side, and far ones."""
    by_premise = collections.defaultdict(list)
    for item in pairs:
        by_premise[item["premise"]].append(item["hypothesis"])
    premises = list(by_premise)
    for at, premise in enumerate(premises):
        near = by_premise[premises[(at + 1) % len(premises)]]
        yield premise, rng.choice(near)
        own = by_premise[premise]
        yield own[0], premise
        if len(own) > 1:
            yield own[0], own[1]
            yield own[-1], own[0]


def near(data, without):
    """Premises with claims about the same thing that say something else of it, most of which they leave open: other sentences of
    a claim's article, what is said of other claims about an entity, neighbours in a text."""
    rng = random.Random(f"near {SEED}")
    if "foolmetwice" not in without:
        for item in rows(data / "nli_foolmetwice/dev.jsonl"):
            others = [text for text in item["retrieved"] if text not in item["evidence"] and len(text) > 25]
            for text in rng.sample(others, min(6, len(others))):
                yield text, item["claim"]
    if "creak" not in without:
        about = collections.defaultdict(list)
        for item in rows(data / "nli_creak/train.jsonl"):
            about[item["entity"]].append(item)
        for items in about.values():
            for item in items:
                others = [other for other in items if other is not item]
                for other in rng.sample(others, min(2, len(others))):
                    yield (item["explanation"] if rng.random() < 0.7 else item["sentence"]), other["sentence"]
    for name, read, most in (("made_factbook", plain("lm_factbook/factbook.txt"), 4000), ("made_books", books, 2000)):
        if name in without:
            continue
        texts = [text for text in read(data, rng) if 40 <= len(text) <= 300 and not re.search(r"[\"_*|{}<>]", text)]
        for at in rng.sample(range(1, len(texts) - 3), min(most, len(texts) - 4)):
            claim = re.split(r"(?<=[.!?]) ", texts[at + rng.choice((-1, 1, 2, 3))])[0]
            if 25 < len(claim) < 200:
                yield texts[at], claim


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--without", nargs="*", default=[], choices=sorted(SOURCES), metavar="SOURCE")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    parts = {name: list(read(options.data, random.Random(SEED))) for name, read in REPORTS.items()}
    for name in options.without:
        parts[f"report-{name}"] = list(SOURCES[name](options.data, random.Random(SEED)))
    kept = {key(item[side]) for part in parts.values() for item in part for side in ("premise", "hypothesis")}
    common = {"", *(text for text in kept if len(text.split()) < 5)}  # "A man is outside" may well be said twice
    kept -= common
    parts |= {"train": [], "calibrate": []}
    seen = set()
    for name, read in SOURCES.items():
        if name in options.without:
            continue
        count = 0
        for item in read(options.data, random.Random(f"{name} {SEED}")):
            both = (key(item["premise"]), key(item["hypothesis"]))
            if both in seen or both[0] in kept or both[1] in kept or not all(both):
                continue
            seen.add(both)
            count += 1
            tenth = int(hashlib.sha256(both[0].encode()).hexdigest(), 16) % 20 == 0
            parts["calibrate" if tenth else "train"].append(item)
        print(f"{name:16} {count} pairs")
    rng = random.Random(SEED)
    found = [(a, b) for a, b in unlabelled(parts["train"], rng) if (key(a), key(b)) not in seen]
    parts["unlabelled"] = [pair(a, b, None, "unlabelled") for a, b in found]
    # A premise of `calibrate` stays out of training with any claim.
    aside = kept | {key(item["premise"]) for item in parts["calibrate"]}
    for a, b in near(options.data, options.without):
        both = (key(a), key(b))
        if all(both) and both not in seen and aside.isdisjoint(both):
            seen.add(both)
            parts["unlabelled"].append(pair(a, b, None, "near"))
    for name, items in parts.items():
        if not name.startswith("report-"):
            rng.shuffle(items)
        print(f"{name:24} {len(items):7} {dict(collections.Counter(item['label'] for item in items))}")
        with open(options.out / f"{name}.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps(item, ensure_ascii=False) + "\n" for item in items)


if __name__ == "__main__":
    main()
