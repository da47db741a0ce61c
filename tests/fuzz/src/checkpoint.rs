// SPDX-License-Identifier: AGPL-3.0-or-later
//! Small sound models of every kind that is read: checkpoints, and what `bho convert` makes of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bho_engine::CancelToken;
use bho_models::decoder::{DecoderOptions, EmbedFormat, HeadFormat, WeightFormat};
use bho_models::{ConvertOptions, convert};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use serde_json::{Map, Value, json};

use crate::{Fill, Hostile, patch};

/// Files of a folder: those with weights, as header and data, and JSON.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub weights: Vec<(&'static str, Value, Vec<u8>)>,
    pub json: BTreeMap<String, Value>,
    /// Whether `bho convert` made it: its JSON is in the metadata.
    pub converted: bool,
}

/// The one file of weights, and the two of them.
pub const SINGLE: &str = "model.safetensors";
pub const SHARDS: [&str; 2] =
    ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

const HIDDEN: usize = 8;
const FFN: usize = 12;
const VOCAB: usize = 20;

/// Tensors as they are added.
#[derive(Default)]
struct Tensors {
    entries: Map<String, Value>,
    data: Vec<u8>,
}

impl Tensors {
    /// Of small numbers, none of them 0.
    fn add(&mut self, name: &str, dtype: &str, shape: &[usize]) {
        let n = shape.iter().product();
        let from = self.data.len();
        for byte in Fill::Random(from as u64).bytes(n) {
            let bits = (f32::from(byte) / 128.0 - 0.99).to_bits().to_le_bytes();
            match dtype {
                // Two-bit codes, none of them 3.
                "U8" => self.data.push(byte & !(byte >> 1 & 0x55)),
                "BF16" => self.data.extend(&bits[2..]),
                _ => self.data.extend(&bits),
            }
        }
        let offsets = [from, self.data.len()];
        let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets });
        self.entries.insert(name.into(), entry);
    }

    fn checkpoint(self, json: &[(&str, Value)]) -> Checkpoint {
        let json = json.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let weights = vec![(SINGLE, Value::Object(self.entries), self.data)];
        Checkpoint { weights, json, converted: false }
    }
}

/// A decoder of one layer.
fn decoder(class: &str, dtype: &str, packed: bool, tied: bool) -> Checkpoint {
    let vectors = class == "Qwen3Model";
    let prefix = if vectors { "" } else { "model." };
    let layer = format!("{prefix}layers.0.");
    let mut tensors = Tensors::default();
    for (name, rows, cols) in [
        ("self_attn.q_proj", HIDDEN, HIDDEN),
        ("self_attn.k_proj", HIDDEN / 2, HIDDEN),
        ("self_attn.v_proj", HIDDEN / 2, HIDDEN),
        ("self_attn.o_proj", HIDDEN, HIDDEN),
        ("mlp.gate_proj", FFN, HIDDEN),
        ("mlp.up_proj", FFN, HIDDEN),
        ("mlp.down_proj", HIDDEN, FFN),
    ] {
        let weight = format!("{layer}{name}.weight");
        if packed {
            tensors.add(&weight, "U8", &[rows.div_ceil(4), cols]);
            tensors.add(&format!("{weight}_scale"), dtype, &[1]);
        } else {
            tensors.add(&weight, dtype, &[rows, cols]);
        }
        if vectors {
            tensors.add(&format!("{layer}{name}.norm.weight"), dtype, &[cols]);
        }
    }
    let mut norms = vec![("input_layernorm", HIDDEN), ("post_attention_layernorm", HIDDEN)];
    norms.extend(match class {
        "BitNetForCausalLM" => {
            &[("self_attn.attn_sub_norm", HIDDEN), ("mlp.ffn_sub_norm", FFN)][..]
        }
        "Qwen3Model" => &[("self_attn.q_norm", HIDDEN / 2), ("self_attn.k_norm", HIDDEN / 2)],
        _ => &[],
    });
    for (name, dim) in norms {
        tensors.add(&format!("{layer}{name}.weight"), dtype, &[dim]);
    }
    tensors.add(&format!("{prefix}norm.weight"), dtype, &[HIDDEN]);
    tensors.add(&format!("{prefix}embed_tokens.weight"), dtype, &[VOCAB, HIDDEN]);
    if !tied {
        tensors.add("lm_head.weight", dtype, &[VOCAB, HIDDEN]);
    }
    let mut config = json!({
        "architectures": [class], "model_type": if vectors { "qwen3" } else { "llama" },
        "hidden_size": HIDDEN, "intermediate_size": FFN, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": HIDDEN / 2, "vocab_size": VOCAB,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 1e4,
        "tie_word_embeddings": tied, "bos_token_id": 9, "eos_token_id": [9], "rope_scaling": null,
    });
    if packed {
        config["quantization_config"] = json!({ "quant_method": "bitnet", "linear_class": "bitlinear",
            "modules_to_not_convert": ["lm_head"] });
    }
    tensors.checkpoint(&[
        ("config.json", config),
        ("tokenizer.json", byte_level()),
        (
            "tokenizer_config.json",
            json!({
                "bos_token": "<|end|>", "eos_token": {"content": "<|end|>"},
                "chat_template": "{% for m in messages %}{{ m.role }}: {{ m.content }}<|end|>{% endfor %}",
            }),
        ),
        ("generation_config.json", json!({ "eos_token_id": [9, 3] })),
        ("config_sentence_transformers.json", json!({ "prompts": {"query": "a: "} })),
    ])
}

fn byte_level() -> Value {
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    json!({
        "version": "1.0",
        "added_tokens": [{"id": 9, "content": "<|end|>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true}],
        "pre_tokenizer": bytes, "decoder": bytes,
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "Ġ": 2, "Ã": 3, "©": 4, "Ã©": 5, "ab": 6},
            "merges": ["Ã ©", "a b"]},
    })
}

/// An encoder of one layer.
fn bert(class: &str, labels: usize) -> Checkpoint {
    let mut tensors = Tensors::default();
    let trunk = if labels > 0 { "bert." } else { "" };
    for (table, rows) in [("word", VOCAB), ("position", 16), ("token_type", 2)] {
        tensors.add(
            &format!("{trunk}embeddings.{table}_embeddings.weight"),
            "F32",
            &[rows, HIDDEN],
        );
    }
    let layer = format!("{trunk}encoder.layer.0.");
    for norm in
        [format!("{trunk}embeddings"), format!("{layer}attention.output"), format!("{layer}output")]
    {
        for part in ["weight", "bias"] {
            tensors.add(&format!("{norm}.LayerNorm.{part}"), "F32", &[HIDDEN]);
        }
    }
    let mut linear = vec![
        (format!("{layer}attention.self.query"), HIDDEN, HIDDEN),
        (format!("{layer}attention.self.key"), HIDDEN, HIDDEN),
        (format!("{layer}attention.self.value"), HIDDEN, HIDDEN),
        (format!("{layer}attention.output.dense"), HIDDEN, HIDDEN),
        (format!("{layer}intermediate.dense"), FFN, HIDDEN),
        (format!("{layer}output.dense"), HIDDEN, FFN),
    ];
    if labels > 0 {
        linear.push(("bert.pooler.dense".into(), HIDDEN, HIDDEN));
        linear.push(("classifier".into(), labels, HIDDEN));
    }
    for (name, rows, cols) in linear {
        tensors.add(&format!("{name}.weight"), "F32", &[rows, cols]);
        tensors.add(&format!("{name}.bias"), "F32", &[rows]);
    }
    let config = json!({
        "architectures": [class], "model_type": "bert", "hidden_act": "gelu", "hidden_size": HIDDEN,
        "intermediate_size": FFN, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": VOCAB,
        "max_position_embeddings": 16, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "num_labels": labels.max(1),
    });
    let vocab = json!({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "##b": 4, "##a": 5, "e": 6});
    let tokenizer = json!({
        "version": "1.0", "added_tokens": [], "normalizer": {"type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab},
    });
    tensors.checkpoint(&[
        ("config.json", config),
        ("tokenizer.json", tokenizer),
        ("sentence_bert_config.json", json!({ "max_seq_length": 12 })),
        ("modules.json", json!([{ "type": "a.Transformer", "path": "" }])),
    ])
}

/// What is wrong with the first file of weights, beside what its header says.
#[derive(Debug, Default, Arbitrary)]
pub enum Damage {
    #[default]
    None,
    /// Length of the header that the file states.
    Length(Hostile),
    /// Spaces behind the header, which move the data.
    Spaces(u8),
    /// Bytes cut off the end, or put there.
    Tail(i8),
    Patches(Vec<(u16, u8)>),
}

impl Checkpoint {
    /// The same tensors in two files with an index.
    pub fn sharded(mut self) -> Self {
        let (_, header, data) = self.weights.remove(0);
        let Value::Object(mut first) = header else { unreachable!() };
        let cut = first.len() / 2;
        let mut second = Map::new();
        for name in first.keys().skip(cut).cloned().collect::<Vec<_>>() {
            second.extend(first.remove_entry(&name));
        }
        let start = second.values().next().unwrap()["data_offsets"][0].as_u64().unwrap();
        for entry in second.values_mut() {
            for offset in entry["data_offsets"].as_array_mut().unwrap() {
                *offset = (offset.as_u64().unwrap() - start).into();
            }
        }
        let files = [&first, &second].into_iter().zip(SHARDS);
        let map = files
            .flat_map(|(header, file)| header.keys().map(move |name| (name.clone(), file.into())));
        let index = json!({ "metadata": {}, "weight_map": map.collect::<Map<_, _>>() });
        self.json.insert("model.safetensors.index.json".into(), index);
        let (head, tail) = data.split_at(start as usize);
        self.weights = vec![
            (SHARDS[0], Value::Object(first), head.to_vec()),
            (SHARDS[1], Value::Object(second), tail.to_vec()),
        ];
        self
    }

    /// Writes the files into an empty folder, which it makes, in the place of what is there.
    pub fn write(&self, dir: &Path, damage: &Damage) {
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir).unwrap();
        for (i, (name, header, data)) in self.weights.iter().enumerate() {
            let mut header = header.clone();
            if self.converted && header.is_object() {
                for (key, value) in &self.json {
                    // A key that an edit took away stays away.
                    if header["__metadata__"].get(key).is_some() {
                        header["__metadata__"][key] = value.to_string().into();
                    }
                }
            }
            let damage = if i == 0 { damage } else { &Damage::None };
            fs::write(dir.join(name), file(&header, data, damage)).unwrap();
        }
        if !self.converted {
            for (name, value) in &self.json {
                fs::write(dir.join(name), value.to_string()).unwrap();
            }
        }
    }
}

/// A safetensors file.
fn file(header: &Value, data: &[u8], damage: &Damage) -> Vec<u8> {
    let mut header = header.to_string();
    // So that the data is aligned.
    let mut padded = (header.len() + 8).next_multiple_of(64) - 8;
    if let Damage::Spaces(spaces) = damage {
        padded += usize::from(*spaces);
    }
    header.push_str(&" ".repeat(padded - header.len()));
    let length = match damage {
        Damage::Length(length) => length.0,
        _ => padded,
    };
    let mut bytes = [&(length as u64).to_le_bytes()[..], header.as_bytes(), data].concat();
    match damage {
        Damage::Tail(tail) => bytes.resize(bytes.len().saturating_add_signed((*tail).into()), 0),
        Damage::Patches(patches) => patch(&mut bytes, patches),
        _ => {}
    }
    bytes
}

/// A file that `bho convert` wrote, taken apart.
fn converted(bytes: &[u8]) -> Checkpoint {
    let (length, rest) = bytes.split_first_chunk().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header: Value = serde_json::from_slice(header).unwrap();
    let metadata = header["__metadata__"].as_object().unwrap().iter();
    let json = metadata.filter_map(|(key, text)| {
        let value = serde_json::from_str::<Value>(text.as_str()?).ok()?;
        value.is_object().then(|| (key.clone(), value))
    });
    Checkpoint {
        json: json.collect(),
        weights: vec![(SINGLE, header, data.to_vec())],
        converted: true,
    }
}

/// Sound models: checkpoints, the same in two files, and what becomes of them; `scratch` is a folder to
/// convert in.
///
/// # Panics
/// When one of them is not sound after all.
pub fn sound(scratch: &Path) -> Vec<Checkpoint> {
    let llama = |dtype, packed, tied| decoder("LlamaForCausalLM", dtype, packed, tied);
    let checkpoints = [
        llama("F32", false, false),
        llama("BF16", false, true),
        llama("BF16", true, false),
        decoder("BitNetForCausalLM", "BF16", false, true),
        decoder("Qwen3Model", "BF16", false, true),
        bert("BertModel", 0),
        bert("BertForSequenceClassification", 3),
    ];
    let plain = DecoderOptions::default();
    let dense = DecoderOptions { dense: true, head: HeadFormat::Int4, ..plain };
    let (weights, head, embed) = (WeightFormat::F32, HeadFormat::F32, EmbedFormat::Own);
    let floats = DecoderOptions { weights, head, embed, ..plain };
    let (weights, head, embed) = (WeightFormat::TernaryRows, HeadFormat::F16, EmbedFormat::Int8);
    let halves = DecoderOptions { weights, head, embed, ..plain };
    let how = [
        (0, plain),
        (0, halves),
        (1, floats),
        (2, dense),
        (3, plain),
        (4, plain),
        (5, plain),
        (6, plain),
        (5, halves),
        (6, halves),
    ];
    let made = how.map(|(i, decoder)| {
        checkpoints[i].write(scratch, &Damage::default());
        let file = scratch.join("converted");
        let options = ConvertOptions { decoder, ..ConvertOptions::default() };
        convert(scratch, &file, &options, &CancelToken::new(), &mut |_| {}).unwrap();
        converted(&fs::read(&file).unwrap())
    });
    let shards = checkpoints.clone().map(Checkpoint::sharded);
    checkpoints.into_iter().chain(shards).chain(made).collect()
}
