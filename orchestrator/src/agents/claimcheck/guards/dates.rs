// SPDX-License-Identifier: AGPL-3.0-or-later
//! Dates as intervals of days: `May 1990` lies within `1990` and `the 1990s`, not within `June 1990`.

use std::ops::Range;

use super::{Effect, Finding, Sides, quote};
use crate::text::{QuantityKind, Word, quantities, words};

/// Days of a month and year in the scale used here, which only needs the right order.
const MONTH: i64 = 31;
const YEAR: i64 = 12 * MONTH;
/// Outside of history, for open ends.
const EVER: i64 = 100_000 * YEAR;

/// A date or span of time; days count from the year 0.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Date {
    from: i64,
    to: i64,
    /// It says a year; else `from` is a day or month of any year.
    has_year: bool,
    span: Range<usize>,
}

pub(super) fn find(sides: &Sides<'_>) -> Option<Finding> {
    let claim = &sides.statement.text;
    let wanted = dates(claim);
    if wanted.is_empty() {
        return None;
    }
    let stated = dates(sides.evidence);
    for want in &wanted {
        let of_kind = || stated.iter().filter(|have| have.has_year == want.has_year);
        let overlaps = |have: &Date| have.from <= want.to && want.from <= have.to;
        if of_kind().any(overlaps) {
            continue;
        }
        if let Some(have) = of_kind().next() {
            let (said, other) = (&claim[want.span.clone()], &sides.evidence[have.span.clone()]);
            let why = format!("the claim says {}, the evidence {}", quote(said), quote(other));
            return Finding::new(Effect::Conflicts, why);
        }
    }
    None
}

#[rustfmt::skip]
const MONTHS: [&str; 12] = [
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december",
];

/// The number of a month, from 0; abbreviations of three letters (and `sept`) count.
fn month(word: &Word<'_>) -> Option<i64> {
    if !word.is_capitalised() || word.text.len() > 9 {
        return None;
    }
    let lower = word.text.to_lowercase();
    let short = lower.len() == 3 || lower == "sept";
    let at = MONTHS.iter().position(|m| *m == lower || short && m.starts_with(&lower))?;
    i64::try_from(at).ok()
}

/// The number of a day of a month, `3` or `3rd`.
fn day(word: &Word<'_>) -> Option<i64> {
    let digits = word.text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = &word.text[digits.len()..];
    let fits = (1..=2).contains(&digits.len()) && ["", "st", "nd", "rd", "th"].contains(&suffix);
    let day = fits.then(|| digits.parse::<i64>().ok()).flatten()?;
    (1..=31).contains(&day).then_some(day)
}

fn year(word: &Word<'_>) -> Option<i64> {
    let fits = word.text.len() == 4 && word.text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| word.text.parse::<i64>().ok()).flatten().filter(|y| (1000..=2100).contains(y))
}

fn dates(text: &str) -> Vec<Date> {
    let all: Vec<Word<'_>> = words(text).collect();
    // Which bare numbers are years is decided where quantities are read.
    let years: Vec<Range<usize>> = quantities(text)
        .into_iter()
        .filter(|q| q.kind == QuantityKind::Year)
        .map(|q| q.span)
        .collect();
    let mut found: Vec<Date> = Vec::new();
    let mut at = 0;
    while at < all.len() {
        let Some((mut date, next)) = read(text, &all, at, &years) else {
            at += 1;
            continue;
        };
        let before = at.checked_sub(1).map_or("", |i| all[i].text).to_ascii_lowercase();
        match before.as_str() {
            "before" | "until" | "till" => (date.from, date.to) = (-EVER, date.to),
            "by" => date.from = -EVER,
            "after" | "since" => date.to = EVER,
            _ => {}
        }
        // `1939–1945`, `from 1939 to 1945`: all between.
        if let Some(last) = found.last()
            && last.has_year
            && date.has_year
            && last.from < date.from
            && matches!(
                text[last.span.end..date.span.start].trim(),
                "-" | "\u{2013}" | "\u{2014}" | "to" | "until" | "till" | "through"
            )
        {
            let whole = Date {
                from: last.from,
                to: date.to,
                has_year: true,
                span: last.span.start..date.span.end,
            };
            found.push(whole);
        }
        found.push(date);
        at = next;
    }
    found
}

/// Reads a date whose first word is `at`; gives it with the index of the word after.
fn read(text: &str, all: &[Word<'_>], at: usize, years: &[Range<usize>]) -> Option<(Date, usize)> {
    let word = all[at];
    let gap = |i: usize| text.get(all[i].span().end..all.get(i + 1)?.start);
    let near = |i: usize| gap(i).is_some_and(|g| matches!(g.trim(), "" | ",") && g.len() <= 3);
    let date = |from: i64, to: i64, has_year: bool, last: usize| {
        let span = word.start..all[last].span().end;
        Some((Date { from, to, has_year, span }, last + 1))
    };
    // 2020-05-03
    if let Some(y) = year(&word)
        && gap(at) == Some("-")
        && gap(at + 1) == Some("-")
        && let (Some(m), Some(d)) = (day(&all[at + 1]).filter(|m| *m <= 12), day(&all[at + 2]))
    {
        let day = y * YEAR + (m - 1) * MONTH + d - 1;
        return date(day, day, true, at + 2);
    }
    // 3 May 1990, 3rd of May
    if let Some(d) = day(&word) {
        let of = all.get(at + 1).is_some_and(|w| w.text == "of");
        let m_at = at + 1 + usize::from(of);
        if near(at)
            && let Some(m) = all.get(m_at).and_then(month)
        {
            let in_year = m * MONTH + d - 1;
            if near(m_at)
                && let Some(y) = all.get(m_at + 1).and_then(year)
            {
                return date(y * YEAR + in_year, y * YEAR + in_year, true, m_at + 1);
            }
            return date(in_year, in_year, false, m_at);
        }
    }
    // May 1990, May 3, 1990
    if let Some(m) = month(&word) {
        if near(at)
            && let Some(d) = all.get(at + 1).and_then(day)
        {
            let in_year = m * MONTH + d - 1;
            if near(at + 1)
                && let Some(y) = all.get(at + 2).and_then(year)
            {
                return date(y * YEAR + in_year, y * YEAR + in_year, true, at + 2);
            }
            return date(in_year, in_year, false, at + 1);
        }
        let of = all.get(at + 1).is_some_and(|w| w.text == "of");
        let y_at = at + 1 + usize::from(of);
        if near(at)
            && let Some(y) = all.get(y_at).and_then(year)
        {
            let from = y * YEAR + m * MONTH;
            return date(from, from + MONTH - 1, true, y_at);
        }
        // A month alone; `May` and `March` are more than that.
        let in_date = at > 0 && ["in", "on", "by", "until", "since"].contains(&all[at - 1].text);
        return if in_date { date(m * MONTH, (m + 1) * MONTH - 1, false, at) } else { None };
    }
    // 19th century
    let is = |i: usize, names: &[&str]| {
        all.get(i).is_some_and(|w| names.iter().any(|n| w.text.eq_ignore_ascii_case(n)))
    };
    if is(at + 1, &["century"])
        && let Some(n) = day(&word).filter(|_| word.text.ends_with(|c: char| c.is_alphabetic()))
    {
        let (from, last) = if is(at + 2, &["bc", "bce"]) {
            (-n * 100 * YEAR, at + 2)
        } else {
            ((n - 1) * 100 * YEAR, at + 1)
        };
        // The 19th century has 1900 too.
        return date(from, from + 101 * YEAR - 1, true, last);
    }
    // 1990s
    if let Some(digits) = word.text.strip_suffix('s')
        && let Some(y) = year(&Word { text: digits, start: word.start })
    {
        let span = if y % 100 == 0 { 100 } else { 10 };
        return (y % 10 == 0).then(|| date(y * YEAR, (y + span) * YEAR - 1, true, at)).flatten();
    }
    // 44 BC, 79 AD
    let digits = word.text.len() <= 4 && word.text.bytes().all(|b| b.is_ascii_digit());
    if digits && near(at) && is(at + 1, &["bc", "bce", "ad", "ce"]) {
        let y: i64 = word.text.parse().ok()?;
        let y = if is(at + 1, &["bc", "bce"]) { -y } else { y };
        return date(y * YEAR, (y + 1) * YEAR - 1, true, at + 1);
    }
    let y = year(&word).filter(|_| years.contains(&word.span()))?;
    date(y * YEAR, (y + 1) * YEAR - 1, true, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Effect::Conflicts;

    #[test]
    fn dates_are_compared_as_spans_of_time() {
        super::super::check(
            find,
            &[
                ("She was born in 1990", "She was born in 1991.", Some(Conflicts)),
                ("She was born in 1990", "She was born on 3 May 1990.", None),
                ("She was born in June 1990", "She was born on May 3, 1990.", Some(Conflicts)),
                ("She was born on 3 May 1990", "She was born on 1990-05-03.", None),
                ("She was born on 4 May 1990", "She was born on May 3rd, 1990.", Some(Conflicts)),
                ("She was born in the 1990s", "She was born in 1994.", None),
                ("She was born in the 1980s", "She was born in 1994.", Some(Conflicts)),
                ("It was built in the 19th century", "It was built in 1884.", None),
                ("It was built in the 18th century", "It was built in 1884.", Some(Conflicts)),
                ("It opened before 1990", "It opened in 1985.", None),
                ("It opened before 1990", "It opened in 1995.", Some(Conflicts)),
                ("It opened after 1990", "It opened in 1985.", Some(Conflicts)),
                ("The war went on in 1942", "The war lasted from 1939 to 1945.", None),
                ("The war went on in 1950", "The war lasted 1939\u{2013}1945.", Some(Conflicts)),
                ("He died in 44 BC", "He died in 44 AD.", Some(Conflicts)),
                ("It opens on 3 May", "It opens on May 4.", Some(Conflicts)),
                ("It opens on 3 May", "It opens in 1990.", None),
                ("It may open in 1990", "It will open.", None),
                ("It opened in 1990", "It opened later.", None),
            ],
        );
    }

    #[test]
    fn hostile_dates_are_harmless() {
        for text in [
            "May ".repeat(5_000),
            "1990-".repeat(5_000),
            "1990 to ".repeat(5_000),
            "9999999999th century 99999 BC 31 of".into(),
            "May".into(),
            "3".into(),
        ] {
            for date in dates(&text) {
                assert!(text.get(date.span.clone()).is_some());
            }
        }
    }
}
