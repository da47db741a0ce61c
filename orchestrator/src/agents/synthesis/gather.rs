// SPDX-License-Identifier: AGPL-3.0-or-later
//! The lines of a brief: from bound pieces, or from what parents published.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::MAX_PIECES;
use crate::agents::{AgentContext, AgentError, Fields, input};
use crate::text::squeeze;

/// Citations that a verdict carries, at most.
const MAX_CITATIONS: usize = 5;

/// A line of the brief and where it is from.
pub(super) struct Line {
    pub(super) text: String,
    /// Field path, e.g. `pieces[1]`.
    pub(super) from: String,
    /// Node that gave it, where a merge tells; what is bound the run leads back by `from`.
    pub(super) node: Option<String>,
    /// The verdict it tells: `claim`, `verdict`, `score`, `citations`.
    pub(super) verdict: Option<Fields>,
    /// Whether it is prose, of which a sentence can be left out.
    pub(super) prose: bool,
}

impl Line {
    fn new(text: impl Into<String>, from: impl Into<String>, node: Option<&str>) -> Self {
        let text = text.into();
        let prose = !text.contains('\n');
        Self { text, from: from.into(), node: node.map(str::to_owned), verdict: None, prose }
    }

    /// A line that a language model wrote; where it is from is told sentence by sentence.
    pub(super) fn written(text: String) -> Self {
        Self::new(text, "written", None)
    }

    /// A line that is no prose, such as a verdict or a list.
    fn fixed(mut self) -> Self {
        self.prose = false;
        self
    }

    fn telling(mut self, verdict: Option<Fields>) -> Self {
        self.prose &= verdict.is_none();
        self.verdict = verdict;
        self
    }

    /// The verdict it tells, and the claim, which may be empty.
    pub(super) fn told(&self) -> Option<(&str, &str)> {
        let told = self.verdict.as_ref()?;
        let field = |name: &str| told.get(name).and_then(Value::as_str).unwrap_or_default();
        Some((field("verdict"), field("claim")))
    }

    /// Whether it tells a verdict that leaves its claim open.
    fn is_undecided(&self) -> bool {
        self.verdict.as_ref().is_some_and(|v| v.get("verdict") == Some(&json!("uncertain")))
    }
}

/// What a claim check says, with the evidence that bears it out; `None` for other results.
fn verdict_of(fields: &Fields) -> Option<Fields> {
    let verdict = input::trimmed(fields, "verdict")?;
    let mut told = Fields::new();
    if let Some(claim) = input::trimmed(fields, "claim") {
        told.insert("claim".to_owned(), claim.into());
    }
    told.insert("verdict".to_owned(), verdict.into());
    if let Some(score) = fields.get("score").filter(|score| score.is_number()) {
        told.insert("score".to_owned(), score.clone());
    }
    let evidence = fields.get("evidence").and_then(Value::as_array);
    let relation = |item: &&Value| item["relation"].as_str().unwrap_or_default() != "neutral";
    let cited: Vec<Value> = evidence
        .into_iter()
        .flatten()
        .filter(relation)
        .take(MAX_CITATIONS)
        .map(|item| {
            let kept = ["source", "span", "relation", "score", "part", "text"];
            let fields =
                kept.iter().filter_map(|key| Some(((*key).to_owned(), item.get(*key)?.clone())));
            Value::Object(fields.collect())
        })
        .collect();
    told.insert("citations".to_owned(), Value::Array(cited));
    Some(told)
}

/// The lines of a brief, before they are compared.
#[derive(Default)]
pub(super) struct Brief {
    /// What the brief leads with; from the second on they are points like the others, but first.
    pub(super) leads: Vec<Line>,
    points: Vec<Line>,
}

impl Brief {
    /// All lines in their order; of the verdicts, undecided ones come last.
    pub(super) fn into_lines(self) -> Vec<Line> {
        let mut lines = self.leads;
        let first = lines.len();
        lines.extend(self.points);
        let slots: Vec<usize> =
            (first..lines.len()).filter(|&i| lines[i].verdict.is_some()).collect();
        let mut order = slots.clone();
        // Stable: of equals the earlier.
        order.sort_by_key(|&i| lines[i].is_undecided());
        let mut all: Vec<Option<Line>> = lines.into_iter().map(Some).collect();
        let mut moved: Vec<Option<Line>> = order.iter().map(|&i| all[i].take()).collect();
        for (slot, line) in slots.into_iter().zip(&mut moved) {
            all[slot] = line.take();
        }
        all.into_iter().flatten().collect()
    }

    pub(super) fn lead(&mut self, text: Option<&str>, from: &str, node: Option<&str>) {
        if let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) {
            self.leads.push(Line::new(text, from, node));
        }
    }

    /// Lines from the result of one node, or from a plain merge: `text`, `verdict` with `claim`,
    /// `key_phrases`. The text of a claim check is a point, every other leads.
    pub(super) fn of_fields(
        &mut self,
        fields: &Fields,
        node: Option<&str>,
    ) -> Result<(), AgentError> {
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
                let line = Line::new(text, "text", node).fixed();
                self.points.push(line.telling(verdict_of(fields)));
            }
            text => {
                self.lead(text, "text", node);
                if let Some(line) = self.leads.last_mut().filter(|_| told) {
                    line.verdict = verdict_of(fields);
                    line.prose = false;
                }
            }
        }
        if let Some(verdict) = verdict.filter(|_| !told) {
            let score = fields.get("score").and_then(Value::as_f64);
            let score = score.map_or(String::new(), |s| format!(" ({s:.2})"));
            let claim =
                if claim.is_empty() { String::new() } else { format!(": \"{}\"", squeeze(claim)) };
            let text = format!("Verdict: {verdict}{score}{claim}");
            self.points.push(Line::new(text, "verdict", node).telling(verdict_of(fields)));
        }
        if let Some(Value::Array(phrases)) = fields.get("key_phrases") {
            let phrases: Vec<&str> = phrases.iter().filter_map(Value::as_str).collect();
            if !phrases.is_empty() {
                let text = format!("Key phrases: {}", phrases.join(", "));
                self.points.push(Line::new(text, "key_phrases", node).fixed());
            }
        }
        Ok(())
    }

    /// Lines from what each parent published. `merged` is the `text` of the merge.
    ///
    /// A summary that is no parent of this node is not there; claim checks of it pass it on as
    /// `checked`. The source's own text is left out: a brief does not repeat what it is about.
    pub(super) fn of_parents(
        &mut self,
        input: &Fields,
        merged: Option<&str>,
    ) -> Result<(), AgentError> {
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

    /// Lines from `pieces`; returns the places of those without a text, but for what a node did not give: it is named
    /// itself.
    pub(super) fn of_pieces(
        &mut self,
        pieces: &Value,
        ctx: &AgentContext<'_>,
    ) -> Result<Vec<usize>, AgentError> {
        let mut without_value = Vec::new();
        let Value::Array(list) = pieces else {
            if let Some(text) = piece_text("pieces", pieces)? {
                self.points.push(piece_line(text, "pieces", pieces));
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
                Some(text) => self.points.push(piece_line(text, &from, piece)),
                None if !ctx.missing.is_empty() && lacks_a_value(piece) => {}
                None => without_value.push(i),
            }
        }
        Ok(without_value)
    }
}

/// Whether it is what a node did not give, or a map with such a value.
fn lacks_a_value(piece: &Value) -> bool {
    piece.is_null() || piece.as_object().is_some_and(|map| map.values().any(Value::is_null))
}

fn piece_line(text: String, from: &str, piece: &Value) -> Line {
    let line = Line::new(text, from, None).telling(piece.as_object().and_then(verdict_of));
    if piece.is_array() { line.fixed() } else { line }
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
