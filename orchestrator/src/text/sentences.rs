// SPDX-License-Identifier: AGPL-3.0-or-later
//! Sentence splitting by rules, with byte spans.
//!
//! Lines first: blank lines, list items, headings, speakers (`User: ...`) and fenced code part
//! blocks; other line ends are soft wraps. Inside a block a full stop ends a sentence unless it
//! belongs to an abbreviation, an initial, a number, an address or an ellipsis that goes on.

use std::ops::Range;

use super::words::is_stop_word;

/// Longest sentence in bytes; longer ones are cut at a semicolon, comma or space.
///
/// About 130 tokens of English: a legal sentence still passes whole, while text without
/// punctuation stays inside an encoder's window.
pub const MAX_SENTENCE_BYTES: usize = 600;

/// Lines shorter than this that are followed by a capital end a block: titles, verses, addresses.
const SHORT_LINE_BYTES: usize = 40;

/// Words of a heading without `#`, at most.
const MAX_HEADING_WORDS: usize = 12;

/// Bytes before a heading on its line, at most.
const MAX_INDENT: usize = 16;

/// How far back from a full stop its word is read.
const MAX_TOKEN_BYTES: usize = 48;

/// Most stops, and most closing marks, that are taken as one; bounds the length of a sentence.
const MAX_RUN: usize = 16;

/// Abbreviations after which a sentence does not end.
#[rustfmt::skip]
const NEVER_END: &[&str] = &[
    "approx", "ca", "capt", "cf", "cmdr", "col", "dept", "dr", "e.g", "eg", "eq", "eqs", "esp",
    "est", "fig", "figs", "gen", "gov", "hon", "i.e", "ie", "incl", "lt", "messrs", "mlle", "mme",
    "mr", "mrs", "ms", "mx", "pres", "prof", "ref", "refs", "rep", "resp", "rev", "sen", "sgt",
    "univ", "viz", "vs",
];

/// Abbreviations that also end sentences: they do when a word such as `The` follows.
#[rustfmt::skip]
const MAY_END: &[&str] = &[
    "al", "apr", "aug", "ave", "blvd", "bros", "co", "corp", "dec", "etc", "feb", "ft", "inc",
    "jan", "jr", "jul", "jun", "llc", "ltd", "mar", "mt", "nov", "oct", "ph.d", "plc", "rd", "sep",
    "sept", "sr", "st",
];

/// Abbreviations only before a number: `No. 5`, but `He said no. Then`.
const BEFORE_NUMBER: &[&str] = &["art", "ch", "no", "nos", "nr", "p", "pp", "pt", "sec", "vol"];

/// Iterator over the sentences of a text; see [`sentences`].
#[derive(Debug, Clone)]
pub struct Sentences<'a> {
    text: &'a str,
    /// Next byte to read in the current block.
    pos: usize,
    block_end: usize,
    next_line: usize,
    in_fence: bool,
    /// The current block is a line of code: cut only when overlong.
    verbatim: bool,
}

/// The sentences of a text, in order, as byte ranges without the whitespace around them.
///
/// List markers and heading signs are left out of the ranges; lines of nothing but ASCII
/// punctuation (rules, underlines) give none. Ranges never overlap and lie on character
/// boundaries; each is at most [`MAX_SENTENCE_BYTES`] long, its final run of stops and closing
/// marks not counted.
pub fn sentences(text: &str) -> Sentences<'_> {
    Sentences { text, pos: 0, block_end: 0, next_line: 0, in_fence: false, verbatim: false }
}

impl Iterator for Sentences<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            if self.pos >= self.block_end && !self.next_block() {
                return None;
            }
            if let Some(range) = self.next_in_block()
                && has_content(&self.text[range.clone()])
            {
                return Some(range);
            }
        }
    }
}

fn has_content(s: &str) -> bool {
    s.chars().any(|c| {
        let mark = is_wide_stop(c) || is_stop(c) || is_closer(c) || is_opener(c);
        c.is_ascii_alphanumeric() || (!c.is_ascii() && !c.is_whitespace() && !mark)
    })
}

/// A line as byte offsets: first non-space byte, end without trailing space, start of the next.
struct Line {
    start: usize,
    end: usize,
    next: usize,
}

impl Sentences<'_> {
    fn line_at(&self, at: usize) -> Option<Line> {
        let rest = self.text.get(at..).filter(|rest| !rest.is_empty())?;
        let (line, next) = match rest.find('\n') {
            Some(n) => (&rest[..n], at + n + 1),
            None => (rest, self.text.len()),
        };
        let end = at + line.trim_end().len();
        let start = (at + line.len() - line.trim_start().len()).min(end);
        Some(Line { start, end, next })
    }

    /// Moves to the next block of text; false at the end.
    fn next_block(&mut self) -> bool {
        while let Some(line) = self.line_at(self.next_line) {
            self.next_line = line.next;
            let content = &self.text[line.start..line.end];
            if content.starts_with("```") || content.starts_with("~~~") {
                self.in_fence = !self.in_fence;
                continue;
            }
            if !has_content(content) {
                continue;
            }
            self.verbatim = self.in_fence;
            self.pos = line.start + if self.in_fence { 0 } else { marker_len(content) };
            self.block_end = line.end;
            if !self.in_fence && !content.starts_with('#') && !content.starts_with('|') {
                self.extend_block(line);
            }
            return true;
        }
        false
    }

    /// Takes the following lines into the block as long as they are soft wraps.
    fn extend_block(&mut self, mut last: Line) {
        while let Some(line) = self.line_at(self.next_line) {
            let content = &self.text[line.start..line.end];
            let starts_block = !has_content(content)
                || content.starts_with("```")
                || content.starts_with("~~~")
                || content.starts_with('|')
                || marker_len(content) > 0
                || is_speaker(content);
            let short = last.end - last.start < SHORT_LINE_BYTES
                && !self.text[..last.end].ends_with([',', ';', ':', '-', '\u{2014}'])
                && !content.starts_with(char::is_lowercase);
            if starts_block || short {
                return;
            }
            self.next_line = line.next;
            self.block_end = line.end;
            last = line;
        }
    }

    fn next_in_block(&mut self) -> Option<Range<usize>> {
        let end = self.block_end;
        let rest = &self.text[self.pos..end];
        let start = self.pos + rest.len() - rest.trim_start().len();
        let mut i = start;
        // Where an overlong sentence may be cut, best first.
        let (mut clause, mut comma, mut space) = (None, None, None);
        let bytes = self.text.as_bytes();
        while i < end {
            if i - start >= MAX_SENTENCE_BYTES {
                i = clause.or(comma).or(space).unwrap_or(i);
                break;
            }
            let late = i - start >= MAX_SENTENCE_BYTES / 3;
            let byte = bytes[i];
            if byte.is_ascii() {
                match byte {
                    b'.' | b'!' | b'?' if !self.verbatim => match self.stop_at(start, i, end) {
                        Stop::Ends(at) => {
                            i = at;
                            break;
                        }
                        Stop::Continues(at) => i = at,
                    },
                    b';' | b':' if late && bytes.get(i + 1) == Some(&b' ') => {
                        i += 1;
                        clause = Some(i);
                    }
                    b',' if late && bytes.get(i + 1) == Some(&b' ') => {
                        i += 1;
                        comma = Some(i);
                    }
                    _ => {
                        if late && byte.is_ascii_whitespace() {
                            space = Some(i);
                        }
                        i += 1;
                    }
                }
                continue;
            }
            let c = self.char_at(i, end);
            let after = i + c.len_utf8();
            if !self.verbatim && is_wide_stop(c) {
                i = self.skip_run(after, end, |c| is_wide_stop(c) || is_closer(c));
                break;
            }
            if !self.verbatim && matches!(c, '\u{2026}' | '\u{61F}' | '\u{964}' | '\u{6D4}') {
                match self.stop_at(start, i, end) {
                    Stop::Ends(at) => {
                        i = at;
                        break;
                    }
                    Stop::Continues(at) => i = at,
                }
                continue;
            }
            if late && (c.is_whitespace() || matches!(c, '\u{3001}' | '\u{FF0C}')) {
                space = Some(after);
            }
            i = after;
        }
        self.pos = i;
        let stop = start + self.text[start..i].trim_end().len();
        (stop > start).then_some(start..stop)
    }

    fn char_at(&self, at: usize, end: usize) -> char {
        self.text[at..end].chars().next().unwrap_or('\0')
    }

    fn skip_while(&self, at: usize, end: usize, keep: impl Fn(char) -> bool) -> usize {
        let rest = &self.text[at..end];
        at + rest.find(|c| !keep(c)).unwrap_or(rest.len())
    }

    /// [`Sentences::skip_while`] over at most [`MAX_RUN`] characters.
    fn skip_run(&self, at: usize, end: usize, keep: impl Fn(char) -> bool) -> usize {
        let run = self.text[at..end].chars().take(MAX_RUN).take_while(|&c| keep(c));
        at + run.map(char::len_utf8).sum::<usize>()
    }

    /// Decides on the run of stops that begins at `i`, in a sentence that began at `start`.
    fn stop_at(&self, start: usize, i: usize, end: usize) -> Stop {
        let run_end = self.skip_run(i, end, is_stop);
        let run = &self.text[i..run_end];
        let closed = self.skip_closers(run_end, end);
        if closed == end {
            return Stop::Ends(end);
        }
        let next = self.char_at(closed, end);
        if !next.is_whitespace() {
            // `good.The film`: a space is missing. `fmt.Println` and `example.com` are whole.
            let glued = run == "."
                && closed == run_end
                && self.is_starter(closed, end)
                && self.token_before(start, i).bytes().all(|b| b.is_ascii_lowercase())
                && i - start > 2;
            return if glued { Stop::Ends(closed) } else { Stop::Continues(run_end) };
        }
        let word_at = self.skip_while(closed, end, char::is_whitespace);
        let word_at = self.skip_while(word_at, end, is_opener);
        if word_at == end {
            return Stop::Ends(closed);
        }
        let follower = self.char_at(word_at, end);
        let lower = follower.is_lowercase();
        let ends = if run == "." {
            self.period_ends(start, i, word_at, end)
        } else if run.chars().all(|c| matches!(c, '.' | '\u{2026}')) {
            !lower
        } else {
            // `"Really?" he asked` goes on; `really? i think so` does not.
            !(lower && closed > run_end)
        };
        if ends { Stop::Ends(closed) } else { Stop::Continues(run_end) }
    }

    /// Whether the single full stop at `i` ends a sentence; the next word begins at `word_at`.
    fn period_ends(&self, start: usize, i: usize, word_at: usize, end: usize) -> bool {
        let follower = self.char_at(word_at, end);
        let lower = follower.is_lowercase();
        let token = self.token_before(start, i);
        if token.is_empty() {
            // A stop set off by spaces, as in tokenized corpora.
            return !lower && i > start;
        }
        let at_start = i - start == token.len();
        let letters = token.chars().count();
        let numbering = letters <= 3 && token.bytes().all(|b| b.is_ascii_digit());
        if at_start && (numbering || letters == 1) {
            return false;
        }
        if letters == 1 && token.chars().all(char::is_alphabetic) && token != "I" {
            return self.is_starter(word_at, end);
        }
        let folded = token.to_ascii_lowercase();
        let folded = folded.as_str();
        if NEVER_END.binary_search(&folded).is_ok() {
            return false;
        }
        if BEFORE_NUMBER.binary_search(&folded).is_ok() && follower.is_ascii_digit() {
            return false;
        }
        if folded == "etc" {
            return !lower;
        }
        if MAY_END.binary_search(&folded).is_ok() || is_dotted_acronym(token) {
            return self.is_starter(word_at, end);
        }
        !lower || letters >= 3 || token.ends_with(|c: char| !c.is_alphabetic())
    }

    /// The word that ends right before `i`, without opening quotes and brackets; of a word longer
    /// than any abbreviation, its last bytes.
    fn token_before(&self, start: usize, i: usize) -> &str {
        let mut from = i.saturating_sub(MAX_TOKEN_BYTES).max(start);
        while !self.text.is_char_boundary(from) {
            from += 1;
        }
        let window = &self.text[from..i];
        let token = window.rsplit(char::is_whitespace).next().unwrap_or("");
        token.trim_start_matches(is_opener)
    }

    /// Skips closing quotes and brackets, and reference marks such as `[12]`.
    fn skip_closers(&self, at: usize, end: usize) -> usize {
        let mut at = self.skip_run(at, end, is_closer);
        while self.text[at..end].starts_with('[') {
            let digits = self.skip_run(at + 1, end, |c| c.is_ascii_digit());
            if digits == at + 1 || digits - at > 4 || !self.text[digits..end].starts_with(']') {
                break;
            }
            at = digits + 1;
        }
        at
    }

    /// Whether the word at `at` is one that opens sentences: a capitalised function word.
    fn is_starter(&self, at: usize, end: usize) -> bool {
        // One byte past the longest function word is enough to tell.
        let word_end = self.text[at..end]
            .char_indices()
            .take(13)
            .find(|(_, c)| !c.is_alphabetic())
            .map_or(end, |(n, _)| at + n);
        let word = &self.text[at..word_end];
        word.len() > 1
            && word.len() <= 12
            && word.starts_with(|c: char| c.is_ascii_uppercase())
            && word[1..].bytes().all(|b| b.is_ascii_lowercase())
            && is_stop_word(word)
    }
}

enum Stop {
    /// The sentence ends before this byte.
    Ends(usize),
    /// It goes on; scanning resumes here.
    Continues(usize),
}

fn is_stop(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '\u{2026}' | '\u{61F}' | '\u{964}' | '\u{6D4}')
}

/// Stops of scripts that write no space after them.
fn is_wide_stop(c: char) -> bool {
    matches!(c, '\u{3002}' | '\u{FF01}' | '\u{FF1F}' | '\u{FF61}' | '\u{FF0E}')
}

#[rustfmt::skip]
fn is_closer(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '}' | '*' | '_' | '`' | '\u{BB}' | '\u{201D}'
        | '\u{2019}' | '\u{300D}' | '\u{300F}' | '\u{FF09}' | '\u{3011}' | '\u{300B}')
}

#[rustfmt::skip]
fn is_opener(c: char) -> bool {
    matches!(c, '"' | '\'' | '(' | '[' | '{' | '*' | '_' | '`' | '\u{AB}' | '\u{201C}'
        | '\u{2018}' | '\u{300C}' | '\u{300E}' | '\u{FF08}' | '\u{3010}' | '\u{BF}' | '\u{A1}')
}

/// `U.S`, `a.m`, `Ph.D`: short letter groups with points between (the last point is not in it).
fn is_dotted_acronym(token: &str) -> bool {
    token.contains('.')
        && token
            .split('.')
            .all(|p| (1..=2).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphabetic()))
}

fn is_speaker(line: &str) -> bool {
    speaker(line).is_some()
}

/// The speaker whose turn a line begins: `User` of `User: ...`.
///
/// One capitalised ASCII word of 2 to 16 letters, a colon and a space; `Note: ...` is taken for
/// one as well.
pub fn speaker(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once(':')?;
    let is_name = (2..=16).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|b| b.is_ascii_alphabetic());
    (is_name && rest.starts_with(' ')).then_some(name)
}

/// Whether a sentence of `text` is a heading: a line of its own that begins with `#`, or one of at
/// most twelve words, without a final stop, above a blank line or an underline.
pub fn is_heading(text: &str, sentence: &Range<usize>) -> bool {
    // Neither way further than a heading needs: a text may be one line of many sentences.
    let mut from = sentence.start.saturating_sub(MAX_INDENT);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let marker = match text[from..sentence.start].rsplit_once('\n') {
        Some((_, marker)) => marker.trim(),
        None if from == 0 => text[..sentence.start].trim(),
        None => return false,
    };
    if !marker.is_empty() {
        return marker.bytes().all(|b| b == b'#');
    }
    let below = text[sentence.end..].trim_start();
    let gap = &text[sentence.end..text.len() - below.len()];
    let underlined = below.starts_with("==") || below.starts_with("--");
    let lines = gap.matches('\n').count();
    let sentence = &text[sentence.clone()];
    (lines > 1 || (lines == 1 && underlined))
        && sentence.split_whitespace().nth(MAX_HEADING_WORDS).is_none()
        && !ends_with_stop(sentence)
}

/// Whether a sentence ends with a stop, closing marks aside, or with a colon.
pub fn ends_with_stop(sentence: &str) -> bool {
    sentence.trim_end_matches(is_closer).ends_with(|c| is_stop(c) || is_wide_stop(c) || c == ':')
}

/// Bytes of a list marker or heading sign at the start of a line, with the space after; 0 if none.
fn marker_len(line: &str) -> usize {
    let mut chars = line.chars();
    let sign = match chars.next() {
        Some(
            c @ ('-' | '*' | '+' | '\u{2022}' | '\u{2023}' | '\u{25E6}' | '\u{25AA}' | '\u{25CF}'
            | '\u{2013}' | '\u{2014}'),
        ) => c.len_utf8(),
        Some('#') => line.find(|c| c != '#').filter(|n| *n <= 6).unwrap_or(0),
        Some('(') => match line.find(')') {
            Some(n @ 2..=4) if line[1..n].bytes().all(|b| b.is_ascii_alphanumeric()) => n + 1,
            _ => 0,
        },
        Some(c) if c.is_ascii_alphanumeric() => {
            let digits = line.bytes().take_while(u8::is_ascii_digit).count();
            match (digits, line.as_bytes().get(digits.max(1))) {
                (1..=3, Some(b'.' | b')')) => digits + 1,
                (0, Some(b')')) => 2,
                _ => 0,
            }
        }
        _ => 0,
    };
    if sign == 0 || !line[sign..].starts_with([' ', '\t']) {
        return 0;
    }
    sign + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        sentences(text).map(|r| &text[r]).collect()
    }

    #[test]
    fn tables_are_sorted() {
        assert!(NEVER_END.is_sorted() && MAY_END.is_sorted() && BEFORE_NUMBER.is_sorted());
    }

    #[test]
    fn abbreviations_do_not_end_a_sentence() {
        for whole in [
            "Dr. Smith and Mr. Jones met Prof. Lee at St. Mary's.",
            "See Fig. 3 and Eq. 4, e.g. the left one, i.e. the first.",
            "The U.S. Senate met at 5 p.m. Eastern time.",
            "J. R. R. Tolkien and George W. Bush never met.",
            "It costs approx. five dollars vs. six.",
            "See No. 5, vol. 3, pp. 12 of Smith et al. Nature.",
            "Acme Inc. Holdings bought it in Jan. 2024 for $3.5M.",
        ] {
            assert_eq!(split(whole), [whole]);
        }
    }

    #[test]
    fn abbreviations_end_one_before_a_function_word() {
        assert_eq!(split("He lives in the U.S. The end."), ["He lives in the U.S.", "The end."]);
        assert_eq!(split("He sold Acme Inc. It was big."), ["He sold Acme Inc.", "It was big."]);
        assert_eq!(split("He said no. Then he left."), ["He said no.", "Then he left."]);
        assert_eq!(split("Pens, ink, etc. Paper too."), ["Pens, ink, etc.", "Paper too."]);
        assert_eq!(split("So did I. Nobody saw."), ["So did I.", "Nobody saw."]);
    }

    #[test]
    fn numbers_addresses_and_marks_stay_whole() {
        assert_eq!(
            split("BitNet b1.58 uses 1.58 bits. See https://a.example/x.y?z=1! Or not."),
            ["BitNet b1.58 uses 1.58 bits.", "See https://a.example/x.y?z=1!", "Or not."]
        );
        assert_eq!(
            split("Contact me at test@example.com. Write to [EMAIL]. [PHONE] works. Ok v2.0.1?"),
            [
                "Contact me at test@example.com.",
                "Write to [EMAIL].",
                "[PHONE] works.",
                "Ok v2.0.1?"
            ]
        );
        assert_eq!(
            split("Call fmt.Println or node.js today."),
            ["Call fmt.Println or node.js today."]
        );
    }

    #[test]
    fn ellipses_quotes_and_brackets() {
        assert_eq!(
            split("Well... maybe. Well... Then go."),
            ["Well... maybe.", "Well...", "Then go."]
        );
        assert_eq!(
            split("He said \"Go.\" Then (so.) They left."),
            ["He said \"Go.\"", "Then (so.)", "They left."]
        );
        assert_eq!(
            split("“Really?” he asked. «Oui!» Non."),
            ["“Really?” he asked.", "«Oui!»", "Non."]
        );
        assert_eq!(split("A fact.[12] Another one."), ["A fact.[12]", "Another one."]);
        assert_eq!(split("What?! No... Yes…"), ["What?!", "No...", "Yes…"]);
        assert_eq!(
            split("it works. it is fast. ok? sure"),
            ["it works.", "it is fast.", "ok?", "sure"]
        );
        assert_eq!(split("It was good.The plot was not."), ["It was good.", "The plot was not."]);
        assert_eq!(split("Two women sit . They talk ."), ["Two women sit .", "They talk ."]);
    }

    #[test]
    fn lines_lists_headings_and_code() {
        let text = "# Title\nA first line that is long enough to be wrapped softly\nand goes on here. Next.\n\n- one\n- two parts. Of it\n1. three\n2) four\n---\nShort head\nBody text.\n```rust\nlet x = a.b; foo. Bar\n```\nAfter.";
        assert_eq!(
            split(text),
            [
                "Title",
                "A first line that is long enough to be wrapped softly\nand goes on here.",
                "Next.",
                "one",
                "two parts.",
                "Of it",
                "three",
                "four",
                "Short head",
                "Body text.",
                "let x = a.b; foo. Bar",
                "After."
            ]
        );
        assert_eq!(
            split("User: hi there\r\nAssistant: hello."),
            ["User: hi there", "Assistant: hello."]
        );
    }

    #[test]
    fn other_scripts() {
        assert_eq!(
            split("これは。「はい。」次です！模型很小。"),
            ["これは。", "「はい。」", "次です！", "模型很小。"]
        );
        assert_eq!(split("यह एक है। दूसरा।"), ["यह एक है।", "दूसरा।"]);
        assert_eq!(split("Été. Élan vital."), ["Été.", "Élan vital."]);
        assert_eq!(split("Go 😀! Now 🎉. 😀"), ["Go 😀!", "Now 🎉.", "😀"]);
    }

    #[test]
    fn nothing_and_noise() {
        assert!(split("").is_empty());
        assert!(split(" \n\t\r\n ... \n---\n!!!").is_empty());
        assert_eq!(split("\0a\0. B"), ["\0a\0.", "B"]);
        assert_eq!(split("no stop at all"), ["no stop at all"]);
    }

    #[test]
    fn overlong_sentences_are_cut_at_clauses_then_spaces() {
        let clause = "word ".repeat(80);
        let text = format!("{clause}; {clause}, {clause}");
        let parts = split(&text);
        assert!(parts[0].ends_with(';'), "{parts:?}");
        assert!(parts.iter().all(|p| p.len() <= MAX_SENTENCE_BYTES));
        let joined: String = parts.concat().split_whitespace().collect();
        assert_eq!(joined, text.split_whitespace().collect::<String>());
        for text in [
            ".".repeat(5000),
            "a\u{3002}".to_owned() + &"\u{3002}".repeat(5000),
            "a\"".repeat(5000),
        ] {
            assert!(split(&text).iter().all(|p| p.len() <= MAX_SENTENCE_BYTES + 6 * MAX_RUN));
        }
        for text in ["x".repeat(5000), "é".repeat(5000), "模".repeat(5000)] {
            assert_eq!(split(&text).concat(), text);
        }
    }

    fn headings(text: &str) -> Vec<&str> {
        sentences(text).filter(|s| is_heading(text, s)).map(|s| &text[s]).collect()
    }

    #[test]
    fn headings_stand_alone_without_a_stop() {
        let text = "# Write-ahead logging\n\nA log is kept. It is short\n\nSetup\n=====\nRun it.\n\n  \
            Limits of it\n\n- one thing\n\nIs it fast?\n\n**Notes**\n\nThe last line";
        assert_eq!(headings(text), ["Write-ahead logging", "Setup", "Limits of it", "**Notes**"]);
        let long = "one two three four five six seven eight nine ten eleven twelve thirteen";
        assert!(headings(&format!("{long}\n\nThen.")).is_empty());
        assert_eq!(headings(&format!("## {long}\nThen.")), [long]);
        assert!(headings("Soft\nwraps go on\nand on. Here\u{e9} too\n").is_empty());
    }

    #[test]
    fn speakers_are_one_capitalised_word() {
        assert_eq!(speaker("User: hi"), Some("User"));
        for line in ["user: hi", "User hi", "User:hi", "The user: hi", "U: hi", ": hi", "", "User:"]
        {
            assert_eq!(speaker(line), None, "{line}");
        }
    }

    #[test]
    fn ranges_are_ordered_trimmed_and_whole() {
        let text = "A é. B\u{a0}ü! «C»?\n\n  * D 😀…  E.\u{2028}F. \u{3000}G";
        let mut last = 0;
        for range in sentences(text) {
            assert!(range.start >= last && range.end > range.start);
            assert_eq!(text[range.clone()].trim(), &text[range.clone()]);
            last = range.end;
        }
    }

    /// Ten megabytes of shapes that would be quadratic if anything looked back or ahead without a
    /// bound: the time may not grow faster than the length does (with room for a busy machine).
    #[test]
    fn time_is_linear_in_the_length() {
        let shapes = [
            "a. b? ",
            "(e.g. x) ",
            "...",
            "a...)))\"",
            "模。。",
            "a.[1][2]",
            ". ((",
            ".)",
            ". \n",
            "Dr.  \t ",
            "模。",
            "[1",
            "\n- a",
            "aaaaaaa",
            ". a",
        ];
        for shape in shapes {
            let time = |bytes: usize| {
                let text = shape.repeat(bytes / shape.len());
                let at = std::time::Instant::now();
                let n = sentences(&text).filter(|s| !is_heading(&text, s)).count();
                (at.elapsed().as_secs_f64(), n)
            };
            let (small, _) = time(1_250_000);
            let (large, _) = time(10_000_000);
            assert!(
                large < small * 8.0 * 5.0 + 0.5,
                "{shape:?}: {small} s for 1.25 MB, {large} s for 10 MB"
            );
        }
        // Whitespace alone, after a stop that does not end.
        let text = format!("Dr.{}x", " ".repeat(10_000_000));
        assert_eq!(sentences(&text).count(), 2);
    }
}
