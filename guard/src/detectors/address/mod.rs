// SPDX-License-Identifier: AGPL-3.0-or-later
//! Postal addresses, as far as their form shows them: a house number beside the name of a street, PO boxes, postcodes.

mod codes;
mod lists;
mod words;

use std::ops::Range;

use crate::detector::{DetectContext, Detector, Hold, Signal};
use crate::error::GuardError;
use crate::finding::{Finding, PiiType};
use crate::text::context::{Context, Cues};
use crate::text::numbers::Group;
use crate::text::{char_after, char_before, is_wordlike};
use codes::{announced_zip, po_box, state_and_zip};
use lists::{CALLE, COMPASS, COURTS, LANDSCAPE, PARTICLES, RUE, SMALL, STRASSE, STREET, among};
use words::{Word, postcode, tail, word_after, word_before};

/// The PII type this detector reports.
pub const ADDRESS: PiiType = PiiType::new("address");

/// Finds street addresses of English, German, French, Spanish, Italian, Portuguese, Dutch and Nordic form, with the flat, town
/// and postcode that follow; PO boxes; US state and ZIP code; UK postcodes.
///
/// Score: 0.9 for a PO box, 0.85 for a street whose name is in capitals, 0.75 for town, state and ZIP and for a postcode
/// beside that word, 0.6 for one by itself, 0.45 for a street in small letters. A word such as "address" or "live" adds 0.3; one such as "chapter" takes 0.4.
/// A name such as "Marie Ridges" that is a street's as often as a mountain's counts like small letters; a flat or a town that
/// follows lifts either to 0.75. Streets without a word or ending that names them so ("Unter den Linden 5") are not found.
pub struct AddressDetector;

#[rustfmt::skip]
const CUES: Cues = Cues {
    positive: &[
        "address", "addresses", "live", "lives", "living", "lived", "reside", "resides", "residence", "home", "located", "ship",
        "shipping", "deliver", "delivery", "mail", "mailing", "postcode", "postal", "zip", "anschrift", "adresse", "wohne",
        "wohnt", "wohnhaft", "habite", "domicilié", "dirección", "domicilio", "vivo", "vive", "indirizzo", "abito", "abita",
        "residente", "adres", "woon", "woont", "endereço", "morada", "moro",
    ],
    negative: &[
        "chapter", "section", "page", "figure", "table", "verse", "version", "line", "lines", "part", "model", "error",
        "article", "top",
    ],
};

/// What stands for an address, before its tail and its score by context.
struct Street {
    span: Range<usize>,
    base: f32,
    rule: &'static str,
}

impl Detector for AddressDetector {
    fn name(&self) -> &'static str {
        "address"
    }

    fn signal(&self) -> Signal {
        Signal::Pii
    }

    fn pii_types(&self) -> &'static [PiiType] {
        &[ADDRESS]
    }

    fn hold(&self) -> Hold {
        // "Calle" and five words before the number; a flat and a town of five words after it.
        Hold { words: 7, lead: 7, signs: 256, after: 160, sentences: false }
    }

    fn detect(
        &self,
        text: &str,
        ctx: &DetectContext<'_>,
        out: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        let numbers = ctx.numbers();
        let first = out.len();
        for &group in numbers.groups() {
            if out[first..].last().is_some_and(|f| group.start < f.span.end) {
                continue;
            }
            if let Some(street) = po_box(text, group).or_else(|| street(text, group)) {
                let end = tail(text, street.span.end);
                // A flat or a town after it confirms a street of a doubtful form.
                let sure = end > street.span.end && street.base < 0.7;
                let base = if sure { 0.75 } else { street.base };
                self.push(text, Street { span: street.span.start..end, base, ..street }, out);
            } else if let Some(street) =
                state_and_zip(text, group).or_else(|| announced_zip(text, group))
            {
                self.push(text, street, out);
            }
        }
        // Postcodes by themselves; those in an address lie in its span.
        let streets = out.len();
        let mut at = first;
        for &start in numbers.starts() {
            while at < streets && out[at].span.end <= start {
                at += 1;
            }
            if let Some(end) = postcode(text, start)
                && (at == streets || out[at].span.start > start)
            {
                self.push(text, Street { span: start..end, base: 0.6, rule: "uk_postcode" }, out);
            }
        }
        Ok(())
    }
}

impl AddressDetector {
    fn push(&self, text: &str, street: Street, out: &mut Vec<Finding>) {
        let score = match CUES.around(text, &street.span) {
            Context::For => street.base + 0.3,
            Context::Against => street.base - 0.4,
            Context::Silent => street.base,
        };
        // A heuristic is never certain.
        out.push(Finding::pii(ADDRESS, street.span, score.min(0.95), self.name(), street.rule));
    }
}

/// A house number and the street before or after it.
fn street(text: &str, group: Group) -> Option<Street> {
    let number = house_number(text, group)?;
    let after = || name_after(text, &number).or_else(|| rue_after(text, &number));
    match beside_numbers(text, &number) {
        (true, true) => None,
        (true, false) => after(),
        (false, true) => name_before(text, &number),
        (false, false) => after().or_else(|| name_before(text, &number)),
    }
}

/// Whether another number stands right before it and right after it, one character between: a row of numbers is no
/// address. (An ordinal after it is: "42 5th Street".)
fn beside_numbers(text: &str, number: &Range<usize>) -> (bool, bool) {
    let bytes = text.as_bytes();
    let before = number.start.checked_sub(2).is_some_and(|i| bytes[i].is_ascii_digit());
    let rest = bytes.get(number.end + 1..).unwrap_or_default();
    let digits = rest.iter().take(5).take_while(|b| b.is_ascii_digit()).count();
    let after = digits > 0 && !rest.get(digits).is_some_and(u8::is_ascii_alphabetic);
    (before, after)
}

/// One to five digits with a letter at most, no part of another number: "12", "12a", "12 bis" is read with the street.
fn house_number(text: &str, group: Group) -> Option<Range<usize>> {
    let after = text.as_bytes().get(group.end).copied().unwrap_or(b' ');
    let letter = after.is_ascii_alphabetic();
    let end = group.end + usize::from(letter);
    let before = char_before(text, group.start);
    let end = end + range_len(&text.as_bytes()[end..]);
    let part = |c: Option<char>| c.is_some_and(is_wordlike);
    let decimal = before
        .is_some_and(|c| matches!(c, '.' | ',' | '-' | '/' | '+' | '#' | '$' | '€' | '£' | ':'))
        || matches!(char_after(text, end), Some('.' | ',' | ':' | '-' | '/'))
            && part(char_after(text, end + 1))
        || matches!(char_after(text, end), Some('%' | '°' | '€'));
    ((1..=5).contains(&group.len()) && !part(before) && !part(char_after(text, end)) && !decimal)
        .then_some(group.start..end)
}

/// Bytes of the rest of a house number: "/26", "-5".
fn range_len(rest: &[u8]) -> usize {
    let digits = match rest {
        [b'/' | b'-', more @ ..] => more.iter().take_while(|b| b.is_ascii_digit()).count(),
        _ => 0,
    };
    if (1..=3).contains(&digits) { digits + 1 } else { 0 }
}

/// "1234 Elm Street", "42 W 5th Ave.": up to four words and the kind of street.
fn name_after(text: &str, number: &Range<usize>) -> Option<Street> {
    let mut at = number.end;
    let mut capital = true;
    let mut named = false;
    let mut last = "";
    for i in 0..6 {
        // In small letters, only a short name is told from a sentence.
        if i > 2 && !capital {
            return None;
        }
        let word = word_after(text, at, &[' ', '.'])?;
        // A full stop ends an abbreviation ("42 W. 5th St."), not a sentence nor the number of a list.
        match text[at..word.start].trim() {
            "" => {}
            "." if (1..=3).contains(&last.len()) => {}
            _ => return None,
        }
        let landscape = named && capital && word.is_capital() && among(word.text, LANDSCAPE);
        if named && among(word.text, STREET) || landscape {
            // "12 High Court circuits"
            if among(word.text, &["court"]) && among(last, COURTS) {
                return None;
            }
            let mut end = word.end();
            if let Some(next) = word_after(text, end, &[' ', '.'])
                && among(next.text, COMPASS)
                && next.is_capital()
            {
                end = next.end();
            } else if let Some(next) = word_after(text, end, &[' '])
                && among(next.text, STREET)
                && next.is_capital() == word.is_capital()
            {
                // "12 Park Avenue Street" has its kind at the end.
                end = next.end();
            }
            capital &= word.is_capital();
            return (!is_year(text, number)).then_some(Street {
                span: number.start..end,
                base: if landscape || !capital { 0.45 } else { 0.85 },
                rule: "street_after_number",
            });
        }
        // "2 people to go to the fourth street"
        if !word.is_capital() && among(word.text, SMALL) {
            return None;
        }
        capital &= word.is_capital() || word.is_ordinal();
        named |= !among(word.text, COMPASS) || word.text.len() > 2;
        last = word.text;
        at = word.end();
    }
    None
}

/// "12 rue de la Paix", "5 bis, avenue Foch": the kind of street, small words, and a name.
fn rue_after(text: &str, number: &Range<usize>) -> Option<Street> {
    let mut kind = word_after(text, number.end, &[' ', ','])?;
    if among(kind.text, &["bis", "ter"]) {
        kind = word_after(text, kind.end(), &[' ', ','])?;
    }
    if !among(kind.text, RUE) {
        return None;
    }
    let mut at = kind.end();
    let mut end = None;
    for _ in 0..5 {
        let Some(word) = word_after(text, at, &[' ']) else { break };
        let elided = word.text.split_once(['\'', '’']).map_or(word.text, |(_, name)| name);
        if elided.chars().next().is_some_and(char::is_uppercase) {
            end = Some(word.end());
        } else if !among(word.text, PARTICLES) {
            break;
        }
        at = word.end();
    }
    Some(Street { span: number.start..end?, base: 0.85, rule: "street_after_number" })
}

/// "Hauptstraße 12", "Berliner Straße 5", "Calle Mayor, 5", "Via Garibaldi 10".
fn name_before(text: &str, number: &Range<usize>) -> Option<Street> {
    let mut word = word_before(text, number.start, &[' ', ','])?;
    if among(word.text, &["nº", "n", "no", "nr", "núm", "num"]) {
        word = word_before(text, word.start, &[' ', ','])?;
    }
    let rule = "street_before_number";
    if let Some(start) = strasse(text, word) {
        let base = if word.is_capital() || start < word.start { 0.85 } else { 0.45 };
        return Some(Street { span: start..number.end, base, rule });
    }
    let mut capital = false;
    for _ in 0..5 {
        if capital && among(word.text, CALLE) {
            // "via" is a word of English too, and "c" needs its slash, "al" its full stop.
            let sure = word.text != "via";
            let whole = word.text.len() > 2 || text[word.end()..].starts_with(['/', '.']);
            let base = if sure { 0.85 } else { 0.45 };
            return whole.then_some(Street { span: word.start..number.end, base, rule });
        }
        if !word.is_capital() && !among(word.text, PARTICLES) {
            return None;
        }
        capital |= word.is_capital() && !among(word.text, CALLE);
        word = word_before(text, word.start, &[' ', '/', '.'])?;
    }
    None
}

/// Where the street begins whose name ends with `word`, if that is a German, Dutch or Nordic one.
fn strasse(text: &str, word: Word<'_>) -> Option<usize> {
    let name = word.text.trim_end_matches('.');
    let (stem, end) = STRASSE.iter().find_map(|end| {
        let (stem, tail) = name.split_at_checked(name.len().checked_sub(end.len())?)?;
        tail.eq_ignore_ascii_case(end).then_some((stem, *end))
    })?;
    if stem.chars().count() >= 3 {
        // "str" ends words of other languages; as an ending it has its full stop.
        return (end != "str" || word.text.ends_with('.')).then_some(word.start);
    }
    let before = word_before(text, word.start, &[' '])?;
    (stem.is_empty()
        && word.is_capital()
        && before.is_capital()
        && !text[before.start..word.start].contains('.'))
    .then_some(before.start)
}

/// "in 2004 Main Street ..." tells a year.
fn is_year(text: &str, number: &Range<usize>) -> bool {
    let digits = &text[number.clone()];
    digits.len() == 4
        && (digits.starts_with("19") || digits.starts_with("20"))
        && word_before(text, number.start, &[' ']).is_some_and(|w| {
            among(w.text, &["in", "since", "by", "until", "of", "from", "during", "the"])
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table, scored};

    #[test]
    fn addresses_are_found_exactly() {
        assert_table(
            &AddressDetector,
            &[
                (
                    "Send it to 1234 Elm St, Springfield, IL 62704, please",
                    &["1234 Elm St, Springfield, IL 62704"],
                ),
                ("221B Baker Street, London NW1 6XE", &["221B Baker Street, London NW1 6XE"]),
                ("12 High Street", &["12 High Street"]),
                ("at 42 W 5th Ave. Apt. 5B", &["42 W 5th Ave. Apt. 5B"]),
                ("1600 Pennsylvania Avenue NW.", &["1600 Pennsylvania Avenue NW"]),
                ("10 Martin Luther King Blvd #4", &["10 Martin Luther King Blvd #4"]),
                ("my address is 19 oak lane", &["19 oak lane"]),
                ("Hauptstraße 12, 10115 Berlin", &["Hauptstraße 12, 10115 Berlin"]),
                ("wohnt in der Berliner Straße 5a.", &["Berliner Straße 5a"]),
                ("Lindenstr. 7", &["Lindenstr. 7"]),
                ("Kerkstraat 15, 1012 AB Amsterdam", &["Kerkstraat 15, 1012 AB Amsterdam"]),
                ("12 rue de la Paix, 75002 Paris", &["12 rue de la Paix, 75002 Paris"]),
                ("5 bis, avenue de l'Opéra", &["5 bis, avenue de l'Opéra"]),
                ("Calle Mayor, 5", &["Calle Mayor, 5"]),
                ("C/ Mayor 5", &["C/ Mayor 5"]),
                (
                    "Via Giuseppe Garibaldi 10, 00184 Roma",
                    &["Via Giuseppe Garibaldi 10, 00184 Roma"],
                ),
                ("Rua das Flores, nº 5", &["Rua das Flores, nº 5"]),
                ("Drottninggatan 5", &["Drottninggatan 5"]),
                ("na al. Wiosenna 14/91", &["al. Wiosenna 14/91"]),
                ("Andrea-Junk-Ring 18-20", &["Andrea-Junk-Ring 18-20"]),
                (
                    "94 Marie Ridges\nRobinsonland\nM5 4NH",
                    &["94 Marie Ridges\nRobinsonland\nM5 4NH"],
                ),
                ("19 oak lane, apt 4", &["19 oak lane, apt 4"]),
                ("P.O. Box 1234", &["P.O. Box 1234"]),
                ("PO Box 12, Springfield, IL 62704", &["PO Box 12, Springfield, IL 62704"]),
                ("Postfach 1234", &["Postfach 1234"]),
                ("from Springfield, IL 62704-1234", &["Springfield, IL 62704-1234"]),
                ("near New York, NY 10017", &["New York, NY 10017"]),
                ("USS Example FPO AE 94560", &["FPO AE 94560"]),
                ("my zip code is 62704.", &["62704"]),
                ("PLZ 10115", &["10115"]),
                ("na ul. Franciszkańskiej 12", &["ul. Franciszkańskiej 12"]),
                ("postcode SW1A 1AA", &["SW1A 1AA"]),
                ("my zip: IL 62704", &["IL 62704"]),
            ],
        );
    }

    #[test]
    fn other_texts_are_left() {
        assert_clean(
            &AddressDetector,
            &[
                "",
                "12",
                "the 2 way street",
                "in 2004 Main Street was paved",
                "Top 10 Wall Street banks",
                "we drove 5 miles. The Drive was long",
                "sent via Channel 4",
                "via port 8080",
                "the zip file has 12345678 bytes",
                "unzip 12345",
                "SW1A 1AA",
                "E5 2GB of memory",
                "B2 4MB",
                "chapter 12 The Long Road",
                "1.5 Main Street",
                "step 3 Close the window",
                "a box 12 wide",
                "during Spring 5 of us",
                "version 5 Main Street",
                "Apollo 11 landed",
                "the 3 Rocky Mountain states",
                "va al Bar 5",
                "Via Roma 12/05/1980",
                "2.  The Hanging Gardens",
                "of 2009. Some Street View",
                "an uber for 2 people to go to fourth street live",
                "includes 12 High Court Circuits",
            ],
        );
    }

    #[test]
    fn a_postcode_alone_is_weak() {
        assert_eq!(scored(&AddressDetector, "EC1A 1BB"), [("EC1A 1BB", 0.6)]);
        assert!(scored(&AddressDetector, "EC1A 1CB").is_empty());
        assert!(scored(&AddressDetector, "QC1A 1BB").is_empty());
    }
}
