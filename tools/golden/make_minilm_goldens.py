#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""What PyTorch computes with all-MiniLM-L6-v2 on 200 real sentences and 3 long texts.

Two steps, so that the references can be made again without the corpora:

1. with `--corpora DIR`: draws the sentences (seeded; by source and kind, never by how a model does
   on them) and writes sentences.jsonl and long_texts.jsonl. DIR holds one folder per source, see SOURCES;
2. always: reads those files and tokenizer_cases.json's texts (below) and writes the reference token ids and embeddings.

The model folder comes from tools/golden/fetch_minilm.sh. Token ids come from the `tokenizers`
crate's Python binding and are checked against transformers' separate, pure Python implementation.
Embeddings are fp32, one unpadded text at a time: mean over all tokens ([CLS] and [SEP] included, as
sentence-transformers does it), then L2 norm. File layout: tests/golden/README.md.
"""

import argparse
import json
import lzma
import os
import random
import re
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import safetensors.numpy
import tokenizers
import torch
import transformers

SEED = 20250611
MAX_TOKENS = 512
# Folder in --corpora and the file read from it; origin, commit and licence are in tests/golden/README.md.
SOURCES = {
    "banking77": "benign_banking77/all.jsonl",
    "rust-book": "lm_rust_book/book.txt",
    "factbook": "lm_factbook/factbook.txt",
    "classic-books": "lm_classic_books/paragraphs.txt.xz",
    "scitldr": "summ_scitldr_A/test.jsonl",
}
# (kind, source, how many, predicate on the sentence)
QUOTAS = [
    ("question", "banking77", 35, lambda s: True),
    ("technical", "rust-book", 30, lambda s: words(s) >= 4),
    ("report", "factbook", 20, lambda s: 6 <= words(s) <= 60 and s[-1] == "."),
    ("numbers", "factbook", 10, lambda s: words(s) >= 4 and sum(c.isdigit() for c in s) >= 6),
    ("abstract", "scitldr", 25, lambda s: words(s) >= 4),
    ("narrative", "classic-books", 20, lambda s: 8 <= words(s) <= 60 and not quoted(s)),
    ("dialogue", "classic-books", 20, lambda s: words(s) >= 4 and quoted(s)),
    ("short", "classic-books", 10, lambda s: 1 <= words(s) <= 3),
    ("one-word", "classic-books", 5, lambda s: words(s) == 1),
    ("long", "classic-books", 10, lambda s: 80 <= words(s) <= 120),
    ("unicode", "classic-books", 8, lambda s: words(s) >= 4 and foreign(s)),
    ("unicode", "factbook", 7, lambda s: words(s) >= 4 and foreign(s)),
]
LONG = [("rust-book", 2), ("factbook", 1), ("classic-books", 1)]

# Written for this test: what a BERT normaliser and pre-tokeniser can get wrong.
HARD_TEXTS = [
    "",
    " ",
    "\t\r\n",
    "a",
    ".",
    "Hello,world!Is this...fine?",
    "UPPER lower MiXeD",
    "naïve façade, Ünïcödé, İstanbul, ŁÓDŹ, Ångström",
    "cafe\u0301 nai\u0308ve (combining marks)",
    "straße Ǆ ﬁne ½ ² ℃",
    "你好,世界 mixed 漢字kanji仮名かなカナ 한국어",
    "Привет мир; Γειά σου Κόσμε; שלום; مرحبا; नमस्ते; ไทย",
    "😀 👩‍👩‍👧 🇪🇺 ❤️ text",
    "zero\u200bwidth\u200cjoin\u200der\u2060 soft\u00adhyphen \ufeffbom",
    "nbsp\u00a0thin\u2009ideographic\u3000line\u2028para\u2029end",
    "control\x00null\x01\x07bell\x1bescape\x7fdelete\ufffdreplacement",
    "mail: jane.doe+test@example.co.uk, +44 (0)20 7946 0958, https://example.org/a?b=c&d=%20#e",
    "$1,234.56 €99 £1 ¥3 ₿ 10^-3 1e-5 0xDEADBEEF 3.14159265358979 1/2 5%",
    "snake_case camelCase kebab-case path/to/file.rs C:\\dir\\x <tag attr='v'> {\"k\": [1, 2]} `code` ~~~ |",
    "[CLS] literal [SEP] specials [MASK] [PAD] [UNK] [unused1]",
    "don't can't I'd we've o'clock 'quoted' \u201ccurly\u201d \u2018single\u2019 \u2014 \u2013 \u2026",
    "x" * 100,
    "x" * 101,
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "aaaa" * 60,
    "pneumonoultramicroscopicsilicovolcanoconiosis antidisestablishmentarianism",
]


def words(s):
    return len(s.split())


def quoted(s):
    return s[0] in "\"“" and any(c in "\"”" for c in s[1:])


def foreign(s):
    return any(c.isalpha() and ord(c) > 127 for c in s)


def split_sentences(paragraph):
    """Splits after . ! ? (and closing quotes) before a capital or an opening quote; plain on purpose."""
    return [p.strip() for p in re.split(r"(?<=[.!?])(?<!Mr\.)(?<!Mrs\.)(?<!Dr\.)(?<!St\.)\s+(?=[A-Z“\"'(])", paragraph)]


def book_paragraphs(text):
    """Prose paragraphs of the Rust book's Markdown: no code, headings, tables or include directives."""
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    for block in re.split(r"\n\s*\n", text):
        block = " ".join(line.lstrip("> ").strip() for line in block.splitlines()).strip()
        block = re.sub(r"!?\[([^\]]*)\](\[[^\]]*\]|\([^)]*\))", r"\1", block)
        if block and block[0].isalpha() and not re.search(r"<[a-z/]|\{\{|\|", block):
            yield block


def paragraphs_of(source, root):
    """The paragraphs of one corpus, in file order."""
    path = root / SOURCES[source]
    if source == "banking77":
        return [json.loads(line)["text"].strip() for line in path.open(encoding="utf-8")]
    if source == "scitldr":
        return [" ".join(s.strip() for s in json.loads(line)["source"]) for line in path.open(encoding="utf-8")]
    if source == "rust-book":
        return list(book_paragraphs(path.read_text(encoding="utf-8")))
    if source == "classic-books":
        return lzma.open(path, "rt", encoding="utf-8").read().split("\n")
    # Lines that give the Factbook's title and motto in the language of each country are not English.
    lines = (re.sub(r"\s+", " ", line).strip() for line in path.open(encoding="utf-8"))
    return [line for line in lines if "World Factbook" not in line]


def sentences_of(source, paragraphs, root):
    if source == "banking77":
        return paragraphs
    if source == "scitldr":
        path = root / SOURCES[source]
        return [s.strip() for line in path.open(encoding="utf-8") for s in json.loads(line)["source"]]
    return [s for p in paragraphs for s in split_sentences(p)]


def draw(root, tok, out):
    """Step 1: the seeded choice of sentences and long texts."""
    rng = random.Random(SEED)
    paragraphs = {source: paragraphs_of(source, root) for source in SOURCES}
    pools = {source: sentences_of(source, ps, root) for source, ps in paragraphs.items()}
    rows, seen = [], set()
    for kind, source, count, fits in QUOTAS:
        pool = pools[source]
        left = count
        while left:
            s = pool[rng.randrange(len(pool))]
            if s not in seen and any(c.isalpha() for c in s) and fits(s) and len(tok.encode(s).ids) <= 256:
                seen.add(s)
                rows.append({"text": s, "source": source, "kind": kind})
                left -= 1
    long_rows = []
    for source, least in LONG:
        while True:
            # A run of paragraphs, joined by newlines, of 520 to 1600 tokens.
            start, text, n = rng.randrange(len(paragraphs[source])), "", 0
            run = []
            while len(run) < least or (source == "rust-book" and n <= MAX_TOKENS + 8 and len(run) < 20):
                run.append(paragraphs[source][(start + len(run)) % len(paragraphs[source])])
                text = "\n".join(run)
                n = len(tok.encode(text).ids)
            if MAX_TOKENS + 8 < n <= 1600:
                long_rows.append({"text": text, "source": source})
                break
    for name, items in (("sentences.jsonl", rows), ("long_texts.jsonl", long_rows)):
        (out / name).write_text(
            "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in items), encoding="utf-8"
        )


def read_jsonl(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def ragged(lists):
    """Concatenated ids and the [n + 1] offsets of each list."""
    offsets = np.cumsum([0] + [len(x) for x in lists]).astype(np.int32)
    return np.concatenate([np.array(x, dtype=np.uint16) for x in lists]), offsets


def embed(model, ids):
    """Last hidden state [tokens, 384] and the normalised mean [384] of one text."""
    with torch.no_grad():
        hidden = model(
            input_ids=torch.tensor([ids]), token_type_ids=torch.zeros((1, len(ids)), dtype=torch.long)
        ).last_hidden_state[0]
        mean = hidden.mean(dim=0)
    return hidden.numpy(), (mean / mean.norm()).numpy()


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    p.add_argument("--model", type=Path, required=True, help="folder left by tools/golden/fetch_minilm.sh")
    p.add_argument("--out", type=Path, default=Path("tests/golden/minilm"), help="folder to write")
    p.add_argument("--corpora", type=Path, help="draw the sentences anew from the corpora in this folder")
    args = p.parse_args()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    args.out.mkdir(parents=True, exist_ok=True)

    tok = tokenizers.Tokenizer.from_file(str(args.model / "tokenizer.json"))
    # The file asks for 128 tokens, cut and padded; the model was trained to 256 and has positions for 512.
    tok.no_truncation()
    tok.no_padding()
    slow = transformers.BertTokenizer(str(args.model / "vocab.txt"), do_lower_case=True)
    if args.corpora:
        draw(args.corpora, tok, args.out)

    texts = [r["text"] for r in read_jsonl(args.out / "sentences.jsonl")]
    longs = [r["text"] for r in read_jsonl(args.out / "long_texts.jsonl")]
    ids = [tok.encode(t).ids for t in texts]
    long_ids = [tok.encode(t).ids for t in longs]
    for text, got in zip(texts + longs, ids + long_ids):
        want = slow.convert_tokens_to_ids(["[CLS]"] + slow.tokenize(text) + ["[SEP]"])
        assert got == want, f"the two tokenisers differ on {text!r}"
    assert len(texts) == 200 and max(map(len, ids)) <= 256 and min(map(len, long_ids)) > MAX_TOKENS

    cases = []
    for text in HARD_TEXTS:
        got = tok.encode(text)
        want = slow.convert_tokens_to_ids(["[CLS]"] + slow.tokenize(text) + ["[SEP]"])
        cases.append({"text": text, "ids": got.ids})
        if got.ids != want:
            print(f"note: pure Python tokeniser differs on {text[:60]!r}: {slow.convert_ids_to_tokens(want)} / {got.tokens}")
    (args.out / "tokenizer_cases.json").write_text(
        "[\n" + ",\n".join(json.dumps(c, ensure_ascii=True) for c in cases) + "\n]\n"
    )

    model = transformers.BertModel.from_pretrained(
        args.model, dtype=torch.float32, attn_implementation="eager", add_pooling_layer=False
    ).eval()
    state = [embed(model, x) for x in ids]
    # Cut as every BERT tokeniser does: the first 511 ids, then [SEP].
    cut = [x[: MAX_TOKENS - 1] + x[-1:] for x in long_ids]
    long_state = [embed(model, x) for x in cut]

    # Five full outputs: the shortest, the longest, and the quartiles between them.
    by_length = sorted(range(len(ids)), key=lambda i: (len(ids[i]), i))
    chosen = [by_length[round(q * (len(ids) - 1))] for q in (0.0, 0.25, 0.5, 0.75, 1.0)]
    tensors = {
        "embeddings": np.stack([e for _, e in state]),
        "long_embeddings": np.stack([e for _, e in long_state]),
        "hidden_index": np.array(chosen, dtype=np.int32),
    }
    for i in chosen:
        tensors[f"hidden.{i}"] = state[i][0]
    tensors["token_ids"], tensors["token_offsets"] = ragged(ids)
    tensors["long_token_ids"], tensors["long_token_offsets"] = ragged(long_ids)

    exact = model.double()
    worst = max(float(np.abs(embed(exact, x)[1] - e).max()) for x, (_, e) in zip(ids, state))
    meta = {
        "model": "sentence-transformers/all-MiniLM-L6-v2",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
        "max_abs_embedding_f32_minus_f64": f"{worst:.2e}",
    }
    # One key: the crate writes several in hash order, and the file should not change between runs.
    out = args.out / "embeddings_f32.safetensors"
    safetensors.numpy.save_file(tensors, out, metadata={"golden": json.dumps(meta)})
    out.chmod(0o644)
    lengths = np.array([len(x) for x in ids])
    print(
        f"{len(texts)} sentences, {lengths.min()} to {lengths.max()} tokens, median {np.median(lengths):.0f}; "
        f"long texts {[len(x) for x in long_ids]}; hidden states of {chosen} ({[len(ids[i]) for i in chosen]} tokens); "
        f"|f32-f64| {worst:.1e}"
    )


if __name__ == "__main__":
    main()
