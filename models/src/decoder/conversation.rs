// SPDX-License-Identifier: AGPL-3.0-or-later
//! Turns of a chat to prompts: what was read stays read, and what no longer fits is forgotten.

use bho_engine::generation::Generated;
use serde_json::{Value, json};

use super::text::TextModel;
use crate::decoder_tokenizer::EncodeOptions;
use crate::error::ModelError;

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// What the user said.
    pub user: String,
    /// What the model said.
    pub assistant: String,
}

/// A chat with a model.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    system: Option<String>,
    turns: Vec<Turn>,
    /// Text and tokens up to the end of the last answer.
    read: Option<Prompt>,
}

/// What the model is to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The chat template's output, guarded.
    text: String,
    /// Its tokens. The model's own answers are in it as the tokens that it wrote, so that the KV
    /// cache holds them, even where the tokenizer would cut the same text otherwise.
    pub tokens: Vec<u32>,
    /// Turns that were forgotten for it, oldest first.
    pub dropped: usize,
}

impl Conversation {
    /// An empty chat with a system message, or none.
    pub fn new(system: Option<String>) -> Self {
        Self { system, ..Self::default() }
    }

    /// The system message.
    pub fn system(&self) -> Option<&str> {
        self.system.as_deref()
    }

    /// Sets it or takes it away, from the next prompt on.
    pub fn set_system(&mut self, system: Option<String>) {
        self.system = system;
    }

    /// What was said, oldest first.
    pub fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// Forgets the turns.
    pub fn clear(&mut self) {
        *self = Self::new(self.system.take());
    }

    /// Takes the last turn back.
    pub fn pop(&mut self) -> Option<Turn> {
        let turn = self.turns.pop()?;
        // Its beginning is still in the cache, by its tokens.
        self.read = None;
        Some(turn)
    }

    /// The prompt for `user` to be answered. The oldest turns are forgotten until the prompt leaves
    /// `room` of `context` positions free; the system message stays.
    ///
    /// # Errors
    /// When there is no chat template or it refuses the messages, or the system message and `user`
    /// alone are too long.
    pub fn prompt(
        &mut self,
        model: &TextModel,
        user: &str,
        room: usize,
    ) -> Result<Prompt, ModelError> {
        let context = model.generator().context();
        let most = context.saturating_sub(room);
        let mut dropped = 0;
        loop {
            let prompt = self.render(model, &self.turns[dropped..], user)?;
            if prompt.tokens.len() <= most {
                if dropped > 0 {
                    self.turns.drain(..dropped);
                    self.read = None;
                }
                return Ok(Prompt { dropped, ..prompt });
            }
            if dropped == self.turns.len() {
                let found = prompt.tokens.len();
                return Err(ModelError::invalid(
                    &model.info().name,
                    format!(
                        "the message has {found} tokens with the system message and the template; \
                         {most} fit the context of {context} with room for an answer"
                    ),
                ));
            }
            dropped += 1;
        }
    }

    /// Takes the answer to a prompt.
    pub fn answered(
        &mut self,
        model: &TextModel,
        user: String,
        prompt: Prompt,
        answer: &Generated,
    ) {
        let Prompt { mut text, mut tokens, .. } = prompt;
        let bytes = answer.tokens.iter().flat_map(|&id| model.tokenizer().token_bytes(id));
        let bytes: Vec<u8> = bytes.copied().collect();
        // Not so where a stop text was cut off.
        self.read = (String::from_utf8_lossy(&bytes) == answer.text).then(|| {
            text += &model.tokenizer().guard(&answer.text);
            tokens.extend(&answer.tokens);
            Prompt { text, tokens, dropped: 0 }
        });
        self.turns.push(Turn { user, assistant: answer.text.clone() });
    }

    fn render(&self, model: &TextModel, turns: &[Turn], user: &str) -> Result<Prompt, ModelError> {
        let text = model.chat_text(&self.messages(turns, Some(user)))?;
        let encode = |text: &str| model.tokenizer().encode(text, EncodeOptions::CHAT);
        if let Some(read) = &self.read
            && let Some(new) = text.strip_prefix(&read.text)
        {
            let new = encode(new)?;
            // Elsewhere a tokenizer may treat the middle of a text as its beginning.
            if new.first().is_some_and(|&id| model.tokenizer().is_special(id)) {
                let tokens = [&read.tokens[..], &new].concat();
                return Ok(Prompt { text, tokens, dropped: 0 });
            }
        }
        let tokens = encode(&text)?;
        Ok(Prompt { text, tokens, dropped: 0 })
    }

    fn messages(&self, turns: &[Turn], user: Option<&str>) -> Vec<Value> {
        let message = |role: &str, text: &str| json!({ "role": role, "content": text });
        let system = self.system.iter().map(|text| message("system", text));
        let turns = turns
            .iter()
            .flat_map(|turn| [message("user", &turn.user), message("assistant", &turn.assistant)]);
        system.chain(turns).chain(user.map(|text| message("user", text))).collect()
    }

    /// The chat as `{"messages": [...]}`, each with `role` and `content`.
    pub fn to_json(&self) -> Value {
        json!({ "messages": self.messages(&self.turns, None) })
    }

    /// Reads what [`Conversation::to_json`] wrote.
    ///
    /// # Errors
    /// What is wrong, without quoting what was said: messages are a system message, if any, and then
    /// users' and assistants' in turn.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let messages = value.get("messages").and_then(Value::as_array);
        let messages = messages.ok_or("expected an object with a list `messages`")?;
        let mut read = Vec::with_capacity(messages.len());
        for (i, message) in messages.iter().enumerate() {
            let text = |key: &str| message.get(key).and_then(Value::as_str);
            let (Some(role), Some(content)) = (text("role"), text("content")) else {
                return Err(format!("messages[{i}]: expected texts `role` and `content`"));
            };
            read.push((role, content));
        }
        let mut rest = &read[..];
        let mut chat = Self::default();
        if let [("system", text), behind @ ..] = rest {
            (chat.system, rest) = (Some((*text).to_owned()), behind);
        }
        for (i, pair) in rest.chunks(2).enumerate() {
            let [("user", user), ("assistant", assistant)] = pair else {
                let at = read.len() - rest.len() + 2 * i;
                return Err(format!(
                    "messages[{at}]: expected a user's message and an assistant's behind it"
                ));
            };
            chat.turns.push(Turn { user: (*user).into(), assistant: (*assistant).into() });
        }
        Ok(chat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_is_read_as_it_was_written_and_others_are_refused_by_place() {
        let mut chat = Conversation::new(Some("Be brief.".into()));
        for i in 0..3 {
            chat.turns.push(Turn { user: format!("q{i}"), assistant: format!("a{i}") });
        }
        let json = chat.to_json();
        let back = Conversation::from_json(&json).unwrap();
        assert_eq!((back.system(), back.turns()), (chat.system(), chat.turns()));
        assert_eq!(back.to_json(), json);
        let refused = |pointer: &str, value: Value| {
            let mut json = json.clone();
            *json.pointer_mut(pointer).unwrap() = value;
            Conversation::from_json(&json).unwrap_err()
        };
        assert!(refused("", json!([])).contains("a list `messages`"));
        assert!(
            refused("/messages/4/content", json!(3)).starts_with("messages[4]: expected texts")
        );
        assert!(refused("/messages/3/role", json!("tool")).starts_with("messages[3]: expected a"));
        assert!(refused("/messages/6", json!({"role": "user", "content": "q"})).contains("[5]"));
        assert!(refused("/messages", json!([{"role": "user", "content": "q"}])).contains("[0]"));
    }
}
