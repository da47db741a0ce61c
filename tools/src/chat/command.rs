// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a line of a chat means, and what can be set while it runs.

use std::path::PathBuf;
use std::str::FromStr;

use bho_engine::sampling::SamplingParams;

pub(crate) const HELP: &str = "\
/help              this list
/clear             forget what was said; the system message stays
/system TEXT       set the system message; without a text, take it away
/regen             answer the last message again, with another seed
/set NAME VALUE    temperature, top-k, top-p, min-p, typical-p, repetition-penalty,
                   presence-penalty, frequency-penalty, seed, max-tokens; alone, list them
/stats             tokens, speed and room of the chat so far
/save FILE         write the chat as JSON, readable by you only
/load FILE         go on with a chat that was saved
/quit              end; so does Ctrl-D
//TEXT             a message that begins with a slash";

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Message(String),
    Help,
    Clear,
    System(Option<String>),
    Regen,
    Set(Option<(String, String)>),
    Stats,
    Save(PathBuf),
    Load(PathBuf),
    Quit,
}

impl Input {
    /// Reads a line; the error says what was wrong without repeating more than the command.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let Some(command) = line.strip_prefix('/') else { return Ok(Self::Message(line.into())) };
        if command.starts_with('/') {
            return Ok(Self::Message(command.into()));
        }
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let rest = rest.trim();
        let file = || match rest {
            "" => Err(format!("/{name} needs a file")),
            path => Ok(PathBuf::from(path)),
        };
        let input = match name {
            "help" => Self::Help,
            "clear" => Self::Clear,
            "system" => return Ok(Self::System(Some(rest.to_owned()).filter(|t| !t.is_empty()))),
            "regen" => Self::Regen,
            "set" if rest.is_empty() => Self::Set(None),
            "set" => match rest.split_whitespace().collect::<Vec<_>>()[..] {
                [name, value] => return Ok(Self::Set(Some((name.into(), value.into())))),
                _ => return Err("/set needs a name and a value".into()),
            },
            "stats" => Self::Stats,
            "save" => return file().map(Self::Save),
            "load" => return file().map(Self::Load),
            "quit" | "exit" => Self::Quit,
            _ => {
                let name: String = name.chars().take(20).collect();
                return Err(format!(
                    "/{name} is no command: /help lists them, // begins a message with a slash"
                ));
            }
        };
        if rest.is_empty() { Ok(input) } else { Err(format!("/{name} takes nothing behind it")) }
    }
}

/// What answers are made with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) sampling: SamplingParams,
    pub(crate) max_tokens: usize,
}

impl Settings {
    /// Changes one setting, for a model of `vocab` tokens; on an error nothing.
    pub(crate) fn set(&mut self, name: &str, value: &str, vocab: usize) -> Result<(), String> {
        let mut new = self.clone();
        let sampling = &mut new.sampling;
        match name.replace('_', "-").as_str() {
            "temperature" => sampling.temperature = number(name, value)?,
            "top-k" => sampling.top_k = number(name, value)?,
            "top-p" => sampling.top_p = number(name, value)?,
            "min-p" => sampling.min_p = number(name, value)?,
            "typical-p" => sampling.typical_p = number(name, value)?,
            "repetition-penalty" => sampling.repetition_penalty = number(name, value)?,
            "presence-penalty" => sampling.presence_penalty = number(name, value)?,
            "frequency-penalty" => sampling.frequency_penalty = number(name, value)?,
            "seed" => sampling.seed = number(name, value)?,
            "max-tokens" => {
                new.max_tokens = number(name, value)?;
                if new.max_tokens == 0 {
                    return Err("max-tokens is 0, accepted: 1 or more".into());
                }
            }
            _ => return Err("no setting has this name; /help lists them".into()),
        }
        new.sampling.validate(vocab).map_err(|error| error.to_string())?;
        *self = new;
        Ok(())
    }

    /// All of them, one a line.
    pub(crate) fn list(&self) -> String {
        let s = &self.sampling;
        format!(
            "temperature {}\ntop-k {}\ntop-p {}\nmin-p {}\ntypical-p {}\nrepetition-penalty {}\n\
             presence-penalty {}\nfrequency-penalty {}\nseed {}\nmax-tokens {}",
            s.temperature,
            s.top_k,
            s.top_p,
            s.min_p,
            s.typical_p,
            s.repetition_penalty,
            s.presence_penalty,
            s.frequency_penalty,
            s.seed,
            self.max_tokens
        )
    }
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: expected a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_or_commands() {
        let parse = |line: &str| Input::parse(line);
        assert_eq!(parse(" /help"), Ok(Input::Message(" /help".into())));
        assert_eq!(parse("//help me"), Ok(Input::Message("/help me".into())));
        assert_eq!(parse("/help"), Ok(Input::Help));
        assert_eq!(parse("/system  Be brief. "), Ok(Input::System(Some("Be brief.".into()))));
        assert_eq!(parse("/system"), Ok(Input::System(None)));
        assert_eq!(parse("/save a b.json"), Ok(Input::Save("a b.json".into())));
        assert_eq!(parse("/set"), Ok(Input::Set(None)));
        assert_eq!(parse("/set top-k 3"), Ok(Input::Set(Some(("top-k".into(), "3".into())))));
        assert_eq!(parse("/exit"), Ok(Input::Quit));
        for (line, message) in [
            ("/load", "needs a file"),
            ("/set top-k", "a name and a value"),
            ("/quit now", "takes nothing"),
            ("/dance", "/dance is no command"),
            ("/", "/ is no command"),
        ] {
            assert!(parse(line).unwrap_err().contains(message), "{line}");
        }
    }

    #[test]
    fn settings_change_one_at_a_time_and_only_to_what_is_accepted() {
        let mut settings = Settings { sampling: SamplingParams::default(), max_tokens: 9 };
        let names: Vec<_> =
            settings.list().lines().map(|l| l.split_once(' ').unwrap().0.to_owned()).collect();
        for name in &names {
            settings.set(name, "1", 10).unwrap();
        }
        assert!(settings.list().lines().all(|line| line.ends_with(" 1")), "{}", settings.list());
        assert!(names.iter().all(|name| HELP.contains(name.as_str())));
        settings.set("top_p", "0.5", 10).unwrap();
        let before = settings.list();
        for (name, value) in
            [("top-p", "2"), ("top-k", "-1"), ("seed", "x"), ("max-tokens", "0"), ("colour", "1")]
        {
            settings.set(name, value, 10).unwrap_err();
            assert_eq!(settings.list(), before);
        }
    }
}
