// SPDX-License-Identifier: AGPL-3.0-or-later
//! Dates of birth: a date beside a word that says whose beginning it is.

use crate::detector::{DetectContext, Detector, Hold, Signal};
use crate::error::GuardError;
use crate::finding::{Finding, PiiType};
use crate::text::context::{Context, Cues, words_before};
use crate::text::dates;

/// The PII type this detector reports.
pub const BIRTH_DATE: PiiType = PiiType::new("birth_date");

/// Finds dates of birth, in figures or with the month's name, between 1900 and 2029.
///
/// Score: 0.9. Only a word such as "born" or "DOB" makes a date one of birth: of all words about dates, the one nearest
/// before it decides, else one just after it.
pub struct BirthDateDetector;

#[rustfmt::skip]
const CUES: Cues = Cues {
    positive: &[
        "born", "birth", "dob", "birthdate", "birthday", "bday", "geboren", "geb", "geburtsdatum", "geburtstag", "né", "née",
        "naissance", "nacido", "nacida", "nació", "nacimiento", "nato", "nata", "nascita", "geboortedatum", "geb.datum",
        "nascido", "nascida", "nascimento", "urodzony", "urodzona", "urodzenia", "ur", "født", "född", "родился", "родилась",
        "рождения",
    ],
    negative: &[
        "died", "death", "dead", "gestorben", "décès", "murió", "morto", "morta", "since", "expires", "expiry", "expired",
        "issued", "married", "founded", "established", "published", "released", "updated", "created", "admitted", "joined",
        "started", "due", "signed",
    ],
};

impl Detector for BirthDateDetector {
    fn name(&self) -> &'static str {
        "birth_date"
    }

    fn signal(&self) -> Signal {
        Signal::Pii
    }

    fn pii_types(&self) -> &'static [PiiType] {
        &[BIRTH_DATE]
    }

    fn hold(&self) -> Hold {
        // "12 de septiembre de", and the month before the day.
        Hold { words: 5, lead: 5, ..Hold::NUMBER }
    }

    fn detect(
        &self,
        text: &str,
        ctx: &DetectContext<'_>,
        out: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        let groups = ctx.numbers().groups();
        let mut end = 0;
        for i in 0..groups.len() {
            let Some(date) = dates::of_year(text, groups, i) else {
                continue;
            };
            let plausible = matches!(date.year, 0..=99 | 1900..=2029);
            if !plausible || date.span.start < end {
                continue;
            }
            if CUES.around(text, &date.span) == Context::For || abbreviated(text, date.span.start) {
                end = date.span.end;
                out.push(Finding::pii(BIRTH_DATE, date.span, 0.9, self.name(), "announced_date"));
            }
        }
        Ok(())
    }
}

/// "D.O.B." before the date.
fn abbreviated(text: &str, start: usize) -> bool {
    let letters: [&str; 3] = ["b", "o", "d"];
    let mut words = words_before(text, start);
    letters.iter().all(|letter| words.next().is_some_and(|w| w.eq_ignore_ascii_case(letter)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table};

    #[test]
    fn dates_of_birth_are_found_exactly() {
        assert_table(
            &BirthDateDetector,
            &[
                ("DOB: 05/12/1980", &["05/12/1980"]),
                ("D.O.B. 5/12/80", &["5/12/80"]),
                ("She was born on May 12, 1980 in Rome", &["May 12, 1980"]),
                ("date of birth? It's 3/23/1940", &["3/23/1940"]),
                ("geboren am 12. März 1980", &["12. März 1980"]),
                ("née le 1er août 1980", &["1er août 1980"]),
                ("fecha de nacimiento: 12 de mayo de 1980", &["12 de mayo de 1980"]),
                ("nato il 12/05/1980 a Roma", &["12/05/1980"]),
                ("geboortedatum 12-05-1980", &["12-05-1980"]),
                ("ur. 12.05.1980", &["12.05.1980"]),
                ("data de nascimento 1980-05-12", &["1980-05-12"]),
                ("1980-05-12 (date of birth)", &["1980-05-12"]),
                ("born 12 May 1900, died 13 May 1990", &["12 May 1900"]),
                ("\"birth_date\": \"1980-05-12T00:00:00Z\"", &["1980-05-12"]),
            ],
        );
    }

    #[test]
    fn other_dates_are_left() {
        assert_clean(
            &BirthDateDetector,
            &[
                "",
                "1980-05-12",
                "it's like that since 11/15/1979",
                "born in 1980",
                "born 12/05/1780",
                "the issue was born; it was published 1999-05-12",
                "DOB 13/13/1980",
                "born 1980-05",
                "the newborn ward opened 12 May 1980",
            ],
        );
    }
}
