// SPDX-License-Identifier: AGPL-3.0-or-later
//! Chat templates looked at before they are trusted with a conversation: a template is a program that
//! stands between what is written and what a model reads.

use serde_json::{Value, json};

use super::audit::{Finding, Findings};
use super::open::Opened;
use crate::chat::{ChatInput, ChatTemplate, tags};
use crate::decoder::special_text;
use crate::decoder_tokenizer::DecoderTokenizer;

const SUBJECT: &str = "chat template";

/// What no chat template needs, as words of its tags.
const ALIEN: [&str; 8] =
    ["include", "import", "extends", "lipsum", "request", "self", "cycler", "joiner"];

/// Looks at the template of a model.
pub(super) fn check(
    opened: &Opened,
    tokenizer: Option<&DecoderTokenizer>,
    findings: &mut Findings,
) {
    let Some(source) = opened.chat_template.as_deref() else { return };
    suspicious(source, findings);
    let template = match ChatTemplate::parse(SUBJECT, source) {
        Ok(template) => template,
        Err(error) => {
            findings.push(Finding::severe("template", SUBJECT, bare(&error.to_string())));
            return;
        }
    };
    let [bos, eos] =
        ["bos_token", "eos_token"].map(|key| special_text(&opened.tokenizer_config, key));
    let render = |messages: &[Value], prompt: bool| {
        template.render(&ChatInput {
            messages,
            add_generation_prompt: prompt,
            bos_token: bos.as_deref(),
            eos_token: eos.as_deref(),
            ..ChatInput::default()
        })
    };
    // Words that stand in no template.
    let [system, user, answer] = ["qxsystemqx", "qxquestionqx", "qxanswerqx"];
    let message = |role: &str, text: &str| json!({ "role": role, "content": text });
    let asked = [message("user", user)];
    let long = [message("user", user), message("assistant", answer), message("user", "qxsecondqx")];
    let told = [message("system", system), message("user", user)];
    let prompt = match render(&asked, true) {
        Ok(prompt) => prompt,
        Err(error) => {
            let message = format!("does not render one question: {}", bare(&error.to_string()));
            findings.push(Finding::severe("template", SUBJECT, message));
            return;
        }
    };
    if prompt.matches(user).count() != 1 {
        let times = prompt.matches(user).count();
        let message = format!("renders a question {times} times");
        findings.push(Finding::severe("template", SUBJECT, message));
    }
    if render(&asked, false).is_ok_and(|without| without == prompt) {
        let message = "has no generation prompt: nothing tells the model that it is its turn";
        findings.push(Finding::warning("template", SUBJECT, message));
    }
    for (what, messages, words) in [
        ("a conversation", &long[..], &[user, answer, "qxsecondqx"][..]),
        ("a system message", &told[..], &[system, user][..]),
    ] {
        match render(messages, true) {
            Err(error) => {
                let message = format!("does not render {what}: {}", bare(&error.to_string()));
                findings.push(Finding::note("template", SUBJECT, message));
            }
            Ok(text) => {
                let lost: Vec<_> = words.iter().filter(|word| !text.contains(**word)).collect();
                if !lost.is_empty() {
                    let message = format!("loses {} of the messages of {what}", lost.len());
                    findings.push(Finding::warning("template", SUBJECT, message));
                }
            }
        }
    }
    let own = prompt.len() - user.len().min(prompt.len());
    if own > 1000 {
        let message = format!("puts {own} bytes of its own around a question");
        findings.push(Finding::note("template", SUBJECT, message));
    }
    if let Some(tokenizer) = tokenizer {
        let full = render(&told, true).unwrap_or_default() + &prompt;
        for token in marks(&full) {
            if tokenizer.id(token).is_none() {
                let message = format!("writes {token}, which is no token: it becomes plain text");
                findings.push(Finding::warning("template", SUBJECT, message));
            }
        }
    }
}

/// Without the name that the finding gives already.
fn bare(message: &str) -> String {
    message.strip_prefix("chat template: ").unwrap_or(message).to_owned()
}

/// Texts like `<|user|>`, each once.
fn marks(text: &str) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for (at, _) in text.match_indices("<|") {
        let Some(end) = text[at..].find("|>") else { break };
        let mark = &text[at..at + end + 2];
        if mark.len() <= 64 && !mark.contains(char::is_whitespace) && !found.contains(&mark) {
            found.push(mark);
        }
    }
    found
}

/// What makes a template one to read before it is used.
fn suspicious(source: &str, findings: &mut Findings) {
    let mut told: Vec<String> = Vec::new();
    let mut tell = |severe: bool, message: String| {
        if told.len() < 20 && !told.contains(&message) {
            let make = if severe { Finding::severe } else { Finding::warning };
            findings.push(make("template", SUBJECT, message.clone()));
            told.push(message);
        }
    };
    let hidden = |c: char| {
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
            || (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    };
    if let Some(c) = source.chars().find(|&c| hidden(c)) {
        tell(false, format!("holds a character that does not show, U+{:04X}", c as u32));
    }
    if source.contains("http://") || source.contains("https://") {
        tell(false, "names an address in the web".into());
    }
    for (line, tag) in tags(source).filter(|(_, tag)| !tag.starts_with("{#")) {
        let (code, texts) = split(tag);
        let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
        for word in words {
            if word.starts_with("__") || ALIEN.contains(&word) {
                tell(true, format!("line {line}: `{word}`, which no chat template needs"));
            }
        }
        // A template that behaves otherwise when a message holds some words can be a trap.
        let asks = [" in message", " in content", "['content']", "[\"content\"]", ".content"];
        let tested = tag.starts_with("{%") && asks.iter().any(|part| tag.contains(part));
        let plain = |text: &&&str| {
            text.chars().filter(|c| c.is_alphabetic()).count() >= 4
                && !text.contains(['<', '>', '[', ']', '{', '|'])
                && !NAMES.contains(text)
        };
        if tested
            && code.split_whitespace().any(|word| word == "in")
            && let Some(text) = texts.iter().find(plain)
        {
            let shown: String = text.chars().take(40).collect();
            tell(false, format!("line {line}: does something else for messages with {shown:?}"));
        }
    }
}

/// Texts in tags that are roles and keys, not words of a message.
const NAMES: [&str; 14] = [
    "role",
    "content",
    "user",
    "assistant",
    "system",
    "tool",
    "text",
    "type",
    "image",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "reasoning_content",
];

/// A tag's code with its texts taken out, and the texts.
fn split(tag: &str) -> (String, Vec<&str>) {
    let (mut code, mut texts, mut open) = (String::new(), Vec::new(), None);
    for (i, c) in tag.char_indices() {
        match open {
            Some((quote, start)) if c == quote => {
                texts.push(&tag[start..i]);
                open = None;
                code.push(' ');
            }
            Some(_) => {}
            None if matches!(c, '"' | '\'') => open = Some((c, i + 1)),
            None => code.push(c),
        }
    }
    (code, texts)
}
