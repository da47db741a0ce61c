// SPDX-License-Identifier: AGPL-3.0-or-later
//! GGUF files from any bytes, and from keys and tensors that are nearly right: an error, or a file of which
//! everything can be asked; rows are finite, and a tokenizer that is built loads.
#![no_main]

use bho_engine::Storage;
use bho_fuzz::{Fill, Hostile};
use bho_kernels::I2sLayout;
use bho_models::gguf::{GgufFile, GgufValue};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

/// Most values of a tensor that are decoded.
const MAX_ELEMENTS: usize = 1 << 16;

#[derive(Debug, Arbitrary)]
enum Input {
    /// Behind the magic and a version, anything.
    Raw(Vec<u8>),
    Built(Vec<Key>, Vec<Tensor>, Fill, u16, Vec<(u16, u8)>),
}

#[derive(Debug, Arbitrary)]
struct Key {
    /// One of [`NAMES`], where it is below their number.
    name: u8,
    value: Value,
}

#[derive(Debug, Arbitrary)]
enum Value {
    Uint(Hostile),
    Float(f32),
    Bool(bool),
    /// One of [`WORDS`].
    Word(u8),
    Text(String),
    Words(Vec<u8>),
    Ints(Vec<i8>),
    Floats(Vec<f32>),
    /// A type, and bytes that may or may not be of it.
    Raw(u8, Vec<u8>),
}

#[derive(Debug, Arbitrary)]
struct Tensor {
    kind: u8,
    dims: Vec<Hostile>,
    /// The first dimension counts blocks of 256.
    whole_blocks: bool,
    offset: Hostile,
}

const NAMES: [&str; 20] = [
    "general.architecture",
    "general.alignment",
    "tokenizer.ggml.model",
    "tokenizer.ggml.pre",
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.scores",
    "tokenizer.ggml.merges",
    "tokenizer.ggml.bos_token_id",
    "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.unknown_token_id",
    "tokenizer.ggml.add_bos_token",
    "tokenizer.ggml.add_space_prefix",
    "tokenizer.chat_template",
    "llama.block_count",
    "llama.context_length",
    "llama.embedding_length",
    "llama.feed_forward_length",
    "llama.attention.head_count",
    "llama.attention.layer_norm_rms_epsilon",
];

const WORDS: [&str; 22] = [
    "llama", "gpt2", "default", "llama-bpe", "qwen2", "falcon", "smollm", "a", "b", "ab", "a b",
    "aa", "a a", "ba", "b a", "Ġ", "▁", "▁a", "<0x0A>", "<s>", "", " ",
];

fn word(n: u8) -> &'static str {
    WORDS[usize::from(n) % WORDS.len()]
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn array(kind: u32, items: impl ExactSizeIterator<Item = Vec<u8>>) -> (u32, Vec<u8>) {
    let head = [&kind.to_le_bytes()[..], &(items.len() as u64).to_le_bytes()].concat();
    (9, items.fold(head, |out, item| [out, item].concat()))
}

impl Value {
    /// Number of the type and bytes.
    fn bytes(&self) -> (u32, Vec<u8>) {
        match self {
            Self::Uint(v) => (10, (v.0 as u64).to_le_bytes().into()),
            Self::Float(v) => (6, v.to_le_bytes().into()),
            Self::Bool(v) => (7, vec![(*v).into()]),
            Self::Word(n) => (8, string(word(*n))),
            Self::Text(text) => (8, string(text)),
            Self::Words(ns) => array(8, ns.iter().map(|n| string(word(*n)))),
            Self::Ints(vs) => array(5, vs.iter().map(|v| i32::from(*v).to_le_bytes().into())),
            Self::Floats(vs) => array(6, vs.iter().map(|v| v.to_le_bytes().into())),
            Self::Raw(kind, bytes) => ((*kind % 14).into(), bytes.clone()),
        }
    }
}

impl Input {
    fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF\x03\0\0\0".to_vec();
        let (keys, tensors, fill, data, patches) = match self {
            Self::Raw(bytes) => return [out, bytes.clone()].concat(),
            Self::Built(keys, tensors, fill, data, patches) => (keys, tensors, fill, data, patches),
        };
        out.extend((tensors.len() as u64).to_le_bytes());
        out.extend((keys.len() as u64).to_le_bytes());
        for Key { name, value } in keys {
            let other = format!("key.{name}");
            out.extend(string(NAMES.get(usize::from(*name)).unwrap_or(&other.as_str())));
            let (kind, bytes) = value.bytes();
            out.extend(kind.to_le_bytes());
            out.extend(bytes);
        }
        for (i, tensor) in tensors.iter().enumerate() {
            out.extend(string(&format!("tensor.{i}")));
            out.extend((tensor.dims.len() as u32).to_le_bytes());
            for (i, dim) in tensor.dims.iter().enumerate() {
                let times = if i == 0 && tensor.whole_blocks { 256 } else { 1 };
                out.extend((dim.0 as u64).wrapping_mul(times).to_le_bytes());
            }
            out.extend(u32::from(tensor.kind % 40).to_le_bytes());
            out.extend((tensor.offset.0 as u64).wrapping_mul(32).to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(fill.bytes((*data).into()));
        for (at, byte) in patches {
            let at = usize::from(*at) % out.len();
            out[at] = *byte;
        }
        out
    }
}

fn walk(value: GgufValue<'_>) -> usize {
    match value {
        GgufValue::Array(array) => {
            assert_eq!(array.iter().count(), array.len());
            array.iter().map(walk).sum()
        }
        _ => 1,
    }
}

fuzz_target!(|input: Input| {
    let bytes = input.bytes();
    let Ok(file) = GgufFile::parse("fuzz", Storage::Heap(bytes.into())) else { return };
    assert!(file.metadata().map(|(_, value)| walk(value)).sum::<usize>() <= file.as_bytes().len());
    let arm = file.clone().with_i2s_layout(I2sLayout::Arm);
    for (name, tensor) in file.tensors() {
        assert_eq!(file.bytes(name).unwrap().len(), tensor.bytes());
        let cols = tensor.cols();
        let rows = tensor.rows().min(MAX_ELEMENTS / cols);
        let mut out = vec![0.0; rows * cols];
        for file in [&file, &arm] {
            for first in [0, tensor.rows() - rows] {
                if file.rows_f32(name, first..first + rows, &mut out).is_ok() {
                    assert!(out.iter().all(|v| v.is_finite()));
                }
            }
            let _ = file.ternary(name).map(|ternary| ternary.map(|ternary| ternary.import()));
        }
    }
    let _ = file.config();
    let _ = file.chat_template();
    if let Ok(built) = file.tokenizer() {
        let tokenizer = tokenizers::Tokenizer::from_bytes(&built.json).unwrap();
        tokenizer.encode("ab <s> é\n a12", true).unwrap();
    }
});
