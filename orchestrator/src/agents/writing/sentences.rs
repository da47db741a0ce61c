// SPDX-License-Identifier: AGPL-3.0-or-later
//! Written sentences: their schema, and what is made of the answer.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::text::{clip, ends_with_stop, sentences, squeeze, stem, words};

/// Most characters of one sentence.
pub(in crate::agents) const MAX_CHARS: usize = 300;
/// Sentences written at most, however many are asked for.
pub(in crate::agents) const MAX_SENTENCES: usize = 10;

/// A list of `most` sentences, each of so many characters.
pub(in crate::agents) fn schema(most: usize, chars: usize) -> Value {
    json!({
        "type": "object",
        "properties": {
            "sentences": {
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": chars},
                "minItems": 1,
                "maxItems": most,
            },
        },
        "required": ["sentences"],
        "additionalProperties": false,
    })
}

/// Tokens to keep free for such an answer, and tokens that it may take: a token is about four
/// letters of English and at worst less than one.
pub(in crate::agents) fn tokens(most: usize, chars: usize) -> (usize, usize) {
    (32 + most * (chars / 4 + 8), 64 + most * (chars + 8))
}

/// `3 sentences`
pub(in crate::agents) fn count(most: usize) -> String {
    if most == 1 { "1 sentence".to_owned() } else { format!("{most} sentences") }
}

/// The sentences of an answer, each on one line and once; none for an answer of another form.
///
/// One that was cut because it reached `chars` is left out, unless it is the only one.
pub(in crate::agents) fn read(data: &Value, most: usize, chars: usize) -> Vec<String> {
    let items = data.get("sentences").and_then(Value::as_array);
    let mut seen: HashSet<String> = HashSet::new();
    let (mut kept, mut cut) = (Vec::new(), Vec::new());
    for item in items.into_iter().flatten().filter_map(Value::as_str) {
        let plain: String = item.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let full = item.chars().count() >= chars;
        let flat = squeeze(&plain);
        let flat = clip(&flat, chars).0;
        let spans: Vec<_> = sentences(flat).collect();
        for (at, span) in spans.iter().enumerate() {
            let sentence = &flat[span.clone()];
            let key: String = words(sentence).map(|w| stem(w.text) + " ").collect();
            if key.is_empty() || !seen.insert(key) {
                continue;
            }
            let whole = !full || at + 1 < spans.len() || ends_with_stop(sentence);
            let list = if whole { &mut kept } else { &mut cut };
            list.push(sentence.to_owned());
        }
    }
    if kept.is_empty() {
        kept = cut;
    }
    kept.truncate(most);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_becomes_clean_sentences() {
        let data = json!({"sentences": [
            "  Ann\nwent home. Bob\u{0} stayed.", "Ann went home.", "", "…", 5, "A fourth one here", "Five."
        ]});
        assert_eq!(read(&data, 3, 40), ["Ann went home.", "Bob stayed.", "A fourth one here"]);
        for other in [json!([]), json!({"sentences": "x"}), json!({}), json!({"sentences": []})] {
            assert!(read(&other, 3, 40).is_empty());
        }
    }

    #[test]
    fn a_sentence_cut_at_the_bound_goes_unless_it_is_all_there_is() {
        let cut = "It goes on and on and on and";
        let chars = cut.chars().count();
        let both = json!({"sentences": ["It ends.", cut]});
        assert_eq!(read(&both, 5, chars), ["It ends."]);
        assert_eq!(read(&json!({"sentences": [cut]}), 5, chars), [cut]);
        let exact = json!({"sentences": ["It goes on and on, and stops."]});
        assert_eq!(read(&exact, 5, 29).len(), 1);
    }
}
