// SPDX-License-Identifier: AGPL-3.0-or-later
//! GGUF files from any bytes, and from keys and tensors that are nearly right: an error, or a file of which
//! everything can be asked; rows are finite, a tokenizer that is built loads, and what is converted runs.
#![no_main]

use std::collections::BTreeMap;

use bho_engine::{CancelToken, Storage};
use bho_fuzz::{
    Fill, Hostile, pardon_other_crates, patch, scratch, tally, try_model, try_tokenizer,
};
use bho_kernels::I2sLayout;
use bho_models::gguf::{GgufFile, GgufValue};
use bho_models::{ConvertOptions, DecoderTokenizer, audit, convert};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

/// Most values of a tensor that are decoded.
const MAX_ELEMENTS: usize = 1 << 16;

#[derive(Debug, Arbitrary)]
enum Input {
    /// Behind the magic and a version, anything.
    Raw(Vec<u8>),
    Built(Box<Built>),
}

#[derive(Debug, Arbitrary)]
struct Built {
    tokenizer: Option<Tokenizer>,
    /// With a tokenizer, the other parts of a decoder.
    model: Option<Model>,
    keys: Vec<Key>,
    tensors: Vec<Tensor>,
    fill: Fill,
    /// Bytes of data behind that of the model.
    data: u16,
    patches: Vec<(u16, u8)>,
}

/// Keys and tensors of a decoder of one layer.
#[derive(Debug, Arbitrary)]
struct Model {
    /// One of [`ARCHITECTURES`].
    architecture: u8,
    /// Matrices in Q8_0, else in F32.
    quantized: bool,
    /// Whether the output has weights of its own.
    head: bool,
}

const ARCHITECTURES: [&str; 4] = ["llama", "bitnet-b1.58", "bitnet", "bitnet-25"];

/// Keys of a tokenizer that agree with each other.
#[derive(Debug, Arbitrary)]
struct Tokenizer {
    spm: bool,
    pre: u8,
    /// Tokens as sets of [`LETTERS`], with types and scores.
    tokens: Vec<(u8, u8, i8)>,
    merges: Vec<(u8, u8)>,
}

#[derive(Debug, Arbitrary)]
struct Key {
    /// One of [`NAMES`], or another.
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

const LETTERS: [&str; 8] = ["a", "b", "Ġ", "▁", "1", "é", " ", "<"];

const WORDS: [&str; 22] = [
    "llama",
    "gpt2",
    "default",
    "llama-bpe",
    "qwen2",
    "falcon",
    "smollm",
    "a",
    "b",
    "ab",
    "a b",
    "aa",
    "a a",
    "ba",
    "b a",
    "Ġ",
    "▁",
    "▁a",
    "<0x0A>",
    "<s>",
    "",
    " ",
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

impl Tokenizer {
    fn keys(&self) -> Vec<(&'static str, (u32, Vec<u8>))> {
        let spell = |set: u8| -> String {
            let letters = LETTERS.iter().enumerate().filter(|(i, _)| set >> i & 1 == 1);
            letters.map(|(_, letter)| *letter).collect()
        };
        let merges: Vec<_> =
            self.merges.iter().map(|(a, b)| (spell(a | 1), spell(b | 2))).collect();
        let given = self.tokens.iter().map(|(set, kind, score)| (spell(*set), (*kind, *score)));
        let mut tokens: BTreeMap<String, (u8, i8)> = given.collect();
        // The parts of every merge and what it makes are tokens.
        for (a, b) in &merges {
            for token in [a.clone(), b.clone(), [a.as_str(), b].concat()] {
                tokens.entry(token).or_insert((1, -1));
            }
        }
        let merges = merges.iter().map(|(a, b)| string(&format!("{a} {b}")));
        let pre = ["default", "gpt-2", "smollm", "llama-bpe", "qwen2", "falcon"];
        let types = |kind: u8| i32::from(kind % 7).to_le_bytes().into();
        vec![
            ("tokenizer.ggml.model", (8, string(if self.spm { "llama" } else { "gpt2" }))),
            ("tokenizer.ggml.pre", (8, string(pre[usize::from(self.pre) % pre.len()]))),
            ("tokenizer.ggml.tokens", array(8, tokens.keys().map(|token| string(token)))),
            ("tokenizer.ggml.token_type", array(5, tokens.values().map(|t| types(t.0)))),
            (
                "tokenizer.ggml.scores",
                array(6, tokens.values().map(|t| f32::from(t.1).to_le_bytes().into())),
            ),
            ("tokenizer.ggml.merges", array(8, merges)),
        ]
    }
}

impl Model {
    /// Hidden size, and that inside the feed-forward part.
    fn sizes(&self) -> (usize, usize) {
        if self.quantized { (32, 64) } else { (8, 12) }
    }

    fn keys(&self) -> impl Iterator<Item = (String, (u32, Vec<u8>))> {
        let architecture = self.name();
        let (hidden, ffn) = self.sizes();
        let numbers = [
            ("block_count", 1),
            ("context_length", 64),
            ("embedding_length", hidden),
            ("feed_forward_length", ffn),
            ("attention.head_count", 2),
            ("attention.head_count_kv", 1),
        ];
        let key = move |name: &str| format!("{architecture}.{name}");
        let epsilon = key("attention.layer_norm_rms_epsilon");
        let numbers = numbers.map(|(name, n)| (key(name), (4, (n as u32).to_le_bytes().to_vec())));
        numbers.into_iter().chain([
            (epsilon, (6, 1e-5f32.to_le_bytes().to_vec())),
            ("general.architecture".to_owned(), (8, string(architecture))),
        ])
    }

    fn name(&self) -> &'static str {
        ARCHITECTURES[usize::from(self.architecture) % ARCHITECTURES.len()]
    }

    /// Names, dimensions, types and bytes.
    fn tensors(&self, vocab: usize) -> Vec<(String, Vec<usize>, u32, Vec<u8>)> {
        let (hidden, ffn) = self.sizes();
        let mut all = vec![("token_embd", vec![hidden, vocab]), ("output_norm", vec![hidden])];
        if self.head {
            all.push(("output", vec![hidden, vocab]));
        }
        all.extend([
            ("blk.0.attn_norm", vec![hidden]),
            ("blk.0.ffn_norm", vec![hidden]),
            ("blk.0.attn_q", vec![hidden, hidden]),
            ("blk.0.attn_k", vec![hidden, hidden / 2]),
            ("blk.0.attn_v", vec![hidden, hidden / 2]),
            ("blk.0.attn_output", vec![hidden, hidden]),
            ("blk.0.ffn_gate", vec![hidden, ffn]),
            ("blk.0.ffn_up", vec![hidden, ffn]),
            ("blk.0.ffn_down", vec![ffn, hidden]),
        ]);
        if self.name() != "llama" {
            all.push(("blk.0.attn_sub_norm", vec![hidden]));
            all.push(("blk.0.ffn_sub_norm", vec![ffn]));
        }
        let tensor = |(name, dims): (&str, Vec<usize>)| {
            let codes = Fill::Random(name.len() as u64).bytes(dims.iter().product());
            let (kind, bytes) = if self.quantized && dims.len() == 2 {
                // A scale of 2^-6 for 32 values.
                (8, codes.chunks(32).flat_map(|c| [&[0, 0x24], c].concat()).collect())
            } else {
                let value = |b: u8| (f32::from(b) / 128.0 - 0.99).to_le_bytes();
                (0, codes.into_iter().flat_map(value).collect())
            };
            (format!("{name}.weight"), dims, kind, bytes)
        };
        all.into_iter().map(tensor).collect()
    }
}

impl Input {
    fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF\x03\0\0\0".to_vec();
        let Built { tokenizer, model, keys, tensors, fill, data, patches } = match self {
            Self::Raw(bytes) => return [out, bytes.clone()].concat(),
            Self::Built(built) => &**built,
        };
        let agreeing = tokenizer.iter().flat_map(Tokenizer::keys);
        let mut entries: BTreeMap<String, (u32, Vec<u8>)> =
            agreeing.map(|(name, value)| (name.to_owned(), value)).collect();
        let model = model.as_ref().filter(|_| tokenizer.is_some());
        entries.extend(model.iter().flat_map(|model| model.keys()));
        for Key { name, value } in keys {
            let name = usize::from(*name) % (NAMES.len() + 4);
            let name = NAMES.get(name).map_or_else(|| format!("key.{name}"), |name| (*name).into());
            entries.insert(name, value.bytes());
        }
        let vocab = entries.get("tokenizer.ggml.tokens").map_or(0, |(_, array)| {
            array.get(4..12).map_or(0, |n| u64::from_le_bytes(n.try_into().unwrap()) as usize)
        });
        let parts = model.map_or_else(Vec::new, |model| model.tensors(vocab.min(256)));
        out.extend(((parts.len() + tensors.len()) as u64).to_le_bytes());
        out.extend((entries.len() as u64).to_le_bytes());
        for (name, (kind, bytes)) in entries {
            out.extend(string(&name));
            out.extend(kind.to_le_bytes());
            out.extend(bytes);
        }
        let mut tensor = |name: &str, dims: &[u64], kind: u32, offset: u64| {
            out.extend(string(name));
            out.extend((dims.len() as u32).to_le_bytes());
            dims.iter().for_each(|dim| out.extend(dim.to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend(offset.to_le_bytes());
        };
        let mut whole = Vec::new();
        for (name, dims, kind, bytes) in &parts {
            let dims: Vec<_> = dims.iter().map(|&dim| dim as u64).collect();
            tensor(name, &dims, *kind, whole.len() as u64);
            whole.extend(bytes);
            whole.resize(whole.len().next_multiple_of(32), 0);
        }
        for (i, Tensor { kind, dims, whole_blocks, offset }) in tensors.iter().enumerate() {
            let times = |i: usize| if i == 0 && *whole_blocks { 256 } else { 1 };
            let dims =
                dims.iter().enumerate().map(|(i, dim)| (dim.0 as u64).wrapping_mul(times(i)));
            let dims: Vec<_> = dims.collect();
            let kind = (kind % 40).into();
            tensor(&format!("tensor.{i}"), &dims, kind, (offset.0 as u64).wrapping_mul(32));
        }
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(whole);
        out.extend(fill.bytes((*data).into()));
        patch(&mut out, patches);
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

fuzz_target!(init: pardon_other_crates(), |input: Input| {
    let bytes = input.bytes();
    let file = GgufFile::parse("fuzz", Storage::Heap(bytes.into()));
    tally("file", file.is_ok());
    let Ok(file) = file else { return };
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
    let built = file.tokenizer();
    tally("tokenizer", built.is_ok());
    let Ok(built) = built else { return };
    let tokenizer = DecoderTokenizer::from_json("fuzz", &built.json, 1 << 20).unwrap();
    try_tokenizer(&tokenizer, "ab <s> é\n a12");
    if !file.tensors().contains_key("token_embd.weight") {
        return;
    }
    // Whatever it is converted to runs.
    let folder = scratch();
    let path = folder.join("model.gguf");
    std::fs::write(&path, file.as_bytes()).unwrap();
    let _ = audit(&path);
    let result = folder.join("result");
    let options = ConvertOptions { force: true, ..ConvertOptions::default() };
    let converted = convert(&path, &result, &options, &CancelToken::new(), &mut |_| {});
    tally("converted", converted.is_ok());
    if converted.is_ok() {
        try_model(&result, true);
    }
});
