// SPDX-License-Identifier: AGPL-3.0-or-later
//! Precision, recall and F1 of the PII detectors, by type: `cargo run --release -p bho-guard --example pii_report -- FILE...`
//!
//! A line of a `.jsonl` file is `{"text": ..., "spans": [{"type": ..., "start": ..., "end": ...}]}`, offsets counted in
//! characters; the types may be those of presidio-research. A redaction is right when it overlaps a span of its type, a
//! span is found when a redaction of its type overlaps it; dates of birth are compared with spans of `DATE_TIME`, and a place
//! inside a redacted address counts as found, unless `--strict` is given. Texts without spans, and the paragraphs of any other file, are clean:
//! for them the redactions are counted. `--model FILE` adds the tagger of names, addresses and places over a model's
//! file. `--show TYPE` prints what was missed or wrongly found of that type, or of all with `--show all`; `--limit N`
//! reads N texts of each file at most.

use std::collections::BTreeMap;
use std::ops::Range;

use bho_engine::Compute;
use bho_guard::detectors::learned::{PiiTagger, TAGGED_TYPES};
use bho_guard::{Category, Finding, Guard, Mode, PiiType};
use bho_models::{ModelSource, load_encoder};
use serde_json::Value;

#[derive(Default, Clone, Copy)]
struct Count {
    gold: usize,
    found: usize,
    reported: usize,
    right: usize,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.gold += other.gold;
        self.found += other.found;
        self.reported += other.reported;
        self.right += other.right;
    }

    fn print(&self, name: &str) {
        let ratio = |a: usize, b: usize| if b == 0 { 0.0 } else { a as f64 / b as f64 };
        let (p, r) = (ratio(self.right, self.reported), ratio(self.found, self.gold));
        let f1 = if p + r > 0.0 { 2.0 * p * r / (p + r) } else { 0.0 };
        println!(
            "{name:20} {:5} spans {:5} redactions  P {p:.3}  R {r:.3}  F1 {f1:.3}",
            self.gold, self.reported
        );
    }
}

/// The type of this project for a label of presidio-research; others keep their name, in lower case.
fn key(label: &str) -> String {
    match label {
        "CREDIT_CARD" => "card",
        "PHONE_NUMBER" => "phone",
        "EMAIL_ADDRESS" => "email",
        "US_SSN" => "ssn",
        "IBAN_CODE" => "iban",
        "IP_ADDRESS" => "ip",
        "US_DRIVER_LICENSE" => "driver_license",
        "STREET_ADDRESS" | "ZIP_CODE" => "address",
        "PERSON" | "PREFIX" => "name",
        "LOCATION" | "GPE" => "place",
        other => return other.to_lowercase(),
    }
    .to_owned()
}

/// The type and place, in bytes, of a labelled span.
type Span = (String, Range<usize>);

/// A row's text and its spans.
fn row(line: &str) -> Option<(String, Vec<Span>)> {
    let row: Value = serde_json::from_str(line).ok()?;
    let text = row.get("text")?.as_str()?.to_owned();
    let bytes: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let spans = row.get("spans").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let spans = spans
        .iter()
        .filter_map(|span| {
            let at = |name| bytes.get(usize::try_from(span.get(name)?.as_u64()?).ok()?).copied();
            Some((key(span.get("type")?.as_str()?), at("start")?..at("end")?))
        })
        .collect();
    Some((text, spans))
}

/// Whether a redaction of this type is what the label says. A date of birth is one of the dates a file may label; files differ
/// in whether the town is a part of the address.
fn same(kind: &str, label: &str, strict: bool) -> bool {
    kind == label
        || kind == "birth_date" && label == "date_time"
        || !strict && matches!((kind, label), ("address", "place") | ("place", "address"))
}

/// Where bins of the tagger's scores begin.
const SCORES: [f32; 7] = [0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.83];

/// A finding of names, addresses or places by the tagger.
fn tagged(finding: &Finding) -> Option<(&'static str, &Finding)> {
    match finding.category {
        Category::Pii(kind) if finding.detector == "tagger" => Some((kind.key(), finding)),
        _ => None,
    }
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

fn main() {
    let mut show: Option<String> = None;
    let mut files = Vec::new();
    let mut limit = usize::MAX;
    let mut strict_types = false;
    let mut guard = Guard::builder();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--strict" => strict_types = true,
            "--show" => show = args.next(),
            "--limit" => limit = args.next().and_then(|n| n.parse().ok()).expect("--limit N"),
            "--model" => {
                let source = ModelSource::file(args.next().expect("--model FILE"));
                let compute = Compute::new(1).expect("one thread");
                let encoder = load_encoder(&source, &compute).expect("a model");
                guard = guard.detector(PiiTagger::new(encoder).expect("a tagger"));
            }
            _ => files.push(arg),
        }
    }
    let shown = |kind: &str| show.as_deref().is_some_and(|s| s == "all" || s == kind);
    let guard = guard.build().expect("the default policy is valid");
    let mut known: Vec<&str> = bho_guard::known_pii_types().into_iter().map(PiiType::key).collect();
    known.extend(TAGGED_TYPES.iter().map(|kind| kind.key()));
    for file in files {
        let content = match std::fs::read_to_string(&file) {
            Ok(content) => content,
            Err(error) => {
                eprintln!("{file}: {error}");
                continue;
            }
        };
        let json = file.ends_with(".jsonl");
        let mut counts: BTreeMap<String, Count> = BTreeMap::new();
        let mut bytes = 0;
        let mut bins = [(0usize, 0usize); SCORES.len() + 1];
        let lines: Vec<&str> = content.split(if json { "\n" } else { "\n\n" }).collect();
        for line in lines.into_iter().filter(|line| !line.is_empty()).take(limit) {
            let parsed = if json { row(line) } else { Some((line.to_owned(), Vec::new())) };
            let Some((text, gold)) = parsed else { continue };
            bytes += text.len();
            let verdict = guard.check("report", &text, Mode::Input).expect("no detector fails");
            for (kind, finding) in verdict.findings.iter().filter_map(tagged) {
                let right = gold
                    .iter()
                    .any(|(label, s)| same(kind, label, false) && overlap(s, &finding.span));
                let bin = SCORES.partition_point(|limit| *limit <= finding.score);
                bins[bin].0 += 1;
                bins[bin].1 += usize::from(right);
            }
            let card = verdict.card;
            let reported: Vec<(&str, Range<usize>)> = card
                .redactions
                .iter()
                .map(|r| (r.kind.trim_start_matches("PII."), r.span[0]..r.span[1]))
                .collect();
            for (kind, span) in &gold {
                let hit =
                    reported.iter().any(|(k, s)| same(k, kind, strict_types) && overlap(s, span));
                let count = counts.entry(kind.clone()).or_default();
                count.gold += 1;
                count.found += usize::from(hit);
                if !hit && shown(kind) {
                    println!("missed {kind} {:?} in {text:?}", &text[span.clone()]);
                }
            }
            for (kind, span) in &reported {
                let hit = gold
                    .iter()
                    .any(|(label, s)| same(kind, label, strict_types) && overlap(s, span));
                let count = counts.entry((*kind).to_owned()).or_default();
                count.reported += 1;
                count.right += usize::from(hit);
                if !hit && shown(kind) {
                    let from =
                        text[..span.start].char_indices().rev().nth(50).map_or(0, |(i, _)| i);
                    let to = text[span.end..]
                        .char_indices()
                        .nth(20)
                        .map_or(text.len(), |(i, _)| span.end + i);
                    println!("wrong {kind} {:?} in {:?}", &text[span.clone()], &text[from..to]);
                }
            }
        }
        println!("{file}: {} KB", bytes / 1000);
        let (mut all, mut strict) = (Count::default(), Count::default());
        for (kind, count) in &counts {
            count.print(kind);
            if known.contains(&kind.as_str()) {
                all.add(*count);
                // Most of an address is names, which no rule knows.
                if kind != "address" {
                    strict.add(*count);
                }
            }
        }
        all.print("all known types");
        strict.print("without addresses");
        for (i, (all, right)) in bins.iter().enumerate().filter(|(_, (all, _))| *all > 0) {
            let from = i.checked_sub(1).map_or(0.0, |i| SCORES[i]);
            println!("tagger's scores from {from:.2}: {all:5} findings, {right:5} right");
        }
    }
}
