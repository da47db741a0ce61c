# SPDX-License-Identifier: AGPL-3.0-or-later
"""The twelve character injections of Hackett et al. (arXiv 2504.11168), written apart from the guard's own tests.

A technique takes a value and gives it disguised; a reader still sees it, or software can still decode it.
"""

import random

LEET = str.maketrans("aAeEiIoOsStT", "443311005577")
CYRILLIC = dict(zip("acehijopsxyABCEHIKMOPSTXY", "асеһіјорѕхуАВСЕНІКМОРЅТХУ", strict=True))
OTHER = {"d": "ԁ", "g": "ɡ", "l": "ⅼ", "m": "ⅿ", "n": "ո", "u": "ս", "v": "ν", "w": "ԝ", "N": "Ν", "Z": "Ζ"}
TURNED = {
    **dict(zip("abcdefghijklmnopqrstuvwxyz", "ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹsʇnʌʍxʎz", strict=True)),
    **dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "∀ꓭƆᗡƎℲ⅁HIſʞ˥WNOԀQᴚS┴∩ΛMX⅄Z", strict=True)),
    **dict(zip("0123456789.,?!()_", "0ƖᄅƐㄣϛ9ㄥ86˙'¿¡)(‾", strict=True)),
}
COMBINING = "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030c"
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"


def each(text, change):
    return "".join(change(character, i) for i, character in enumerate(text))


def numbers(text):
    return text.translate(LEET)


def spaces(text):
    return " ".join(text)


def homoglyphs(text):
    return each(text, lambda c, _: CYRILLIC.get(c) or OTHER.get(c, c))


def diacritics(text):
    return each(text, lambda c, i: c + COMBINING[i % len(COMBINING)] if c.isalnum() else c)


def underline(text):
    return each(text, lambda c, _: c + "\u0332" if c.isalnum() else c)


def upside_down(text):
    return each(text[::-1], lambda c, _: TURNED.get(c, c))


def bidirectional(text):
    return f"\u202e{text[::-1]}\u202c"


def deletions(text):
    rng = random.Random(len(text))
    return each(text, lambda c, i: rng.choice("abcxyz") + "\u0008" + c if i % 2 else c)


def full_width(text):
    return each(text, lambda c, _: chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c)


def zero_width(text):
    return each(text, lambda c, i: c + INVISIBLE[i % len(INVISIBLE)])


def emoji_smuggling(text):
    """Bytes as variation selectors behind an emoji: 0 to 15 from U+FE00, the others from U+E0100."""
    return "\U0001f642" + "".join(chr(0xFE00 + byte if byte < 16 else 0xE0100 + byte - 16) for byte in text.encode())


def unicode_tags(text):
    return "\U0001f3f4" + each(text, lambda c, _: chr(0xE0000 + ord(c)) if c.isascii() else c)


TECHNIQUES = {
    "numbers for letters": numbers,
    "spaces": spaces,
    "homoglyphs": homoglyphs,
    "diacritics": diacritics,
    "underline accents": underline,
    "upside down": upside_down,
    "bidirectional": bidirectional,
    "deletions": deletions,
    "full width": full_width,
    "zero width": zero_width,
    "emoji smuggling": emoji_smuggling,
    "unicode tags": unicode_tags,
}


def disguise(text, spans, technique):
    """The text with its labelled values disguised, and where they stand then; spans in characters, sorted, disjoint."""
    out, moved, done = "", [], 0
    for span in spans:
        out += text[done : span["start"]]
        start = len(out)
        out += TECHNIQUES[technique](text[span["start"] : span["end"]])
        moved.append({**span, "start": start, "end": len(out)})
        done = span["end"]
    return out + text[done:], moved
