// SPDX-License-Identifier: AGPL-3.0-or-later
//! Good files with bytes changed, cut out, put in or cut off: an error or something that can be
//! read, never a panic; and what is read lies in the file.

use bho_models::gguf::{GgufFile, GgufValue};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::build::{ARRAY, BOOL, Builder, parse, strings};
use crate::tokenizer::{bpe, decoder, spm};

/// Everything that can be asked of a file.
fn read_all(file: &GgufFile) {
    fn walk(value: GgufValue<'_>) -> usize {
        match value {
            GgufValue::Array(array) => {
                assert_eq!(array.iter().count(), array.len());
                array.iter().map(walk).sum()
            }
            _ => 1,
        }
    }
    assert!(file.metadata().map(|(_, value)| walk(value)).sum::<usize>() <= file.as_bytes().len());
    for (name, tensor) in file.tensors() {
        assert_eq!(file.bytes(name).unwrap().len(), tensor.bytes());
        assert_eq!(tensor.rows() * tensor.cols(), tensor.elements());
        let mut out = vec![0.0; tensor.elements()];
        if file.rows_f32(name, 0..tensor.rows(), &mut out).is_ok() {
            assert!(out.iter().all(|v| v.is_finite()));
        }
        if let Ok(Some(ternary)) = file.ternary(name) {
            let _ = ternary.import();
        }
    }
    let _ = file.config();
    let _ = file.chat_template();
    if let Ok(built) = file.tokenizer() {
        // What is not refused here is not refused later.
        let tokenizer = tokenizers::Tokenizer::from_bytes(&built.json).unwrap();
        tokenizer.encode("ab <s> é\n 12", true).unwrap();
    }
}

/// Files that together have everything.
fn files() -> Vec<Vec<u8>> {
    let golden = |name: &str| {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/gguf");
        std::fs::read(dir.join(name)).unwrap()
    };
    let tensors = |file: Builder| {
        file.floats("a", &[4, 2], &[0.5; 8]).tensor("q", &[32, 2], 8, &[60; 68]).bytes()
    };
    let words = strings(&["a", "bc"]);
    vec![
        golden("types.gguf"),
        golden("i2_s.gguf"),
        tensors(decoder().key("words", ARRAY, &words).u32("general.alignment", 32)),
        tensors(bpe("").key("tokenizer.ggml.add_bos_token", BOOL, &[1])),
        tensors(spm("")),
    ]
}

#[derive(Debug, Clone)]
enum Mutation {
    Byte(Index, u8),
    Number(Index, u64),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Cut(Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let numbers = prop_oneof![
        any::<u64>(),
        (0u32..64).prop_map(|shift| 1 << shift),
        (0u64..64).prop_map(|n| u64::MAX - n),
        0u64..300,
    ];
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Byte(at, byte)),
        4 => (any::<Index>(), numbers).prop_map(|(at, number)| Mutation::Number(at, number)),
        1 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..40))
            .prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        1 => (any::<Index>(), 1usize..40).prop_map(|(at, n)| Mutation::Remove(at, n)),
        1 => any::<Index>().prop_map(Mutation::Cut),
    ]
}

impl Mutation {
    /// Where nothing says otherwise, within the header or soon behind it.
    fn apply(self, bytes: &mut Vec<u8>) {
        let end = bytes.len().min(2500);
        if end < 16 {
            return;
        }
        match self {
            Self::Byte(at, byte) => bytes[at.index(end)] = byte,
            Self::Number(at, number) => {
                let at = at.index(end - 8);
                bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
            }
            Self::Insert(at, inserted) => {
                let at = at.index(end);
                bytes.splice(at..at, inserted);
            }
            Self::Remove(at, n) => {
                let at = at.index(end);
                bytes.drain(at..(at + n).min(end));
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

#[test]
fn the_files_themselves_are_read() {
    files().into_iter().for_each(|bytes| read_all(&parse(bytes).unwrap()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutated_files_are_errors_or_can_be_read(
        which in 0usize..5,
        mutations in prop::collection::vec(mutation(), 1..5),
    ) {
        let mut bytes = files().swap_remove(which);
        mutations.into_iter().for_each(|mutation| mutation.apply(&mut bytes));
        if let Ok(file) = parse(bytes) {
            read_all(&file);
        }
    }

    #[test]
    fn any_bytes_behind_a_good_start(counts in (0u64..4, 0u64..4), bytes: Vec<u8>) {
        let file = Builder { tensor_count: Some(counts.0), key_count: Some(counts.1), ..Builder::default() };
        let bytes = [file.bytes(), bytes].concat();
        if let Ok(file) = parse(bytes) {
            read_all(&file);
        }
    }
}
