// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a `tokenizer.json` may ask for, so that a text's tokens stay in proportion to the text.
//!
//! Normalizers rewrite text, and in a chain they multiply: forty steps that replace `a` by `aa`
//! would make a terabyte of one letter. WordPiece tries every substring of a word, in cubic time.
//! A file that would do either is refused before the `tokenizers` crate sees it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Most bytes that all steps together may make of one.
const MAX_GROWTH: usize = 1024;

/// Longest text put before another, in bytes.
const MAX_PREPEND: usize = 64;

/// Most bytes NFKC makes of one: U+FDFA has 3 and becomes 33.
const COMPATIBILITY: usize = 11;

/// Most bytes other steps make of one: case, accents, byte-level characters, spaces put around.
const OTHER: usize = 3;

/// Most special tokens that a template may put around a text: files of today have four.
const MAX_TEMPLATE: usize = 256;

/// Longest word WordPiece may take apart, in characters; BERT's files say 100.
const MAX_WORD: u64 = 256;

/// What was seen in a file that is accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The `type` of its model; empty where it has none.
    pub(crate) kind: String,
    /// The largest id in its vocabulary; none of one that gives no ids.
    pub(crate) largest: Option<u64>,
}

/// The parts of the file that are looked at; the vocabulary is skipped, not kept.
#[derive(serde::Deserialize)]
struct Parts {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    decoder: Value,
    #[serde(default)]
    post_processor: Value,
    model: Option<Model>,
}

#[derive(Default, serde::Deserialize)]
struct Model {
    #[serde(default, rename = "type")]
    kind: Value,
    #[serde(default)]
    max_input_chars_per_word: Value,
    #[serde(default)]
    vocab: Ids,
}

/// The largest id in a map of tokens to ids; none of a list, whose places are the ids.
#[derive(Default)]
struct Ids(Option<u64>);

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Self(None))
    }
}

impl<'de> Visitor<'de> for Ids {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a vocabulary")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some((_, id)) = map.next_entry::<IgnoredAny, Value>()? {
            self.0 = self.0.max(id.as_u64());
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(self)
    }
}

/// Refuses a file whose steps could make far more of a text than it was.
pub(crate) fn check(json: &str) -> Result<Seen, String> {
    let parts: Parts = serde_json::from_str(json).map_err(|e| e.to_string())?;
    let mut growth = 1;
    steps(&parts.normalizer, &mut growth)?;
    steps(&parts.pre_tokenizer, &mut growth)?;
    // From ids back to text they multiply as well.
    steps(&parts.decoder, &mut 1)?;
    template(&parts.post_processor)?;
    let Model { kind, max_input_chars_per_word: word, vocab } = parts.model.unwrap_or_default();
    if word.as_u64().is_some_and(|n| n > MAX_WORD) {
        return Err(format!("max_input_chars_per_word is {word}; accepted: 0..={MAX_WORD}"));
    }
    Ok(Seen { kind: kind.as_str().unwrap_or_default().to_owned(), largest: vocab.0 })
}

/// Multiplies `growth` by that of one step, or of all steps of a sequence.
///
/// Steps are told by their keys: the crate reads those without a `type` too.
fn steps(step: &Value, growth: &mut usize) -> Result<(), String> {
    let Value::Object(map) = step else { return Ok(()) };
    let lists = ["normalizers", "pretokenizers", "decoders"]
        .map(|key| map.get(key).and_then(Value::as_array));
    if lists.iter().any(Option::is_some) {
        return lists.into_iter().flatten().flatten().try_for_each(|step| steps(step, growth));
    }
    let text = |key: &str| map.get(key).and_then(Value::as_str);
    if let Some(prepend) = text("prepend")
        && prepend.len() > MAX_PREPEND
    {
        let found = prepend.len();
        return Err(format!("a Prepend of {found} bytes; accepted: 0..={MAX_PREPEND}"));
    }
    let factor = match (text("content"), text("type")) {
        // Of a decoder: what it takes off.
        (Some(_), Some("Strip")) => 1,
        (Some(content), _) => {
            let literal = map.get("pattern").and_then(|p| p.get("String")?.as_str());
            match literal.map_or(0, str::len) {
                // A regex may match nothing at all, before every byte.
                0 => content.len().saturating_add(1),
                pattern => content.len().div_ceil(pattern).max(1),
            }
        }
        (None, Some("NFKC" | "NFKD")) => COMPATIBILITY,
        (None, _) if map.contains_key("precompiled_charsmap") => {
            charsmap(text("precompiled_charsmap").unwrap_or_default())?
        }
        _ => OTHER,
    };
    *growth = growth.saturating_mul(factor);
    if *growth > MAX_GROWTH {
        return Err(format!("its steps could make a text {MAX_GROWTH} times as long, or more"));
    }
    Ok(())
}

/// Refuses a post-processor that puts more special tokens around a text than any model reads.
fn template(step: &Value) -> Result<(), String> {
    if let Some(steps) = step.get("processors").and_then(Value::as_array) {
        return steps.iter().try_for_each(template);
    }
    let ids = |token: &Value| token.get("ids").and_then(Value::as_array).map_or(0, Vec::len);
    let longest = match step.get("special_tokens") {
        Some(Value::Object(tokens)) => tokens.values().map(ids).max().unwrap_or(0),
        Some(Value::Array(tokens)) => tokens.iter().map(ids).max().unwrap_or(0),
        _ => 0,
    };
    for key in ["single", "pair"] {
        let pieces = step.get(key).and_then(Value::as_array).map_or(0, Vec::len);
        let most = pieces.saturating_mul(longest.max(1));
        if most > MAX_TEMPLATE {
            return Err(format!(
                "its template may put {most} special tokens around a text; accepted: 0..={MAX_TEMPLATE}"
            ));
        }
    }
    Ok(())
}

/// Most bytes that SentencePiece's table of a `Precompiled` normalizer makes of one: the length of a trie in bytes
/// (u32), the trie, and texts that end in 0. Like Unicode's own, the longest are taken to stand for three bytes.
fn charsmap(base64: &str) -> Result<usize, String> {
    let bytes = decode(base64).ok_or("precompiled_charsmap is not base64")?;
    let texts = bytes.split_first_chunk().and_then(|(trie, rest)| {
        // The crate would make room for what it says before it looks.
        rest.get(usize::try_from(u32::from_le_bytes(*trie)).ok()?..)
    });
    let Some(texts) = texts else {
        return Err("precompiled_charsmap is shorter than it says".into());
    };
    let longest = texts.split(|&byte| byte == 0).map(<[u8]>::len).max();
    Ok(longest.unwrap_or(0).div_ceil(3).max(COMPATIBILITY))
}

/// Standard base64 (RFC 4648, §4); what the last digits have beyond whole bytes is dropped.
fn decode(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(text.len() / 4 * 3), 0u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn normalizers(steps: &[Value]) -> Result<(), String> {
        let sequence = json!({ "type": "Sequence", "normalizers": steps });
        check(&json!({ "normalizer": sequence, "model": {} }).to_string()).map(drop)
    }

    #[test]
    fn public_models_pass() {
        // BERT; XLM-R and its small descendants.
        normalizers(&[json!({ "type": "BertNormalizer" })]).unwrap();
        let spaces = json!({ "type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " " });
        // A trie of one unit, one text.
        let table = json!({ "type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAABhYgA=" });
        normalizers(&[table, spaces]).unwrap();
        let seen = |model: &str| check(&format!("{{\"model\": {model}}}")).unwrap();
        let words = seen(
            r#"{"type": "WordPiece", "max_input_chars_per_word": 100, "vocab": {"b": 7, "a": 2}}"#,
        );
        assert_eq!(words, Seen { kind: "WordPiece".into(), largest: Some(7) });
        assert_eq!(seen(r#"{"type": 7, "vocab": [["a", -1.5]]}"#), Seen::default());
    }

    #[test]
    fn decoders_and_templates_that_multiply_are_refused() {
        let twice = json!({ "type": "Replace", "pattern": {"String": "a"}, "content": "aa" });
        let decoder = |steps: &[Value]| {
            let steps = json!({ "type": "Sequence", "decoders": steps });
            check(&json!({ "decoder": steps, "model": {} }).to_string()).map(drop)
        };
        // SentencePiece's: Llama 2, T5.
        let space = json!({ "type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " " });
        let strip = json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 });
        decoder(&[space, json!({"type": "ByteFallback"}), json!({"type": "Fuse"}), strip]).unwrap();
        assert!(decoder(&vec![twice; 40]).unwrap_err().contains("times as long"));

        let template = |ids: usize, pieces: usize| {
            let ids: Vec<usize> = (0..ids).collect();
            let piece = json!({ "SpecialToken": { "id": "[CLS]", "type_id": 0 } });
            let processor = json!({
                "type": "TemplateProcessing", "single": vec![piece; pieces], "pair": [],
                "special_tokens": { "[CLS]": { "id": "[CLS]", "ids": ids, "tokens": [] } },
            });
            let sequence = json!({ "type": "Sequence", "processors": [processor] });
            check(&json!({ "post_processor": sequence, "model": {} }).to_string()).map(drop)
        };
        template(1, 4).unwrap();
        assert!(template(1000, 1000).unwrap_err().contains("1000000 special tokens"));
    }

    #[test]
    fn tables_that_lie_or_make_much_of_little_are_refused() {
        let table = |base64: &str| json!({ "type": "Precompiled", "precompiled_charsmap": base64 });
        // A trie of 4 GiB; one byte more than there is; no length; no base64.
        for lie in ["/////w==", "BQAAAAAAAAA=", "AAA=", "", "*"] {
            let error = normalizers(&[table(lie)]).unwrap_err();
            assert!(error.contains("precompiled_charsmap"), "{error}");
        }
        // No trie, and about 3 KiB of text; then 3 bytes more.
        let text = |n: usize| table(&format!("AAAAAGFh{}", "YWFh".repeat(n)));
        let bytes = decode(text(1)["precompiled_charsmap"].as_str().unwrap()).unwrap();
        assert_eq!(bytes, b"\0\0\0\0aaaaa");
        normalizers(&[text(1023)]).unwrap();
        assert!(normalizers(&[text(1024)]).unwrap_err().contains("1024 times"));
    }

    #[test]
    fn chains_and_long_replacements_are_refused() {
        let double = json!({ "type": "Replace", "pattern": {"String": "a"}, "content": "aa" });
        normalizers(&vec![double.clone(); 10]).unwrap();
        assert!(normalizers(&vec![double; 11]).unwrap_err().contains("1024 times"));
        let legacy = json!({ "pattern": {"Regex": ""}, "content": "a".repeat(5000) });
        assert!(normalizers(&[legacy]).is_err());
        assert!(normalizers(&vec![json!({ "type": "ByteLevel" }); 7]).is_err());
        assert!(normalizers(&[json!({ "type": "Prepend", "prepend": "a".repeat(65) })]).is_err());
        assert!(check(r#"{"model": {"max_input_chars_per_word": 257}}"#).is_err());
        assert!(check("[]").is_err());
    }
}
