// SPDX-License-Identifier: AGPL-3.0-or-later
//! The worst mistakes, told by their line and a text in which all personal data is masked: what was found, and what was missed.

use std::ops::Range;

use bho_guard::{Category, Guard, Mode};
use serde::Serialize;

use super::data::{Data, Example, HEADS};
use super::guard::Answer;
use super::spans::{Counts, union};
use super::types::{Standing, Types};

/// Mistakes listed of each kind.
const LISTED: usize = 10;
/// Characters of a text that are shown.
const SHOWN: usize = 240;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Mistake {
    pub(crate) signal: &'static str,
    /// `missed`, `false_alarm`; for personal data `missed`, `wrong` or both.
    pub(crate) kind: &'static str,
    pub(crate) file: String,
    pub(crate) line: u64,
    pub(crate) group: Option<String>,
    /// The signal's score; for personal data the highest of what was wrong.
    pub(crate) score: f64,
    /// Types that were missed, and those that were found for nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) missed: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) wrong: Vec<String>,
    /// Without personal data; none when texts are left out.
    pub(crate) text: Option<String>,
}

/// What the texts are masked with, unless they are left out.
pub(crate) struct Masking<'a> {
    pub(crate) guard: &'a Guard,
    pub(crate) mode: Mode,
}

/// Texts that a signal's threshold puts on the wrong side, the furthest from it first.
pub(crate) fn of_signal(
    data: &Data,
    answers: &[Answer],
    head: usize,
    threshold: f64,
    types: &Types,
    masking: Option<&Masking<'_>>,
) -> Vec<Mistake> {
    let mut out = Vec::new();
    for (kind, positive) in [("missed", true), ("false_alarm", false)] {
        let pairs = data.examples.iter().zip(answers);
        let mut wrong: Vec<_> = pairs
            .filter(|(example, answer)| {
                example.labels[head] == Some(positive)
                    && (answer.scores[head] >= threshold) != positive
            })
            .collect();
        let far = |answer: &Answer| (answer.scores[head] - threshold).abs();
        wrong.sort_by(|a, b| far(b.1).total_cmp(&far(a.1)));
        out.extend(wrong.into_iter().take(LISTED).map(|(example, answer)| {
            let mut mistake = mistake(HEADS[head], kind, data, example, answer.scores[head]);
            mistake.text = masking.map(|masking| masked(example, answer, types, masking));
            mistake
        }));
    }
    out
}

/// Texts with the most personal data missed or found for nothing; `judged` are the texts' numbers and counts.
pub(crate) fn of_pii(
    data: &Data,
    answers: &[Answer],
    judged: &[(usize, Counts)],
    types: &Types,
    masking: Option<&Masking<'_>>,
) -> Vec<Mistake> {
    let errors = |counts: &Counts| counts.missed.len() + counts.wrong.len();
    let mut worst: Vec<_> = judged.iter().filter(|(_, counts)| errors(counts) > 0).collect();
    worst.sort_by_key(|(text, counts)| (std::cmp::Reverse(errors(counts)), *text));
    let list = |(text, counts): &(usize, Counts)| {
        let (example, answer) = (&data.examples[*text], &answers[*text]);
        let kind = match (counts.missed.is_empty(), counts.wrong.is_empty()) {
            (false, true) => "missed",
            (true, _) => "wrong",
            (false, false) => "missed and wrong",
        };
        let score = counts.wrong.iter().map(|i| answer.spans[*i].score).fold(0.0, f64::max);
        let mut mistake = mistake("pii", kind, data, example, score);
        let gold = example.spans.as_deref().unwrap_or_default();
        let missed = counts.missed.iter().map(|i| types.label(gold[*i].label).name.clone());
        mistake.missed = missed.collect();
        mistake.wrong =
            counts.wrong.iter().map(|i| types.key(answer.spans[*i].key).to_owned()).collect();
        mistake.text = masking.map(|masking| masked(example, answer, types, masking));
        mistake
    };
    worst.into_iter().take(2 * LISTED).map(list).collect()
}

fn mistake(
    signal: &'static str,
    kind: &'static str,
    data: &Data,
    example: &Example,
    score: f64,
) -> Mistake {
    Mistake {
        signal,
        kind,
        file: data.files[example.file].file.clone(),
        line: example.line,
        group: example.group.clone(),
        score,
        missed: Vec::new(),
        wrong: Vec::new(),
        text: None,
    }
}

/// The text with everything masked that is labelled, was found, or that the guard sees at any score: `[email]` was found
/// rightly, `[missed NAME]` was not found, `[wrong: phone]` was found for nothing.
///
/// A long text is cut to the surroundings of its first mask.
fn masked(example: &Example, answer: &Answer, types: &Types, masking: &Masking<'_>) -> String {
    let text = &example.text;
    let mut marks: Vec<(Range<usize>, String)> = Vec::new();
    let gold = example.spans.as_deref().unwrap_or_default();
    let labelled = union(gold.iter().map(|g| g.span.clone()).collect());
    let seen = union(answer.spans.iter().map(|f| f.span.clone()).collect());
    for g in gold {
        let found = meets(&seen, &g.span);
        let label = types.label(g.label);
        let counted = types.standing(g.label) == Standing::Counted;
        let mark = match (found, counted) {
            (false, true) => format!("[missed {}]", label.name),
            _ => format!("[{}]", label.name),
        };
        marks.push((g.span.clone(), mark));
    }
    for f in &answer.spans {
        let judged = example.spans.is_some() && !meets(&labelled, &f.span);
        let key = types.key(f.key);
        marks.push((
            f.span.clone(),
            if judged { format!("[wrong: {key}]") } else { format!("[{key}]") },
        ));
    }
    // What scored too low to be redacted may be personal data all the same. A guard that fails masks everything.
    let Ok(verdict) = masking.guard.check("eval", text, masking.mode) else {
        return "[withheld: the guard failed]".to_owned();
    };
    marks.extend(verdict.findings.iter().filter_map(|finding| match finding.category {
        Category::Pii(kind) => Some((finding.span.clone(), format!("[{}?]", kind.key()))),
        _ => None,
    }));
    let (out, first) = with_marks(text, &marks);
    clip(&out, first)
}

/// A text that is not labelled, with everything masked that the guard sees at any score.
pub(crate) fn without_personal_data(text: &str, masking: &Masking<'_>) -> String {
    let Ok(verdict) = masking.guard.check("eval", text, masking.mode) else {
        return "[withheld: the guard failed]".to_owned();
    };
    let marks: Vec<_> = verdict
        .findings
        .iter()
        .filter_map(|finding| match finding.category {
            Category::Pii(kind) => Some((finding.span.clone(), format!("[{}]", kind.key()))),
            _ => None,
        })
        .collect();
    clip(&with_marks(text, &marks).0, 0)
}

/// Whether a span has a byte in common with one of the stretches, which are in order and apart.
fn meets(stretches: &[Range<usize>], span: &Range<usize>) -> bool {
    let next = stretches.partition_point(|stretch| stretch.end <= span.start);
    stretches.get(next).is_some_and(|stretch| stretch.start < span.end)
}

/// The text with each stretch of marked spans replaced by the first of its marks, as they are listed; and where the first
/// stands.
fn with_marks(text: &str, marks: &[(Range<usize>, String)]) -> (String, usize) {
    let stretches = union(marks.iter().map(|(span, _)| span.clone()).collect());
    let mut firsts: Vec<Option<&str>> = vec![None; stretches.len()];
    for (span, mark) in marks {
        let of = stretches.partition_point(|stretch| stretch.start <= span.start);
        if let Some(first) = of.checked_sub(1).and_then(|of| firsts.get_mut(of)) {
            first.get_or_insert(mark);
        }
    }
    let (mut out, mut from, mut begin) = (String::new(), 0, None);
    for (stretch, mark) in stretches.iter().zip(firsts) {
        out.push_str(&text[from..stretch.start]);
        begin.get_or_insert(out.len());
        out.push_str(mark.unwrap_or("[...]"));
        from = stretch.end;
    }
    out.push_str(&text[from..]);
    (out, begin.unwrap_or(0))
}

/// So many characters around a place, on one line.
fn clip(text: &str, around: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let count = line.chars().count();
    if count <= SHOWN {
        return line;
    }
    let at = text[..around].chars().count();
    let start = at.saturating_sub(SHOWN / 3).min(count - SHOWN);
    let mut out = String::new();
    if start > 0 {
        out.push('…');
    }
    out.extend(line.chars().skip(start).take(SHOWN));
    if start + SHOWN < count {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use bho_guard::Policy;

    use super::super::spans::{Found, Gold, judge};
    use super::*;

    fn shown(text: &str, gold: &[(&str, &str)], found: &[(&str, &str)]) -> String {
        let mut types = Types::new(&["email", "name"]);
        let place = |part: &str| {
            let at = text.find(part).unwrap();
            at..at + part.len()
        };
        let gold: Vec<Gold> = gold
            .iter()
            .map(|(part, name)| Gold { span: place(part), label: types.label_of(name) })
            .collect();
        let spans: Vec<Found> = found
            .iter()
            .map(|(part, key)| Found { span: place(part), key: types.key_of(key), score: 0.9 })
            .collect();
        let example = Example {
            file: 0,
            line: 3,
            text: text.to_owned(),
            spans: Some(gold.clone()),
            labels: [None; 2],
            group: None,
        };
        let counts = judge(&gold, &spans, &types);
        let answers = [Answer { spans, ..Answer::default() }];
        let mut data = Data { examples: vec![example], ..Data::default() };
        data.files.push(super::super::data::DataFile {
            file: "d.jsonl".into(),
            sha256: String::new(),
            texts: 1,
        });
        let guard = Guard::new(Policy::default()).unwrap();
        let masking = Masking { guard: &guard, mode: Mode::Input };
        let mut found = of_pii(&data, &answers, &[(0, counts)], &types, Some(&masking));
        assert!(found.len() <= 1);
        found.pop().and_then(|mistake| mistake.text).unwrap_or_default()
    }

    #[test]
    fn what_was_found_missed_or_wrong_is_masked_alike() {
        let text = "Ann wrote to bob@example.org about Jo, call 555-010-4477 now";
        let out = shown(
            text,
            &[("Ann", "PERSON"), ("bob@example.org", "email")],
            &[("bob@example.org", "email"), ("Jo", "name")],
        );
        assert!(
            out.starts_with("[missed PERSON] wrote to [email] about [wrong: name], call [phone"),
            "{out}"
        );
        assert_eq!(
            shown(
                "to bob@example.org",
                &[("bob@example.org", "email")],
                &[("bob@example.org", "email")]
            ),
            ""
        );
    }

    #[test]
    fn overlapping_masks_hide_all_they_cover() {
        let out =
            shown("Ann Smith-Jones here", &[("Ann Smith", "PERSON")], &[("Smith-Jones", "email")]);
        assert_eq!(out, "[PERSON] here");
    }

    #[test]
    fn long_texts_are_cut_around_the_first_mask() {
        let text = format!("{}Ann{}", "é ".repeat(400), " ü".repeat(400));
        let out = shown(&text, &[("Ann", "PERSON")], &[]);
        assert!(out.contains("[missed PERSON]") && out.chars().count() == SHOWN + 2, "{out}");
    }
}
