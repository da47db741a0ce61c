// SPDX-License-Identifier: AGPL-3.0-or-later
//! The guard's own evaluation texts are well-formed, different from each other and from our own training texts.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A run of this many words in common counts as borrowed: longer than any idiom that two authors would both use.
const RUN: usize = 8;

/// Labels that each text of a file has, and the values they may have.
type Labels = &'static [(&'static str, &'static [u64])];

/// The files, how many texts they have at least, and their labels.
#[rustfmt::skip]
const FILES: &[(&str, usize, Labels)] = &[
    ("overdefense", 250, &[("toxicity", &[0]), ("jailbreak", &[0])]),
    ("injections", 250, &[("jailbreak", &[1])]),
    ("everyday", 200, &[("toxicity", &[0]), ("jailbreak", &[0])]),
    ("identity", 250, &[("toxicity", &[0]), ("jailbreak", &[0])]),
    ("toxicity", 300, &[("toxicity", &[0, 1])]),
    ("pii", 100, &[]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn rows(file: &str) -> Vec<Value> {
    let path = root().join(format!("tests/data/guard/{file}.jsonl"));
    let text = fs::read_to_string(&path).unwrap();
    text.lines()
        .enumerate()
        .map(|(i, line)| {
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{file}:{}: {e}", i + 1))
        })
        .collect()
}

fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_line_has_a_text_a_group_and_the_labels_of_its_file() {
    for (file, at_least, labels) in FILES {
        let rows = rows(file);
        assert!(rows.len() >= *at_least, "{file}: {} texts", rows.len());
        for (i, row) in rows.iter().enumerate() {
            let at = format!("{file}:{}", i + 1);
            assert!(row["text"].as_str().is_some_and(|text| !text.trim().is_empty()), "{at}: text");
            assert!(row["group"].as_str().is_some_and(|group| !group.is_empty()), "{at}: group");
            let given = row["labels"].as_object().map_or(0, serde_json::Map::len);
            assert_eq!(given, labels.len(), "{at}: {}", row["labels"]);
            for (label, allowed) in *labels {
                let value = row["labels"][*label].as_u64();
                assert!(value.is_some_and(|v| allowed.contains(&v)), "{at}: {label}");
            }
        }
    }
    let toxic = rows("toxicity").iter().filter(|row| row["labels"]["toxicity"] == 1).count();
    assert!(toxic >= 200, "{toxic} toxic texts");
}

#[test]
fn labelled_stretches_are_words_of_their_text() {
    for (i, row) in rows("pii").iter().enumerate() {
        let at = format!("pii:{}", i + 1);
        let (text, mut done) = (row["text"].as_str().unwrap(), 0);
        for span in row["spans"].as_array().unwrap_or_else(|| panic!("{at}: spans")) {
            let [start, end] = ["start", "end"].map(|key| span[key].as_u64().unwrap() as usize);
            let value = text.get(start..end).unwrap_or_else(|| panic!("{at}: {start}..{end}"));
            assert!(start >= done && !value.is_empty() && value.trim() == value, "{at}: {value:?}");
            assert!(span["type"].as_str().is_some_and(|kind| !kind.is_empty()), "{at}: type");
            done = end;
        }
    }
}

#[test]
fn no_text_occurs_twice() {
    let mut seen: HashMap<String, String> = HashMap::new();
    for (file, ..) in FILES {
        for (i, row) in rows(file).iter().enumerate() {
            let at = format!("{file}:{}", i + 1);
            let key = row["text"].as_str().unwrap().to_lowercase().split_whitespace().collect();
            if let Some(first) = seen.insert(key, at.clone()) {
                panic!("{at} is {first} again");
            }
        }
    }
}

/// What training texts of our own are made of: lines of the grammars, and whole texts.
fn training_texts() -> Vec<String> {
    let folder = root().join("tools/train/guard");
    let mut texts = Vec::new();
    for name in ["grammar", "written"] {
        let Ok(entries) = fs::read_dir(folder.join(name)) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            for line in fs::read_to_string(&path).unwrap().lines() {
                if path.extension().is_some_and(|kind| kind == "jsonl") {
                    let row: Value = serde_json::from_str(line).unwrap();
                    texts.push(row["text"].as_str().unwrap().to_owned());
                } else if !line.starts_with(['#', '@']) {
                    texts.push(line.to_owned());
                }
            }
        }
    }
    texts
}

#[test]
fn no_sentence_is_shared_with_our_own_training_texts() {
    let (mut runs, mut whole) = (HashSet::new(), HashSet::new());
    for text in training_texts() {
        whole.insert(words(&text));
        // What stands between two slots of a grammar is fixed in every text grown from the line.
        for fixed in text.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest))
        {
            runs.extend(words(fixed).windows(RUN).map(<[String]>::to_vec));
        }
    }
    assert!(whole.len() > 1000 && runs.len() > 100, "{} texts, {} runs", whole.len(), runs.len());
    for (file, ..) in FILES {
        for (i, row) in rows(file).iter().enumerate() {
            let text = row["text"].as_str().unwrap();
            for sentence in text.split_inclusive(['.', '!', '?', '\n']).map(words) {
                let borrowed = sentence.len() > 3 && whole.contains(&sentence);
                assert!(!borrowed, "{file}:{}: {sentence:?} is a training text", i + 1);
            }
            for run in words(text).windows(RUN) {
                assert!(!runs.contains(run), "{file}:{}: {run:?} stands in a training text", i + 1);
            }
        }
    }
}
