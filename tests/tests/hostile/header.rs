// SPDX-License-Identifier: AGPL-3.0-or-later
//! Truncated files, lying headers, and metadata of the wrong kind.

use bho_engine::CancelToken;
use serde_json::{Value, json};

use crate::file::{assemble, bundled, small};
use crate::{NAME, load, load_file, refused, survives};

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let bytes = bundled();
    let data = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let mut lengths: Vec<usize> = (0..=40).map(|i| bytes.len() / 41 * i).collect();
    lengths.extend([0, 1, 7, 8, 9, data / 2, data - 1, data, data + 1, data + 63]);
    lengths.extend([bytes.len() - 1, bytes.len() - 64]);
    lengths.sort_unstable();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(NAME);
    std::fs::write(&path, bytes).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    for &length in lengths.iter().rev() {
        // Nothing maps the file here: the load before this one failed.
        file.set_len(length as u64).unwrap();
        assert!(load_file(&path).is_err(), "{length} of {} bytes", bytes.len());
    }
    let small = small().bytes();
    for length in (0..small.len()).step_by(997) {
        refused(&small[..length], &[]);
    }
}

#[test]
fn more_bytes_than_the_header_says_are_refused() {
    let mut bytes = small().bytes();
    bytes.push(0);
    refused(&bytes, &["not safetensors"]);
}

#[test]
fn a_wrong_header_length_is_refused() {
    let good = small().bytes();
    let length = u64::from_le_bytes(*good.first_chunk().unwrap());
    let past = good.len() as u64;
    let mut lengths = vec![0, 1, 7, length - 1, length + 1, past - 8, past - 7, past, 100_000_001];
    lengths.extend([1 << 40, i64::MAX as u64, u64::MAX - 8, u64::MAX - 7, u64::MAX]);
    for wrong in lengths {
        let mut bytes = good.clone();
        bytes[..8].copy_from_slice(&wrong.to_le_bytes());
        refused(&bytes, &["not safetensors"]);
    }
}

#[test]
fn a_header_that_is_no_json_object_is_refused() {
    let data = small().data();
    let deep = |open: &str| open.repeat(100_000);
    let headers = [
        String::new(),
        "{".into(),
        "null".into(),
        "[]".into(),
        "\"text\"".into(),
        "{}{}".into(),
        "{\"a\": }".into(),
        deep("["),
        deep("{\"a\":"),
        format!("{{\"a\":{}", deep("[")),
        format!("{{\"a\":{{\"dtype\":{}", deep("[")),
        format!("{{\"a\":{{\"data_offsets\":{}", deep("[")),
        format!("{{\"__metadata__\":{}", deep("{\"a\":")),
    ];
    for header in headers {
        refused(&assemble(header, &data), &["not safetensors"]);
    }
    for bytes in [&b"\xff\xfe{}"[..], b"{\"\xc3\x28\":1}", b"{\"a\xed\xa0\x80\":{}}", b"\0\0\0\0"] {
        refused(&assemble(bytes, &data), &["not safetensors"]);
    }
}

#[test]
fn a_name_that_stands_twice_is_refused() {
    let file = small();
    let entry = file.header().remove("embeddings.LayerNorm.bias").unwrap();
    let text = Value::Object(file.header()).to_string();
    let twice =
        |extra: String| assemble(format!("{},{extra}}}", &text[..text.len() - 1]), &file.data());
    refused(&twice(format!("\"embeddings.LayerNorm.bias\":{entry}")), &["LayerNorm.bias", "twice"]);
    refused(&twice("\"__metadata__\":{}".into()), &["__metadata__"]);
    let config = "\"__metadata__\":{\"bho.config\":\"{}\",";
    let text = text.replacen("\"__metadata__\":{", config, 1);
    refused(&assemble(text, &file.data()), &["__metadata__", "bho.config", "twice"]);
}

#[test]
fn lying_offsets_are_refused() {
    let file = small();
    let name = &file.tensors[1].name;
    let [from, to] = [0, 1].map(|i| file.header()[name]["data_offsets"][i].as_u64().unwrap());
    let size = file.data().len() as u64;
    let wrong = [
        json!([from, to + 64]),          // overlaps the next
        json!([from - 64, to]),          // overlaps the one before
        json!([from - 64, to - 64]),     // the one before once more
        json!([from + 64, to + 64]),     // leaves a hole
        json!([to, from]),               // reversed
        json!([from, from]),             // empty
        json!([size, size + to - from]), // past the end
        json!([u64::MAX - 63, to]),      // wraps
        json!([from, u64::MAX]),         // wraps behind the header
        json!([u64::MAX, u64::MAX]),
        json!([from]),
        json!([from, to, to]),
        json!([-1, to]),
        json!([from as f64 + 0.5, to]),
        json!("0,1"),
        Value::Null,
    ];
    for offsets in wrong {
        let shown = offsets.to_string();
        let bytes = file.with_header(|header| header[name]["data_offsets"] = offsets);
        assert!(load(&bytes).is_err(), "data_offsets {shown}");
    }
    refused(&file.with_header(|h| h[name]["data_offsets"] = json!([from, size + 1])), &[name]);
    // One tensor as long as the address space: sums that include it wrap to small numbers.
    for less in [0, 1, 8, 64, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112] {
        let length = u64::MAX - less;
        let entry = json!({ "dtype": "U8", "shape": [length], "data_offsets": [0, length] });
        refused(&assemble(json!({ "a": entry }).to_string(), &[]), &["a:"]);
    }
}

#[test]
fn shapes_that_overflow_or_contradict_the_data_are_refused() {
    let file = small();
    let name = &file.tensors[0].name;
    let wrong = [
        json!([1u64 << 63, 4]),
        json!([1u64 << 32, 1u64 << 32]),
        json!([u64::MAX, u64::MAX, u64::MAX]),
        json!([u64::MAX]),
        json!([0, u64::MAX]),
        json!([]),
        json!(vec![2; 200]),
        json!([-1]),
        json!([1.5]),
        json!(["3"]),
        json!(7),
        Value::Null,
    ];
    for shape in wrong {
        let shown = shape.to_string();
        let bytes = file.with_header(|header| header[name]["shape"] = shape);
        assert!(load(&bytes).is_err(), "shape {shown}");
    }
    for dtype in ["F33", "", "f32", "U8 ", "F4", "I64"] {
        let bytes = file.with_header(|header| header[name]["dtype"] = dtype.into());
        assert!(load(&bytes).is_err(), "dtype {dtype:?}");
    }
    for key in ["dtype", "shape", "data_offsets"] {
        let gone = |entry: &mut Value| entry.as_object_mut().unwrap().remove(key);
        refused(&file.with_header(|header| drop(gone(&mut header[name]))), &[key]);
    }
}

#[test]
fn metadata_of_the_wrong_kind_is_refused() {
    for value in [json!(1), json!(null), json!(["1"]), json!({"a": "b"}), json!(true)] {
        for key in ["bho.format", "bho.config", "bho.tokenizer", "bho.name"] {
            let bytes = small().with(|f| f.metadata[key] = value.clone());
            refused(&bytes, &["not safetensors"]);
        }
        // No metadata, or none of ours, is a plain file, which needs a config.json beside it.
        if !value.is_null() && !value.is_object() {
            refused(&small().with_header(|h| h["__metadata__"] = value.clone()), &[]);
        }
    }
    let set = |key: &'static str, value: &str| small().with(|f| f.metadata[key] = value.into());
    for format in ["", "0", "2", "1.0", "one"] {
        refused(&set("bho.format", format), &["format", "reads \"1\""]);
    }
    for pooling in ["", "max", "MEAN", &"x".repeat(1 << 20)] {
        refused(&set("bho.pooling", pooling), &["pooling", "mean, cls"]);
    }
    let limit = |value: &str| {
        small().with(|f| drop(f.metadata.insert("bho.max_tokens".into(), value.into())))
    };
    for tokens in ["", "-1", "1e3", "3.0", "99999999999999999999", "many"] {
        refused(&limit(tokens), &["bho.max_tokens"]);
    }
    for tokens in ["0", "1", "3"] {
        refused(&limit(tokens), &["window", "4 or more"]);
    }
    for tokens in ["4", "24", "18446744073709551615"] {
        assert!(survives(&limit(tokens)));
    }
    for config in ["", "{", "null", "[]", "7", "\"text\"", &"[".repeat(100_000)] {
        refused(&set("bho.config", config), &["config"]);
    }
    refused(&small().with(|f| drop(f.metadata.remove("bho.config"))), &["bho.config"]);
    refused(&small().with(|f| drop(f.metadata.remove("bho.tokenizer"))), &["tokenizer"]);
    assert!(survives(&set("bho.name", "../../\0\u{202e}name")));
}

#[test]
fn data_at_odd_addresses_gives_the_same_vectors() {
    let file = small();
    let text = ["the small red model said: run!"];
    let never = CancelToken::new();
    let expected = load(&file.bytes()).unwrap().embed(&text, &never).unwrap();
    for spaces in 1..=5 {
        let header = format!("{}{}", Value::Object(file.header()), " ".repeat(spaces));
        let encoder = load(&assemble(header, &file.data())).unwrap();
        assert_eq!(encoder.embed(&text, &never).unwrap(), expected, "{spaces} spaces");
    }
}
