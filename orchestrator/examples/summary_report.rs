// SPDX-License-Identifier: AGPL-3.0-or-later
//! Measures the summarizer beside plain baselines, and writes what its salience model is fitted on.
//!
//! ```text
//! cargo run --release -p bho-orchestrator --example summary_report -- [--sentences N] [--limit N] FILE...
//! cargo run --release -p bho-orchestrator --example summary_report -- --features OUT FILE
//! ```
//!
//! Each file holds one JSON object a line: `source`, the sentences of a text, and `target`, its
//! summaries (as SciTLDR); with `source_labels`, 1 for the sentences that an oracle picks,
//! summaries are also compared with those. The sentences are joined by spaces and split anew.
//!
//! Methods: the first sentences (`lead`), TextRank (Mihalcea and Tarau 2004: shared content words
//! over log lengths, damping 0.85), the summarizer, and the sentence with the best ROUGE-L (`best
//! sentence`, which knows the answer). ROUGE-1, -2 and -L are F1 in percent over lower-case words,
//! the best over the references of a text (Lin 2004), with 95 % percentile bootstrap intervals over
//! texts (2000 draws, seeded).
//!
//! `--features OUT` writes for each text one line: for every sentence the model's features, what
//! rules set by hand add, and its ROUGE against the targets. `--pairs` joins each text to the next
//! one, with both summaries as the reference: what `--sentences 2` makes of them shows how well
//! repetition is avoided.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::{env, fs};

use bho_engine::{CancelToken, Compute};
use bho_models::{ModelStore, load_encoder};
use bho_orchestrator::agents::summarizer::{feature_names, rate};
use bho_orchestrator::agents::{Agent, AgentContext, Summarizer};
use bho_orchestrator::config::MissingInputs;
use bho_orchestrator::reasoner::{EncoderReasoner, Reasoner};
use bho_orchestrator::text::{is_stop_word, sentences, stem, words};
use serde_json::{Value, json};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// Draws of the bootstrap.
const DRAWS: usize = 2000;

struct Text {
    text: String,
    title: Option<String>,
    targets: Vec<String>,
    /// The sentences that the oracle picks, joined.
    oracle: Option<String>,
}

#[derive(Default)]
struct Options {
    sentences: usize,
    limit: usize,
    features: Option<String>,
    pairs: bool,
    files: Vec<String>,
}

fn options() -> Fallible<Options> {
    let mut options = Options { sentences: 1, limit: usize::MAX, ..Options::default() };
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--sentences" => {
                options.sentences = args.next().ok_or("--sentences needs a number")?.parse()?;
            }
            "--limit" => options.limit = args.next().ok_or("--limit needs a number")?.parse()?,
            "--features" => options.features = Some(args.next().ok_or("--features needs a file")?),
            "--pairs" => options.pairs = true,
            _ => options.files.push(arg),
        }
    }
    if options.files.is_empty() {
        return Err(
            "usage: summary_report [--sentences N] [--limit N] [--pairs] [--features OUT] \
            FILE..."
                .into(),
        );
    }
    Ok(options)
}

fn main() -> Fallible<()> {
    let options = options()?;
    let source = ModelStore::bundled()?.resolve("bitnet-s-1.58b")?;
    let reasoner = EncoderReasoner::new(load_encoder(&source, &Compute::new(2)?)?);
    for model in reasoner.models() {
        eprintln!("model: {}, {}", model.name, model.precision);
    }
    for file in &options.files {
        let mut texts = read(Path::new(file)).map_err(|e| format!("{file}: {e}"))?;
        texts.truncate(options.limit);
        if options.pairs {
            texts = pairs(&texts);
        }
        match &options.features {
            Some(out) => write_features(&reasoner, &texts, Path::new(out))?,
            None => report(&reasoner, file, &texts, options.sentences)?,
        }
    }
    Ok(())
}

fn read(path: &Path) -> Fallible<Vec<Text>> {
    let mut texts = Vec::new();
    for line in fs::read_to_string(path)?.lines().filter(|line| !line.trim().is_empty()) {
        let value: Value = serde_json::from_str(line)?;
        let list = |name: &str| -> Vec<String> {
            let items = value[name].as_array().into_iter().flatten();
            items.filter_map(|v| v.as_str().map(str::to_owned)).collect()
        };
        let (source, targets) = (list("source"), list("target"));
        if source.is_empty() || targets.is_empty() {
            return Err("a line needs `source` and `target`, lists of texts".into());
        }
        let labels = value["source_labels"].as_array();
        let oracle = labels.map(|labels| {
            let picked = source.iter().zip(labels).filter(|(_, label)| label.as_u64() == Some(1));
            picked.map(|(s, _)| s.as_str()).collect::<Vec<_>>().join(" ")
        });
        texts.push(Text {
            text: source.join(" "),
            title: value["title"].as_str().map(str::to_owned),
            targets,
            oracle: oracle.filter(|o| !o.is_empty()),
        });
    }
    Ok(texts)
}

/// Each text with the next; the reference is both summaries.
fn pairs(texts: &[Text]) -> Vec<Text> {
    let pair = |two: &[Text]| Text {
        text: format!("{}\n\n{}", two[0].text, two[1].text),
        title: None,
        targets: vec![format!("{} {}", two[0].targets[0], two[1].targets[0])],
        oracle: None,
    };
    texts.chunks_exact(2).map(pair).collect()
}

fn context<'a>(reasoner: &'a dyn Reasoner, cancel: &'a CancelToken) -> AgentContext<'a> {
    AgentContext {
        node: "report",
        deps: &[],
        missing: &[],
        missing_inputs: MissingInputs::SkipAndLabel,
        reasoner,
        cancel,
        seed: 0,
        attempt: 0,
    }
}

fn write_features(reasoner: &dyn Reasoner, texts: &[Text], out: &Path) -> Fallible<()> {
    let cancel = CancelToken::new();
    let mut file = std::io::BufWriter::new(fs::File::create(out)?);
    writeln!(file, "{}", json!({"names": feature_names()}))?;
    for text in texts {
        // Once without a title, as most texts come, and once with.
        for title in
            [None, text.title.as_deref()].iter().take(1 + usize::from(text.title.is_some()))
        {
            let rated = rate(&text.text, *title, &context(reasoner, &cancel))?;
            let rows: Vec<Value> = rated
                .iter()
                .map(|r| {
                    let rouge = Rouge::best(&text.text[r.span.clone()], &text.targets);
                    json!({
                        "features": r.features, "by_hand": r.by_hand,
                        "rouge": [rouge.one, rouge.two, rouge.long],
                    })
                })
                .collect();
            writeln!(file, "{}", json!({"title": title.is_some(), "sentences": rows}))?;
        }
    }
    Ok(())
}

fn report(reasoner: &dyn Reasoner, file: &str, texts: &[Text], k: usize) -> Fallible<()> {
    let cancel = CancelToken::new();
    let mut summaries: Vec<(String, Vec<String>)> = Vec::new();
    let mut add = |name: String, write: &dyn Fn(&Text) -> Fallible<String>| -> Fallible<()> {
        summaries.push((name, texts.iter().map(write).collect::<Fallible<_>>()?));
        Ok(())
    };
    add(format!("lead-{k}"), &|t| Ok(join(split(&t.text).into_iter().take(k))))?;
    add("TextRank".into(), &|t| Ok(text_rank(&t.text, k)))?;
    let summarise = |t: &Text, title: Option<&str>| -> Fallible<String> {
        let input = json!({"text": t.text, "max_sentences": k, "key_phrases": 0, "title": title});
        let input = input.as_object().ok_or("no map")?;
        let result = Summarizer.run(input, &context(reasoner, &cancel))?;
        Ok(result["text"].as_str().unwrap_or_default().to_owned())
    };
    add("summarizer".into(), &|t| summarise(t, None))?;
    if texts.iter().any(|t| t.title.is_some()) {
        add("summarizer, title known".into(), &|t| summarise(t, t.title.as_deref()))?;
    }
    if k == 1 {
        add("best sentence".into(), &|t| {
            let worth = |s: &str| Rouge::best(s, &t.targets).long;
            let best = split(&t.text).into_iter().max_by(|a, b| worth(a).total_cmp(&worth(b)));
            Ok(best.unwrap_or_default().to_owned())
        })?;
    }
    println!("{file}: {} texts, {k} sentence(s) each, F1 in percent [95 % interval]", texts.len());
    println!("  against the summaries");
    for (name, written) in &summaries {
        let rouge = written.iter().zip(texts).map(|(s, t)| Rouge::best(s, &t.targets));
        print_row(name, &rouge.collect::<Vec<_>>());
    }
    if texts.iter().any(|t| t.oracle.is_some()) {
        println!("  against the oracle's sentences");
        for (name, written) in &summaries {
            let both = written.iter().zip(texts);
            let rouge: Vec<Rouge> =
                both.filter_map(|(s, t)| Some(Rouge::of(s, t.oracle.as_deref()?))).collect();
            print_row(name, &rouge);
        }
    }
    Ok(())
}

fn print_row(name: &str, rouge: &[Rouge]) {
    let column = |value: fn(&Rouge) -> f64| {
        let values: Vec<f64> = rouge.iter().map(|r| 100.0 * value(r)).collect();
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let (low, high) = interval(&values);
        format!("{mean:5.2} [{low:5.2}, {high:5.2}]")
    };
    println!(
        "    {name:24} R-1 {}  R-2 {}  R-L {}",
        column(|r| r.one),
        column(|r| r.two),
        column(|r| r.long)
    );
}

/// 95 % percentile bootstrap interval of the mean, the same draws for every method.
fn interval(values: &[f64]) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    // SplitMix64 (Steele, Lea and Flood 2014).
    let mut state: u64 = 1;
    let mut random = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let n = values.len();
    let mut means: Vec<f64> = (0..DRAWS)
        .map(|_| (0..n).map(|_| values[(random() % n as u64) as usize]).sum::<f64>() / n as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    (means[DRAWS / 40], means[DRAWS - 1 - DRAWS / 40])
}

fn split(text: &str) -> Vec<&str> {
    sentences(text).map(|span| &text[span]).collect()
}

fn join<'a>(sentences: impl Iterator<Item = &'a str>) -> String {
    sentences.collect::<Vec<_>>().join(" ")
}

/// The `k` sentences that TextRank ranks first, in their order.
fn text_rank(text: &str, k: usize) -> String {
    let sentences = split(text);
    let bags: Vec<HashSet<String>> = sentences
        .iter()
        .map(|s| words(s).filter(|w| !is_stop_word(w.text)).map(|w| stem(w.text)).collect())
        .collect();
    let lengths: Vec<f64> = sentences.iter().map(|s| words(s).count().max(1) as f64).collect();
    let n = sentences.len();
    let weight = |i: usize, j: usize| {
        let shared = bags[i].intersection(&bags[j]).count() as f64;
        let norm = lengths[i].ln() + lengths[j].ln();
        if i == j || norm <= 0.0 { 0.0 } else { shared / norm }
    };
    let weights: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| weight(i, j)).collect()).collect();
    let out: Vec<f64> = weights.iter().map(|row| row.iter().sum()).collect();
    let mut rank = vec![1.0; n];
    for _ in 0..100 {
        let next = |i: usize| -> f64 {
            let voters = (0..n).filter(|&j| out[j] > 0.0);
            0.15 + 0.85 * voters.map(|j| weights[j][i] / out[j] * rank[j]).sum::<f64>()
        };
        rank = (0..n).map(next).collect();
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| rank[b].total_cmp(&rank[a]).then(a.cmp(&b)));
    order.truncate(k);
    order.sort_unstable();
    join(order.into_iter().map(|i| sentences[i]))
}

/// ROUGE F1 of a summary, in 0..=1 (Lin 2004).
#[derive(Clone, Copy, Default)]
struct Rouge {
    one: f64,
    two: f64,
    long: f64,
}

impl Rouge {
    fn of(summary: &str, reference: &str) -> Self {
        let tokens =
            |text: &str| -> Vec<String> { words(text).map(|w| w.text.to_lowercase()).collect() };
        let (a, b) = (tokens(summary), tokens(reference));
        Self {
            one: f1(shared(&a, &b, 1), a.len(), b.len()),
            two: f1(shared(&a, &b, 2), a.len().saturating_sub(1), b.len().saturating_sub(1)),
            long: f1(longest_common(&a, &b), a.len(), b.len()),
        }
    }

    fn best(summary: &str, references: &[String]) -> Self {
        references.iter().map(|r| Self::of(summary, r)).fold(Self::default(), |a, b| Self {
            one: a.one.max(b.one),
            two: a.two.max(b.two),
            long: a.long.max(b.long),
        })
    }
}

fn f1(hits: usize, a: usize, b: usize) -> f64 {
    if a + b == 0 { 0.0 } else { 2.0 * hits as f64 / (a + b) as f64 }
}

fn shared(a: &[String], b: &[String], n: usize) -> usize {
    let mut counts: HashMap<&[String], usize> = HashMap::new();
    for gram in b.windows(n) {
        *counts.entry(gram).or_default() += 1;
    }
    let mut hits = 0;
    for gram in a.windows(n) {
        if let Some(left) = counts.get_mut(gram).filter(|left| **left > 0) {
            *left -= 1;
            hits += 1;
        }
    }
    hits
}

fn longest_common(a: &[String], b: &[String]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}
