// SPDX-License-Identifier: AGPL-3.0-or-later
//! Chat templates: messages to the text that a model was trained on.
//!
//! A template is Jinja source that comes with a checkpoint, so it is untrusted: it runs without
//! files, includes or the network, with a bounded number of steps, bytes and nested calls, on a
//! thread of its own whose stack those bounds cannot exhaust.

mod guarded;
mod json;
mod slice;
pub(crate) mod strftime;
mod values;

use std::time::SystemTime;

use minijinja::machinery::{CompiledTemplate, Instruction, TemplateConfig};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Value};
use serde_json::{Map, Value as Json};

use crate::error::ModelError;

/// Longest template, in bytes.
const MAX_SOURCE: usize = 256 << 10;

/// Longest tag of a template, in bytes: nesting is at most as deep as a tag is long.
const MAX_TAG: usize = 16 << 10;

/// Longest rendering, in bytes.
const MAX_OUTPUT: usize = 16 << 20;

/// Stack of the rendering thread: address space, of which only what is used becomes memory.
const STACK: usize = 256 << 20;

/// A chat template as Hugging Face checkpoints carry it (`chat_template`).
///
/// It behaves as in `transformers.apply_chat_template`: `trim_blocks`, `lstrip_blocks`,
/// `raise_exception`, `strftime_now`, `tojson` without HTML escapes, loop controls, Python's string
/// and dictionary methods, `{% generation %}` ignored. Times are UTC.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    name: String,
    source: String,
}

/// What a template is rendered with.
#[derive(Debug, Clone, Default)]
pub struct ChatInput<'a> {
    /// The messages: an array of objects, usually with `role` and `content`.
    pub messages: &'a [Json],
    /// Whether the rendering ends with what opens the model's answer.
    pub add_generation_prompt: bool,
    /// Text of the beginning-of-sequence token; undefined if `None`.
    pub bos_token: Option<&'a str>,
    /// Text of the end-of-sequence token; undefined if `None`.
    pub eos_token: Option<&'a str>,
    /// Tools as JSON schemas; `None` in the template if `None`.
    pub tools: Option<&'a [Json]>,
    /// Further variables, e.g. `enable_thinking`.
    pub extra: Option<&'a Map<String, Json>>,
    /// What `strftime_now` shows; the current time if `None`.
    pub now: Option<SystemTime>,
}

impl ChatTemplate {
    /// Checks the syntax of a template. `name` is what errors call it.
    ///
    /// # Errors
    /// When the source is too long, is no template or asks for what no chat template needs.
    pub fn parse(name: &str, source: &str) -> Result<Self, ModelError> {
        let invalid = |message: String| ModelError::invalid(name, message);
        if source.len() > MAX_SOURCE {
            let message = format!("has {} bytes; accepted: at most {MAX_SOURCE}", source.len());
            return Err(invalid(message));
        }
        for (line, tag) in tags(source) {
            if tag.len() > MAX_TAG {
                let message = format!(
                    "line {line}: a tag of {} bytes; accepted: at most {MAX_TAG}",
                    tag.len()
                );
                return Err(invalid(message));
            }
        }
        let template = Self { name: name.to_owned(), source: without_generation(source) };
        let (name, source) = (&template.name, &template.source);
        on_big_stack(|| {
            guarded::check_constants(name, source, &syntax())?;
            compile(name, source).map(|_| ())
        })
        .map_err(invalid)?;
        Ok(template)
    }

    /// The text for these messages.
    ///
    /// # Errors
    /// What the template itself raises, a mistake in it, or one of the bounds.
    pub fn render(&self, input: &ChatInput<'_>) -> Result<String, ModelError> {
        let now = input.now.unwrap_or_else(SystemTime::now);
        let (name, source) = (&self.name, &self.source);
        let rendered = on_big_stack(|| {
            let compiled = compile(name, source)?;
            let longest = longest_literal(&compiled);
            let env = guarded::environment(longest, now);
            let mut text = String::new();
            let mut output = minijinja::machinery::make_string_output(&mut text);
            minijinja::machinery::eval(
                &env,
                &compiled.instructions,
                variables(input),
                &compiled.blocks,
                &mut output,
                AutoEscape::None,
            )
            .map_err(|e| describe(&e))?;
            if text.len() > MAX_OUTPUT {
                return Err(format!("renders more than {MAX_OUTPUT} bytes"));
            }
            Ok(text)
        });
        rendered.map_err(|message| ModelError::invalid(&self.name, message))
    }
}

/// What a template sees by name.
fn variables(input: &ChatInput<'_>) -> Value {
    let extra = input.extra.into_iter().flatten().map(|(key, json)| (key.as_str(), value(json)));
    let list = |items: &[Json]| items.iter().map(value).collect::<Value>();
    let tokens = [("bos_token", input.bos_token), ("eos_token", input.eos_token)];
    let own = [
        ("messages", list(input.messages)),
        ("add_generation_prompt", Value::from(input.add_generation_prompt)),
        ("tools", input.tools.map_or(Value::from(()), list)),
        ("documents", Value::from(())),
    ];
    let tokens = tokens.into_iter().filter_map(|(name, text)| Some((name, Value::from(text?))));
    Value::from_pairs(extra.chain(own).chain(tokens))
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(b) => Value::from(*b),
        Json::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(i), _) => Value::from(i),
            (_, Some(u)) => Value::from(u),
            _ => Value::from(n.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(value).collect(),
        Json::Object(map) => {
            Value::from_pairs(map.iter().map(|(key, json)| (key.as_str(), value(json))))
        }
    }
}

fn syntax() -> SyntaxConfig {
    let mut builder = SyntaxConfig::builder();
    builder.trim_blocks(true).lstrip_blocks(true);
    builder.build().unwrap_or_default()
}

/// The instructions of a template, those that make new values exchanged for counted ones.
fn compile<'s>(name: &'s str, source: &'s str) -> Result<CompiledTemplate<'s>, String> {
    let config = TemplateConfig {
        syntax_config: syntax(),
        default_auto_escape: std::sync::Arc::new(|_| AutoEscape::None),
    };
    let mut compiled = CompiledTemplate::new(name, source, &config).map_err(|e| describe(&e))?;
    for instructions in compiled.blocks.values_mut().chain([&mut compiled.instructions]) {
        for i in 0.. {
            let Some(instruction) = instructions.get_mut(i) else { break };
            guarded::exchange(instruction)?;
        }
    }
    Ok(compiled)
}

/// Length of the longest text between tags.
fn longest_literal(compiled: &CompiledTemplate<'_>) -> usize {
    let all = compiled.blocks.values().chain([&compiled.instructions]);
    all.flat_map(|instructions| (0..).map_while(|i| instructions.get(i)))
        .map(|instruction| match instruction {
            Instruction::EmitRaw(text) => text.len(),
            _ => 0,
        })
        .max()
        .unwrap_or(0)
}

/// Runs `work` on a thread with a large stack. A panic in it is an error.
fn on_big_stack<T: Send>(work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("bho-chat-template".into())
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .map_err(|e| format!("cannot start the thread that renders it: {e}"))?
            .join()
            .unwrap_or_else(|_| Err("makes the template engine panic".into()))
    })
}

/// What failed and where.
fn describe(error: &minijinja::Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
    match error.line() {
        Some(line) => format!("line {line}: {what}"),
        None => what,
    }
}

/// The tags of a template with their lines: from `{{` or `{%` to what closes them. Text in quotes
/// does not close a tag.
pub(crate) fn tags(source: &str) -> impl Iterator<Item = (usize, &str)> {
    let (mut at, mut line) = (0, 1);
    std::iter::from_fn(move || {
        let rest = &source[at..];
        let open = rest.match_indices('{').map(|(i, _)| i).find(|&i| {
            rest[i..].starts_with("{{")
                || rest[i..].starts_with("{%")
                || rest[i..].starts_with("{#")
        })?;
        let tag = &rest[open..];
        let close = match &tag[..2] {
            "{{" => "}}",
            "{%" => "%}",
            _ => "#}",
        };
        let mut quote = None;
        let mut skip = false;
        let end = tag.char_indices().skip(2).find_map(|(i, c)| {
            if std::mem::take(&mut skip) {
                return None;
            }
            match (quote, c) {
                (Some(_), '\\') => skip = true,
                (Some(q), c) if q == c => quote = None,
                (None, '"' | '\'') if close != "#}" => quote = Some(c),
                (None, _) if tag[i..].starts_with(close) => return Some(i + 2),
                _ => {}
            }
            None
        });
        let end = end.unwrap_or(tag.len());
        let first = line + rest[..open].matches('\n').count();
        line = first + tag[..end].matches('\n').count();
        at += open + end;
        Some((first, &tag[..end]))
    })
}

/// `{% generation %}` marks what the model wrote, for training; here it is a block without effect.
fn without_generation(source: &str) -> String {
    let mut written = String::with_capacity(source.len());
    let mut done = 0;
    for (_, tag) in tags(source) {
        let word = tag.trim_matches(['{', '%', '}', '-', '+', ' ', '\n', '\t', '\r']);
        let effect = match word {
            "generation" => "if true",
            "endgeneration" => "endif",
            _ => continue,
        };
        if tag.starts_with("{%") {
            let start = tag.as_ptr() as usize - source.as_ptr() as usize;
            written.push_str(&source[done..start]);
            written.push_str(&tag.replacen(word, effect, 1));
            done = start + tag.len();
        }
    }
    written.push_str(&source[done..]);
    written
}
