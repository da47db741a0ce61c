# SPDX-License-Identifier: AGPL-3.0-or-later
"""The view of a text that the model reads: as guard/src/text/view.rs makes it at run time."""

import re
import unicodedata

import emoji


def view(text):
    """NFKC, invisible characters dropped, emoji as the words of their CLDR short names, links and names as one word."""
    text = unicodedata.normalize("NFKC", text)
    text = "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Co", "Cn") or c in "\u200d\ufe0f")
    text = emoji.replace_emoji(text, lambda found, data: f" {data['en'].strip(':').replace('_', ' ')} ")
    text = re.sub(r"https?://\S+", " link ", text)
    return re.sub(r"[ \t]+", " ", text).strip()
