// SPDX-License-Identifier: AGPL-3.0-or-later
//! Configs with absurd, wrong or missing values.

use serde_json::{Value, json};

use crate::file::{converted, small};
use crate::{refused, survives};

const WHOLE: [&str; 7] = [
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
];

fn set(key: &str, value: Value) -> Vec<u8> {
    small().with_json("bho.config", |config| config[key] = value)
}

#[test]
fn absurd_dimensions_are_named() {
    for key in WHOLE {
        for value in [
            json!(0),
            json!(1u64 << 40),
            json!(u64::MAX),
            json!(-1),
            json!(36.0),
            json!(1e300),
            json!("36"),
            json!(null),
            json!([36]),
            json!({"value": 36}),
            json!("x".repeat(1 << 20)),
        ] {
            refused(&set(key, value), &["config", key]);
        }
        if key != "type_vocab_size" {
            let gone = |config: &mut Value| drop(config.as_object_mut().unwrap().remove(key));
            refused(&small().with_json("bho.config", gone), &["config", key]);
        }
    }
}

#[test]
fn dimensions_other_than_the_tensors_are_named_before_anything_is_allocated() {
    for (key, value, culprit) in [
        ("vocab_size", 1 << 20, "word_embeddings"),
        ("vocab_size", 102, "word_embeddings"),
        ("max_position_embeddings", 25, "position_embeddings"),
        ("max_position_embeddings", 23, "position_embeddings"),
        ("max_position_embeddings", 1 << 20, "position_embeddings"),
        ("max_position_embeddings", 1, "max_position_embeddings"),
        ("type_vocab_size", 1, "token_type_embeddings"),
        ("type_vocab_size", 1 << 20, "token_type_embeddings"),
        ("hidden_size", 39, "embeddings"),
        ("hidden_size", 3 << 18, "embeddings"),
        ("hidden_size", 37, "hidden_size"),
        ("intermediate_size", 71, "intermediate.dense"),
        ("intermediate_size", 1 << 20, "intermediate.dense"),
        ("num_hidden_layers", 4, "encoder.layer.3"),
        ("num_hidden_layers", 1024, "encoder.layer.3"),
        ("num_attention_heads", 5, "heads"),
    ] {
        // The tokenizer is judged by the vocabulary first.
        refused(&set(key, json!(value)), &[culprit]);
    }
    // Heads are no tensor's shape: another number that divides is another, valid model.
    assert!(survives(&set("num_attention_heads", json!(36))));
    assert!(survives(&set("num_hidden_layers", json!(1))));
}

#[test]
fn other_settings_are_named() {
    for (key, value) in [
        ("hidden_act", json!("swish2")),
        ("hidden_act", json!(5)),
        ("hidden_act", json!("x".repeat(1 << 20))),
        ("position_embedding_type", json!("relative_key")),
        ("position_embedding_type", json!(1)),
        ("is_decoder", json!(true)),
        ("is_decoder", json!("no")),
        ("layer_norm_eps", json!(-1e-12)),
        ("layer_norm_eps", json!(1e30)),
        ("layer_norm_eps", json!("small")),
        ("layer_norm_eps", json!(null)),
        ("architectures", json!(5)),
        ("architectures", json!([5])),
        ("num_labels", json!(0)),
        ("num_labels", json!(1u64 << 40)),
        ("num_labels", json!(-3)),
        ("model_type", json!("gpt2")),
        ("model_type", json!(7)),
        ("model_type", json!("bert ")),
    ] {
        refused(&set(key, value), &["config", key]);
    }
    let gone = |config: &mut Value| drop(config.as_object_mut().unwrap().remove("model_type"));
    refused(&small().with_json("bho.config", gone), &["model_type"]);
    assert!(survives(&set("layer_norm_eps", json!(0))));
    assert!(survives(&set("architectures", json!([]))));
}

#[test]
fn a_head_that_has_no_tensors_is_named() {
    for head in ["BertForSequenceClassification", "BertForTokenClassification"] {
        refused(&set("architectures", json!([head])), &["tensor"]);
    }
}

#[test]
fn wrong_label_maps_are_named() {
    for (case, labels) in [("seqcls_3", 3), ("tokcls_5", 5)] {
        let set =
            |map: Value| converted(case).with_json("bho.config", |config| config["id2label"] = map);
        for map in [
            json!({"0": "a", "1": "b", "3": "c"}),
            json!({"1": "a", "2": "b", "3": "c"}),
            json!({"0": "a", "00": "b"}),
            json!({"0": "a", "-1": "b"}),
            json!({"0": "a", "x": "b"}),
            json!({"0": 1}),
            json!({"0": null}),
            json!(["a", "b"]),
            json!("a"),
        ] {
            refused(&set(map), &["id2label"]);
        }
        // Sound maps, but not for this many outputs.
        let map = |n: usize| -> Value {
            (0..n)
                .map(|i| (i.to_string(), Value::from("x")))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        for n in [0, 1, labels - 1, labels + 1, 5000] {
            refused(&set(map(n)), &["classifier"]);
        }
        assert!(survives(&set(map(labels))));
    }
}
