// SPDX-License-Identifier: AGPL-3.0-or-later
//! The walk over a map: each text is checked where it stands, and named by its path.

use std::collections::HashMap;
use std::fmt;

use bho_engine::CancelToken;
use bho_guard::{Category, GuardError, Mode, ModerationCard, Source, Verdict};
use serde_json::{Number, Value};

use super::safer::is_empty;
use super::{Blocked, MAX_PHRASES, Screened, Screening};
use crate::agents::Fields;
use crate::config::OnInjection;

/// An integer of fewer digits is no personal number.
const MIN_PII_NUMBER: u64 = 100_000_000;

/// A place in a map, for the names of cards; the parent first.
struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Key(key) if self.parent.is_some() => write!(f, ".{key}"),
            Step::Key(key) => f.write_str(key),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// One check of a whole map: what it looks at, and what it has found so far.
pub(super) struct Walk<'s> {
    screening: &'s Screening,
    place: &'s str,
    mode: Mode,
    /// Of what is being looked at.
    source: Source,
    cancel: &'s CancelToken,
    /// Whether that is an item of a list, or within one.
    in_list: bool,
    /// Retrieved texts so far that the guard would have blocked.
    hostile: usize,
    out: Screened,
    /// The card that is made even when nothing was found.
    main: Option<ModerationCard>,
    want_main: bool,
}

impl<'s> Walk<'s> {
    pub(super) fn new(
        screening: &'s Screening,
        place: &'s str,
        mode: Mode,
        source: Source,
        cancel: &'s CancelToken,
    ) -> Self {
        let out = Screened::default();
        let (in_list, hostile, main, want_main) = (false, 0, None, true);
        Self { screening, place, mode, source, cancel, in_list, hostile, out, main, want_main }
    }

    /// Checks every text of `fields`, redacting in place: `text` first, which has a card whatever was found.
    pub(super) fn over(mut self, fields: &mut Fields) -> Result<Screened, GuardError> {
        let has_text = match fields.get_mut("text") {
            Some(text @ Value::String(_)) => {
                self.value(text, None)?;
                true
            }
            _ => false,
        };
        self.map(fields, None, has_text)?;
        if let Some(main) = self.main {
            self.out.cards.insert(0, main);
        }
        Ok(self.out)
    }

    /// The text to go on with, when it is another one.
    fn text(&mut self, text: &str, path: Option<&Path<'_>>) -> Result<Option<String>, GuardError> {
        let check = if self.want_main { Screening::check } else { Screening::check_beside };
        let verdict = check(self.screening, text, self.mode, self.source, self.cancel)?;
        let mut card = verdict.card.clone();
        self.out.tags.extend(card.policy_tags.iter().cloned());
        let spares = self.source == Source::Retrieved
            && self.screening.retrieved.on_injection != OnInjection::Block;
        let spared = !card.allowed && spares;
        if spared {
            self.hostile += 1;
            let drops = self.in_list && self.screening.retrieved.on_injection == OnInjection::Drop;
            card.text = if drops {
                String::new()
            } else {
                self.screening.neutralised(text, self.mode, self.cancel)?
            };
            card.why.push_str(if card.text.is_empty() {
                "; left out"
            } else {
                "; sentences left out"
            });
        }
        let told = !card.actions.is_empty() || !card.allowed || !card.partly_read.is_empty();
        if told || self.want_main {
            let node = match path {
                Some(path) => format!("{}:{path}", self.place),
                None => self.place.to_owned(),
            };
            let card = ModerationCard { node, ..card.clone() };
            if std::mem::take(&mut self.want_main) {
                self.main = Some(card);
            } else {
                self.out.cards.push(card);
            }
        }
        if !card.allowed && !spared {
            let phrases = phrases(&verdict, text);
            let blocked = self.out.blocked.get_or_insert_with(|| Blocked {
                reason: reason(&card.why),
                text: card.text.clone(),
                phrases: Vec::new(),
            });
            blocked.phrases.extend(phrases);
        }
        Ok((card.text != text).then_some(card.text))
    }

    fn value(&mut self, value: &mut Value, path: Option<&Path<'_>>) -> Result<(), GuardError> {
        match value {
            Value::String(text) => {
                if let Some(safe) = self.text(text, path)? {
                    *text = safe;
                }
            }
            Value::Number(number) => {
                if let Some(digits) = whole_number(number) {
                    // No main card: a number is not what a reader looks for there.
                    let want_main = std::mem::take(&mut self.want_main);
                    let safe = self.text(&digits, path);
                    self.want_main = want_main;
                    if let Some(safe) = safe? {
                        *value = Value::String(safe);
                    }
                }
            }
            Value::Array(items) => {
                let outside = std::mem::replace(&mut self.in_list, true);
                let count = items.len();
                let mut kept = Vec::with_capacity(count);
                for (index, mut item) in std::mem::take(items).into_iter().enumerate() {
                    let before = self.hostile;
                    self.value(&mut item, Some(&Path { parent: path, step: Step::Index(index) }))?;
                    let drops = self.screening.retrieved.on_injection == OnInjection::Drop;
                    if self.hostile == before || !(drops || is_empty(&item)) {
                        kept.push(item);
                    } else {
                        // What holds this list has lost it already.
                        self.hostile = before;
                    }
                }
                *items = kept;
                self.out.left_out |= items.len() < count;
                self.in_list = outside;
            }
            Value::Object(map) => self.map(map, path, false)?,
            Value::Null | Value::Bool(_) => {}
        }
        Ok(())
    }

    fn map(
        &mut self,
        map: &mut Fields,
        path: Option<&Path<'_>>,
        text_is_done: bool,
    ) -> Result<(), GuardError> {
        if map.keys().any(|key| !is_plain(key)) {
            self.keys(map, path)?;
        }
        for (key, value) in map.iter_mut() {
            if !(text_is_done && key == "text") {
                let outside = self.source;
                if self.screening.retrieved.fields.iter().any(|field| field == key) {
                    self.source = Source::Retrieved;
                }
                self.value(value, Some(&Path { parent: path, step: Step::Key(key) }))?;
                self.source = outside;
            }
        }
        Ok(())
    }

    /// Redacts the keys of a map; keys that become equal are told apart by a number.
    fn keys(&mut self, map: &mut Fields, path: Option<&Path<'_>>) -> Result<(), GuardError> {
        let here = Path { parent: path, step: Step::Key("(key)") };
        let mut renamed = Vec::new();
        for key in map.keys() {
            if !is_plain(key) {
                let want_main = std::mem::take(&mut self.want_main);
                let safe = self.text(key, Some(&here));
                self.want_main = want_main;
                if let Some(safe) = safe? {
                    renamed.push((key.clone(), safe));
                }
            }
        }
        if renamed.is_empty() {
            return Ok(());
        }
        let names: HashMap<String, String> = renamed.into_iter().collect();
        let mut copies: HashMap<String, usize> = HashMap::new();
        let mut out = Fields::with_capacity(map.len());
        for (key, value) in std::mem::take(map) {
            let Some(safe) = names.get(&key) else {
                out.insert(key, value);
                continue;
            };
            let copy = copies.entry(safe.clone()).or_default();
            let mut name = safe.clone();
            while *copy > 0 || out.contains_key(&name) {
                *copy += 1;
                name = format!("{safe}#{copy}");
                if !out.contains_key(&name) {
                    break;
                }
            }
            *copy = (*copy).max(1);
            out.insert(name, value);
        }
        *map = out;
        Ok(())
    }
}

/// The digits of a number that is long enough to be personal, also of one that is written as a fraction (`1e15`, `7.0`).
fn whole_number(number: &Number) -> Option<String> {
    if let Some(size) = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs)) {
        return (size >= MIN_PII_NUMBER).then(|| number.to_string());
    }
    let value = number.as_f64().filter(|value| value.fract() == 0.0)?;
    let is_long = (MIN_PII_NUMBER as f64..1e20).contains(&value.abs());
    is_long.then(|| format!("{value:.0}"))
}

/// Words are no personal data; digits, dots and signs may be.
fn is_plain(key: &str) -> bool {
    key.len() <= 64 && key.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
}

/// The signals of a card's `why`, without what it says of redactions.
fn reason(why: &str) -> String {
    let signals: Vec<&str> =
        why.split("; ").filter_map(|part| part.strip_prefix("blocked: ")).collect();
    if signals.is_empty() { why.to_owned() } else { signals.join("; ") }
}

/// What the moderating detectors pointed at, when that is less than the whole text.
fn phrases(verdict: &Verdict, text: &str) -> Vec<String> {
    verdict
        .findings
        .iter()
        .filter(|finding| !matches!(finding.category, Category::Pii(_)))
        .filter_map(|finding| text.get(finding.span.clone()))
        .filter(|phrase| phrase.len() < text.len())
        .take(MAX_PHRASES)
        .map(str::to_owned)
        .collect()
}
