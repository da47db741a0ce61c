// SPDX-License-Identifier: AGPL-3.0-or-later
//! Lines of a chat: edited and recalled on a terminal, read as they are elsewhere.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor};

use crate::input::{MAX_BYTES, StreamArg};

/// Lines that can be recalled.
const REMEMBERED: usize = 1000;

/// What came next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Text(String),
    /// Ctrl-C at the prompt.
    Interrupted,
    End,
}

/// Where lines come from.
pub(crate) enum Lines {
    Terminal { editor: Box<DefaultEditor>, history: Option<File> },
    Stream(Box<dyn BufRead>),
}

impl Lines {
    /// A terminal where standard input and output are one, else standard input; `history` keeps
    /// what is typed on a terminal.
    pub(crate) fn open(history: Option<&Path>) -> anyhow::Result<Self> {
        if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
            return Ok(Self::Stream(Box::new(BufReader::new(io::stdin()))));
        }
        let config = Config::builder().max_history_size(REMEMBERED)?.auto_add_history(true).build();
        let mut editor = Box::new(DefaultEditor::with_config(config)?);
        let Some(path) = history else { return Ok(Self::Terminal { editor, history: None }) };
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file =
            options.open(path).with_context(|| format!("cannot write {}", path.display()))?;
        let known = StreamArg::File(path.into()).read_text()?;
        for line in known.lines().rev().take(REMEMBERED).collect::<Vec<_>>().into_iter().rev() {
            editor.add_history_entry(line)?;
        }
        Ok(Self::Terminal { editor, history: Some(file) })
    }

    /// Whether somebody types them.
    pub(crate) fn are_typed(&self) -> bool {
        matches!(self, Self::Terminal { .. })
    }

    /// The next line, with those that a `\` at its end joins to it.
    pub(crate) fn next(&mut self) -> anyhow::Result<Line> {
        let mut text = String::new();
        loop {
            let first = text.is_empty();
            match self.read(if first { "> " } else { ". " })? {
                Line::Text(line) => match line.strip_suffix('\\') {
                    Some(begin) => text = text + begin + "\n",
                    None => return Ok(Line::Text(text + &line)),
                },
                Line::End if !first => return Ok(Line::Text(text.trim_end().to_owned())),
                other => return Ok(other),
            }
            if text.len() > MAX_BYTES {
                bail!("a message is larger than {} MiB, the most that is read", MAX_BYTES >> 20);
            }
        }
    }

    fn read(&mut self, prompt: &str) -> anyhow::Result<Line> {
        match self {
            Self::Terminal { editor, history } => match editor.readline(prompt) {
                Ok(line) => {
                    if let Some(file) = history
                        && !line.trim().is_empty()
                    {
                        writeln!(file, "{line}").context("cannot write the history")?;
                    }
                    Ok(Line::Text(line))
                }
                Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
                Err(ReadlineError::Eof) => Ok(Line::End),
                Err(error) => Err(error).context("cannot read from the terminal"),
            },
            Self::Stream(stream) => {
                let mut bytes = Vec::new();
                let mut limited = stream.take(MAX_BYTES as u64 + 1);
                let read = limited.read_until(b'\n', &mut bytes);
                if read.context("cannot read standard input")? == 0 {
                    return Ok(Line::End);
                }
                if bytes.len() > MAX_BYTES {
                    bail!("a line is larger than {} MiB, the most that is read", MAX_BYTES >> 20);
                }
                let text = String::from_utf8(bytes).map_err(|error| {
                    let at = error.utf8_error().valid_up_to();
                    anyhow::anyhow!("standard input is not UTF-8: byte {at} of a line")
                })?;
                let line = text.strip_suffix('\n').unwrap_or(&text);
                Ok(Line::Text(line.strip_suffix('\r').unwrap_or(line).to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &'static [u8]) -> Vec<Line> {
        let mut lines = Lines::Stream(Box::new(text));
        std::iter::from_fn(|| Some(lines.next().unwrap()).filter(|line| *line != Line::End))
            .collect()
    }

    #[test]
    fn a_line_is_a_message_and_a_backslash_joins_two() {
        let text = |text: &str| Line::Text(text.into());
        assert_eq!(
            lines(b"one\r\n\ntwo\\\n three\nlast"),
            [text("one"), text(""), text("two\n three"), text("last")]
        );
        assert_eq!(lines(b"cut\\\n"), [text("cut")]);
        assert_eq!(lines(b""), []);
        let mut wrong = Lines::Stream(Box::new(&b"ok\xFF\n"[..]));
        assert!(wrong.next().unwrap_err().to_string().contains("not UTF-8: byte 2"));
    }
}
