// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bitnet.synthesis`: one brief from a summary and the pieces of other nodes, naming what is
//! missing.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{Agent, AgentContext, AgentError, AgentSpec, Fields, ParamKind, ParamSpec, input};
use crate::config::MissingInputs;
use crate::text::{polarity, quantities, squeeze, stem, words};

/// The agent `bitnet.synthesis`.
///
/// The brief leads with `text`; each piece follows as one bullet, unless another line says the
/// same. Without `pieces` it is made of what each parent published: it leads with the summary (a
/// parent's `text`, or what claim checks say they `checked`), verdicts and `key_phrases` follow.
/// The last line names what gave nothing and why. `sources` says for each line which field, and
/// which node, it is from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Synthesis;

/// Most pieces of one brief.
const MAX_PIECES: usize = 256;
/// Lines that are compared by embedding at most, and the longest of them in bytes.
const MAX_COMPARED: usize = 64;
const MAX_COMPARED_BYTES: usize = 1024;
/// From this cosine on two lines say the same, unless numbers, negation or verdict differ.
const SAME: f32 = 0.95;

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
    ],
    outputs: &["text", "sources", "missing", "note"],
    not_yet: None,
};

/// A line of the brief and where it is from.
struct Line {
    text: String,
    /// Field path, e.g. `pieces[1]`.
    from: String,
    /// Node that gave it, where a merge tells; what is bound the run leads back by `from`.
    node: Option<String>,
}

impl Line {
    fn new(text: impl Into<String>, from: impl Into<String>, node: Option<&str>) -> Self {
        Self { text: text.into(), from: from.into(), node: node.map(str::to_owned) }
    }
}

impl Agent for Synthesis {
    fn spec(&self) -> &'static AgentSpec {
        &SPEC
    }

    fn run(&self, input: &Fields, ctx: &AgentContext<'_>) -> Result<Fields, AgentError> {
        ctx.cancel.check()?;
        let lead = input::text(input, "text")?;
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
        let mut lines = brief.leads;
        lines.append(&mut brief.points);
        let missing = missing(ctx, &without_value);
        if ctx.missing_inputs == MissingInputs::Error && !missing.is_empty() {
            let message = format!("the brief misses {}", missing.join(", "));
            return Err(AgentError::new("MissingInput", message));
        }
        let mut notes = Vec::new();
        drop_repeats(&mut lines, ctx, &mut notes)?;
        Ok(write(&lines, has_lead, &missing, &notes))
    }
}

/// The lines of a brief, before they are compared.
#[derive(Default)]
struct Brief {
    /// What the brief leads with; from the second on they are points like the others, but first.
    leads: Vec<Line>,
    points: Vec<Line>,
}

impl Brief {
    fn lead(&mut self, text: Option<&str>, from: &str, node: Option<&str>) {
        if let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) {
            self.leads.push(Line::new(text, from, node));
        }
    }

    /// Lines from the result of one node, or from a plain merge: `text`, `verdict` with `claim`,
    /// `key_phrases`. The text of a claim check is a point, every other leads.
    fn of_fields(&mut self, fields: &Fields, node: Option<&str>) -> Result<(), AgentError> {
        let text = input::text(fields, "text")?.map(str::trim).filter(|text| !text.is_empty());
        let verdict = input::trimmed(fields, "verdict");
        let claim = input::trimmed(fields, "claim").unwrap_or_default();
        // A claim check's own text already tells its verdict.
        let told = verdict.zip(text).is_some_and(|(verdict, text)| {
            let text = text.to_lowercase();
            text.starts_with(&verdict.to_lowercase()) && text.contains(&claim.to_lowercase())
        });
        match text {
            Some(text) if told && node.is_some() => {
                self.points.push(Line::new(text, "text", node));
            }
            text => self.lead(text, "text", node),
        }
        if let Some(verdict) = verdict.filter(|_| !told) {
            let score = fields.get("score").and_then(Value::as_f64);
            let score = score.map_or(String::new(), |s| format!(" ({s:.2})"));
            let claim =
                if claim.is_empty() { String::new() } else { format!(": \"{}\"", squeeze(claim)) };
            let text = format!("Verdict: {verdict}{score}{claim}");
            self.points.push(Line::new(text, "verdict", node));
        }
        if let Some(Value::Array(phrases)) = fields.get("key_phrases") {
            let phrases: Vec<&str> = phrases.iter().filter_map(Value::as_str).collect();
            if !phrases.is_empty() {
                let text = format!("Key phrases: {}", phrases.join(", "));
                self.points.push(Line::new(text, "key_phrases", node));
            }
        }
        Ok(())
    }

    /// Lines from what each parent published. `merged` is the `text` of the merge.
    ///
    /// A summary that is no parent of this node is not there; claim checks of it pass it on as
    /// `checked`. The source's own text is left out: a brief does not repeat what it is about.
    fn of_parents(&mut self, input: &Fields, merged: Option<&str>) -> Result<(), AgentError> {
        let texts =
            || input::parents(input).filter_map(|(_, fields)| input::trimmed(fields, "text"));
        let own = |text: &&str| texts().next().is_some() && texts().all(|t| t != text.trim());
        // Neither a parent's nor the source's, which a parent's would hide: it is from `params`.
        self.lead(merged.filter(own), "text", None);
        let mut told: HashSet<&str> = input::parents(input).map(|(id, _)| id).collect();
        for (id, fields) in input::parents(input) {
            if let Some(checked) = fields.get("checked").and_then(Value::as_object)
                && let Some(node) = input::trimmed(checked, "node")
                && told.insert(node)
            {
                self.lead(input::trimmed(checked, "text"), "text", Some(node));
            }
            self.of_fields(fields, Some(id))?;
        }
        Ok(())
    }

    /// Lines from `pieces`; returns the places of those without a text.
    fn of_pieces(
        &mut self,
        pieces: &Value,
        ctx: &AgentContext<'_>,
    ) -> Result<Vec<usize>, AgentError> {
        let mut without_value = Vec::new();
        let Value::Array(list) = pieces else {
            if let Some(text) = piece_text("pieces", pieces)? {
                self.points.push(Line::new(text, "pieces", None));
            }
            return Ok(without_value);
        };
        if list.len() > MAX_PIECES {
            let found = format!("{} pieces", list.len());
            return Err(input::invalid("pieces", &found, &format!("{MAX_PIECES} at most")));
        }
        for (i, piece) in list.iter().enumerate() {
            ctx.cancel.check()?;
            let from = format!("pieces[{i}]");
            match piece_text(&from, piece)? {
                Some(text) => self.points.push(Line::new(text, from, None)),
                None => without_value.push(i),
            }
        }
        Ok(without_value)
    }
}

/// The text of a piece: itself, its `text`, its verdict, or its items; `None` if it has none.
fn piece_text(from: &str, piece: &Value) -> Result<Option<String>, AgentError> {
    const ACCEPTED: &str = "text, a result map with `text`, a list of texts, or null";
    let text = match piece {
        Value::Null => return Ok(None),
        Value::String(text) => text.clone(),
        Value::Object(map) => {
            let field = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default();
            match (field("text"), field("verdict"), field("claim")) {
                ("", "", _) => String::new(),
                ("", verdict, "") => format!("Verdict: {verdict}"),
                ("", verdict, claim) => format!("Verdict: {verdict}: \"{}\"", squeeze(claim)),
                (text, _, _) => text.to_owned(),
            }
        }
        Value::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            let texts =
                texts.ok_or_else(|| input::invalid(from, "a list of other things", ACCEPTED))?;
            texts.join(", ")
        }
        other => return Err(input::invalid(from, input::type_name(other), ACCEPTED)),
    };
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// What gave nothing, as `id (reason)`; the reason is the head of the error, never its detail.
fn missing(ctx: &AgentContext<'_>, without_value: &[usize]) -> Vec<String> {
    let mut missing: Vec<String> =
        ctx.missing.iter().map(|(id, error)| format!("{id} ({})", reason(error))).collect();
    // The empty pieces are those nodes' own; only further ones are news.
    if without_value.len() > missing.len() {
        missing.extend(
            without_value.iter().skip(missing.len()).map(|i| format!("piece {} (no value)", i + 1)),
        );
    }
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

/// Folded words of a line, to compare by.
fn folded(text: &str) -> String {
    let mut out = String::new();
    for word in words(text) {
        out.push_str(&stem(word.text));
        out.push(' ');
    }
    out
}

/// Drops lines that an earlier line already says.
fn drop_repeats(
    lines: &mut Vec<Line>,
    ctx: &AgentContext<'_>,
    notes: &mut Vec<String>,
) -> Result<(), AgentError> {
    let before = lines.len();
    let mut seen: HashSet<String> = HashSet::new();
    // Equal lines, and short ones that stand in the lead as they are.
    let lead = lines.first().map(|l| format!(" {}", folded(&l.text))).unwrap_or_default();
    let mut index = 0;
    let mut stopped = false;
    lines.retain(|line| {
        stopped |= ctx.cancel.is_cancelled();
        if stopped {
            return true;
        }
        let key = folded(&line.text);
        index += 1;
        let in_lead = index > 1 && !key.is_empty() && lead.contains(&format!(" {key}"));
        key.is_empty() || (!in_lead && seen.insert(key))
    });
    ctx.cancel.check()?;

    let compared: Vec<usize> = (0..lines.len())
        .filter(|&i| lines[i].text.len() <= MAX_COMPARED_BYTES)
        .take(MAX_COMPARED)
        .collect();
    if compared.len() > 1 {
        let texts: Vec<&str> = compared.iter().map(|&i| lines[i].text.as_str()).collect();
        match ctx.reasoner.embed(&texts, ctx.cancel) {
            Ok(embeddings) => {
                let mut repeats: HashSet<usize> = HashSet::new();
                for (b, later) in embeddings.iter().enumerate() {
                    ctx.cancel.check()?;
                    let repeat = embeddings[..b].iter().enumerate().any(|(a, earlier)| {
                        !repeats.contains(&compared[a])
                            && earlier.cosine(later) > SAME
                            && same_facts(texts[a], texts[b])
                    });
                    if repeat {
                        repeats.insert(compared[b]);
                    }
                }
                let mut at = 0;
                lines.retain(|_| {
                    at += 1;
                    !repeats.contains(&(at - 1))
                });
            }
            Err(bho_engine::EngineError::Cancelled) => return Err(AgentError::cancelled()),
            // The brief does not need the model: words have been compared already.
            Err(_) => {
                notes.push("lines were compared by their words only: the model failed".to_owned());
            }
        }
    }
    if lines.len() < before {
        let dropped = before - lines.len();
        notes.push(format!(
            "{dropped} repeated line{} left out",
            if dropped == 1 { "" } else { "s" }
        ));
    }
    Ok(())
}

/// Whether two close lines agree in what an embedding blurs: numbers, negations, first word (the
/// verdict of a claim check).
fn same_facts(a: &str, b: &str) -> bool {
    let numbers = |t: &str| quantities(t).iter().map(|q| q.value.to_bits()).collect::<Vec<_>>();
    let negations = |t: &str| words(t).filter(|w| polarity::is_negation(w.text)).count();
    let first = |t: &str| words(t).next().map(|w| stem(w.text));
    first(a) == first(b) && negations(a) == negations(b) && numbers(a) == numbers(b)
}

fn write(lines: &[Line], has_lead: bool, missing: &[String], notes: &[String]) -> Fields {
    let mut brief = Vec::new();
    let mut sources = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        if i == 0 && has_lead {
            brief.push(line.text.clone());
        } else {
            // A piece of several lines stays under its bullet.
            brief.push(format!("- {}", line.text.replace('\n', "\n  ")));
        }
        let mut source = json!({"line": i, "from": line.from});
        if let (Some(node), Some(map)) = (&line.node, source.as_object_mut()) {
            map.insert("node".to_owned(), node.as_str().into());
        }
        sources.push(source);
    }
    if !missing.is_empty() {
        brief.push(format!("Missing: {}", missing.join(", ")));
    }
    let mut notes = notes.to_vec();
    if brief.is_empty() {
        notes.push("there was nothing to join: no text and no pieces".to_owned());
    }
    let mut result = Fields::from_iter([
        ("text".to_owned(), Value::from(brief.join("\n"))),
        ("sources".to_owned(), Value::Array(sources)),
        ("missing".to_owned(), Value::from(missing.to_vec())),
    ]);
    if !notes.is_empty() {
        result.insert("note".to_owned(), notes.join("; ").into());
    }
    result
}
