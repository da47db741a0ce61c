// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bitnet.claimcheck`: whether a text or knowledge base bears out a claim, with the evidence.

mod calibration;
mod copied;
mod cross;
mod decoder;
mod decompose;
mod guards;
mod judge;
mod measures;
mod relation;
mod retrieve;
mod rules;
mod sources;
mod verdict;

use serde_json::{Value, json};

use super::{
    Agent, AgentContext, AgentError, AgentSpec, Fields, ParamKind, ParamSpec, input, writing,
};
use crate::text::{clip, squeeze};
use decoder::Decoder;
use decompose::Part;
use judge::{Judge, Reading, Statement};
use sources::Source;
use verdict::{Evidence, Outcome, Resting, Verdict};

pub(super) use copied::{Flag, copied};
pub(super) use guards::differ;

/// The agent `bitnet.claimcheck`.
///
/// A claim of several clauses is checked as a whole and part by part; the result lists the `parts`.
/// For each, the windows of `text` and `kb` that lie closest (by embedding and shared words) are read
/// by a judge: a cross-encoder where the reasoner has one
/// ([`crate::reasoner::Reasoner::entailer`]), in windows of one to three sentences, with the window
/// as premise and the statement as hypothesis; else rules, sentence by sentence. Guards for numbers,
/// units, dates, negation, quantifiers, names and comparisons can overrule the judge, and the
/// evidence then says under `overruled` which did and why. A language model, where there is one and
/// `method` does not forbid it, judges beside them (`decoder`).
///
/// The verdict is that of the strongest evidence. It is `uncertain` when nothing reaches the
/// probability that decides (`calibration.rs`: 0.5 with a cross-encoder, 0.6 with rules alone), or
/// when support and refutation stand against each other. One refuted part
/// refutes a claim; it takes the whole, or all parts, to support it.
///
/// The rules read words, numbers and negation; they do not reason over several sentences, know
/// neither synonyms beyond what the encoder knows nor the world.
///
/// With the rules and the bundled int8 all-MiniLM-L6-v2, as they were before parts and guards came
/// (`examples/agents_report.rs`, each claim against one sentence, 2000 pairs a set that played no
/// part in choosing anything here):
///
/// | set | called support, right | called refutation, right | found of entailed, contradicted |
/// |---|---|---|---|
/// | SNLI, test | 350, 81% | 64, 92% | 41%, 9% |
/// | CREAK, train | 458, 75% | 139, 91% | 33%, 13% |
#[derive(Debug, Clone, Copy, Default)]
pub struct ClaimCheck;

/// Bytes of a claim that are read; a longer one is no single statement, and the result says so.
const MAX_CLAIM_BYTES: usize = 2048;
/// Windows that are read beside the whole claim, and beside each part; a judge of wider windows
/// reads up to three more.
const MAX_EVIDENCE: usize = 5;
const MAX_PART_EVIDENCE: usize = 3;
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
        writing::METHOD,
    ],
    outputs: &[
        "text",
        "verdict",
        "score",
        "probabilities",
        "evidence",
        "claim",
        "parts",
        "judge",
        "written_by",
        "checked",
        "note",
    ],
    not_yet: None,
};

impl Agent for ClaimCheck {
    fn spec(&self) -> &'static AgentSpec {
        &SPEC
    }

    fn own_words(&self) -> &'static [&'static str] {
        &["judge", "written_by", "note"]
    }

    fn run(&self, input: &Fields, ctx: &AgentContext<'_>) -> Result<Fields, AgentError> {
        ctx.cancel.check()?;
        let claim = input::required_text(input, "claim", &SPEC)?;
        if claim.trim().is_empty() {
            return Err(input::invalid("claim", "empty text", "a statement to check"));
        }
        let sources = sources::sources(input)?;
        let read = &claim[..input::floor_char(claim, MAX_CLAIM_BYTES)];
        let parts = decompose::decompose(read);
        let mut statements = vec![Statement::new(read)];
        statements.extend(parts.iter().map(|part| Statement::new(part.text.as_str())));
        let way = writing::way(input, ctx, &SPEC)?;
        let judge = Decoder::new(way, judge::choose(ctx.reasoner), ctx);
        let (candidates, total) = retrieve::candidates(&sources, &statements[0], ctx)?;
        let most = [MAX_EVIDENCE, MAX_PART_EVIDENCE];
        let found =
            retrieve::best(&statements, &candidates, &sources, judge.max_sentences(), most, ctx)?;
        let mut checked = Vec::with_capacity(statements.len());
        for (statement, found) in statements.iter().zip(&found) {
            let evidence = verdict::weigh(statement, found, &sources, &judge, ctx)?;
            let verdict = Verdict::of(&evidence, judge.calibration());
            checked.push((evidence, verdict));
        }
        let verdicts: Vec<Verdict> = checked.iter().map(|(_, verdict)| *verdict).collect();
        let resting = verdict::combine(&verdicts);
        let report = Report { claim, sources: &sources, parts: &parts, checked: &checked, resting };

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
        notes.extend(report.notes());
        notes.extend(judge.notes());
        let mut result = Fields::from_iter([
            ("text".to_owned(), Value::from(report.text())),
            ("verdict".to_owned(), resting.verdict.name().into()),
            ("score".to_owned(), input::score(resting.verdict.score)),
            ("probabilities".to_owned(), probabilities(resting.verdict.sides)),
            ("evidence".to_owned(), report.evidence()),
            ("claim".to_owned(), claim.into()),
            ("judge".to_owned(), judge.name().into()),
        ]);
        judge.tell(&mut result);
        if !parts.is_empty() {
            result.insert("parts".to_owned(), report.parts());
        }
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

/// How likely each verdict is; they add up to 1.
fn probabilities(Reading { supports, refutes }: Reading) -> Value {
    json!({
        "supports": input::score(supports),
        "refutes": input::score(refutes),
        "uncertain": input::score(1.0 - supports - refutes),
    })
}

/// What was found, to be told.
struct Report<'a> {
    claim: &'a str,
    sources: &'a [Source<'a>],
    parts: &'a [Part],
    /// Of the whole claim, then of each part.
    checked: &'a [(Vec<Evidence>, Verdict)],
    resting: Resting,
}

impl Report<'_> {
    /// The evidence of the whole claim, then that of each part which its verdict rests on.
    fn evidence(&self) -> Value {
        let mut listed: Vec<Value> = Vec::new();
        for (statement, (evidence, verdict)) in self.checked.iter().enumerate() {
            let shown: Vec<&Evidence> = match (statement, verdict.outcome) {
                (0, _) => evidence.iter().collect(),
                (_, Outcome::Supported(at) | Outcome::Refuted(at)) => vec![&evidence[at]],
                (_, Outcome::Mixed { for_it, against }) => {
                    vec![&evidence[for_it], &evidence[against]]
                }
                (_, Outcome::Undecided) => Vec::new(),
            };
            for e in shown {
                let mut item = json!({
                    "text": e.found.window.text(self.sources),
                    "source": self.sources[e.found.window.source].label,
                    "span": input::span(&e.found.window.span),
                    "relation": e.relation.name(),
                    "score": input::score(e.strength()),
                    "similarity": input::score(e.found.similarity),
                });
                if let Some(map) = item.as_object_mut() {
                    if statement > 0 {
                        map.insert("part".to_owned(), (statement - 1).into());
                    }
                    if !e.overruled.is_empty() {
                        let list = e.overruled.iter().map(|o| {
                            json!({
                                "guard": o.guard,
                                "from": o.from.name(),
                                "to": o.to.name(),
                                "why": o.why,
                            })
                        });
                        map.insert("overruled".to_owned(), list.collect());
                    }
                }
                listed.push(item);
            }
        }
        Value::Array(listed)
    }

    fn parts(&self) -> Value {
        let verdicts = self.checked.iter().skip(1).map(|(_, verdict)| verdict);
        let part = |(part, verdict): (&Part, &Verdict)| {
            json!({
                "text": part.text,
                "span": input::span(&part.span),
                "verdict": verdict.name(),
                "score": input::score(verdict.score),
            })
        };
        self.parts.iter().zip(verdicts).map(part).collect()
    }

    /// Why the verdict is what it is, where that is not plain.
    fn notes(&self) -> Vec<String> {
        let (evidence, verdict) = (&self.checked[self.resting.on].0, self.resting.verdict);
        let mut notes = Vec::new();
        if self.checked[0].0.is_empty() {
            return notes;
        }
        let whole = self.checked[0].1.outcome;
        if verdict.outcome == Outcome::Undecided && whole != Outcome::Undecided {
            notes.push("the whole claim and its parts read differently".to_owned());
        } else {
            notes.extend(verdict.reason().map(str::to_owned));
        }
        let at = match verdict.outcome {
            Outcome::Supported(at) | Outcome::Refuted(at) => Some(at),
            // The best evidence would have decided without them.
            Outcome::Mixed { .. } | Outcome::Undecided => Some(0),
        };
        let rulings = at.and_then(|at| evidence.get(at)).map(|e| e.overruled.as_slice());
        notes.extend(rulings.unwrap_or_default().iter().map(|o| format!("{}: {}", o.guard, o.why)));
        notes
    }

    /// One line for people: verdict, claim and the sentence it rests on.
    fn text(&self) -> String {
        let quote = |text: &str| {
            let flat = squeeze(text);
            let (shown, cut) = clip(&flat, SHOWN);
            format!("\"{shown}{}\"", if cut { "\u{2026}" } else { "" })
        };
        let cite = |e: &Evidence| {
            let label = &self.sources[e.found.window.source].label;
            let from =
                if label == "text" { String::new() } else { format!(" [{}]", clip(label, 80).0) };
            format!("{}{from}", quote(e.found.window.text(self.sources)))
        };
        let claim = quote(self.claim);
        let Verdict { outcome, score, .. } = self.resting.verdict;
        let evidence = &self.checked[self.resting.on].0;
        let part = match self.resting.on.checked_sub(1) {
            Some(part) if matches!(outcome, Outcome::Refuted(_)) => {
                format!(" Not so: {}.", quote(&self.parts[part].text))
            }
            _ => String::new(),
        };
        match outcome {
            Outcome::Supported(e) => {
                format!("Supported ({score:.2}): {claim}.{part} Evidence: {}", cite(&evidence[e]))
            }
            Outcome::Refuted(e) => {
                format!("Refuted ({score:.2}): {claim}.{part} Evidence: {}", cite(&evidence[e]))
            }
            Outcome::Mixed { for_it, against } => format!(
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
}
