#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""ROUGE as the rouge-score package computes it, and Porter stems as NLTK's (`pip install rouge-score==0.1.2 nltk==3.10.4`).

tests/golden/eval/rouge.json gets texts with their scores, stemmed and not: written ones with punctuation, digits, line breaks,
other scripts and several references, empty ones, and random ones of few words, in which longest common subsequences are not
unique. Stems are of made-up words: beginnings with one to three of the endings that the rules know.
"""

import argparse
import json
import random
from importlib.metadata import version
from pathlib import Path

from nltk.stem import porter
from rouge_score import rouge_scorer

KINDS = ["rouge1", "rouge2", "rougeL", "rougeLsum"]

WRITTEN = [
    (["The harbour was closed on Monday after a storm damaged two cranes."],
     "A storm damaged two cranes, and the harbour closed on Monday."),
    (["Ternary weights need 1.58 bits each.\nThey are added and subtracted, never multiplied."],
     "Each of the weights needs 1.58 bits.\nMultiplication is not needed: weights are added or subtracted."),
    (["Bees dance to tell where flowers are.", "A dance of bees tells other bees the way to flowers."],
     "Bees tell each other the way to flowers by a dance."),
    (["We propose a method. It works well.", "A method that works.", ""], "The proposed methods have worked very well."),
    (["State-of-the-art results on 12 of 15 tasks (GLUE: 88.5%)."], "state of the art: 12/15 tasks, GLUE 88.5"),
    (["Café crème für Zoë, 東京 and Москва."], "CAFÉ CRÈME; Zoë in 東京"),
    (["\u0130stanbul and \u212a2 rise"], "istanbul k2 rises"),
    (["one\n\n\ntwo three\n  \n- four"], "four\nthree two\none\n"),
    (["the the the cat cat sat"], "the cat sat sat sat the"),
    (["a b c d e f g"], "g f e d c b a"),
    (["word"], "word"),
    (["word"], ""),
    ([""], "word"),
    ([""], ""),
    (["!!! ???"], "words only here"),
    (["studies studying studied flies dying sky skies news"], "study fly die skies new newest"),
    (["no newline here but many sentences. second one. third one."], "third one. second one.\nno newline here"),
]

ROOTS = """adjust operat relat hop fall fil hopp tann control roll ceas rat prob happ sk fl tr spi enjo possibl analog archaeolog theolog
geolog radic form care hope differ vietnam digit decis call feudal sens electr triplic revi allow infer airlin gyroscop defens irrit
replac depend adopt homolog commun activ angular effect bowdler yacht syzyg toy oat priv sting agr fe conflat troubl siz hiss fizz
b2 x1 20 bl iz at""".split()
ENDINGS = """s es sses ies ied eed ed ing y ly alli ational tional ation enci ence anci ance izer ize ization bli able ible alli ally entli
ent eli ousli ous ator ate alism iveness ive fulness ful ousness aliti iviti biliti fulli logi icate ative alize iciti ical ness al er ic ant
ement ment sion tion ion ou ism iti e ll""".split()


def stems():
    draw = random.Random(7)
    words = {root + ending for root in ROOTS for ending in ENDINGS}
    for _ in range(600):
        words.add(draw.choice(ROOTS) + "".join(draw.choice(ENDINGS) for _ in range(draw.randint(2, 3))))
    words |= set("sky skies dying lying tying news innings inning outings canning howe proceed exceed succeed".split())
    words |= set("died dies tied ties spied lied yes say play yyyy sss ed ing ied ies eed y".split())
    chosen = sorted(words)
    draw.shuffle(chosen)
    stemmer = porter.PorterStemmer()
    return {word: stemmer.stem(word) for word in sorted(chosen[:2500])}


def random_case(draw):
    vocabulary = "a b c d runs running ran".split()[: draw.randint(2, 7)]

    def text():
        words = [draw.choice(vocabulary) for _ in range(draw.randint(1, 24))]
        return "".join(word + draw.choice([" ", " ", " ", "\n", ". "]) for word in words)

    return [text() for _ in range(draw.randint(1, 3))], text()


def score(scorer, references, prediction):
    best = scorer.score_multi(references, prediction)
    return {kind: [float(best[kind].precision), float(best[kind].recall), float(best[kind].fmeasure)] for kind in KINDS}


def main():
    here = Path(__file__).resolve().parents[2] / "tests" / "golden" / "eval"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=here / "rouge.json")
    output = parser.parse_args().output
    draw = random.Random(3)
    plain = rouge_scorer.RougeScorer(KINDS, use_stemmer=False)
    stemmed = rouge_scorer.RougeScorer(KINDS, use_stemmer=True)
    cases = [
        {
            "references": references,
            "prediction": prediction,
            "plain": score(plain, references, prediction),
            "stemmed": score(stemmed, references, prediction),
        }
        for references, prediction in WRITTEN + [random_case(draw) for _ in range(40)]
    ]
    packages = {name: version(name) for name in ["rouge-score", "nltk"]}
    document = {**packages, "cases": cases, "stems": stems()}
    output.write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
