// SPDX-License-Identifier: AGPL-3.0-or-later
//! Measures the claim check and the summarizer with the bundled encoder, on files given.
//!
//! ```text
//! cargo run --release -p bho-orchestrator --example agents_report -- [--limit N] FILE...
//! ```
//!
//! Each file holds one JSON object a line, of one of these kinds, told by its fields:
//!
//! - `premise`, `hypothesis`, `label` (entailment, neutral, contradiction), as SNLI;
//! - `claim`, `evidence`, `label` (SUPPORTS, REFUTES), as Fool Me Twice; with `retrieved`, a list,
//!   each claim is also checked against that list;
//! - `sentence`, `explanation`, `label` (true, false), as CREAK, the explanation being evidence;
//! - `source` (the sentences of a text), `target` (its summaries), as SciTLDR.
//!
//! At most `--limit` lines of a file are read (2000), evenly spread over it. The figures that the
//! documentation of the agents quotes are what this prints.

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::{env, fs};

use bho_engine::{CancelToken, Compute};
use bho_models::{ModelStore, load_encoder};
use bho_orchestrator::agents::{Agent, AgentContext, AgentError, ClaimCheck, Fields, Summarizer};
use bho_orchestrator::config::MissingInputs;
use bho_orchestrator::reasoner::{EncoderReasoner, Reasoner};
use bho_orchestrator::text::{sentences, words};
use serde_json::{Value, json};

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    let mut limit = 2000;
    let mut files = Vec::new();
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--limit" => limit = args.next().ok_or("--limit needs a number")?.parse()?,
            _ => files.push(arg),
        }
    }
    if files.is_empty() {
        return Err("usage: agents_report [--limit N] FILE...".into());
    }
    let source = ModelStore::bundled()?.resolve("bitnet-s-1.58b")?;
    let reasoner = EncoderReasoner::new(load_encoder(&source, &Compute::new(2)?)?);
    for model in reasoner.models() {
        println!("model: {}, {}", model.name, model.precision);
    }
    let agents = Agents { reasoner: Arc::new(reasoner) };
    for file in &files {
        report(&agents, Path::new(file), limit).map_err(|e| format!("{file}: {e}"))?;
    }
    Ok(())
}

/// Runs agents outside a pipeline.
struct Agents {
    reasoner: Arc<dyn Reasoner>,
}

impl Agents {
    fn run(&self, agent: &dyn Agent, input: &Value) -> Result<Fields, AgentError> {
        let context = AgentContext {
            node: "report",
            deps: &[],
            missing: &[],
            missing_inputs: MissingInputs::SkipAndLabel,
            reasoner: self.reasoner.as_ref(),
            cancel: &CancelToken::new(),
            seed: 0,
            attempt: 0,
        };
        agent.run(input.as_object().ok_or_else(|| AgentError::new("Input", "no map"))?, &context)
    }

    /// The verdict on a claim, and its score.
    fn check(&self, claim: &str, evidence: &Value) -> Fallible<(Verdict, f64)> {
        let result = self.run(&ClaimCheck, &json!({"claim": claim, "kb": evidence}))?;
        let verdict = match result["verdict"].as_str() {
            Some("supported") => Verdict::Supported,
            Some("refuted") => Verdict::Refuted,
            _ => Verdict::Uncertain,
        };
        Ok((verdict, result["score"].as_f64().unwrap_or_default()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Verdict {
    Supported,
    Refuted,
    Uncertain,
}

/// A claim, what is known of it, and what is to be made of that.
struct Pair {
    claim: String,
    evidence: String,
    retrieved: Vec<Value>,
    gold: Verdict,
}

enum Entry {
    Pair(Pair),
    Text { source: String, targets: Vec<String> },
}

fn entry(line: &str) -> Fallible<Entry> {
    let value: Value = serde_json::from_str(line)?;
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let list = |name: &str| value[name].as_array().cloned().unwrap_or_default();
    let texts = |name: &str| -> Vec<String> {
        list(name).iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    if value["source"].is_array() && value["target"].is_array() {
        return Ok(Entry::Text { source: texts("source").join(" "), targets: texts("target") });
    }
    let [claim, evidence] =
        [("hypothesis", "premise"), ("claim", "evidence"), ("sentence", "explanation")]
            .into_iter()
            .find_map(|(claim, evidence)| Some([text(claim)?, text(evidence)?]))
            .ok_or("a line has neither a claim with evidence nor a source with a target")?;
    let gold = match text("label").unwrap_or_default().to_lowercase().as_str() {
        "entailment" | "supports" | "true" => Verdict::Supported,
        "contradiction" | "refutes" | "false" => Verdict::Refuted,
        "neutral" => Verdict::Uncertain,
        other => return Err(format!("unknown label {other:?}").into()),
    };
    Ok(Entry::Pair(Pair { claim, evidence, retrieved: list("retrieved"), gold }))
}

fn report(agents: &Agents, path: &Path, limit: usize) -> Fallible<()> {
    let text = fs::read_to_string(path)?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let read = lines.len().min(limit);
    let mut pairs = Vec::new();
    let mut texts = Vec::new();
    for i in 0..read {
        match entry(lines[i * lines.len() / read])? {
            Entry::Pair(pair) => pairs.push(pair),
            Entry::Text { source, targets } => texts.push((source, targets)),
        }
    }
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    println!("\n{folder}/{name}: {read} of {} lines", lines.len());
    if !pairs.is_empty() {
        report_pairs(agents, &pairs)?;
    }
    if !texts.is_empty() {
        report_texts(agents, &texts)?;
    }
    Ok(())
}

fn report_pairs(agents: &Agents, pairs: &[Pair]) -> Fallible<()> {
    let given = |pair: &Pair| agents.check(&pair.claim, &json!([pair.evidence]));
    let calls: Fallible<Vec<_>> = pairs.iter().map(|p| Ok((p.gold, given(p)?))).collect();
    print_calls("the evidence given", &calls?);
    if pairs.iter().any(|p| !p.retrieved.is_empty()) {
        let found = |p: &Pair| agents.check(&p.claim, &Value::Array(p.retrieved.clone()));
        let calls: Fallible<Vec<_>> = pairs.iter().map(|p| Ok((p.gold, found(p)?))).collect();
        print_calls("the sentences retrieved", &calls?);
    }
    let mut called = 0;
    for (i, pair) in pairs.iter().enumerate() {
        let other = &pairs[(i + pairs.len() / 2) % pairs.len()];
        let (verdict, _) = agents.check(&pair.claim, &json!([other.evidence]))?;
        called += usize::from(verdict != Verdict::Uncertain);
    }
    println!("  another claim's evidence: {called} verdicts on {} claims", pairs.len());
    Ok(())
}

fn print_calls(against: &str, calls: &[(Verdict, (Verdict, f64))]) {
    println!("  {against}:");
    for verdict in [Verdict::Supported, Verdict::Refuted] {
        let called: Vec<_> = calls.iter().filter(|(_, (v, _))| *v == verdict).collect();
        let right = called.iter().filter(|(gold, _)| *gold == verdict).count();
        let wanted = calls.iter().filter(|(gold, _)| *gold == verdict).count();
        let name = format!("{verdict:?}").to_lowercase();
        println!(
            "    called {name} {} times, right {right} ({}); found {} of {wanted}",
            called.len(),
            percent(right, called.len()),
            percent(right, wanted),
        );
        for low in [0.6, 0.7, 0.8, 0.9] {
            let high = if low > 0.85 { 1.01 } else { low + 0.1 };
            let within = called.iter().filter(|(_, (_, s))| *s >= low && *s < high);
            let (mut n, mut right) = (0, 0);
            for (gold, _) in within {
                n += 1;
                right += usize::from(*gold == verdict);
            }
            println!("      score from {low}: {n}, right {}", percent(right, n));
        }
    }
    let decided = calls.iter().filter(|(_, (v, _))| *v != Verdict::Uncertain);
    let (mut n, mut right) = (0, 0);
    for (gold, (verdict, _)) in decided {
        n += 1;
        right += usize::from(gold == verdict);
    }
    let share = percent(n, calls.len());
    println!("    a verdict on {share} of claims, right {}", percent(right, n));
}

/// ROUGE-1 of one sentence, against that of the first and of the best.
fn report_texts(agents: &Agents, texts: &[(String, Vec<String>)]) -> Fallible<()> {
    let (mut ours, mut first, mut best) = (0.0, 0.0, 0.0);
    for (source, targets) in texts {
        let rouge = |summary: &str| targets.iter().map(|t| rouge_1(summary, t)).fold(0.0, f64::max);
        let result = agents.run(&Summarizer, &json!({"text": source, "max_sentences": 1}))?;
        ours += rouge(result["text"].as_str().unwrap_or_default());
        first += sentences(source).next().map_or(0.0, |span| rouge(&source[span]));
        best += sentences(source).map(|span| rouge(&source[span])).fold(0.0, f64::max);
    }
    let mean = |sum: f64| 100.0 * sum / texts.len() as f64;
    println!(
        "  one sentence, ROUGE-1 F1: {:.1}; the first sentence {:.1}, the best {:.1}",
        mean(ours),
        mean(first),
        mean(best)
    );
    Ok(())
}

/// F1 of the words that two texts share, counted as often as both have them.
fn rouge_1(a: &str, b: &str) -> f64 {
    let count = |text: &str| {
        let mut counts: HashMap<String, usize> = HashMap::new();
        words(text).for_each(|w| *counts.entry(w.text.to_lowercase()).or_default() += 1);
        counts
    };
    let (a, b) = (count(a), count(b));
    let shared: usize = a.iter().map(|(word, n)| *n.min(b.get(word).unwrap_or(&0))).sum();
    let all = a.values().sum::<usize>() + b.values().sum::<usize>();
    if all == 0 { 0.0 } else { 2.0 * shared as f64 / all as f64 }
}

fn percent(part: usize, whole: usize) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!("{:.1}%", 100.0 * part as f64 / whole as f64)
}
