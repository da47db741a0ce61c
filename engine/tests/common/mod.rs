// SPDX-License-Identifier: AGPL-3.0-or-later
//! Small random decoders.

#![allow(dead_code, unreachable_pub, reason = "each test uses some of it")]

use bho_engine::WeightBytes;
use bho_engine::decoder::{
    Activations, DecoderConfig, DecoderLayer, DecoderModel, GateActivation, Packed, Projection,
    RmsNorm, RotaryEmbedding, TokenEmbeddings,
};
use bho_kernels::{F32Matrix, Int8Matrix, TernaryMatrix};

/// splitmix64.
pub struct Random(u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Format {
    Ternary,
    TernaryWide,
    Int8,
    Float,
}

pub fn projection(random: &mut Random, format: Format, rows: usize, cols: usize) -> Projection {
    let trits = |random: &mut Random| -> Vec<i8> {
        (0..rows * cols).map(|_| (random.next() % 3) as i8 - 1).collect()
    };
    let scale = vec![1.0 / (cols as f32).sqrt(); rows];
    let (weights, scales, activations) = match format {
        Format::Ternary | Format::TernaryWide => {
            let packed = TernaryMatrix::pack(rows, cols, &trits(random)).unwrap();
            let activations =
                if format == Format::Ternary { Activations::Int8 } else { Activations::Int16 };
            (Packed::Ternary(WeightBytes::from(packed.as_bytes().to_vec())), scale, activations)
        }
        Format::Int8 => {
            let weights = random.floats(rows * cols);
            let (packed, scales) = Int8Matrix::quantize(rows, cols, &weights).unwrap();
            let bytes = WeightBytes::from(packed.as_bytes().to_vec());
            (Packed::Int8(bytes), scales, Activations::Int16)
        }
        Format::Float => {
            let weights = random.floats(rows * cols);
            let packed = F32Matrix::pack(rows, cols, &weights).unwrap();
            (Packed::Float(packed), Vec::new(), Activations::Float)
        }
    };
    let bias = Some(random.floats(rows)).filter(|_| random.next().is_multiple_of(2));
    Projection::new((rows, cols), weights, scales, bias, activations).unwrap()
}

pub const VOCAB: usize = 77;

/// Odd sizes, a window in every second layer, and every kind of norm.
pub fn model(format: Format, shape: (usize, usize, usize)) -> DecoderModel {
    model_with(format, shape, TokenEmbeddings::Head)
}

pub fn model_with(
    format: Format,
    (heads, kv_heads, dim): (usize, usize, usize),
    embeddings: TokenEmbeddings,
) -> DecoderModel {
    let random = &mut Random(7);
    let (hidden, ffn) = (72, 90);
    let norm = |random: &mut Random, n| {
        let gain = random.floats(n).iter().map(|g| 1.0 + g / 4.0).collect();
        Some(RmsNorm::new(gain, 1e-5))
    };
    let layer = |random: &mut Random, index: usize| DecoderLayer {
        attention_norm: norm(random, hidden),
        query: projection(random, format, heads * dim, hidden),
        key: projection(random, format, kv_heads * dim, hidden),
        value: projection(random, format, kv_heads * dim, hidden)
            .with_input_norm(norm(random, hidden).unwrap())
            .unwrap(),
        query_norm: norm(random, dim),
        key_norm: norm(random, dim),
        rope: index % 2,
        window: (index % 2 == 1).then_some(40),
        attention_sub_norm: norm(random, heads * dim),
        output: projection(random, format, hidden, heads * dim),
        attention_post_norm: norm(random, hidden),
        ffn_norm: norm(random, hidden),
        gate: projection(random, format, ffn, hidden),
        up: projection(random, format, ffn, hidden),
        activation: [GateActivation::ReluSquared, GateActivation::Silu][index % 2],
        ffn_sub_norm: norm(random, ffn),
        down: projection(random, format, hidden, ffn),
        ffn_post_norm: None,
    };
    let layers = (0..2).map(|i| layer(random, i)).collect();
    let config = DecoderConfig {
        hidden,
        heads,
        kv_heads,
        head_dim: dim,
        vocab: VOCAB,
        context: 512,
        embedding_scale: 1.5,
        attention_scale: 1.0 / (dim as f32).sqrt(),
        causal: true,
    };
    let ropes = [10_000.0, 500_000.0]
        .map(|base| RotaryEmbedding::new(RotaryEmbedding::inv_freq(base, dim), 1.0));
    let head = projection(random, Format::Int8, VOCAB, hidden);
    let norm = norm(random, hidden).unwrap();
    DecoderModel::new(config, embeddings, ropes.into(), layers, norm, Some(head)).unwrap()
}

pub fn tokens(n: usize, seed: u64) -> Vec<u32> {
    let random = &mut Random(seed);
    (0..n).map(|_| (random.next() % VOCAB as u64) as u32).collect()
}
