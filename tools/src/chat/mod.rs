// SPDX-License-Identifier: AGPL-3.0-or-later
//! A chat with a model: messages and commands in, answers out.

mod command;
mod lines;

use std::io::{BufWriter, StdoutLock, Write as _};
use std::path::Path;

use bho_engine::EngineError;
use bho_engine::generation::{Finish, Generated, Request};
use bho_guard::Guard;
use bho_models::decoder::{Conversation, Prompt, TextModel};
use serde_json::{Value, json};

pub(crate) use command::{Input, Settings};
pub(crate) use lines::{Line, Lines};

use crate::answer::{self, Answer};
use crate::exit::{Exit, Failure, Interrupts};
use crate::input::StreamArg;
use crate::output::file::Target;
use crate::output::style::{self, Style, Tint};
use crate::output::{self};

/// A chat as it goes on.
pub(crate) struct Session<'a> {
    pub(crate) model: &'a TextModel,
    pub(crate) chat: Conversation,
    pub(crate) settings: Settings,
    pub(crate) stop: Vec<String>,
    /// Reads messages and answers first.
    pub(crate) guard: Option<Guard>,
    pub(crate) json: bool,
    pub(crate) out: BufWriter<StdoutLock<'static>>,
    /// Answers given, repeated ones included: each has a seed of its own.
    pub(crate) answers: u64,
    pub(crate) last: Option<Generated>,
}

impl Session<'_> {
    /// Takes lines until they end. What goes wrong with a message is told, and the chat goes on; a
    /// chat that nobody types then ends with 1.
    pub(crate) fn run(
        &mut self,
        lines: &mut Lines,
        interrupts: &Interrupts,
    ) -> Result<Exit, Failure> {
        let (mut failed, mut interrupted) = (false, false);
        loop {
            let line = match lines.next()? {
                Line::Text(line) => line,
                Line::End => break,
                Line::Interrupted if interrupted => return Ok(Exit::Interrupted),
                Line::Interrupted => {
                    interrupted = true;
                    note("Ctrl-C again ends the chat; so do /quit and Ctrl-D");
                    continue;
                }
            };
            interrupted = false;
            let done = match Input::parse(&line) {
                Ok(Input::Quit) => break,
                Ok(input) => self.take(input, interrupts),
                Err(message) => Err(Failure::said(Exit::Failed, message)),
            };
            match done {
                Ok(Some(Finish::Cancelled)) if !lines.are_typed() => return Ok(Exit::Interrupted),
                Ok(_) => {}
                Err(failure) => {
                    output::error(&failure.message()?);
                    failed = true;
                }
            }
        }
        if failed && !lines.are_typed() {
            return Err(Failure::silent(Exit::Failed));
        }
        Ok(Exit::Success)
    }

    /// One message or command; why the answer ended, if there is one.
    fn take(&mut self, input: Input, interrupts: &Interrupts) -> Result<Option<Finish>, Failure> {
        match input {
            Input::Message(text) if text.trim().is_empty() => {}
            Input::Message(text) => return self.answer(text, interrupts).map(Some),
            Input::Regen => match self.chat.pop() {
                Some(turn) => return self.answer(turn.user, interrupts).map(Some),
                None => return Err(Failure::said(Exit::Failed, "nothing was said yet")),
            },
            Input::Help => note(command::HELP),
            Input::Clear => self.chat.clear(),
            Input::System(text) => self.chat.set_system(text),
            Input::Set(None) => note(&self.settings.list()),
            Input::Set(Some((name, value))) => {
                let vocab = self.model.model().config().vocab;
                let set = self.settings.set(&name, &value, vocab);
                set.map_err(|message| Failure::said(Exit::Failed, message))?;
            }
            Input::Stats => note(&self.stats()),
            Input::Save(path) => self.save(&path)?,
            Input::Load(path) => self.chat = load(&path)?,
            Input::Quit => {}
        }
        Ok(None)
    }

    fn answer(&mut self, mut user: String, interrupts: &Interrupts) -> Result<Finish, Failure> {
        if let Some(guard) = &self.guard {
            user = answer::checked(guard, "message", user)?;
        }
        let mut answer = Answer::new(self.guard.as_ref())?;
        let context = self.model.generator().context();
        // A quarter of the context, if so much is asked for.
        let room = self.settings.max_tokens.min(context / 4).max(1);
        let prompt = self.chat.prompt(self.model, &user, room);
        let prompt = prompt.map_err(crate::models::failure)?;
        if prompt.dropped > 0 {
            let turns = output::count(prompt.dropped, "turn");
            note(&format!("the context of {context} tokens is full: forgot the oldest {turns}"));
        }
        let mut sampling = self.settings.sampling.clone();
        sampling.seed = sampling.seed.wrapping_add(self.answers);
        self.answers += 1;
        let seed = sampling.seed;
        let request = Request {
            prompt: prompt.tokens.clone(),
            max_tokens: self.settings.max_tokens,
            sampling,
            constraint: None,
            stop_tokens: self.model.stop_tokens().to_vec(),
            stop: self.stop.clone(),
        };
        let mut generated = interrupts.during(|cancel| {
            let mut failed = None;
            let generated = self.model.generator().generate(request, cancel, &mut |piece| {
                let text = answer.take(&piece.text);
                if answer.is_over() {
                    cancel.cancel();
                }
                if !self.json
                    && let Err(error) = show(&mut self.out, &text)
                {
                    failed.get_or_insert(error);
                    cancel.cancel();
                }
            });
            match failed {
                Some(error) => Err(Failure::from(error)),
                None => {
                    generated.map_err(|error: EngineError| crate::models::failure(error.into()))
                }
            }
        })?;
        let guarded = answer.finish()?;
        if let Some(guarded) = &guarded {
            generated.text.clone_from(&guarded.text);
            if !self.json {
                show(&mut self.out, &guarded.rest)?;
            }
        }
        if self.json {
            let mut turn = self.document(&user, &prompt, &generated, seed);
            if let Some(guarded) = &guarded {
                turn["card"] = json!(guarded.card);
            }
            writeln!(self.out, "{turn}")?;
        } else {
            writeln!(self.out)?;
        }
        self.out.flush()?;
        if let Some(guarded) = guarded.filter(|guarded| !guarded.card.allowed) {
            return Err(Failure::said(
                Exit::Failed,
                format!("the answer was {}", guarded.card.why),
            ));
        }
        match generated.finish {
            Finish::Context => note(&format!("the context of {context} tokens is full")),
            Finish::Length => note("the answer was cut at max-tokens"),
            _ => {}
        }
        let finish = generated.finish;
        // A message whose answer was stopped before its first token can be asked anew.
        if finish != Finish::Cancelled || !generated.tokens.is_empty() {
            self.chat.answered(self.model, user, prompt, &generated);
        }
        self.last = Some(generated);
        Ok(finish)
    }

    fn document(&self, user: &str, prompt: &Prompt, answer: &Generated, seed: u64) -> Value {
        json!({
            "turn": self.chat.turns().len() + 1,
            "user": user,
            "text": answer.text,
            "finish": answer.finish.name(),
            "prompt_tokens": answer.prompt_tokens,
            "cached_tokens": answer.cached_tokens,
            "tokens": answer.tokens.len(),
            "dropped_turns": prompt.dropped,
            "seed": seed,
            "first_token_ms": answer.first_token.as_secs_f64() * 1e3,
            "tokens_per_second": answer.tokens_per_second(),
        })
    }

    fn stats(&self) -> String {
        let turns = output::count(self.chat.turns().len(), "turn");
        let context = self.model.generator().context();
        let Some(last) = &self.last else { return format!("{turns}; context of {context} tokens") };
        let used = last.prompt_tokens + last.tokens.len();
        let mut out = format!(
            "{turns}; {used} of {context} tokens of context used\nlast answer: {} read ({} of them \
             cached), first token after {}, {} written",
            output::count(last.prompt_tokens, "token"),
            last.cached_tokens,
            output::milliseconds(last.first_token),
            last.tokens.len(),
        );
        if let Some(rate) = last.tokens_per_second() {
            out += &format!(" at {rate:.1} tokens/s");
        }
        out
    }

    fn save(&self, path: &Path) -> Result<(), Failure> {
        let mut document = self.chat.to_json();
        document["model"] = self.model.info().name.clone().into();
        let text = serde_json::to_string_pretty(&document)? + "\n";
        Target::new(path.into())?.write(text.as_bytes())?;
        note(&format!("saved to {}", path.display()));
        Ok(())
    }
}

/// A chat that was saved.
pub(crate) fn load(path: &Path) -> Result<Conversation, Failure> {
    let shown = path.display();
    let text = StreamArg::File(path.into()).read_text()?;
    let wrong = |message: String| Failure::said(Exit::Failed, format!("{shown}: {message}"));
    // What was said is not quoted.
    let value: Value = serde_json::from_str(&text)
        .map_err(|e| wrong(format!("no JSON at line {}, column {}", e.line(), e.column())))?;
    Conversation::from_json(&value).map_err(wrong)
}

fn show(out: &mut BufWriter<StdoutLock<'static>>, text: &str) -> std::io::Result<()> {
    // What a model writes must not steer a terminal.
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
    let text = if terminal { style::clean(text) } else { text.into() };
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Something about the chat that is not part of it.
fn note(text: &str) {
    let style = Style::stderr();
    for line in text.lines() {
        let _ = writeln!(std::io::stderr(), "{}", style.paint(Tint::Dim, &style::clean(line)));
    }
}
