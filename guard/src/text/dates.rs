// SPDX-License-Identifier: AGPL-3.0-or-later
//! Calendar dates as people write them, found from the digits of a year.

use std::ops::Range;

use super::numbers::{Gap, Group, gap};
use super::{char_after, char_before, is_wordlike};

/// A date and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) span: Range<usize>,
    /// As written: four digits, or the last two.
    pub(crate) year: u32,
}

/// Months by the letters they begin with in English, German, French, Spanish, Italian, Portuguese, Dutch and Polish.
#[rustfmt::skip]
const MONTHS: &[&str] = &[
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
    "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
    "januar", "jänner", "februar", "märz", "mai", "juni", "juli", "oktober", "dezember", "okt", "dez",
    "janvier", "février", "fevrier", "mars", "avril", "juin", "juillet", "août", "aout", "septembre", "octobre", "novembre",
    "décembre", "decembre", "enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre",
    "noviembre", "diciembre", "gennaio", "febbraio", "aprile", "maggio", "giugno", "luglio", "settembre", "ottobre", "dicembre",
    "janeiro", "fevereiro", "março", "maio", "junho", "julho", "setembro", "outubro", "novembro", "dezembro",
    "januari", "februari", "maart", "mei", "augustus", "stycznia", "lutego", "marca", "kwietnia", "maja", "czerwca", "lipca",
    "sierpnia", "września", "października", "listopada", "grudnia",
];

/// The date of which `groups[i]` is the year, if it is one: `1980-05-12`, `12/05/1980`, `12.5.80`, `12 May 1980`,
/// `May 12th, 1980`, `12 de mayo de 1980`, `12-May-1980`.
pub(crate) fn of_year(text: &str, groups: &[Group], i: usize) -> Option<Date> {
    let year = groups[i];
    let value = value(text, year)?;
    let span = match year.len() {
        4 => numeric_before(text, groups, i)
            .or_else(|| named_before(text, groups, i))
            .or_else(|| numeric_after(text, groups, i)),
        2 => numeric_before(text, groups, i),
        _ => None,
    }?;
    let inside = char_before(text, span.start)
        .is_some_and(|c| is_wordlike(c) || matches!(c, '-' | '.' | '/'))
        || char_after(text, span.end).is_some_and(|c| is_wordlike(c) && c != 'T');
    (!inside).then_some(Date { span, year: value })
}

/// Day and month, in either order, then the year.
fn numeric_before(text: &str, groups: &[Group], i: usize) -> Option<Range<usize>> {
    let [a, b] = *groups.get(i.checked_sub(2)?..i)? else {
        return None;
    };
    let year = groups[i];
    let between = parting(text, a, b)?;
    (day_and_month(text, a, b) && parting(text, b, year)? == between).then_some(a.start..year.end)
}

/// The year, then month and day.
fn numeric_after(text: &str, groups: &[Group], i: usize) -> Option<Range<usize>> {
    let [year, a, b] = *groups.get(i..i + 3)? else {
        return None;
    };
    let between = parting(text, year, a)?;
    (day_and_month(text, a, b) && parting(text, a, b)? == between).then_some(year.start..b.end)
}

/// What parts the numbers of a date; ". " does so too ("12. 5. 1980").
fn parting(text: &str, a: Group, b: Group) -> Option<Gap> {
    if b.start - a.end > 4 {
        return None;
    }
    match gap(text, a, b) {
        Gap::Mixed if &text[a.end..b.start] == ". " => Some(Gap::Mixed),
        Gap::Mixed => None,
        gap => Some(gap),
    }
}

/// A month by its name and a day, in either order, before the year.
fn named_before(text: &str, groups: &[Group], i: usize) -> Option<Range<usize>> {
    /// Words and punctuation around a month fit into this.
    const REACH: usize = 32;
    let year = groups[i].start;
    let day = *groups.get(i.checked_sub(1)?)?;
    if year - day.end > REACH || !(1..=31).contains(&value(text, day)?) || day.len() > 2 {
        return None;
    }
    // "27 April (1967)" says two things.
    if text[day.end..year].contains(['(', ')', ';', '/', ':']) {
        return None;
    }
    let mut words =
        text[day.end..year].split(|c: char| !c.is_alphabetic()).filter(|w| !w.is_empty());
    let mut months = 0;
    let all = words.all(|word| {
        months += usize::from(is_month(word));
        is_month(word) || is_small(word)
    });
    if all && months == 1 {
        return Some(day.start..groups[i].end);
    }
    // "May 12, 1980": the month stands before the day.
    if !all || months > 0 {
        return None;
    }
    let before = text[..day.start].trim_end_matches([' ', '.']);
    if day.start - before.len() > 2 {
        return None;
    }
    let mut start = before.len();
    for c in before.chars().rev().take(12).take_while(|c| c.is_alphabetic()) {
        start -= c.len_utf8();
    }
    is_month(&before[start..]).then_some(start..groups[i].end)
}

/// "12th of May", "12 de mayo del".
fn is_small(word: &str) -> bool {
    ["st", "nd", "rd", "th", "of", "de", "del", "do", "er", "º"]
        .iter()
        .any(|w| word.eq_ignore_ascii_case(w))
}

fn is_month(word: &str) -> bool {
    if word.is_ascii() {
        return MONTHS.iter().any(|month| month.eq_ignore_ascii_case(word));
    }
    let lower = word.to_lowercase();
    MONTHS.contains(&lower.as_str())
}

fn day_and_month(text: &str, a: Group, b: Group) -> bool {
    let (Some(x), Some(y)) = (value(text, a), value(text, b)) else {
        return false;
    };
    a.len() <= 2
        && b.len() <= 2
        && (1..=31).contains(&x)
        && (1..=31).contains(&y)
        && (x <= 12 || y <= 12)
}

fn value(text: &str, group: Group) -> Option<u32> {
    (group.len() <= 4)
        .then(|| group.digits(text).bytes().fold(0, |n, d| n * 10 + u32::from(d - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::numbers::Numbers;

    fn dates(text: &str) -> Vec<&str> {
        let numbers = Numbers::scan(text);
        (0..numbers.groups().len())
            .filter_map(|i| of_year(text, numbers.groups(), i))
            .map(|date| &text[date.span])
            .collect()
    }

    #[test]
    fn the_usual_forms_are_read() {
        for form in [
            "1980-05-12",
            "12/05/1980",
            "5/12/80",
            "12.05.1980",
            "12. 5. 1980",
            "12 May 1980",
            "12th of May, 1980",
            "May 12, 1980",
            "Sept. 3rd 1980",
            "12. März 1980",
            "1er août 1980",
            "12 de mayo de 1980",
            "12-May-1980",
            "3 sierpnia 1980",
            "1980/05/12",
        ] {
            assert_eq!(dates(&format!("on {form}.")), [form]);
        }
    }

    #[test]
    fn other_numbers_are_none() {
        for text in [
            "1980",
            "13/13/1980",
            "12/05 1980",
            "May 1980",
            "12 Mayor 1980",
            "1.2.3.1980",
            "x12/05/1980",
            "40 May 1980",
            "27 April (1967)",
        ] {
            assert_eq!(dates(text), Vec::<&str>::new(), "{text}");
        }
    }
}
