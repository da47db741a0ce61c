// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bitnet.synthesis`: one brief from a summary and the pieces of other nodes, naming what is
//! missing.

mod gather;
mod repeats;
mod written;

use serde_json::{Value, json};

use super::writing::{self, Way};
use super::{Agent, AgentContext, AgentError, AgentSpec, Fields, ParamKind, ParamSpec, input};
use crate::config::MissingInputs;
use crate::text::sentences;
use gather::{Brief, Line};
use written::{From, Written};

/// The agent `bitnet.synthesis`.
///
/// The brief leads with `text`; each piece follows as one bullet, unless another line says the
/// same. Without `pieces` it is made of what each parent published: it leads with the summary (a
/// parent's `text`, or what claim checks say they `checked`), verdicts and `key_phrases` follow.
/// Lines keep the order of their pieces; only undecided verdicts change places with decided ones
/// that came later. Sentences that an earlier one says already, by their embedding and with the same
/// facts, are left out. The last line names what gave nothing and why. A language model, where there
/// is one and `method` does not forbid it, writes the prose anew as one paragraph; verdicts and lists
/// stay below it as they are.
///
/// `sources` says for each line which field, and which node, it is from, and `sentences` the same
/// for each sentence with its bytes in `text`. `verdicts` carries the verdicts of claim checks that
/// came as maps or from parents, with what their evidence cites.
#[derive(Debug, Clone, Copy, Default)]
pub struct Synthesis;

/// Most pieces of one brief.
const MAX_PIECES: usize = 256;
static SPEC: AgentSpec = AgentSpec {
    name: "bitnet.synthesis",
    summary: "joins a summary and pieces into one brief and names what is missing",
    params: &[
        ParamSpec {
            name: "text",
            kind: ParamKind::Text,
            required: false,
            help: "the lead of the brief",
        },
        ParamSpec {
            name: "pieces",
            kind: ParamKind::Any,
            required: false,
            help: "a list of texts or of results of other nodes",
        },
        writing::METHOD,
    ],
    outputs: &[
        "text",
        "sources",
        "sentences",
        "verdicts",
        "missing",
        "written_by",
        "flagged",
        "checked_by",
        "note",
    ],
    not_yet: None,
};

impl Agent for Synthesis {
    fn spec(&self) -> &'static AgentSpec {
        &SPEC
    }

    fn own_words(&self) -> &'static [&'static str] {
        &["written_by", "checked_by", "note"]
    }

    fn run(&self, input: &Fields, ctx: &AgentContext<'_>) -> Result<Fields, AgentError> {
        ctx.cancel.check()?;
        let lead = input::text(input, "text")?;
        let way = writing::way(input, ctx, &SPEC)?;
        let mut brief = Brief::default();
        let mut without_value = Vec::new();
        match input::present(input, "pieces") {
            None if input::parents(input).next().is_some() => brief.of_parents(input, lead)?,
            None => brief.of_fields(input, None)?,
            Some(pieces) => {
                brief.lead(lead, "text", None);
                without_value = brief.of_pieces(pieces, ctx)?;
            }
        }
        let has_lead = !brief.leads.is_empty();
        let mut lines = brief.into_lines();
        let missing = missing(ctx, &without_value);
        if ctx.missing_inputs == MissingInputs::Error && !missing.is_empty() {
            let message = format!("the brief misses {}", missing.join(", "));
            return Err(AgentError::new("MissingInput", message));
        }
        let mut notes = Vec::new();
        repeats::drop(&mut lines, ctx, &mut notes)?;
        let written = match way {
            Way::Write(_) if lines.is_empty() => None,
            Way::Write(generator) => {
                let written = written::write(&mut lines, has_lead, generator, ctx, &mut notes)?;
                notes.extend(written.as_ref().err().map(|why| writing::extracted(why)));
                written.ok()
            }
            Way::Extract(why) => {
                notes.extend(why.map(str::to_owned));
                None
            }
        };
        let has_lead = has_lead || written.is_some();
        let mut result = write(&lines, has_lead, &missing, &notes, written.as_ref());
        if let Some(written) = written {
            written.tell(&mut result);
        }
        Ok(result)
    }
}

/// What gave nothing, as `id (reason)`; the reason is the head of the error, never its detail.
fn missing(ctx: &AgentContext<'_>, without_value: &[usize]) -> Vec<String> {
    let mut missing: Vec<String> =
        ctx.missing.iter().map(|(id, error)| format!("{id} ({})", reason(error))).collect();
    missing.extend(without_value.iter().map(|i| format!("piece {} (no value)", i + 1)));
    missing
}

fn reason(error: &str) -> String {
    let mut parts = error.split(':');
    match parts.next().unwrap_or_default() {
        "timeout" => "timeout".to_owned(),
        "deadline" => "deadline".to_owned(),
        "blocked_pre" => "input blocked".to_owned(),
        "blocked_post" => "output blocked".to_owned(),
        "node_failed" => match parts.nth(1).filter(|kind| is_plain(kind)) {
            Some(kind) => format!("failed: {kind}"),
            None => "failed".to_owned(),
        },
        other if is_plain(other) => other.replace('_', " "),
        _ => "no value".to_owned(),
    }
}

fn is_plain(word: &str) -> bool {
    (1..=40).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Writes the brief out; its first line is `written`, if anything is.
fn write(
    lines: &[Line],
    has_lead: bool,
    missing: &[String],
    notes: &[String],
    written: Option<&Written>,
) -> Fields {
    let mut brief = String::new();
    let (mut sources, mut told, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
    let from = |mut item: Value, from: &From| {
        if let Some(map) = item.as_object_mut() {
            map.insert("from".to_owned(), from.field.as_str().into());
            if let Some(node) = &from.node {
                map.insert("node".to_owned(), node.as_str().into());
            }
        }
        item
    };
    for (i, line) in lines.iter().enumerate() {
        if i > 0 {
            brief.push('\n');
        }
        let start = brief.len();
        if i == 0 && has_lead {
            brief.push_str(&line.text);
        } else {
            // A piece of several lines stays under its bullet.
            brief.push_str("- ");
            brief.push_str(&line.text.replace('\n', "\n  "));
        }
        let own = written.filter(|_| i == 0);
        match own {
            Some(own) => {
                sources.extend(own.made_of.iter().map(|part| from(json!({"line": i}), part)));
            }
            None => sources.push(from(json!({"line": i}), &From::of(line))),
        }
        let shown = &brief[start..];
        let bullet = shown.len() - shown.strip_prefix("- ").unwrap_or(shown).len();
        for span in sentences(&shown[bullet..]) {
            let within = span.start;
            let span = span.start + start + bullet..span.end + start + bullet;
            let item = json!({"text": brief[span.clone()], "span": input::span(&span), "line": i});
            told.push(match own {
                Some(own) => match own.from(within) {
                    Some(part) => from(item, part),
                    None => item,
                },
                None => from(item, &From::of(line)),
            });
        }
        if let Some(verdict) = &line.verdict {
            let mut item = verdict.clone();
            item.insert("line".to_owned(), i.into());
            verdicts.push(from(Value::Object(item), &From::of(line)));
        }
    }
    if !missing.is_empty() {
        let gap = if brief.is_empty() { "" } else { "\n" };
        brief.push_str(&format!("{gap}Missing: {}", missing.join(", ")));
    }
    let mut notes = notes.to_vec();
    if brief.is_empty() {
        notes.push("there was nothing to join: no text and no pieces".to_owned());
    }
    let mut result = Fields::from_iter([
        ("text".to_owned(), Value::from(brief)),
        ("sources".to_owned(), Value::Array(sources)),
        ("sentences".to_owned(), Value::Array(told)),
        ("missing".to_owned(), Value::from(missing.to_vec())),
    ]);
    if !verdicts.is_empty() {
        result.insert("verdicts".to_owned(), Value::Array(verdicts));
    }
    if !notes.is_empty() {
        result.insert("note".to_owned(), notes.join("; ").into());
    }
    result
}
