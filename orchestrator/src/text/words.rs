// SPDX-License-Identifier: AGPL-3.0-or-later
//! Words of a text, and the folded form under which two of them count as the same.

use std::ops::Range;

/// Longest part of a word, in bytes, that its folded form is made from.
///
/// Longer runs (base64, hashes) are no words of a language; the bound keeps the cost of each flat.
const MAX_FOLDED: usize = 64;

/// English words that carry no topic, sorted for binary search.
#[rustfmt::skip]
const STOP_WORDS: &[&str] = &[
    "a", "about", "above", "after", "again", "against", "all", "also", "although", "am", "among",
    "an", "and", "any", "are", "as", "at", "be", "because", "been", "before", "being", "below",
    "between", "both", "but", "by", "can", "cannot", "could", "did", "do", "does", "doing", "down",
    "during", "each", "either", "else", "etc", "even", "ever", "every", "few", "for", "from",
    "further", "had", "has", "have", "having", "he", "hence", "her", "here", "hers", "herself",
    "him", "himself", "his", "how", "however", "i", "if", "in", "indeed", "into", "is", "it", "its",
    "itself", "just", "let", "many", "may", "me", "might", "more", "most", "much", "must", "my",
    "myself", "neither", "never", "no", "nor", "not", "now", "of", "off", "often", "on", "once",
    "only", "or", "other", "our", "ours", "ourselves", "out", "over", "own", "per", "perhaps",
    "quite", "rather", "really", "same", "several", "shall", "she", "should", "since", "so", "some",
    "still", "such", "than", "that", "the", "their", "theirs", "them", "themselves", "then",
    "there", "therefore", "these", "they", "this", "those", "though", "through", "thus", "to",
    "too", "toward", "towards", "under", "until", "up", "upon", "us", "very", "via", "was", "we",
    "were", "what", "when", "where", "whether", "which", "while", "who", "whom", "whose", "why",
    "will", "with", "within", "without", "would", "yet", "you", "your", "yours", "yourself",
];

/// One word of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word<'a> {
    /// The word as it stands.
    pub text: &'a str,
    /// Byte offset of its first byte.
    pub start: usize,
}

impl Word<'_> {
    /// Byte range of the word.
    pub fn span(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    /// Whether it begins with a digit.
    pub fn is_numeric(&self) -> bool {
        self.text.as_bytes().first().is_some_and(u8::is_ascii_digit)
    }

    /// Whether it looks like a name wherever it stands: a capital or a digit after the first letter.
    pub fn is_marked_name(&self) -> bool {
        !self.is_numeric()
            && self.text.chars().skip(1).any(|c| c.is_uppercase() || c.is_ascii_digit())
    }

    /// Whether it belongs to a redaction mark of `text`, such as `[EMAIL]` or `[US_PASSPORT]`.
    pub fn is_redaction_mark(&self, text: &str) -> bool {
        text[..self.start].ends_with(['[', '_'])
            && text[self.span().end..].starts_with([']', '_'])
            && self.text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    }

    /// Whether its first letter is a capital.
    pub fn is_capitalised(&self) -> bool {
        self.text.chars().next().is_some_and(char::is_uppercase)
    }
}

/// Iterator over the words of a text; see [`words`].
#[derive(Debug, Clone)]
pub struct Words<'a> {
    text: &'a str,
    pos: usize,
}

/// The words of a text, in order.
///
/// A word is a run of letters and digits. An apostrophe between letters (`don't`) and a point or
/// comma between digits (`1.58`, `1,000`) belong to it; a hyphen parts words (`1.58-bit` is two).
/// Each Han or kana character is a word of its own, as those scripts write no spaces.
pub fn words(text: &str) -> Words<'_> {
    Words { text, pos: 0 }
}

pub(crate) fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3041}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

fn is_word_char(c: char) -> bool {
    // Combining accents stay with their letter.
    c.is_alphanumeric() || matches!(c, '\u{0300}'..='\u{036F}')
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let rest = self.text.get(self.pos..)?;
        let Some(offset) = rest.find(is_word_char) else {
            self.pos = self.text.len();
            return None;
        };
        let start = self.pos + offset;
        let mut chars = self.text[start..].char_indices().peekable();
        let mut end = start;
        let mut last = '\0';
        while let Some((at, c)) = chars.next() {
            if is_ideograph(c) {
                if at == 0 {
                    end = start + c.len_utf8();
                }
                break;
            }
            if is_word_char(c) {
                end = start + at + c.len_utf8();
                last = c;
                continue;
            }
            let next = chars.peek().map_or('\0', |&(_, n)| n);
            let joins = match c {
                '\'' | '\u{2019}' => last.is_alphabetic() && next.is_alphabetic(),
                '.' | ',' => last.is_ascii_digit() && next.is_ascii_digit(),
                _ => false,
            };
            if !joins {
                break;
            }
        }
        self.pos = end;
        Some(Word { text: &self.text[start..end], start })
    }
}

/// Whether a word, in any case, is one of the closed list of English words without a topic.
pub fn is_stop_word(word: &str) -> bool {
    // Longer than any entry: not worth lowering.
    if word.len() > 12 {
        return false;
    }
    let lower = word.to_lowercase().replace('\u{2019}', "'");
    let bare = lower.strip_suffix("'s").unwrap_or(&lower);
    STOP_WORDS.binary_search(&bare).is_ok()
        || ["n't", "'re", "'ve", "'ll", "'d", "'m"].iter().any(|end| bare.ends_with(end))
}

/// The folded form of a word: lower case, without the endings of English inflection.
///
/// Light on purpose: `uses`, `used` and `using` meet in `us`, `classify` and `classification` in
/// `classifi`; it is a key to compare by, not a word to show. Words with digits keep theirs.
pub fn stem(word: &str) -> String {
    let mut cut = word.len().min(MAX_FOLDED);
    while !word.is_char_boundary(cut) {
        cut -= 1;
    }
    let mut s: String = word[..cut].chars().flat_map(char::to_lowercase).collect();
    for possessive in ["'s", "\u{2019}s", "'", "\u{2019}"] {
        if let Some(base) = s.strip_suffix(possessive) {
            s.truncate(base.len());
            break;
        }
    }
    if !s.bytes().all(|b| b.is_ascii_lowercase()) || s.len() < 3 {
        return s;
    }
    strip_plural(&mut s);
    strip_inflection(&mut s);
    s
}

fn strip_plural(s: &mut String) {
    if s.ends_with("ies") && s.len() > 4 {
        s.truncate(s.len() - 3);
        s.push('y');
    } else if s.ends_with("sses")
        || (s.len() > 4 && ["xes", "ches", "shes"].iter().any(|e| s.ends_with(e)))
    {
        s.truncate(s.len() - 2);
    } else if s.len() > 3
        && s.ends_with('s')
        && !["ss", "us", "is"].iter().any(|end| s.ends_with(end))
    {
        s.pop();
    }
}

fn strip_inflection(s: &mut String) {
    let has_vowel = |s: &str| s.bytes().any(|b| b"aeiouy".contains(&b));
    if s.len() > 8 && s.ends_with("ification") {
        s.truncate(s.len() - "cation".len());
        return;
    }
    let mut stripped = false;
    for (ending, shortest) in [("ingly", 3), ("edly", 3), ("ing", 2), ("ed", 2)] {
        let kept = s.len().saturating_sub(ending.len());
        if s.ends_with(ending) && kept >= shortest && has_vowel(&s[..kept]) {
            s.truncate(kept);
            stripped = true;
            break;
        }
    }
    if stripped {
        let b = s.as_bytes();
        // `stopped` -> `stop`, but `spelled` -> `spell`.
        if b.len() > 3 && b[b.len() - 1] == b[b.len() - 2] && !b"lsz".contains(&b[b.len() - 1]) {
            s.pop();
        }
    } else if s.len() > 5 && s.ends_with("ly") {
        s.truncate(s.len() - 2);
    } else if s.len() > 6 && (s.ends_with("tion") || s.ends_with("sion")) {
        s.truncate(s.len() - 3);
    }
    if s.len() > 2 && s.ends_with('e') {
        s.pop();
    } else if s.len() > 2 && s.ends_with('y') {
        s.pop();
        s.push('i');
    }
}

/// A 64-bit key of a word's folded form, equal for words that fold alike (FNV-1a).
///
/// Two different words share one with negligible chance; use it for counting, not for identity.
pub fn term_id(word: &str) -> u64 {
    stem(word)
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<&str> {
        words(text).map(|w| w.text).collect()
    }

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
    }

    #[test]
    fn words_keep_numbers_and_contractions_whole() {
        assert_eq!(
            list("BitNet b1.58 doesn't use 1,000 full-precision weights."),
            ["BitNet", "b1.58", "doesn't", "use", "1,000", "full", "precision", "weights"]
        );
        assert_eq!(list("end. 5. 'quoted' 3,"), ["end", "5", "quoted", "3"]);
        assert_eq!(list("\0 -- !"), Vec::<&str>::new());
    }

    #[test]
    fn words_of_other_scripts() {
        assert_eq!(list("模型abc好"), ["模", "型", "abc", "好"]);
        assert_eq!(list("Straße naïve e\u{301}t"), ["Straße", "naïve", "e\u{301}t"]);
        assert_eq!(list("a😀b"), ["a", "b"]);
    }

    #[test]
    fn spans_give_the_word_back() {
        let text = "Größe «1.58» – don’t 模";
        for word in words(text) {
            assert_eq!(&text[word.span()], word.text);
        }
    }

    #[test]
    fn redaction_marks_are_told_from_words() {
        let text = "Call [US_PASSPORT] or [EMAIL] or SOME_NAME or [1]";
        let marks: Vec<&str> =
            words(text).filter(|w| w.is_redaction_mark(text)).map(|w| w.text).collect();
        assert_eq!(marks, ["US", "PASSPORT", "EMAIL", "1"]);
    }

    #[test]
    fn inflections_fold_together() {
        for group in [
            &["use", "uses", "used", "using"][..],
            &["classify", "classifies", "classified", "classification", "classifications"],
            &["create", "creates", "created", "creating", "creation"],
            &["stop", "stops", "stopped", "stopping"],
            &["weight", "weights", "Weight's"],
            &["city", "cities"],
            &["effective", "effectively"],
        ] {
            let stems: Vec<String> = group.iter().map(|w| stem(w)).collect();
            assert!(stems.iter().all(|s| *s == stems[0]), "{group:?} -> {stems:?}");
        }
        for (a, b) in [("press", "pres"), ("thing", "th"), ("BitNet", "bit"), ("bus", "bu")] {
            assert_ne!(stem(a), stem(b), "{a} {b}");
        }
        assert_eq!(stem("b1.58"), "b1.58");
        assert_eq!(stem(&"a".repeat(1000)).len(), MAX_FOLDED);
        assert_eq!(stem(&"é".repeat(1000)).len(), MAX_FOLDED);
    }

    #[test]
    fn contractions_are_stop_words() {
        assert!(is_stop_word("Don't") && is_stop_word("it’s") && is_stop_word("THE"));
        assert!(!is_stop_word("model") && !is_stop_word(""));
    }
}
