// SPDX-License-Identifier: AGPL-3.0-or-later
//! Files that lie. Each case names what public parsers got wrong, where there is a record of it.

use crate::build::{
    ARRAY, BOOL, Builder, F32, I32, STRING, U32, U64, array, parse, string, strings,
};

/// A small good file.
fn good() -> Builder {
    Builder::default()
        .str("general.architecture", "llama")
        .key("words", ARRAY, &strings(&["a", "bc"]))
        .floats("a", &[4, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
        .floats("b", &[3], &[0.5; 3])
}

#[track_caller]
fn refused(bytes: Vec<u8>, culprits: &[&str]) {
    let error = parse(bytes).expect_err("was parsed").to_string();
    assert!(error.starts_with("test.gguf: "), "{error}");
    assert!(error.len() < 600, "a message of {} bytes", error.len());
    for culprit in culprits {
        assert!(error.contains(culprit), "{culprit:?} is not named: {error}");
    }
}

#[test]
fn the_good_file_is_read() {
    let file = good().parse().unwrap();
    assert_eq!(file.floats("a", &[2, 4]).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    let mut row = [0.0; 4];
    file.rows_f32("a", 1..2, &mut row).unwrap();
    assert_eq!(row, [5.0, 6.0, 7.0, 8.0]);
    assert_eq!(file.metadata().count(), 2);
    assert_eq!(file.bytes("b").unwrap().len(), 12);
}

/// CVE-2024-32878, CVE-2024-39720: files that end early.
#[test]
fn a_file_is_refused_at_every_shorter_length() {
    let bytes = good().bytes();
    // What pads the last tensor may be missing.
    for length in 0..bytes.len() - 20 {
        refused(bytes[..length].to_vec(), &[]);
    }
    parse(bytes[..bytes.len() - 20].to_vec()).unwrap();
}

#[test]
fn magic_and_version() {
    refused(Builder { magic: *b"GGML", ..good() }.bytes(), &["not with GGUF"]);
    refused(vec![0; 64], &["not with GGUF"]);
    for version in [0, 1, 4, u32::MAX] {
        refused(Builder { version, ..good() }.bytes(), &["versions 2 and 3"]);
    }
    let big = Builder { version: 3u32.swap_bytes(), ..good() };
    refused(big.bytes(), &["big-endian (version 3)"]);
}

/// CVE-2024-21836 (tensors), CVE-2024-23605 and the OOM of LocalAI (metadata keys).
#[test]
fn counts_the_file_is_too_short_for() {
    for count in [3, 100, u32::MAX.into(), 4_000_000_000, 1 << 61, u64::MAX / 2, u64::MAX] {
        let tensors = Builder { tensor_count: Some(count), ..good() };
        let keys = Builder { key_count: Some(count), ..good() };
        refused(tensors.bytes(), &[]);
        refused(keys.bytes(), &[]);
        if count > 3 {
            refused(tensors.bytes(), &["tensors at byte 8", &count.to_string()]);
            refused(keys.bytes(), &["metadata keys at byte 16", &count.to_string()]);
        }
    }
    // Fewer than there are: what follows is no tensor info.
    refused(Builder { key_count: Some(1), ..good() }.bytes(), &[]);
}

/// The DoS of many tiny entries.
#[test]
fn more_entries_than_any_model_has() {
    let mut keys = Builder::default();
    for i in 0..(1 << 16) + 1 {
        keys = keys.key(i.to_string(), 0, &[0]);
    }
    refused(keys.bytes(), &["65537 metadata keys; at most 65536"]);
}

/// CVE-2024-21825, CVE-2024-23496, CVE-2025-49847: a length near 2^64, or past 2^31.
#[test]
fn string_and_array_lengths_past_the_end() {
    let lengths =
        [1 << 20, (1 << 31) - 1, 1 << 31, 1 << 32, 1 << 60, 1 << 63, u64::MAX - 7, u64::MAX];
    for length in lengths {
        let text = length.to_le_bytes();
        let shown = length.to_string();
        refused(good().key("s", STRING, &text).bytes(), &["metadata s", &shown]);
        refused(good().key("t", ARRAY, &array(STRING, 1, &text)).bytes(), &["element 0", &shown]);
        for kind in [0, U32, U64, BOOL, STRING, ARRAY] {
            let value = array(kind, length, &[0; 64]);
            refused(good().key("x", ARRAY, &value).bytes(), &["metadata x", &shown]);
        }
        let mut bytes = Builder { key_count: Some(1), ..Builder::default() }.bytes();
        bytes.extend(text);
        bytes.extend([0; 64]);
        refused(bytes, &["metadata key 0: its name", &shown]);
    }
}

/// gguf-py F001: nested arrays overflow the stack.
#[test]
fn nested_arrays() {
    let nested = |depth: usize| {
        let mut value = Vec::new();
        for _ in 1..depth {
            value.extend(array(ARRAY, 1, &[]));
        }
        value.extend(array(U32, 0, &[]));
        good().key("x", ARRAY, &value).bytes()
    };
    parse(nested(8)).unwrap();
    for depth in [9, 100, 400_000] {
        refused(nested(depth), &["metadata x", "deeper than 8"]);
    }
}

#[test]
fn names_types_and_values_that_are_none() {
    refused(good().key("", U32, &[0; 4]).bytes(), &["a name of 0 bytes"]);
    refused(good().key("k".repeat(1 << 16), U32, &[0; 4]).bytes(), &["65536 bytes; 1..=65535"]);
    refused(good().key([0xff, 0xfe], U32, &[0; 4]).bytes(), &["not UTF-8"]);
    refused(good().key("s", STRING, &string(b"ab\xffc")).bytes(), &["metadata s", "byte 2 on"]);
    refused(good().key("x", 13, &[0; 8]).bytes(), &["value type 13", "known: 0..=12"]);
    refused(good().key("x", u32::MAX, &[0; 8]).bytes(), &["value type 4294967295"]);
    refused(good().key("x", ARRAY, &array(77, 0, &[])).bytes(), &["value type 77"]);
    refused(good().key("x", BOOL, &[2]).bytes(), &["bool 2"]);
    refused(good().key("x", ARRAY, &array(BOOL, 3, &[0, 1, 9])).bytes(), &["element 2: bool 9"]);
    refused(good().str("words", "again").bytes(), &["metadata words: stands twice"]);
    refused(good().floats("", &[1], &[0.0]).bytes(), &["tensor 2: a name of 0 bytes"]);
    refused(good().floats(&"n".repeat(65), &[1], &[0.0]).bytes(), &["65 bytes; 1..=64"]);
    refused(good().floats("a", &[1], &[0.0]).bytes(), &["tensor a: stands twice"]);
}

/// CVE-2025-0317: alignment 0 divides by zero.
#[test]
fn alignments() {
    for alignment in [8, 16, 64, 4096, 65536] {
        let file = Builder { alignment, ..Builder::default() };
        let file = file.u32("general.alignment", alignment as u32);
        let file = file.floats("a", &[1], &[1.5]).floats("b", &[1], &[2.5]).parse().unwrap();
        assert_eq!(file.floats("b", &[1]).unwrap(), [2.5]);
    }
    for alignment in [0, 1, 3, 4, 24, 33, 1 << 17, 1 << 31, u32::MAX] {
        let file = good().u32("general.alignment", alignment);
        refused(file.bytes(), &["general.alignment", &alignment.to_string(), "a power of two"]);
    }
    let huge = (1u64 << 63).to_le_bytes();
    refused(good().key("general.alignment", U64, &huge).bytes(), &["a power of two"]);
    refused(good().str("general.alignment", "32").bytes(), &["string of 2 bytes"]);
    refused(good().key("general.alignment", I32, &[32, 0, 0, 0]).bytes(), &["integer 32"]);
    refused(good().f32("general.alignment", 32.0).bytes(), &["float 32"]);
    refused(good().info("c", &[1], 0, 8).bytes(), &["offset 8 is no multiple of 32"]);
}

/// CVE-2024-21802, CVE-2025-0315, CVE-2026-33298: products of dimensions and sizes that wrap.
#[test]
fn dimensions() {
    let with = |dims: &[u64], kind| good().info("x", dims, kind, 0).bytes();
    refused(with(&[0], 0), &["tensor x: dimension 0 is 0"]);
    refused(with(&[4, 0], 0), &["dimension 1 is 0"]);
    refused(with(&[1; 5], 0), &["5 dimensions; at most 4"]);
    refused(with(&[1 << 33, 1 << 31], 0), &["tensor x", "overflows"]);
    refused(with(&[u64::MAX, 2], 0), &["overflows"]);
    refused(with(&[1 << 32, 1 << 32], 1), &["overflows"]);
    refused(with(&[1 << 16; 4], 8), &["overflows"]);
    refused(with(&[1 << 62], 0), &["tensor x", "overflow"]);
    refused(with(&[1 << 40, 1 << 22], 0), &["overflow"]);
    refused(with(&[1 << 40], 0), &["outside the file"]);
    refused(with(&[u64::MAX - 31], 8), &["tensor x"]);
    for kind in [34, 35, 36] {
        refused(with(&[1 << 30, 1 << 30], kind), &["tensor x"]);
    }
    // A count of dimensions that is no list of them (the 34 GB allocation of Cougar).
    let mut bytes = Builder { tensor_count: Some(1), ..Builder::default() }.bytes();
    bytes.extend(string("x"));
    bytes.extend(4_000_000_000u32.to_le_bytes());
    bytes.extend([0; 64]);
    refused(bytes, &["4000000000 dimensions"]);
}

#[test]
fn rows_that_are_not_whole_blocks() {
    for (kind, cols, name) in [
        (2, 33, "Q4_0"),
        (8, 16, "Q8_0"),
        (12, 128, "Q4_K"),
        (14, 257, "Q6_K"),
        (34, 64, "TQ1_0"),
        (36, 32, "I2_S"),
    ] {
        let bytes = good().info("x", &[cols, 2], kind, 0).bytes();
        refused(bytes, &["tensor x", name, &format!("{cols} columns; a multiple of")]);
    }
}

#[test]
fn types_that_are_not_read() {
    refused(good().info("x", &[256], 10, 0).bytes(), &["tensor x: type 10 (Q2_K)", "Q4_1", "I2_S"]);
    for kind in [4, 5, 37, 41, 1 << 31, u32::MAX] {
        let expected = format!("type {kind} (unknown) is not read");
        refused(good().info("x", &[256], kind, 0).bytes(), &[&expected]);
    }
}

/// CVE-2026-7482, CVE-2025-53630, CVE-2026-27940: offsets past the end, and sums that wrap.
#[test]
fn offsets() {
    for offset in
        [96, 128, 1 << 20, 1 << 40, 1 << 63, u64::MAX - 31, u64::MAX - 63, u64::MAX - 4095]
    {
        let shown = offset.to_string();
        refused(
            good().info("x", &[2], 0, offset).bytes(),
            &["tensor x", "outside the file", &shown],
        );
    }
    refused(good().info("x", &[2], 0, u64::MAX).bytes(), &["no multiple of 32"]);
    refused(good().info("x", &[2], 0, 0).bytes(), &["overlap"]);
    refused(good().info("x", &[2], 0, 32).bytes(), &["x and b overlap"]);
    // Sixteen floats, where the next tensor begins after eight.
    let file = Builder::default().info("long", &[16], 0, 0).info("next", &[1], 0, 32);
    let mut bytes = file.bytes();
    bytes.extend([0; 64]);
    refused(bytes, &["long and next overlap"]);
}

#[test]
fn getters_and_rows_say_what_they_refuse() {
    let file = good().f32("nan", f32::NAN).key("f64", 12, &1e300f64.to_le_bytes());
    let file = file.floats("bad", &[2, 2], &[0.0, 1.0, f32::INFINITY, 0.0]);
    let file = file.u32("split.count", 3).parse().unwrap();
    let says = |result: Result<(), bho_models::ModelError>, expected: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    says(file.float("nan").map(|_| ()), "metadata nan: expected a finite float, found float NaN");
    says(file.float("f64").map(|_| ()), "metadata f64: expected a finite float");
    says(file.str("words").map(|_| ()), "expected a string, found array of 2 String");
    says(file.uint("general.architecture").map(|_| ()), "found string of 5 bytes");
    says(file.bool("words").map(|_| ()), "expected a bool");
    says(file.array("nan").map(|_| ()), "expected an array");
    let rows = |range, out: &mut [f32]| file.rows_f32("a", range, out);
    says(rows(0..3, &mut [0.0; 12]), "tensor a: rows 0..3 of 2");
    says(rows(3..3, &mut []), "rows 3..3 of 2");
    says(rows(0..2, &mut [0.0; 7]), "2 rows of 4 do not fit 7");
    says(rows(0..0, &mut [0.0]), "do not fit");
    rows(2..2, &mut []).unwrap();
    says(file.rows_f32("bad", 0..2, &mut [0.0; 4]), "tensor bad: row 1, column 0 is inf");
    file.rows_f32("bad", 0..1, &mut [0.0; 2]).unwrap();
    says(file.floats("a", &[4, 2]).map(|_| ()), "expected shape [4, 2], found [2, 4]");
    says(file.bytes("c").map(|_| ()), "tensor c: missing; the file is one of 3 parts");
    assert!(file.ternary("a").unwrap().is_none());
}

#[test]
fn long_arrays_give_all_their_elements() {
    let words: Vec<String> = (0..100_000).map(|i| i.to_string()).collect();
    let file = Builder::default().key("words", ARRAY, &strings(&words));
    let floats: Vec<u8> = (0..100_000u32).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let file = file.key("scores", ARRAY, &array(F32, 100_000, &floats)).parse().unwrap();
    let words = file.array("words").unwrap().unwrap();
    assert_eq!((words.len(), words.iter().count()), (100_000, 100_000));
    assert_eq!(file.array("scores").unwrap().unwrap().iter().count(), 100_000);
}
