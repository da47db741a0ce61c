// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho guard filter`: a text that still comes, guarded as it comes.

use std::io::{self, BufWriter, IsTerminal as _, Read, StdoutLock, Write as _};

use anyhow::Context as _;
use bho_guard::{Policy, Released, StreamGuard};
use serde_json::json;

use super::guard;
use crate::cli::args::GuardFilterArgs;
use crate::exit::{Exit, Failure, OrFailed as _};
use crate::output::{
    self, card, json,
    style::{self, Style},
};

/// Lets through what the guard lets through.
pub(crate) fn execute(args: &GuardFilterArgs) -> Result<Exit, Failure> {
    // Who filters a stream waits for its lines, not for the whole of it: models read all, unless a pipeline says how much.
    let policy = Policy { model_windows: usize::MAX, ..Policy::default() };
    let guard = guard::guard_or(args.pipeline.as_deref(), policy)?;
    let mut stream = StreamGuard::new(guard, "filter", args.mode.into()).or_failed()?;
    let mut input = args.input.open()?;
    let mut out = Out { to: output::stdout(), json: args.json, open_line: false };
    let mut text = Utf8::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = match input.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.with_context(|| format!("cannot read {}", args.input.name()))?,
        };
        if read == 0 {
            break;
        }
        let released = stream.push(&text.decode(&buffer[..read])).or_failed()?;
        out.release(&released)?;
        if released.blocked {
            break;
        }
    }
    out.release(&stream.push(text.end()).or_failed()?)?;
    let (rest, card) = stream.finish().or_failed()?;
    out.release(&rest)?;
    if let Some(at) = text.first_bad {
        let bad = output::count(text.bad, "byte");
        let name = args.input.name();
        let message =
            format!("{name}: {bad} not UTF-8, the first at offset {at}; U+FFFD stands for them");
        output::warning(&message);
    }
    if args.json {
        json::line(&mut out.to, &json!({ "card": card }))?;
    } else {
        if !card.text.is_empty() {
            out.stand_in(&card.text)?;
        }
        let _ = io::stderr()
            .write_all(card::table(std::slice::from_ref(&card), &Style::stderr()).as_bytes());
    }
    out.to.flush()?;
    Ok(if card.allowed { Exit::Success } else { Exit::Failed })
}

struct Out {
    to: BufWriter<StdoutLock<'static>>,
    json: bool,
    /// Whether the last line that was written is not over.
    open_line: bool,
}

impl Out {
    /// Writes what was released, and lets readers see it.
    fn release(&mut self, released: &Released) -> Result<(), Failure> {
        let Released { text, redactions, .. } = released;
        if text.is_empty() && redactions.is_empty() {
            return Ok(());
        }
        if self.json {
            json::line(&mut self.to, &json!({ "text": text, "redactions": redactions }))?;
        } else {
            self.write(text)?;
        }
        self.to.flush()?;
        Ok(())
    }

    /// Writes what stands in for what was blocked, in a line of its own.
    fn stand_in(&mut self, text: &str) -> io::Result<()> {
        if self.open_line {
            self.to.write_all(b"\n")?;
        }
        self.write(text)?;
        self.to.write_all(b"\n")
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        // What comes through a pipe must not steer a terminal.
        let shown = if io::stdout().is_terminal() { style::clean(text) } else { text.into() };
        self.open_line = !text.is_empty() && !text.ends_with('\n');
        self.to.write_all(shown.as_bytes())
    }
}

/// Bytes as text: characters that a read has cut are put together, U+FFFD stands for what is none.
#[derive(Default)]
struct Utf8 {
    /// The beginning of a character.
    cut: Vec<u8>,
    /// Bytes read before `cut`.
    read: u64,
    bad: usize,
    first_bad: Option<u64>,
}

impl Utf8 {
    fn decode(&mut self, bytes: &[u8]) -> String {
        self.cut.extend_from_slice(bytes);
        let mut out = String::with_capacity(self.cut.len());
        let mut at = 0;
        let whole = loop {
            let rest = &self.cut[at..];
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    out += text;
                    break self.cut.len();
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    out += &String::from_utf8_lossy(&rest[..valid]);
                    at += valid;
                    let Some(bad) = error.error_len() else { break at };
                    self.first_bad.get_or_insert(self.read + at as u64);
                    self.bad += bad;
                    out.push(char::REPLACEMENT_CHARACTER);
                    at += bad;
                }
            }
        };
        self.cut.drain(..whole);
        self.read += whole as u64;
        out
    }

    /// What stands for a character that the end has cut.
    fn end(&mut self) -> &'static str {
        if self.cut.is_empty() {
            return "";
        }
        self.first_bad.get_or_insert(self.read);
        self.bad += self.cut.len();
        self.cut.clear();
        "\u{fffd}"
    }
}

#[cfg(test)]
mod tests {
    use super::Utf8;

    #[test]
    fn characters_that_a_read_cuts_are_put_together() {
        let bytes = "aé漢🦀z".as_bytes();
        for len in 1..=bytes.len() {
            let mut text = Utf8::default();
            let got: String = bytes.chunks(len).map(|piece| text.decode(piece)).collect();
            assert_eq!((got.as_str(), text.end(), text.first_bad), ("aé漢🦀z", "", None));
        }
    }

    #[test]
    fn bytes_that_are_none_are_replaced_and_told() {
        let bytes = b"a\xC3\xA9\xFFb\xF0\x9F";
        for len in 1..=bytes.len() {
            let mut text = Utf8::default();
            let mut got: String = bytes.chunks(len).map(|piece| text.decode(piece)).collect();
            got += text.end();
            assert_eq!(got, "aé\u{fffd}b\u{fffd}");
            assert_eq!((text.first_bad, text.bad), (Some(3), 3));
        }
    }
}
