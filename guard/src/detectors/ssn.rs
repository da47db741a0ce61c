// SPDX-License-Identifier: AGPL-3.0-or-later
//! US social security numbers, by the Social Security Administration's rules of what is never issued.

use crate::detector::{DetectContext, Detector, Hold, Signal};
use crate::error::GuardError;
use crate::finding::{Finding, PiiType};
use crate::text::context::{Context, Cues};
use crate::text::numbers::{Gap, Group, gap};
use crate::text::{char_after, char_before, is_wordlike};

/// The PII type this detector reports.
pub const SSN: PiiType = PiiType::new("ssn");

/// Finds US social security numbers: area, group and serial of three, two and four digits.
///
/// Never reported: area 000, 666 or 9xx, group 00, serial 0000 (SSA, RM 10201.035). Score: 0.85 with dashes, 0.75 with
/// spaces, 0.5 with full stops, 0.3 for nine bare digits; a word such as "ssn" adds 0.45, one such as "order" takes 0.4.
/// So nine bare digits need such a word.
pub struct SsnDetector;

#[rustfmt::skip]
const CUES: Cues = Cues {
    positive: &[
        "ssn", "ssns", "social", "socials", "ss", "taxpayer", "ssa",
    ],
    negative: &[
        "order", "invoice", "ticket", "tracking", "serial", "part", "sku", "zip", "phone", "tel", "fax", "routing",
        "isbn", "version", "id", "ref", "reference", "case", "date", "suite", "apt", "room", "box",
    ],
};

impl Detector for SsnDetector {
    fn name(&self) -> &'static str {
        "ssn"
    }

    fn signal(&self) -> Signal {
        Signal::Pii
    }

    fn pii_types(&self) -> &'static [PiiType] {
        &[SSN]
    }

    fn hold(&self) -> Hold {
        Hold::NUMBER
    }

    fn detect(
        &self,
        text: &str,
        ctx: &DetectContext<'_>,
        out: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        ctx.numbers().walk(|run, first| {
            let (last, base) = match_from(text, run, first)?;
            let span = run[first].start..run[last].end;
            let score = match CUES.around(text, &span) {
                Context::For => base + 0.45,
                Context::Against => base - 0.4,
                Context::Silent => base,
            };
            out.push(Finding::pii(SSN, span, score, self.name(), "area_group_serial"));
            Some(last + 1)
        });
        Ok(())
    }
}

/// The last group of a number that begins with group `first`, and its base score.
fn match_from(text: &str, run: &[Group], first: usize) -> Option<(usize, f32)> {
    let (last, base) = if let [a, g, s, ..] = run[first..]
        && (a.len(), g.len(), s.len()) == (3, 2, 4)
    {
        let between = gap(text, a, g);
        let base = match between {
            Gap::Dash => 0.85,
            Gap::Space => 0.75,
            Gap::Dot => 0.5,
            Gap::Slash | Gap::Mixed => return None,
        };
        let parts = [a, g, s].map(|part| part.digits(text));
        if gap(text, g, s) != between || !issued(parts) {
            return None;
        }
        (first + 2, base)
    } else {
        let digits = run[first].digits(text);
        if digits.len() != 9 || !issued([&digits[..3], &digits[3..5], &digits[5..]]) {
            return None;
        }
        (first, 0.3)
    };
    (starts_alone(text, run, first) && ends_alone(text, run, last)).then_some((last, base))
}

fn issued([area, group, serial]: [&str; 3]) -> bool {
    area != "000" && area != "666" && !area.starts_with('9') && group != "00" && serial != "0000"
}

fn starts_alone(text: &str, run: &[Group], first: usize) -> bool {
    if first > 0 {
        // "(0) 770-08-2299" is a telephone number.
        let between = &text[run[first - 1].end..run[first].start];
        return gap(text, run[first - 1], run[first]) == Gap::Mixed && !between.contains(')');
    }
    let start = run[0].start;
    match char_before(text, start) {
        Some(c) if is_wordlike(c) => false,
        Some('+' | '$' | '€' | '£') => false,
        Some('-' | '.' | ',') => !char_before(text, start - 1).is_some_and(char::is_alphanumeric),
        _ => true,
    }
}

fn ends_alone(text: &str, run: &[Group], last: usize) -> bool {
    if last + 1 < run.len() {
        return gap(text, run[last], run[last + 1]) == Gap::Mixed;
    }
    let end = run[last].end;
    match char_after(text, end) {
        Some(c) if is_wordlike(c) => false,
        Some('-' | ',') => !char_after(text, end + 1).is_some_and(char::is_alphanumeric),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table};

    #[test]
    fn numbers_are_found_exactly() {
        assert_table(
            &SsnDetector,
            &[
                ("078-05-1120", &["078-05-1120"]),
                ("My SSN is 123-45-6789.", &["123-45-6789"]),
                ("(219-09-9999)", &["219-09-9999"]),
                ("078\u{2013}05\u{2013}1120", &["078\u{2013}05\u{2013}1120"]),
                ("078\u{2011}05\u{2011}1120", &["078\u{2011}05\u{2011}1120"]),
                ("078 05 1120", &["078 05 1120"]),
                ("078\u{a0}05\u{a0}1120", &["078\u{a0}05\u{a0}1120"]),
                ("social security number: 078051120", &["078051120"]),
                ("ssn=078051120", &["078051120"]),
                ("SSN 078.05.1120", &["078.05.1120"]),
                ("078051120 (SSN)", &["078051120"]),
                ("123-45-6789, 234-56-7890", &["123-45-6789", "234-56-7890"]),
                ("SSN: 899-99-9999\n", &["899-99-9999"]),
                ("a\u{301} 665-01-0001", &["665-01-0001"]),
                ("ssn#: 001-01-0001", &["001-01-0001"]),
            ],
        );
    }

    #[test]
    fn what_is_never_issued_or_something_else_is_left() {
        assert_clean(
            &SsnDetector,
            &[
                "",
                "ssn 000-12-3456",
                "ssn 666-12-3456",
                "ssn 900-12-3456",
                "ssn 999-12-3456",
                "ssn 123-00-4567",
                "ssn 123-45-0000",
                "078051120",
                "078.05.1120",
                "078-05 1120",
                "078--05--1120",
                "1078-05-1120",
                "078-05-11200",
                "078-05-1120-3",
                "A078-05-1120",
                "x-078-05-1120",
                "order 078-05-1120",
                "123-456-7890",
                "2021-03-04",
                "ISBN 978-05-1120",
                "[213] (0) 770-08-2299",
                "Suite 680 36 4022 Oakridge Lane",
            ],
        );
    }
}
