// SPDX-License-Identifier: AGPL-3.0-or-later
//! Measures the guard on labelled files: `cargo run --release -p bho-guard --example measure -- FILE.jsonl...`
//!
//! Each line is `{"text": ..., "label": ...}`, where the label 0 or "benign" is a negative and any other, or none, a
//! positive. Prints, per file, how many of each label are blocked, and the throughput. A file that is no `.jsonl` is one
//! benign text. With `--detectors`, prints the throughput of each detector by itself. With `--show 0|1`, prints the texts
//! of that label that were judged wrongly. With `--retrieved`, texts are taken for retrieved ones, in which orders to the
//! assistant count. With `--views`, prints what the normaliser's views add to the findings instead.

use std::time::Instant;

use bho_guard::{DetectContext, Guard, Mode, Policy, Source, detectors};

fn main() {
    let mut show = None;
    let mut each = false;
    let mut views = false;
    let mut source = Source::Dialogue;
    let mut files = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--show" {
            show = args.next().and_then(|s| s.parse::<u64>().ok());
        } else if arg == "--detectors" {
            each = true;
        } else if arg == "--retrieved" {
            source = Source::Retrieved;
        } else if arg == "--views" {
            views = true;
        } else {
            files.push(arg);
        }
    }
    let guard = Guard::new(Policy::default()).expect("the default policy is valid");
    for file in files {
        let content = match std::fs::read_to_string(&file) {
            Ok(content) => content,
            Err(error) => {
                eprintln!("{file}: {error}");
                continue;
            }
        };
        let json = file.ends_with(".jsonl");
        let rows: Vec<(String, u64)> = if json {
            content
                .lines()
                .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
                .filter_map(|row| {
                    let text = row.get("text")?.as_str()?.to_owned();
                    let label = match row.get("label") {
                        Some(label) => *label != 0 && label != "benign",
                        None => true,
                    };
                    Some((text, u64::from(label)))
                })
                .collect()
        } else {
            vec![(content, 0)]
        };
        if views {
            show_views(&guard, &file, &rows);
            continue;
        }
        let mut counts = [[0usize; 2]; 2];
        let mut redacted = 0;
        let bytes: usize = rows.iter().map(|(text, _)| text.len()).sum();
        let start = Instant::now();
        for (text, label) in &rows {
            let verdict = guard
                .check_from(source, "measure", text, Mode::Input, &|| false)
                .expect("built-in detectors do not fail");
            let positive = !verdict.card.allowed;
            redacted += verdict.card.redactions.len();
            counts[usize::from(*label > 0)][usize::from(positive)] += 1;
            if show == Some(*label) && positive != (*label > 0) {
                let flat: String = text.chars().take(220).collect::<String>().replace('\n', " / ");
                let labels = verdict.card.labels;
                let score = labels.jailbreak.max(labels.indirect);
                println!("  {score:.2} {flat}  [{}]", verdict.card.why);
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        if each {
            for detector in detectors::builtin() {
                let start = Instant::now();
                let mut found = Vec::new();
                for (text, _) in &rows {
                    let context = DetectContext::new(text, Mode::Input);
                    detector
                        .detect(text, &context, &mut found)
                        .expect("built-in detectors do not fail");
                }
                let rate = bytes as f64 / 1e6 / start.elapsed().as_secs_f64();
                println!("  {:>10}: {rate:6.0} MB/s, {} findings", detector.name(), found.len());
            }
        }
        let rate = |c: [usize; 2]| 100.0 * c[1] as f64 / (c[0] + c[1]).max(1) as f64;
        println!(
            "{file}: recall {:.1}% of {}, false positives {:.2}% of {}, {redacted} redactions, {:.0} MB/s",
            rate(counts[1]),
            counts[1].iter().sum::<usize>(),
            rate(counts[0]),
            counts[0].iter().sum::<usize>(),
            bytes as f64 / 1e6 / seconds,
        );
    }
}

/// What the normaliser adds: texts that have views, and each finding over the default thresholds that only a view shows.
fn show_views(guard: &Guard, file: &str, rows: &[(String, u64)]) {
    let (mut with_views, mut view_bytes, mut added) = (0, 0, 0);
    for (text, _) in rows {
        let views = bho_guard::normalise::views(text);
        with_views += usize::from(!views.is_empty());
        view_bytes += views.iter().map(|view| view.text().len()).sum::<usize>();
        let verdict =
            guard.check("measure", text, Mode::Input).expect("built-in detectors do not fail");
        for finding in &verdict.findings {
            let Some(via) = finding.via.filter(|_| finding.score >= 0.6) else {
                continue;
            };
            added += 1;
            let hit = text[finding.span.clone()].replace('\n', " / ");
            let hit: String = hit.chars().take(160).collect();
            println!("  {via}: {:?} {} {:.2} {hit}", finding.category, finding.rule, finding.score);
        }
    }
    let bytes: usize = rows.iter().map(|(text, _)| text.len()).sum();
    println!(
        "{file}: {} texts, {with_views} with views, {:.2} bytes of views a byte, {added} findings through views",
        rows.len(),
        view_bytes as f64 / bytes.max(1) as f64,
    );
}
