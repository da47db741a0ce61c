// SPDX-License-Identifier: AGPL-3.0-or-later
//! Ternary tiles and second networks that are not what the rest of their file says.

use serde_json::{Value, json};

use crate::file::{File, PAIR, Tensor, converted, small};
use crate::{refused, survives};

const CONFIG: &str = "bho.judge.config";
const SHARED: &str = "bho.judge.shared";

fn position(file: &File, name: &str) -> usize {
    file.tensors.iter().position(|tensor| tensor.name == name).unwrap()
}

#[test]
fn the_unused_code_is_found_wherever_it_is() {
    let file = converted(PAIR);
    assert!(survives(&file.bytes()));
    let tiles = file.tensors.iter().enumerate().filter(|(_, t)| t.name.ends_with(".ternary"));
    let mut seen = 0;
    for (i, tensor) in tiles {
        for at in [0, tensor.data.len() / 2 + 1, tensor.data.len() - 1] {
            let bytes = file.clone().with(|f| f.tensors[i].data[at] |= 0b00_11_00_00);
            refused(&bytes, &[&tensor.name, &at.to_string()]);
        }
        seen += 1;
    }
    assert_eq!(seen, 24);
}

#[test]
fn a_layer_is_stored_in_one_way() {
    let file = converted(PAIR);
    let layer = "encoder.layer.1.output.dense";
    for prefix in ["", "judge."] {
        let weight = Tensor {
            name: format!("{prefix}{layer}.weight"),
            dtype: "F32".into(),
            shape: vec![36, 70],
            data: vec![0; 36 * 70 * 4],
        };
        let ternary = format!("{prefix}{layer}.ternary");
        let name = weight.name.clone();
        let bytes = file.clone().with(|f| f.tensors.push(weight.clone()));
        refused(&bytes, &[&name, &ternary, "one of them"]);
        // Floats in the place of tiles are a layer as well.
        let at = position(&file, &ternary);
        assert!(survives(&file.clone().with(|f| f.tensors[at] = weight)));
    }
    // Tiles under the name of int8 weights are of another shape.
    let at = position(&file, &format!("{layer}.ternary"));
    let bytes = file.clone().with(|f| f.tensors[at].name = format!("{layer}.weight"));
    refused(&bytes, &[&format!("{layer}.weight"), "expected shape"]);
}

#[test]
fn metadata_of_a_judge_that_lies_is_named() {
    let file = converted(PAIR);
    let text = |key: &str, value: &str| {
        file.clone().with(|f| drop(f.metadata.insert(key.into(), value.into())))
    };
    refused(&text(CONFIG, "{"), &[CONFIG, "not JSON"]);
    refused(&text(CONFIG, "[]"), &["judge"]);
    refused(&text("bho.judge.max_tokens", "many"), &["bho.judge.max_tokens"]);
    refused(&text("bho.judge.max_tokens", "3"), &["a window of 3 tokens"]);
    for list in ["{}", "7", "[1]", "[", "\"embeddings.LayerNorm.bias\""] {
        refused(&text(SHARED, list), &[SHARED]);
    }
    let config = |key: &str, value: Value| file.clone().with_json(CONFIG, |c| c[key] = value);
    refused(&config("architectures", json!(["BertModel"])), &["judge", "BertModel"]);
    refused(&config("hidden_size", json!(0)), &["judge", "hidden_size"]);
    refused(&config("hidden_size", json!(72)), &["embeddings.word_embeddings.weight"]);
    refused(&config("num_hidden_layers", json!(3)), &["judge.encoder.layer.2."]);
    refused(&config("vocab_size", json!(50)), &["id", "50 embeddings"]);
    // Two heads: nobody could tell which labels a text.
    let mut two = file.clone();
    let class = json!(["BertForSequenceClassification"]);
    let first: &str = two.metadata["bho.config"].as_str().unwrap();
    let mut first: Value = serde_json::from_str(first).unwrap();
    first["architectures"] = class;
    two.metadata["bho.config"] = first.to_string().into();
    refused(&two.bytes(), &["has a head"]);
    // A judge where there is none.
    let mut alone = small();
    alone.metadata.insert(CONFIG.into(), file.metadata[CONFIG].clone());
    refused(&alone.bytes(), &["judge.embeddings.word_embeddings.weight"]);
}

#[test]
fn shared_names_must_be_tensors_that_fit() {
    let file = converted(PAIR);
    let with = |change: &dyn Fn(&mut Vec<Value>)| {
        file.clone().with_json(SHARED, |list| change(list.as_array_mut().unwrap()))
    };
    // Not shared after all: then it must be there by itself.
    refused(&with(&|list| list.clear()), &["judge.embeddings.word_embeddings.weight"]);
    // The trunk has no head to share, and its sub-norms are none.
    refused(&with(&|list| list.push("classifier.weight".into())), &["classifier.weight"]);
    let norm = "encoder.layer.0.output.sub_norm.weight";
    refused(&with(&|list| list.push(norm.into())), &[norm]);
    // Names of nothing, or again, do no harm.
    assert!(survives(&with(&|list| {
        let again = list[0].clone();
        list.extend(["".into(), "x".into(), again]);
    })));
    // Sharing a layer of the same shape is another model, but one that runs.
    let layer = "encoder.layer.0.attention.self.query.ternary";
    let shared = File::parse(&with(&|list| list.push(layer.into())));
    let own = position(&shared, &format!("judge.{layer}"));
    assert!(survives(&shared.with(|f| drop(f.tensors.remove(own)))));
}
