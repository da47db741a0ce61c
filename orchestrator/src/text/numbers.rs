// SPDX-License-Identifier: AGPL-3.0-or-later
//! Quantities in a text: values with units, and whether two of them agree.

use std::ops::Range;

use super::words::{Word, is_stop_word, stem, words};

/// What a quantity counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuantityKind {
    /// A calendar year.
    Year,
    /// A percentage.
    Percent,
    /// An amount of a currency, by its folded name (`dollar`, `euro`, `pound`, `yen`).
    Money(&'static str),
    /// A rank: `3rd`, `third`.
    Ordinal,
    /// A count or measure.
    Count,
}

/// How a quantity bounds the value it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The value itself.
    Exact,
    /// `about`, `around`, `nearly`: within a tenth.
    About,
    /// `at least`, `over`, `more than`.
    AtLeast,
    /// `at most`, `under`, `less than`.
    AtMost,
}

/// A number in a text with what it counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantity {
    /// The value, multipliers applied: `$5M` is 5e6.
    pub value: f64,
    /// What it counts.
    pub kind: QuantityKind,
    /// Folded forms of up to two content words after it, e.g. `["bit", "weight"]`.
    pub units: Vec<String>,
    /// What a word before it says of the value.
    pub bound: Bound,
    /// Half of the last digit written, in units of the value: 1.58 stands for 1.575..=1.585.
    pub rounding: f64,
    /// Byte range of the number itself.
    pub span: Range<usize>,
}

impl Quantity {
    /// Whether both count the same sort of thing, so that different values contradict each other.
    ///
    /// Counts compare when the units of one are among those of the other (`1.58 bits` and `2-bit
    /// weights`, but not `two broad groups` and `three broad classes`), and unitless with unitless.
    pub fn comparable(&self, other: &Self) -> bool {
        if self.kind != other.kind {
            return false;
        }
        match self.kind {
            QuantityKind::Year | QuantityKind::Percent | QuantityKind::Money(_) => true,
            QuantityKind::Ordinal | QuantityKind::Count => {
                let within = |a: &Self, b: &Self| a.units.iter().all(|u| b.units.contains(u));
                self.units.is_empty() == other.units.is_empty()
                    && (within(self, other) || within(other, self))
            }
        }
    }

    /// Whether the values agree: equal, equal after the rounding either was written with, or
    /// allowed by either's bound. Symmetric.
    pub fn agrees(&self, other: &Self) -> bool {
        let (a, b) = (self.value, other.value);
        let gap = (a - b).abs();
        if gap <= 1e-9 * a.abs().max(b.abs()).max(1.0) {
            return true;
        }
        // Only a fraction or a round figure was rounded: a plain 3 is no 3.4, nor 1982 a 1982.4.
        // And never by more than a tenth: 1000 pages are no 500.
        let rounded = |q: &Self| {
            let rounding = if q.rounding < 0.5 || q.rounding >= 5.0 { q.rounding } else { 0.0 };
            rounding.min(q.value.abs() / 10.0)
        };
        if gap <= rounded(self).max(rounded(other)) * (1.0 + 1e-9) {
            return true;
        }
        let allows = |q: &Self, v: f64| match q.bound {
            Bound::Exact => false,
            Bound::About => (v - q.value).abs() <= q.value.abs() / 10.0,
            Bound::AtLeast => v >= q.value,
            Bound::AtMost => v <= q.value,
        };
        allows(self, b) || allows(other, a)
    }
}

#[rustfmt::skip]
const SPELLED: &[(&str, f64)] = &[
    ("eight", 8.0), ("eighteen", 18.0), ("eighty", 80.0), ("eleven", 11.0), ("fifteen", 15.0),
    ("fifty", 50.0), ("five", 5.0), ("forty", 40.0), ("four", 4.0), ("fourteen", 14.0),
    ("nine", 9.0), ("nineteen", 19.0), ("ninety", 90.0), ("one", 1.0), ("seven", 7.0),
    ("seventeen", 17.0), ("seventy", 70.0), ("six", 6.0), ("sixteen", 16.0), ("sixty", 60.0),
    ("ten", 10.0), ("thirteen", 13.0), ("thirty", 30.0), ("three", 3.0), ("twelve", 12.0),
    ("twenty", 20.0), ("two", 2.0), ("zero", 0.0),
];

/// `second` is missing: it is a unit of time as often as a rank.
const ORDINALS: &[(&str, f64)] = &[
    ("first", 1.0),
    ("third", 3.0),
    ("fourth", 4.0),
    ("fifth", 5.0),
    ("sixth", 6.0),
    ("seventh", 7.0),
    ("eighth", 8.0),
    ("ninth", 9.0),
    ("tenth", 10.0),
];

const MULTIPLIERS: &[(&str, f64)] = &[
    ("hundred", 1e2),
    ("thousand", 1e3),
    ("million", 1e6),
    ("billion", 1e9),
    ("trillion", 1e12),
    ("dozen", 12.0),
];

fn lookup(table: &[(&str, f64)], word: &str) -> Option<f64> {
    let fits = (3..=9).contains(&word.len());
    fits.then(|| table.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, v)| *v))?
}

fn currency(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "$" | "dollar" | "dollars" | "usd" | "bucks" => Some("dollar"),
        "€" | "euro" | "euros" | "eur" => Some("euro"),
        "£" | "gbp" => Some("pound"),
        "¥" | "yen" | "jpy" => Some("yen"),
        _ => None,
    }
}

/// The quantities of a text, in order.
///
/// Reads `1.58-bit`, `1,58`, `1,000`, `30%`, `30 per cent`, `$5M`, `5 million dollars`, years, ranks
/// and spelled-out numbers below a hundred. Versions and addresses (`1.2.3`), and digits inside
/// names (`b1.58`), are none.
pub fn quantities(text: &str) -> Vec<Quantity> {
    let words: Vec<Word<'_>> = words(text).collect();
    let mut found = Vec::new();
    let mut i = 0;
    while i < words.len() {
        match read_at(text, &words, i) {
            Some((quantity, next)) => {
                found.push(quantity);
                i = next;
            }
            None => i += 1,
        }
    }
    found
}

/// Whether a word is (part of) a number, in digits or spelled out, and so no content word.
pub fn is_number_word(word: &Word<'_>) -> bool {
    word.is_numeric()
        || (!word.text.eq_ignore_ascii_case("one") && lookup(SPELLED, word.text).is_some())
        || lookup(MULTIPLIERS, word.text).is_some()
}

/// Reads a quantity whose number begins at word `i`; gives it with the index of the word after.
fn read_at(text: &str, words: &[Word<'_>], i: usize) -> Option<(Quantity, usize)> {
    let word = words[i];
    let before = &text[..word.start];
    let mut next = i + 1;
    let mut unit = None;
    let mut kind = QuantityKind::Count;
    let (mut value, mut rounding);
    if word.is_numeric() {
        let parsed = parse_digits(word.text)?;
        (value, rounding) = (parsed.value, parsed.rounding);
        match parsed.suffix {
            "" => {}
            "k" | "K" => (value, rounding) = (value * 1e3, rounding * 1e3),
            "M" | "mn" => (value, rounding) = (value * 1e6, rounding * 1e6),
            "B" | "bn" => (value, rounding) = (value * 1e9, rounding * 1e9),
            "T" | "tn" => (value, rounding) = (value * 1e12, rounding * 1e12),
            "st" | "nd" | "rd" | "th" => kind = QuantityKind::Ordinal,
            other => unit = Some(stem(other)),
        }
        // `.5`: the point before belongs to the number, unless a word ends there.
        if let Some(head) = before.strip_suffix('.')
            && head.chars().next_back().is_none_or(|c| c.is_whitespace() || matches!(c, '(' | '$'))
            && parsed.whole
        {
            let digits = i32::try_from(parsed.digits).ok()?;
            (value, rounding) = (value * 0.1_f64.powi(digits), 0.5 * 0.1_f64.powi(digits));
        }
        // A minus is a sign after a space or bracket, a dash elsewhere.
        if let Some(head) = before.strip_suffix(['-', '\u{2212}'])
            && head.chars().next_back().is_none_or(|c| c.is_whitespace() || c == '(')
        {
            value = -value;
        }
    } else if let Some(rank) = lookup(ORDINALS, word.text) {
        (value, rounding, kind) = (rank, 0.5, QuantityKind::Ordinal);
    } else {
        (value, rounding) = (lookup(SPELLED, word.text)?, 0.5);
        if value >= 20.0
            && let Some(ones) = words.get(next).filter(|w| is_near(text, &word, w))
            && let Some(ones) = lookup(SPELLED, ones.text).filter(|v| (1.0..10.0).contains(v))
        {
            value += ones;
            next += 1;
        }
    }
    while let Some(times) = words.get(next).filter(|w| is_near(text, &words[next - 1], w))
        && let Some(times) = lookup(MULTIPLIERS, times.text)
    {
        (value, rounding) = (value * times, rounding * times);
        next += 1;
    }
    let end = words[next - 1].span().end;
    let mut units: Vec<String> = unit.into_iter().collect();
    if let Some(sign) = before.chars().next_back()
        && let Some(name) = currency(sign.encode_utf8(&mut [0; 4]))
    {
        kind = QuantityKind::Money(name);
    } else if text[end..].trim_start().starts_with(['%', '\u{FF05}']) {
        kind = QuantityKind::Percent;
    } else {
        let mut at = next;
        while units.len() < 2
            && let Some(follower) = words.get(at).filter(|w| is_near(text, &words[at - 1], w))
            && !is_stop_word_unit(follower)
        {
            let lower = follower.text.to_ascii_lowercase();
            if units.is_empty() && matches!(lower.as_str(), "percent" | "pct") {
                kind = QuantityKind::Percent;
                break;
            }
            if units.is_empty()
                && let Some(name) = currency(follower.text)
            {
                kind = QuantityKind::Money(name);
                break;
            }
            units.push(stem(follower.text));
            at += 1;
        }
        let per_cent = words.get(next).is_some_and(|w| w.text.eq_ignore_ascii_case("per"))
            && words.get(next + 1).is_some_and(|w| w.text.eq_ignore_ascii_case("cent"));
        if per_cent {
            kind = QuantityKind::Percent;
        }
    }
    if word.text.eq_ignore_ascii_case("one") && (units.is_empty() || value > 1.0) {
        // `one of them`, `no one`: a pronoun.
        return None;
    }
    let bound = bound_before(words, i);
    if kind == QuantityKind::Count && word.text.len() == 4 && next == i + 1 {
        let year =
            word.text.bytes().all(|b| b.is_ascii_digit()) && (1000.0..=2100.0).contains(&value);
        let dated = i > 0 && is_date_word(words[i - 1].text);
        if year && (dated || (units.is_empty() && bound == Bound::Exact)) {
            kind = QuantityKind::Year;
            rounding = 0.0;
        }
    }
    if kind != QuantityKind::Count && kind != QuantityKind::Ordinal {
        units.clear();
    }
    value
        .is_finite()
        .then_some((Quantity { value, kind, units, bound, rounding, span: word.start..end }, next))
}

/// Whether only spaces or hyphens part two neighbouring words.
fn is_near(text: &str, left: &Word<'_>, right: &Word<'_>) -> bool {
    let gap = &text[left.span().end..right.start];
    gap.len() <= 4
        && gap.chars().all(|c| c.is_whitespace() || matches!(c, '-' | '\u{2010}' | '\u{2011}'))
}

fn is_stop_word_unit(word: &Word<'_>) -> bool {
    word.is_numeric() || is_stop_word(word.text) || lookup(SPELLED, word.text).is_some()
}

#[rustfmt::skip]
fn is_date_word(word: &str) -> bool {
    const WORDS: &[&str] = &[
        "in", "since", "until", "till", "by", "before", "after", "during", "year", "early", "late",
        "mid", "circa", "january", "february", "march", "april", "may", "june", "july", "august",
        "september", "october", "november", "december", "jan", "feb", "mar", "apr", "jun", "jul",
        "aug", "sep", "sept", "oct", "nov", "dec",
    ];
    WORDS.iter().any(|w| word.eq_ignore_ascii_case(w))
}

fn bound_before(words: &[Word<'_>], i: usize) -> Bound {
    let back =
        |n: usize| i.checked_sub(n).map_or(String::new(), |at| words[at].text.to_ascii_lowercase());
    let (last, second) = (back(1), back(2));
    match (second.as_str(), last.as_str()) {
        ("at", "least")
        | ("more" | "greater" | "larger" | "higher", "than")
        | (_, "over" | "exceeding" | "above" | "minimum") => Bound::AtLeast,
        ("at", "most")
        | ("less" | "fewer" | "lower" | "smaller", "than")
        | ("up", "to")
        | (_, "under" | "below" | "maximum") => Bound::AtMost,
        (
            _,
            "about" | "around" | "approximately" | "approx" | "roughly" | "nearly" | "almost"
            | "some" | "circa",
        ) => Bound::About,
        _ => Bound::Exact,
    }
}

struct Digits<'a> {
    value: f64,
    rounding: f64,
    suffix: &'a str,
    /// Digits of the number.
    digits: usize,
    /// It is digits alone.
    whole: bool,
}

/// Parses `1.58`, `1,58`, `1,234,567.8`, each with letters after; `None` for versions and the like.
fn parse_digits(word: &str) -> Option<Digits<'_>> {
    let end =
        word.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').unwrap_or(word.len());
    let (number, suffix) = word.split_at(end);
    // Longer runs are identifiers; a suffix with digits is one too.
    if number.len() > 24 || suffix.len() > 12 || !suffix.chars().all(char::is_alphabetic) {
        return None;
    }
    let grouped = |s: &str| {
        let mut groups = s.split(',');
        groups.next().is_some_and(|g| (1..=3).contains(&g.len())) && groups.all(|g| g.len() == 3)
    };
    let plain = match (number.matches('.').count(), number.matches(',').count()) {
        (0 | 1, 0) => number.to_owned(),
        // A decimal comma, unless three digits follow: then it groups thousands.
        (0, 1) if !grouped(number) => number.replace(',', "."),
        (0, _) if grouped(number) => number.replace(',', ""),
        (1, _) => {
            let (whole, fraction) = number.split_once('.')?;
            if fraction.contains(',') || !grouped(whole) {
                return None;
            }
            number.replace(',', "")
        }
        _ => return None,
    };
    let value: f64 = plain.parse().ok()?;
    let rounding = match plain.split_once('.') {
        Some((_, fraction)) => 0.5 * 0.1_f64.powi(i32::try_from(fraction.len()).ok()?),
        None => {
            let zeros = plain.bytes().rev().take_while(|&b| b == b'0').count().min(plain.len() - 1);
            // `30` may be exact, `1,200,000` is not: a round figure of two digits or fewer.
            let round = if plain.len() - zeros <= 2 && zeros >= 2 { zeros } else { 0 };
            0.5 * 10_f64.powi(i32::try_from(round).ok()?)
        }
    };
    let whole = number.bytes().all(|b| b.is_ascii_digit());
    Some(Digits { value, rounding, suffix, digits: number.len(), whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Quantity {
        let found = quantities(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        found[0].clone()
    }

    #[test]
    fn values_and_kinds() {
        for (text, value, kind) in [
            ("1.58-bit weights", 1.58, QuantityKind::Count),
            ("1,58 bits", 1.58, QuantityKind::Count),
            ("about .25 points", 0.25, QuantityKind::Count),
            ("1,000 people", 1000.0, QuantityKind::Count),
            ("1,234,567.5 km", 1_234_567.5, QuantityKind::Count),
            ("at -5 degrees", -5.0, QuantityKind::Count),
            ("30% off", 30.0, QuantityKind::Percent),
            ("30 per cent", 30.0, QuantityKind::Percent),
            ("thirty percent", 30.0, QuantityKind::Percent),
            ("$5M raised", 5e6, QuantityKind::Money("dollar")),
            ("5 million dollars", 5e6, QuantityKind::Money("dollar")),
            ("a 2B model", 2e9, QuantityKind::Count),
            ("three hundred men", 300.0, QuantityKind::Count),
            ("twenty-one guns", 21.0, QuantityKind::Count),
            ("one man", 1.0, QuantityKind::Count),
            ("born in 1982", 1982.0, QuantityKind::Year),
            ("in 1982 Gandhi opened", 1982.0, QuantityKind::Year),
            ("2000 people", 2000.0, QuantityKind::Count),
            ("the 3rd president", 3.0, QuantityKind::Ordinal),
            ("the third president", 3.0, QuantityKind::Ordinal),
        ] {
            let q = one(text);
            assert!((q.value - value).abs() < 1e-9 && q.kind == kind, "{text}: {q:?}");
        }
    }

    #[test]
    fn names_versions_and_pronouns_are_no_quantities() {
        for text in
            ["BitNet b1.58", "version 1.2.3", "192.168.0.1", "one of them", "no one", "a1", "0x1F2"]
        {
            assert!(quantities(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn units_follow_the_number() {
        assert_eq!(one("uses 1.58-bit weights").units, ["bit", "weight"]);
        assert_eq!(one("weights of 2 bits each").units, ["bit"]);
        assert_eq!(one("takes 600ms").units, ["ms"]);
        assert!(one("I saw 5, people say").units.is_empty());
    }

    #[test]
    fn agreement_knows_rounding_and_bounds() {
        let agree = |a: &str, b: &str| {
            let (a, b) = (one(a), one(b));
            assert_eq!(a.agrees(&b), b.agrees(&a));
            a.comparable(&b) && a.agrees(&b)
        };
        assert!(agree("1.58 bits", "1.58-bit weights"));
        assert!(agree("1.6 bits", "1.58 bits"));
        assert!(!agree("2-bit weights", "1.58-bit weights"));
        assert!(agree("two dogs", "2 dogs"));
        assert!(agree("about 100 dogs", "95 dogs"));
        assert!(agree("over 100 dogs", "250 dogs"));
        assert!(!agree("under 100 dogs", "250 dogs"));
        assert!(agree("$1.2 million", "$1,204,000"));
        assert!(!agree("in 1982", "in 1983"));
        assert!(!agree("3 dogs", "4 dogs"));
        assert!(!one("two broad groups").comparable(&one("three broad classes")));
        assert!(!one("3 dogs").comparable(&one("3 cats")));
        assert!(!one("$3").comparable(&one("3 euros")));
    }

    #[test]
    fn hostile_digits_are_harmless() {
        for text in [
            "9".repeat(100_000),
            "1,".repeat(50_000),
            "1.".repeat(50_000),
            "\u{0}5%\u{0}".into(),
            "５ dogs".into(),
            "5️⃣".into(),
        ] {
            let _ = quantities(&text);
        }
        let many = quantities(&"7 dogs ".repeat(1000));
        assert_eq!(many.len(), 1000);
        assert!(many.iter().all(|q| q.value == 7.0));
    }
}
