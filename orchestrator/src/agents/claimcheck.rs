// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bitnet.claimcheck`: whether a text or knowledge base bears out a claim, with the evidence.

use std::collections::HashSet;
use std::ops::Range;

use serde_json::{Value, json};

use super::relation::{Claim, DECIDE, Judgement, Relation};
use super::{Agent, AgentContext, AgentError, AgentSpec, Fields, ParamKind, ParamSpec, input};
use crate::text::{clip, sentences, squeeze, stem, words};

/// The agent `bitnet.claimcheck`.
///
/// The verdict is that of the strongest evidence. It is `uncertain` when no sentence reaches a
/// probability of 0.6, or when support and refutation are nearly as strong as each other. The
/// method reads words, numbers and negation; it does not reason over several sentences, knows
/// neither synonyms beyond what the encoder knows nor the world, and is blind to word order (`dog
/// bites man`).
///
/// Measured with the bundled int8 all-MiniLM-L6-v2 by `examples/agents_report.rs`, each claim
/// against one sentence, on 2000 pairs a set that played no part in choosing anything here:
///
/// | set | called support, right | called refutation, right | found of entailed, contradicted |
/// |---|---|---|---|
/// | SNLI, test | 350, 81% | 64, 92% | 41%, 9% |
/// | CREAK, train | 458, 75% | 139, 91% | 33%, 13% |
///
/// Beside another claim's sentence, 3 of the same 4000 claims get a verdict. On Fool Me Twice,
/// whose claims were written to mislead, each against ten retrieved sentences, 17% of claims get
/// a verdict and 66% of those are right; thresholds were chosen on that set (dev), so expect less
/// on others like it.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClaimCheck;

/// Sentences that are embedded at most, and their bytes; the others are ruled out by having fewer
/// of the claim's words. Two checks side by side stay within a time-out of 600 ms on two cores.
const MAX_CANDIDATES: usize = 32;
const MAX_CANDIDATE_BYTES: usize = 6 * 1024;
/// Bytes of a claim that are read; a longer one is no single statement, and the result says so.
const MAX_CLAIM_BYTES: usize = 2048;
/// Sentences of evidence in the result.
const MAX_EVIDENCE: usize = 5;
/// Share of similarity in the order of evidence; coverage has the rest.
const RANK_SIMILARITY: f64 = 0.6;
/// Least similarity of a sentence that an undecided claim is shown beside; unrelated sentences lie
/// below it with MiniLM-class encoders.
const SPEAKS_OF_IT: f64 = 0.35;
/// Share of the claim's content from which on a sentence is shown however dissimilar.
const SHARES_ENOUGH: f64 = 0.5;
/// Refutation and support closer than this cancel each other.
const MARGIN: f64 = 0.15;
/// Bytes of a parent's text that is passed on: a summary is, a whole book is not.
const MAX_PASSED_ON: usize = 16 * 1024;
/// Characters of the claim and of a sentence that the `text` of the result shows.
const SHOWN: usize = 300;

static SPEC: AgentSpec = AgentSpec {
    name: "bitnet.claimcheck",
    summary: "checks a claim against a text and a knowledge base",
    params: &[
        ParamSpec {
            name: "claim",
            kind: ParamKind::Text,
            required: true,
            help: "the statement to check",
        },
        ParamSpec {
            name: "text",
            kind: ParamKind::Text,
            required: false,
            help: "text to look for evidence in",
        },
        ParamSpec {
            name: "kb",
            kind: ParamKind::TextOrList,
            required: false,
            help: "more to look in: text, a list of texts, or of maps with `text` and `source`",
        },
    ],
    outputs: &["text", "verdict", "score", "evidence", "claim", "checked", "note"],
    not_yet: None,
};

impl Agent for ClaimCheck {
    fn spec(&self) -> &'static AgentSpec {
        &SPEC
    }

    fn run(&self, input: &Fields, ctx: &AgentContext<'_>) -> Result<Fields, AgentError> {
        ctx.cancel.check()?;
        let claim = input::required_text(input, "claim", &SPEC)?;
        if claim.trim().is_empty() {
            return Err(input::invalid("claim", "empty text", "a statement to check"));
        }
        let sources = sources(input)?;
        let read = &claim[..input::floor_char(claim, MAX_CLAIM_BYTES)];
        let analysed = Claim::new(read);
        let (candidates, total) = candidates(&sources, &analysed, ctx)?;
        let mut notes = Vec::new();
        if read.len() < claim.len() {
            notes.push(format!("only the first {MAX_CLAIM_BYTES} bytes of the claim were read"));
        }
        if candidates.is_empty() {
            notes.push("no evidence to check against: text and kb are empty".to_owned());
        } else if candidates.len() < total {
            notes.push(format!(
                "{} of {total} sentences were compared, those that share most words with the claim",
                candidates.len()
            ));
        }
        let evidence = weigh(read, &analysed, &sources, &candidates, ctx)?;
        let verdict = Verdict::of(&evidence);
        if !evidence.is_empty() {
            notes.extend(verdict.reason().map(str::to_owned));
        }
        let text = describe(claim, &verdict, &sources, &evidence);
        let listed: Vec<Value> = evidence
            .iter()
            .map(|e| {
                json!({
                    "text": e.text(&sources),
                    "source": sources[e.candidate.source].label,
                    "span": input::span(&e.candidate.span),
                    "relation": e.judgement.relation.name(),
                    "score": input::score(e.strength()),
                    "similarity": input::score(e.similarity),
                })
            })
            .collect();
        let mut result = Fields::from_iter([
            ("text".to_owned(), Value::from(text)),
            ("verdict".to_owned(), verdict.name().into()),
            ("score".to_owned(), input::score(verdict.score)),
            ("evidence".to_owned(), Value::Array(listed)),
            ("claim".to_owned(), claim.into()),
        ]);
        if let Some((node, text)) = parent_text(input) {
            result.insert("checked".to_owned(), json!({"node": node, "text": text}));
        }
        if !notes.is_empty() {
            result.insert("note".to_owned(), notes.join("; ").into());
        }
        Ok(result)
    }
}

/// The parent whose `text` was checked against, in a merged input, and that text.
///
/// A synthesis after the checks sees them but not what they read; passed on, it can lead with it.
fn parent_text(input: &Fields) -> Option<(&str, &str)> {
    let text = input.get("text")?.as_str()?;
    let gave = |fields: &Fields| fields.get("text").and_then(Value::as_str) == Some(text);
    // Of several the last: it is the one whose text the merge kept.
    let (node, _) = input::parents(input).filter(|(_, fields)| gave(fields)).last()?;
    (!text.trim().is_empty() && text.len() <= MAX_PASSED_ON).then_some((node, text))
}

/// Where evidence may come from.
struct Source<'a> {
    label: String,
    text: &'a str,
}

/// The sources of an input: `text`, then the items of `kb` (or of `chunks`, which a retriever
/// parent leaves in the merge).
fn sources(input: &Fields) -> Result<Vec<Source<'_>>, AgentError> {
    const ACCEPTED: &str = "text, a list of texts, or a list of maps with `text`";
    let mut sources = Vec::new();
    if let Some(text) = input::text(input, "text")? {
        sources.push(Source { label: "text".to_owned(), text });
    }
    let named = ["kb", "chunks"].iter().find_map(|n| input::present(input, n).map(|v| (*n, v)));
    let Some((name, kb)) = named else { return Ok(sources) };
    match kb {
        Value::String(text) => sources.push(Source { label: name.to_owned(), text }),
        Value::Object(_) => sources.extend(item(name.to_owned(), kb)?),
        Value::Array(list) => {
            for (i, value) in list.iter().enumerate() {
                sources.extend(item(format!("{name}[{i}]"), value)?);
            }
        }
        other => return Err(input::invalid(name, input::type_name(other), ACCEPTED)),
    }
    Ok(sources)
}

fn item(label: String, value: &Value) -> Result<Option<Source<'_>>, AgentError> {
    const ACCEPTED: &str = "text, or a map with `text`";
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(Source { label, text })),
        Value::Object(map) => match map.get("text") {
            Some(Value::String(text)) => {
                let named =
                    ["source", "id", "title"].iter().find_map(|key| match map.get(*key)? {
                        Value::String(name) if !name.is_empty() => Some(name.clone()),
                        Value::Number(id) => Some(id.to_string()),
                        _ => None,
                    });
                Ok(Some(Source { label: named.unwrap_or(label), text }))
            }
            Some(Value::Null) | None => {
                Err(input::invalid(&label, "a map without `text`", ACCEPTED))
            }
            Some(other) => {
                Err(input::invalid(&format!("{label}.text"), input::type_name(other), "text"))
            }
        },
        other => Err(input::invalid(&label, input::type_name(other), ACCEPTED)),
    }
}

/// A sentence that may be evidence.
#[derive(Debug, Clone)]
struct Candidate {
    source: usize,
    span: Range<usize>,
    /// The sentence before it in the same source.
    before: Option<Range<usize>>,
}

/// The sentences that share most content words with the claim, in order, and the number of all.
fn candidates(
    sources: &[Source<'_>],
    claim: &Claim,
    ctx: &AgentContext<'_>,
) -> Result<(Vec<Candidate>, usize), AgentError> {
    let wanted: HashSet<&str> = claim.stems().collect();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut ranked: Vec<(usize, Candidate)> = Vec::new();
    for (source, Source { text, .. }) in sources.iter().enumerate() {
        let mut before = None;
        for (n, span) in sentences(text).enumerate() {
            if n % 256 == 0 {
                ctx.cancel.check()?;
            }
            let sentence = &text[span.clone()];
            if seen.insert(sentence) {
                let stems: HashSet<String> = words(sentence).map(|w| stem(w.text)).collect();
                let shared = stems.iter().filter(|s| wanted.contains(s.as_str())).count();
                ranked.push((shared, Candidate { source, span: span.clone(), before }));
            }
            before = Some(span);
        }
    }
    let total = ranked.len();
    // Stable: of equals the earlier.
    ranked.sort_by_key(|(shared, _)| std::cmp::Reverse(*shared));
    let mut bytes = 0;
    let mut kept: Vec<Candidate> = ranked
        .into_iter()
        .map(|(_, candidate)| candidate)
        .take(MAX_CANDIDATES)
        .take_while(|c| {
            let fits = bytes == 0 || bytes + c.span.len() <= MAX_CANDIDATE_BYTES;
            bytes += c.span.len();
            fits
        })
        .collect();
    kept.sort_by_key(|c| (c.source, c.span.start));
    Ok((kept, total))
}

/// A candidate after judgement.
struct Evidence {
    candidate: Candidate,
    judgement: Judgement,
    similarity: f64,
}

impl Evidence {
    fn text<'a>(&self, sources: &[Source<'a>]) -> &'a str {
        &sources[self.candidate.source].text[self.candidate.span.clone()]
    }

    /// Probability of its relation.
    fn strength(&self) -> f64 {
        let Judgement { relation, supports, refutes, .. } = self.judgement;
        match relation {
            Relation::Supports => supports,
            Relation::Refutes => refutes,
            Relation::Neutral => 1.0 - supports.max(refutes),
        }
    }

    /// Whether it is worth showing beside an undecided claim.
    fn speaks_of_it(&self) -> bool {
        self.similarity >= SPEAKS_OF_IT || self.judgement.coverage >= SHARES_ENOUGH
    }

    fn rank(&self) -> f64 {
        RANK_SIMILARITY * self.similarity + (1.0 - RANK_SIMILARITY) * self.judgement.coverage
    }
}

/// Judges the candidates and keeps the best-matching, best first.
fn weigh(
    claim: &str,
    analysed: &Claim,
    sources: &[Source<'_>],
    candidates: &[Candidate],
    ctx: &AgentContext<'_>,
) -> Result<Vec<Evidence>, AgentError> {
    let mut texts = vec![claim];
    texts.extend(candidates.iter().map(|c| &sources[c.source].text[c.span.clone()]));
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let embeddings = ctx.reasoner.embed(&texts, ctx.cancel)?;
    let Some((subject, embeddings)) = embeddings.split_first() else { return Ok(Vec::new()) };
    let mut evidence = Vec::with_capacity(candidates.len());
    for ((candidate, sentence), embedding) in candidates.iter().zip(&texts[1..]).zip(embeddings) {
        ctx.cancel.check()?;
        let similarity = f64::from(subject.cosine(embedding));
        let before = candidate.before.clone().map(|span| &sources[candidate.source].text[span]);
        let judgement = analysed.judge(sentence, before, similarity);
        evidence.push(Evidence { candidate: candidate.clone(), judgement, similarity });
    }
    // Stable: of equals the earlier.
    evidence.sort_by(|a, b| b.rank().total_cmp(&a.rank()));
    evidence.truncate(MAX_EVIDENCE);
    Ok(evidence)
}

/// What the evidence comes to; indices are into the evidence.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    Supported(usize),
    Refuted(usize),
    /// Support and refutation are about as strong as each other.
    Contradicted {
        for_it: usize,
        against: usize,
    },
    /// No sentence is strong enough.
    Undecided,
}

struct Verdict {
    outcome: Outcome,
    /// Probability that the verdict holds, in 0..=1.
    score: f64,
}

impl Verdict {
    fn of(evidence: &[Evidence]) -> Self {
        let strongest = |value: fn(&Judgement) -> f64| {
            evidence
                .iter()
                .enumerate()
                .map(|(i, e)| (value(&e.judgement), i))
                .reduce(|a, b| if b.0 > a.0 { b } else { a })
        };
        let (supports, for_it) = strongest(|j| j.supports).unwrap_or((0.0, 0));
        let (refutes, against) = strongest(|j| j.refutes).unwrap_or((0.0, 0));
        let best = supports.max(refutes);
        let apart = (supports - refutes).abs();
        let (outcome, score) = if evidence.is_empty() || best < DECIDE {
            (Outcome::Undecided, 1.0 - best)
        } else if apart < MARGIN {
            (Outcome::Contradicted { for_it, against }, 1.0 - apart)
        } else if supports > refutes {
            (Outcome::Supported(for_it), supports)
        } else {
            (Outcome::Refuted(against), refutes)
        };
        Self { outcome, score }
    }

    fn name(&self) -> &'static str {
        match self.outcome {
            Outcome::Supported(_) => "supported",
            Outcome::Refuted(_) => "refuted",
            Outcome::Contradicted { .. } | Outcome::Undecided => "uncertain",
        }
    }

    /// Why it is uncertain, where it is.
    fn reason(&self) -> Option<&'static str> {
        match self.outcome {
            Outcome::Supported(_) | Outcome::Refuted(_) => None,
            Outcome::Contradicted { .. } => Some("the evidence contradicts itself"),
            Outcome::Undecided => Some("no sentence is close enough to decide"),
        }
    }
}

/// One line for people: verdict, claim and the sentence it rests on.
fn describe(
    claim: &str,
    verdict: &Verdict,
    sources: &[Source<'_>],
    evidence: &[Evidence],
) -> String {
    let quote = |text: &str| {
        let flat = squeeze(text);
        let (shown, cut) = clip(&flat, SHOWN);
        format!("\"{shown}{}\"", if cut { "\u{2026}" } else { "" })
    };
    let cite = |e: &Evidence| {
        let label = &sources[e.candidate.source].label;
        let from =
            if label == "text" { String::new() } else { format!(" [{}]", clip(label, 80).0) };
        format!("{}{from}", quote(e.text(sources)))
    };
    let claim = quote(claim);
    let score = verdict.score;
    match verdict.outcome {
        Outcome::Supported(e) => {
            format!("Supported ({score:.2}): {claim}. Evidence: {}", cite(&evidence[e]))
        }
        Outcome::Refuted(e) => {
            format!("Refuted ({score:.2}): {claim}. Evidence: {}", cite(&evidence[e]))
        }
        Outcome::Contradicted { for_it, against } => format!(
            "Uncertain: {claim}. The evidence contradicts itself: {} against {}",
            cite(&evidence[for_it]),
            cite(&evidence[against])
        ),
        Outcome::Undecided => match evidence.first().filter(|e| e.speaks_of_it()) {
            Some(e) => format!("Uncertain: {claim}. Nothing decides it; closest: {}", cite(e)),
            None if evidence.is_empty() => format!("Uncertain: {claim}. There is no evidence."),
            None => format!("Uncertain: {claim}. Nothing speaks of it."),
        },
    }
}
