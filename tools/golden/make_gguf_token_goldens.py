#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Token ids that llama.cpp (llama-cpp-python) gives 200 texts with the tokenizer of a GGUF file.

The texts are written here or drawn from pools by a seed: scripts, code, white space, emoji, numbers,
contractions, control characters, special tokens in the text. Special tokens are parsed, BOS and EOS added as the file says. No text has
"</s>": llama.cpp takes that for a control token in any vocabulary, and strips white space behind it in Phi-3's, where
the file says neither.

    make_gguf_token_goldens.py --gguf SmolLM2-135M-Instruct.Q4_1.gguf --out tests/golden/gguf/smollm2_tokens.json
"""

import argparse
import json
import random
from pathlib import Path

from llama_cpp import Llama

WRITTEN = [
    "",
    " ",
    "  ",
    "   ",
    "\n",
    "\t",
    "\r\n",
    "\n\n\n",
    " \n ",
    "\u00a0",
    "\u3000",
    "a",
    "Hello, world!",
    " Hello, world!",
    "Hello  world",
    "Hello   world  ",
    "The quick brown fox jumps over the lazy dog.",
    "I'm sure you've said they'll go; she'd come, he's here, we're not, don't!",
    "I'M SURE YOU'VE SAID THEY'LL GO; SHE'D COME, HE'S HERE, WE'RE NOT, DON'T!",
    "'s 't 're 've 'm 'll 'd 'x ''s",
    "0 1 12 123 1234 12345 123456 1234567890",
    "3.14159, 1,000,000.00 and -42e-10; 0xDEADBEEF; 1st 2nd 3rd",
    "½ ⅓ Ⅷ ٣٤٥ १२३ 〇一二三 ²³¹",
    "2026-11-21T16:20:34+00:00",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "Voix ambiguë d'un cœur qui au zéphyr préfère les jattes de kiwis.",
    "Любя, съешь щипцы, — вздохнёт мэр, — кайф жгуч.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.",
    "いろはにほへと ちりぬるを 我が世誰ぞ常ならむ",
    "我能吞下玻璃而不伤身体。",
    "키스의 고유조건은 입술끼리 만나야 하고",
    "نص حكيم له سر قاطع وذو شأن عظيم",
    "דג סקרן שט בים מאוכזב ולפתע מצא חברה",
    "ऋषियों को सताने वाले दुष्ट राक्षसों",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า",
    "Tiếng Việt có dấu: ắ ằ ẳ ẵ ặ",
    "e\u0301 vs \u00e9, n\u0303 vs \u00f1, \u1e9b\u0323",
    "😀 😃😄 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪🇫🇷 ❤️",
    "emoji😀in🚀words",
    "\u200b\u200czero\u200dwidth\ufeff",
    "bell\x07 null\x00 escape\x1b[0m delete\x7f",
    "\x01\x02\x03\x1e\x1f",
    "\u0080\u009f\u00ad",
    "\U0001d573\U0001d58a\U0001d591\U0001d591\U0001d594 \U00020000\U0010fffd",
    "\ue000\uf8ff\ufffd",
    "fn main() {\n    println!(\"{}\", 1 + 2);\n}\n",
    "def f(x):\n\treturn x ** 2  # squared\n\n\nprint(f(3))\n",
    "for (int i = 0; i < n; ++i) { a[i] += b[i] * c[i]; }",
    "SELECT * FROM t WHERE a >= 10 AND b != 'x' ORDER BY c DESC;",
    "<html><body class=\"a b\">&nbsp;</body></html>",
    "{\"key\": [1, 2.5, null, true], \"nested\": {\"a\": \"b\"}}",
    "if x==y&&z||!w{a<<=2;b>>=1;c^=~d}",
    "https://example.org/path/to?q=1&r=%20#frag",
    "user.name+tag@example.org",
    "C:\\Windows\\System32\\*.dll ~/.config $HOME ${VAR} `cmd`",
    "a_b-c.d/e\\f|g^h~i`j@k#l$m%n&o*p(q)r[s]t{u}v",
    "!!! ??? ... --- ___ ### $$$ %%% *** +++ === ~~~",
    "--> <-- <=> := :: ?. ?? |> =>",
    "                                        forty spaces",
    "tabs\t\t\tand\t \tspaces \t ",
    "line\nline\r\nline\rline\u2028line\u2029line\u0085line\x0bline\x0c",
    "trailing newline\n",
    "\n leading",
    "x" * 200,
    "ab" * 100,
    "!" * 130,
    " " * 130 + "end",
    "\n" * 40 + "end",
    "9" * 100,
    "é" * 60,
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "<|endoftext|>text<|endoftext|>",
    "a <|im_end|> b<|im_end|>c  <|im_end|>\n\nd",
    "<|im_start|><|im_start|><|im_end|>",
    "<|im_end", "<|im_start|", "<s>[INST] <<SYS>> <unk> <0x0A>",
    "<repo_name>bho<file_sep>src/main.rs<jupyter_code>",
    "\u2581\u2581a \u2581b", "Ġthe Ċ ĉ",
]
POOLS = {
    "words": "the of and to in model weights ternary CPU token cache Bandwidth kernel memory quantised Edge café naïve über straße".split(),
    "marks": list(".,;:!?\"'()[]{}<>-_=+*/\\|@#$%^&~`") + ["...", "--", "->", "«", "»", "„", "“", "—", "€", "£", "°", "©"],
    "space": [" ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", " \n", "\n ", "\u00a0", "\u2003"],
    "number": ["0", "7", "42", "007", "1999", "3.5", "1e9", "½", "٣", "Ⅳ", "10000000"],
    "script": ["привет", "мир", "你好", "世界", "こんにちは", "カタカナ", "안녕", "مرحبا", "שלום", "नमस्ते", "สวัสดี", "Ελλάδα"],
    "emoji": ["😀", "🚀", "👍🏽", "👩‍💻", "🇪🇺", "❤️", "✨", "🤖"],
    "code": ["self.x", "a[i]", "x += 1", "let mut v", "::<T>()", "#include", "/* c */", "// d", "\\n", "0b1010", "&&", "!=", "fn", "return;"],
    "clitic": ["'s", "'t", "'re", "'VE", "'ll", "'D", "n't", "’s"],
}
COUNT = 200


def texts() -> list[str]:
    random.seed(20261121)
    drawn = list(WRITTEN)
    while len(drawn) < COUNT:
        kinds = random.sample(sorted(POOLS), random.randint(2, 5))
        parts = [random.choice(POOLS[random.choice(kinds)]) for _ in range(random.randint(3, 24))]
        drawn.append(random.choice(["", " "]).join(parts))
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    model = Llama(str(args.gguf), vocab_only=True, verbose=False)
    cases = [{"text": t, "ids": model.tokenize(t.encode(), add_bos=True, special=True)} for t in texts()]
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    args.out.write_text(f"[\n{lines}\n]\n")
    print(f"{args.out.name}: {len(cases)} texts, {sum(len(c['ids']) for c in cases)} tokens")


if __name__ == "__main__":
    main()
