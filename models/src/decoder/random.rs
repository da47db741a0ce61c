// SPDX-License-Identifier: AGPL-3.0-or-later
//! Decoders with random weights of real shapes: for measuring speed and memory without a download.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use bho_engine::CancelToken;
use bho_kernels::ForeignTernary;
use serde_json::{Value, json};

use super::architectures::spec;
use super::byte_tokenizer;
use super::convert::{DecoderOptions, convert};
use super::spec::{DecoderSpec, HeadSpec};
use crate::convert::{ConvertReport, Progress};
use crate::error::ModelError;
use crate::source::{PackedScale, Source};
use crate::weights::FloatKind;

/// Names that [`shape`] knows.
pub const SHAPES: [&str; 3] = ["2b-4t", "100m", "1m"];

/// The config of a shape by name: microsoft/bitnet-b1.58-2B-4T, or one small enough to try things.
pub fn shape(name: &str) -> Option<Value> {
    match name {
        "2b-4t" => Some(bitnet(2560, 30, (20, 5), 6912, 128_256)),
        "100m" => Some(bitnet(768, 12, (12, 4), 2048, 32_000)),
        "1m" => Some(bitnet(128, 2, (4, 2), 384, 512)),
        _ => None,
    }
}

fn bitnet(
    hidden: usize,
    layers: usize,
    (heads, kv_heads): (usize, usize),
    ffn: usize,
    vocab: usize,
) -> Value {
    json!({
        "architectures": ["BitNetForCausalLM"],
        "hidden_act": "relu2",
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500_000.0,
        "vocab_size": vocab,
        "tie_word_embeddings": true,
    })
}

/// Writes a decoder of this config with seeded random weights; the same arguments give the same
/// bytes.
///
/// - `text`: puts a tokenizer of single bytes in the file, with `<|begin|>`, `<|end|>` and a chat
///   template of theirs; otherwise it has none
///
/// # Errors
/// As [`crate::convert()`], and for a vocabulary that is too small for the tokenizer.
pub fn make_random(
    config: &Value,
    seed: u64,
    text: bool,
    options: &DecoderOptions,
    (dst, force): (&Path, bool),
    cancel: &CancelToken,
    progress: &mut dyn FnMut(&Progress<'_>),
) -> Result<ConvertReport, ModelError> {
    let name = format!("random weights, seed {seed}");
    let spec = spec(&name, config)?;
    let source = Random { shapes: shapes(&spec), name, seed };
    let mut metadata: BTreeMap<_, _> = crate::package::metadata_of("random", config);
    metadata.insert("bho.source".into(), source.name.clone());
    if text {
        let (vocab, needed) = (spec.config.vocab, byte_tokenizer::TOKENS);
        if vocab < needed {
            let message = format!("has {vocab} token ids; a tokenizer of bytes needs {needed}");
            return Err(ModelError::invalid(source.name, message));
        }
        metadata.extend(byte_tokenizer::metadata());
    }
    let target = (dst, force);
    let (bytes, sha256, tensors, left_out) =
        convert(&spec, &source, options, &metadata, target, cancel, progress)?;
    let shared = Vec::new();
    Ok(ConvertReport { path: dst.into(), bytes, sha256, tensors, shared, left_out })
}

/// Every tensor of a model.
fn shapes(spec: &DecoderSpec) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = BTreeMap::new();
    for matrix in spec.matrices() {
        shapes.insert(matrix.weight(), vec![matrix.rows, matrix.cols]);
        if matrix.bias {
            shapes.insert(format!("{}.bias", matrix.name), vec![matrix.rows]);
        }
    }
    for norm in spec.norms() {
        shapes.extend(norm.gain.clone().map(|gain| (gain, vec![norm.dim])));
    }
    if !matches!(spec.head, Some(HeadSpec::Own(_))) {
        shapes.remove("lm_head.weight");
    }
    shapes.insert(spec.embeddings.clone(), vec![spec.config.vocab, spec.config.hidden]);
    shapes
}

/// A checkpoint made up as it is read.
struct Random {
    shapes: BTreeMap<String, Vec<usize>>,
    name: String,
    seed: u64,
}

impl Source for Random {
    fn name(&self) -> &str {
        &self.name
    }

    fn names(&self) -> Vec<String> {
        self.shapes.keys().cloned().collect()
    }

    fn shape(&self, tensor: &str) -> Option<Vec<usize>> {
        self.shapes.get(tensor).cloned()
    }

    fn bytes(&self, tensor: &str) -> u64 {
        self.shape(tensor).map_or(0, |shape| shape.iter().product::<usize>() as u64)
    }

    fn half(&self, _: &str) -> Option<FloatKind> {
        Some(FloatKind::BF16)
    }

    /// Gains near 1; else sums of four uniform values, near a normal distribution, so that rounding
    /// to ternary gives about as many zeros as in trained models.
    fn floats(
        &self,
        tensor: &str,
        cols: usize,
        rows: Range<usize>,
        out: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        let vector = self.shapes.get(tensor).is_some_and(|shape| shape.len() == 1);
        let scale = 1.0 / (cols as f32).sqrt();
        for row in rows {
            let mut random = self.generator(tensor, row);
            out.extend((0..cols).map(|_| {
                let bits = random();
                let part = |i: u32| f32::from((bits >> (16 * i)) as i16) / 32768.0;
                let sum = part(0) + part(1) + part(2) + part(3);
                if vector { 1.0 + sum / 16.0 } else { sum * scale }
            }));
        }
        Ok(())
    }

    fn ternary(
        &self,
        _: &str,
        _: (usize, usize),
        _: Option<PackedScale>,
    ) -> Result<Option<ForeignTernary<'_>>, ModelError> {
        Ok(None)
    }

    fn release(&self, _: &str, _: usize) {}
}

impl Random {
    /// SplitMix64 (Steele et al. 2014), seeded for one row of one tensor (FNV-1a of its name).
    fn generator(&self, tensor: &str, row: usize) -> impl FnMut() -> u64 + use<> {
        let hash = tensor.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut state =
            hash ^ self.seed.rotate_left(32) ^ (row as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
        move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }
    }
}
