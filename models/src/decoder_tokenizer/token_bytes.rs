// SPDX-License-Identifier: AGPL-3.0-or-later
//! The bytes that each token stands for, from the decoder steps of a `tokenizer.json`.

use std::collections::HashMap;

use serde_json::Value;

/// The bytes of all tokens, one after another.
#[derive(Debug, Default)]
pub(super) struct TokenBytes {
    data: Vec<u8>,
    /// End of each token in `data`.
    ends: Vec<u32>,
}

impl TokenBytes {
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.data.extend_from_slice(bytes);
        let end = u32::try_from(self.data.len()).map_err(|_| "its tokens are beyond 4 GiB")?;
        self.ends.push(end);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of a token; empty past the last.
    pub(super) fn get(&self, id: u32) -> &[u8] {
        let Some(&end) = self.ends.get(id as usize) else { return &[] };
        let start = (id as usize).checked_sub(1).map_or(0, |i| self.ends[i]);
        &self.data[start as usize..end as usize]
    }
}

/// What the decoder does to one token.
enum Step {
    ByteLevel(HashMap<char, u8>),
    Replace(String, String),
    ByteFallback,
}

/// How tokens become bytes.
pub(super) struct Recipe {
    steps: Vec<Step>,
    /// Whether the decoder takes away a space at the very beginning of a text: one that its
    /// normalizer or pre-tokenizer had put there.
    pub(super) strips_space: bool,
}

impl Recipe {
    /// Reads `decoder` of a `tokenizer.json`, and, where there is none, `pre_tokenizer`.
    pub(super) fn new(decoder: &Value, pre_tokenizer: &Value) -> Result<Self, String> {
        let mut recipe = Self { steps: Vec::new(), strips_space: false };
        if decoder.is_null() {
            if has_byte_level(pre_tokenizer) {
                recipe.steps.push(Step::ByteLevel(byte_level()));
            }
            return Ok(recipe);
        }
        let mut fused = false;
        let list = match kind(decoder) {
            "Sequence" => decoder["decoders"].as_array().map_or(&[][..], Vec::as_slice),
            _ => std::slice::from_ref(decoder),
        };
        for step in list {
            let text = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
            match kind(step) {
                "ByteLevel" => recipe.steps.push(Step::ByteLevel(byte_level())),
                "ByteFallback" => recipe.steps.push(Step::ByteFallback),
                "Fuse" => fused = true,
                "Replace" if !fused && step["pattern"]["String"].is_string() => {
                    let pattern = step["pattern"]["String"].as_str().unwrap_or_default().to_owned();
                    if pattern.is_empty() {
                        return Err("its decoder replaces an empty pattern".into());
                    }
                    recipe.steps.push(Step::Replace(pattern, text("content")));
                }
                "Strip"
                    if fused
                        && step["content"] == " "
                        && step["start"] == 1
                        && step["stop"] == 0 =>
                {
                    recipe.strips_space = true;
                }
                "Metaspace" => {
                    recipe.steps.push(Step::Replace(text("replacement"), " ".into()));
                    recipe.strips_space |=
                        step["prepend_scheme"] != "never" && step["add_prefix_space"] != false;
                }
                other => {
                    return Err(format!(
                        "its decoder has a step {other:?} that does not give each token bytes of \
                         its own; accepted: ByteLevel, ByteFallback, Metaspace, Replace of a \
                         string, Fuse, and behind it Strip of one space at the start"
                    ));
                }
            }
        }
        Ok(recipe)
    }

    /// The bytes of a token of the model (not of an added one: those stand for themselves).
    pub(super) fn bytes(&self, token: &str) -> Vec<u8> {
        let mut text = token.to_owned();
        for step in &self.steps {
            match step {
                Step::Replace(from, to) => text = text.replace(from.as_str(), to),
                Step::ByteFallback => {
                    if let Some(byte) = fallback_byte(&text) {
                        return vec![byte];
                    }
                }
                Step::ByteLevel(map) => {
                    // A token with another character stands for its own text.
                    let bytes: Option<Vec<u8>> =
                        text.chars().map(|c| map.get(&c).copied()).collect();
                    return bytes.unwrap_or_else(|| text.into_bytes());
                }
            }
        }
        text.into_bytes()
    }
}

/// The `type` of a step.
fn kind(step: &Value) -> &str {
    step["type"].as_str().unwrap_or("without a type")
}

fn has_byte_level(pre_tokenizer: &Value) -> bool {
    match kind(pre_tokenizer) {
        "ByteLevel" => true,
        "Sequence" => pre_tokenizer["pretokenizers"]
            .as_array()
            .is_some_and(|list| list.iter().any(|step| kind(step) == "ByteLevel")),
        _ => false,
    }
}

/// The byte of a token such as `<0x0A>`.
fn fallback_byte(token: &str) -> Option<u8> {
    let hex = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (hex.len() == 2).then(|| u8::from_str_radix(hex, 16).ok())?
}

/// GPT-2's alphabet of bytes: printable Latin-1 characters stand for their own byte, the other
/// bytes in ascending order for U+0100 onwards (Radford et al., 2019, `encoder.py`).
pub(crate) fn byte_level() -> HashMap<char, u8> {
    let printable = |b: &u8| matches!(b, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let others = (0..=255u8).filter(|b| !printable(b));
    let own = (0..=255u8).filter(printable).map(|b| (char::from(b), b));
    own.chain(('\u{100}'..).zip(others)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_byte_alphabet_has_every_byte_once() {
        let map = byte_level();
        let mut bytes: Vec<u8> = map.values().copied().collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        assert_eq!((map[&'Ġ'], map[&'Ċ'], map[&'A'], map[&'ÿ']), (b' ', b'\n', b'A', 0xFF));
    }

    #[test]
    fn recipes_of_the_usual_decoders() {
        let replace = json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "});
        let fuse = json!({"type": "Fuse"});
        let strip = json!({"type": "Strip", "content": " ", "start": 1, "stop": 0});
        let llama = json!({"type": "Sequence",
            "decoders": [replace, {"type": "ByteFallback"}, fuse, strip]});
        let recipe = Recipe::new(&llama, &Value::Null).unwrap();
        assert!(recipe.strips_space);
        assert_eq!(recipe.bytes("▁a▁"), b" a ");
        assert_eq!(recipe.bytes("<0xE2>"), [0xE2]);
        assert_eq!(recipe.bytes("<0xE>"), b"<0xE>");
        assert_eq!(recipe.bytes("<0x+1>"), [1], "as the tokenizers crate reads it");

        let recipe = Recipe::new(&json!({"type": "ByteLevel"}), &Value::Null).unwrap();
        assert_eq!(recipe.bytes("Ġâ"), b" \xE2");
        assert_eq!(recipe.bytes("a b"), b"a b");
        assert!(!recipe.strips_space);

        let metaspace = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never"});
        assert!(!Recipe::new(&metaspace, &Value::Null).unwrap().strips_space);

        for bad in [
            json!({"type": "WordPiece"}),
            json!({"type": "BPEDecoder", "suffix": "</w>"}),
            json!({"type": "Sequence", "decoders": [strip]}),
            json!({"type": "Replace", "pattern": {"Regex": "a"}, "content": ""}),
            json!({"type": "Sequence", "decoders": [{"type": "Sequence"}]}),
            json!({}),
        ] {
            assert!(Recipe::new(&bad, &Value::Null).is_err(), "{bad}");
        }
    }
}
