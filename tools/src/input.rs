// SPDX-License-Identifier: AGPL-3.0-or-later
//! Texts, sources and lines that a user hands over: size and UTF-8 are checked, content is never repeated in a message.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Largest text, source or line, in bytes.
pub(crate) const MAX_BYTES: usize = 64 << 20;

/// A text on the command line: as is, `@FILE`, or `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TextArg {
    Literal(OsString),
    Stream(StreamArg),
}

impl From<OsString> for TextArg {
    fn from(arg: OsString) -> Self {
        let Some(text) = arg.to_str() else {
            // `@` and the rest of a path that is not UTF-8 arrive here too; the message for a text fits both.
            return Self::Literal(arg);
        };
        match text.strip_prefix('@') {
            Some(escaped) if escaped.starts_with('@') => Self::Literal(escaped.into()),
            Some(path) => Self::Stream(StreamArg::File(path.into())),
            None if text == "-" => Self::Stream(StreamArg::Stdin),
            None => Self::Literal(arg),
        }
    }
}

impl TextArg {
    /// The text.
    pub(crate) fn read(self) -> anyhow::Result<String> {
        match self {
            Self::Literal(text) => utf8(text.into_encoded_bytes(), "the text"),
            Self::Stream(stream) => stream.read_text(),
        }
    }
}

/// A file, or standard input (`-`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StreamArg {
    File(PathBuf),
    Stdin,
}

impl From<OsString> for StreamArg {
    fn from(arg: OsString) -> Self {
        if arg == "-" { Self::Stdin } else { Self::File(arg.into()) }
    }
}

impl StreamArg {
    /// The file, if it is one.
    pub(crate) fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::File(path) => Some(path),
            Self::Stdin => None,
        }
    }

    /// What messages call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "standard input".to_owned(),
        }
    }

    /// Opens it for reading.
    pub(crate) fn open(&self) -> anyhow::Result<Box<dyn Read>> {
        Ok(match self {
            Self::File(path) => Box::new(open_file(path)?),
            Self::Stdin => Box::new(io::stdin()),
        })
    }

    /// All of it, as text.
    pub(crate) fn read_text(&self) -> anyhow::Result<String> {
        let name = self.name();
        let mut bytes = Vec::new();
        self.open()?
            .take(MAX_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .with_context(|| format!("cannot read {name}"))?;
        if bytes.len() > MAX_BYTES {
            bail!("{name} is larger than {} MiB, the most that is read", MAX_BYTES >> 20);
        }
        let mut text = utf8(bytes, &name)?;
        // What Windows editors put first is no part of the text.
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        Ok(text)
    }

    /// The source of a run: a JSON object, or one under the key `source`.
    pub(crate) fn read_source(&self) -> anyhow::Result<Map<String, Value>> {
        let name = self.name();
        let text = self.read_text()?;
        // Into a `Value`: errors of typed reading quote what they found.
        let value: Value =
            serde_json::from_str(&text).map_err(|error| json_fault(&name, &error))?;
        let accepted = "expected a JSON object such as {\"text\": \"...\"} or {\"source\": {\"text\": \"...\"}}";
        let Value::Object(mut fields) = value else {
            bail!("{name}: {accepted}");
        };
        if fields.len() == 1 && fields.contains_key("source") {
            let Some(Value::Object(inner)) = fields.remove("source") else {
                bail!("{name}: `source` is no object; {accepted}");
            };
            return Ok(inner);
        }
        Ok(fields)
    }

    /// Its lines, each an object with a `text`.
    pub(crate) fn json_lines(&self) -> anyhow::Result<JsonLines> {
        Ok(JsonLines {
            name: self.name(),
            reader: BufReader::with_capacity(64 << 10, self.open()?),
            line: 0,
            max: MAX_BYTES,
            read: None,
        })
    }
}

/// Opens a file for reading; a directory is refused here, since reading it fails less clearly.
fn open_file(path: &Path) -> anyhow::Result<File> {
    let cannot = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(cannot)?;
    if file.metadata().with_context(cannot)?.is_dir() {
        bail!("cannot read {}: it is a directory", path.display());
    }
    Ok(file)
}

fn utf8(bytes: Vec<u8>, name: &str) -> anyhow::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let byte = error.as_bytes()[at];
        let hint = match error.as_bytes() {
            [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => " (it looks like UTF-16)",
            _ => "",
        };
        anyhow::anyhow!("{name} is not UTF-8: byte {at} is 0x{byte:02X}{hint}")
    })
}

/// Says where JSON is wrong, and what kind of wrong, without quoting it.
fn json_fault(name: &str, error: &serde_json::Error) -> anyhow::Error {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Eof => "ends early",
        _ => "is not valid JSON",
    };
    anyhow::anyhow!("{name}:{}:{}: the JSON {what}", error.line(), error.column())
}

/// One line of a JSONL stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// From 1.
    pub(crate) number: u64,
    /// Its `text`, or what is wrong with it.
    pub(crate) text: Result<String, String>,
}

/// A line's number, from 1, and its bytes without the line break, or what is wrong with it.
pub(crate) type Body = (u64, Result<Vec<u8>, String>);

/// Reads texts line by line; only one line is held at a time.
pub(crate) struct JsonLines {
    name: String,
    reader: BufReader<Box<dyn Read>>,
    line: u64,
    max: usize,
    /// What has been read so far, where its sum is wanted.
    read: Option<Sha256>,
}

impl JsonLines {
    /// Whether the next line may have to be waited for: the time to flush what is done.
    pub(crate) fn may_block(&self) -> bool {
        !self.reader.buffer().contains(&b'\n')
    }

    /// What messages call the stream.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The next line that is not blank.
    pub(crate) fn next_line(&mut self) -> anyhow::Result<Option<Line>> {
        let line = self.next_body()?;
        Ok(line.map(|(number, body)| Line { number, text: body.and_then(|body| line_text(&body)) }))
    }

    /// The same, not yet looked into.
    pub(crate) fn next_body(&mut self) -> anyhow::Result<Option<Body>> {
        loop {
            let mut bytes = Vec::new();
            let limit = self.max as u64 + 1;
            let read = (&mut self.reader).take(limit).read_until(b'\n', &mut bytes);
            if read.with_context(|| format!("cannot read {}", self.name))? == 0 {
                return Ok(None);
            }
            if let Some(read) = &mut self.read {
                read.update(&bytes);
            }
            self.line += 1;
            let number = self.line;
            if bytes.len() > self.max && bytes.last() != Some(&b'\n') {
                self.reader
                    .skip_until(b'\n')
                    .with_context(|| format!("cannot read {}", self.name))?;
                let fault = format!("the line is longer than {} MiB", self.max >> 20);
                return Ok(Some((number, Err(fault))));
            }
            while matches!(bytes.last(), Some(b'\n' | b'\r')) {
                bytes.pop();
            }
            if number == 1 && bytes.starts_with(b"\xEF\xBB\xBF") {
                bytes.drain(..3);
            }
            if !bytes.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some((number, Ok(bytes))));
            }
        }
    }

    /// The same with lines of at most `max` bytes.
    pub(crate) fn at_most(mut self, max: usize) -> Self {
        self.max = self.max.min(max);
        self
    }

    /// The same, and its sum can be asked for afterwards.
    pub(crate) fn hashed(mut self) -> Self {
        self.read = Some(Sha256::new());
        self
    }

    /// The sha256 of the whole stream, whose rest is read for it; what was too long is no part of it.
    pub(crate) fn sha256(mut self) -> anyhow::Result<String> {
        let mut sum = self.read.take().unwrap_or_default();
        let mut part = vec![0; 64 << 10];
        loop {
            let read = self.reader.read(&mut part);
            match read.with_context(|| format!("cannot read {}", self.name))? {
                0 => break,
                n => sum.update(&part[..n]),
            }
        }
        Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

fn line_text(line: &[u8]) -> Result<String, String> {
    if let Err(error) = std::str::from_utf8(line) {
        return Err(format!("not UTF-8 at byte {} of the line", error.valid_up_to()));
    }
    let value: Value = serde_json::from_slice(line)
        .map_err(|error| format!("not valid JSON at column {}", error.column()))?;
    match value {
        Value::Object(mut fields) => match fields.remove("text") {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err("`text` is not a string".to_owned()),
            None => Err("the object has no `text`".to_owned()),
        },
        _ => Err("expected an object such as {\"text\": \"...\"}".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &'static [u8], max: usize) -> Vec<Line> {
        let mut lines = JsonLines {
            name: "t".into(),
            reader: BufReader::with_capacity(7, Box::new(bytes)),
            line: 0,
            max,
            read: None,
        };
        std::iter::from_fn(|| lines.next_line().unwrap()).collect()
    }

    #[test]
    fn a_text_is_itself_a_file_or_standard_input() {
        let parse = |text: &str| TextArg::from(OsString::from(text));
        assert_eq!(parse("a@b.org"), TextArg::Literal("a@b.org".into()));
        assert_eq!(parse("@@home"), TextArg::Literal("@home".into()));
        assert_eq!(parse("-"), TextArg::Stream(StreamArg::Stdin));
        assert_eq!(parse("@a b.txt"), TextArg::Stream(StreamArg::File("a b.txt".into())));
        assert_eq!(parse("").read().unwrap(), "");
        assert_eq!(parse("- a\0b").read().unwrap(), "- a\0b");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_told_by_offset() {
        let message = utf8(b"ann@x.org \xE9".to_vec(), "f").unwrap_err().to_string();
        assert_eq!(message, "f is not UTF-8: byte 10 is 0xE9");
        let message = utf8(b"\xFF\xFEa\0".to_vec(), "f").unwrap_err().to_string();
        assert!(message.ends_with("(it looks like UTF-16)"), "{message}");
    }

    #[test]
    fn good_lines_go_on_after_bad_ones() {
        let got = lines(
            b"\xEF\xBB\xBF{\"text\": \"a\"}\r\n\n[1]\n{\"text\": 1}\n{}\n{\"text\": \"b\"\n\xFF\n{\"text\":\"c\\u0000\"}",
            1 << 10,
        );
        let texts: Vec<_> = got.iter().map(|l| (l.number, l.text.as_deref().ok())).collect();
        assert_eq!(
            texts,
            [
                (1, Some("a")),
                (3, None),
                (4, None),
                (5, None),
                (6, None),
                (7, None),
                (8, Some("c\0"))
            ]
        );
        assert_eq!(got[4].text, Err("not valid JSON at column 12".into()));
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_to_its_end() {
        let got = lines(b"{\"text\":\"0123456789\"}\n{\"text\":\"\"}\n", 12);
        assert_eq!(got.len(), 2);
        assert!(got[0].text.as_ref().unwrap_err().contains("longer"));
        assert_eq!(got[1], Line { number: 2, text: Ok(String::new()) });
    }
}
