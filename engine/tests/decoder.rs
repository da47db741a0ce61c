// SPDX-License-Identifier: AGPL-3.0-or-later
//! Forward passes of small random decoders: what a token's numbers must not depend on.

use bho_engine::decoder::{
    Activations, DecoderConfig, DecoderLayer, DecoderModel, GateActivation, KvCache, KvKind, PAGE,
    Packed, Projection, RmsNorm, RotaryEmbedding, Scratch, Sequence, Slice, TokenEmbeddings, Want,
    Wanted,
};
use bho_engine::{CancelToken, Compute, EngineError, WeightBytes};
use bho_kernels::{F32Matrix, Int8Matrix, TernaryMatrix};

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Format {
    Ternary,
    TernaryWide,
    Int8,
    Float,
}

fn projection(random: &mut Random, format: Format, rows: usize, cols: usize) -> Projection {
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

const VOCAB: usize = 77;

/// Odd sizes, a window in every second layer, and every kind of norm.
fn model(format: Format, (heads, kv_heads, dim): (usize, usize, usize)) -> DecoderModel {
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
    DecoderModel::new(config, TokenEmbeddings::Head, ropes.into(), layers, norm, Some(head))
        .unwrap()
}

fn cache(model: &DecoderModel, kind: KvKind) -> KvCache {
    KvCache::new(model.kv_shape(kind), 64 << 20).unwrap()
}

fn tokens(n: usize, seed: u64) -> Vec<u32> {
    let random = &mut Random(seed);
    (0..n).map(|_| (random.next() % VOCAB as u64) as u32).collect()
}

/// Logits behind every token of one sequence, fed in chunks of the sizes given, again and again.
fn logits(
    model: &DecoderModel,
    compute: &Compute,
    cache: &mut KvCache,
    tokens: &[u32],
    chunks: &[usize],
) -> (Sequence, Vec<Vec<f32>>) {
    let (mut sequence, mut out, mut scratch) =
        (Sequence::default(), Vec::new(), Scratch::default());
    let mut sizes = chunks.iter().copied().cycle();
    while sequence.len() < tokens.len() {
        let end = tokens.len().min(sequence.len() + sizes.next().unwrap());
        let new = tokens[sequence.len()..end].to_vec();
        cache.extend(&mut sequence, &new).unwrap();
        let slice = Slice { sequence: &sequence, new: new.len(), want: Wanted::All(Want::Logits) };
        let cancel = CancelToken::new();
        out.extend(model.forward(compute, cache, &[slice], &mut scratch, &cancel).unwrap());
        cache.publish(&mut sequence);
    }
    (sequence, out)
}

#[test]
fn numbers_depend_neither_on_threads_nor_on_how_a_prompt_is_cut() {
    for (format, shape) in [
        (Format::Ternary, (5, 1, 24)),
        (Format::TernaryWide, (9, 3, 16)),
        (Format::Int8, (6, 2, 8)),
        (Format::Float, (3, 3, 16)),
    ] {
        let model = model(format, shape);
        let prompt = tokens(2 * PAGE + 17, 1);
        let kinds =
            if format == Format::Int8 { &[KvKind::Int8, KvKind::F16][..] } else { &[KvKind::F16] };
        for &kind in kinds {
            let one = Compute::new(1).unwrap();
            let (_, expected) = logits(&model, &one, &mut cache(&model, kind), &prompt, &[1000]);
            assert_eq!(expected.len(), prompt.len());
            assert!(expected.iter().flatten().all(|v| v.is_finite()));
            for threads in [1, 2, 3] {
                let compute = Compute::new(threads).unwrap();
                for chunks in [&[1][..], &[80, 1, 1, 3], &[200]] {
                    let (_, found) =
                        logits(&model, &compute, &mut cache(&model, kind), &prompt, chunks);
                    assert!(found == expected, "{format:?} {kind:?} {threads} {chunks:?}");
                }
            }
        }
    }
}

#[test]
fn sequences_side_by_side_do_not_see_each_other() {
    let model = model(Format::Ternary, (5, 1, 24));
    let compute = Compute::new(2).unwrap();
    let prompts = [tokens(PAGE + 3, 1), tokens(70, 2), tokens(1, 3)];
    let expected = prompts.clone().map(|prompt| {
        let mut cache = cache(&model, KvKind::F16);
        logits(&model, &compute, &mut cache, &prompt, &[1000]).1.pop().unwrap()
    });
    let mut cache = cache(&model, KvKind::F16);
    let mut sequences = prompts.clone().map(|prompt| {
        let mut sequence = cache.begin(&prompt);
        cache.extend(&mut sequence, &prompt).unwrap();
        sequence
    });
    let slices: Vec<_> = sequences
        .iter()
        .map(|sequence| Slice { sequence, new: sequence.len(), want: Wanted::Last(Want::Logits) })
        .collect();
    let (mut scratch, cancel) = (Scratch::default(), CancelToken::new());
    let found = model.forward(&compute, &cache, &slices, &mut scratch, &cancel).unwrap();
    assert!(found == expected);

    // A fourth that begins as the second takes over its pages and comes to the same.
    sequences.iter_mut().for_each(|sequence| cache.publish(sequence));
    let mut fourth = cache.begin(&prompts[1]);
    assert_eq!(fourth.len(), 2 * PAGE);
    cache.extend(&mut fourth, &prompts[1][2 * PAGE..]).unwrap();
    let slice = Slice { sequence: &fourth, new: 70 - 2 * PAGE, want: Wanted::Last(Want::Logits) };
    let found = model.forward(&compute, &cache, &[slice], &mut scratch, &cancel).unwrap();
    assert!(found[0] == expected[1]);
}

#[test]
fn hidden_states_and_nothing_can_be_wanted() {
    let model = model(Format::Float, (3, 3, 16));
    let compute = Compute::new(2).unwrap();
    let mut cache = cache(&model, KvKind::F16);
    let mut sequence = Sequence::default();
    cache.extend(&mut sequence, &tokens(60, 4)).unwrap();
    let run = |want| {
        let slice = Slice { sequence: &sequence, new: 60, want };
        let (mut scratch, cancel) = (Scratch::default(), CancelToken::new());
        model.forward(&compute, &cache, &[slice], &mut scratch, &cancel).unwrap()
    };
    let all = run(Wanted::All(Want::Hidden));
    assert!(all.len() == 60 && all.iter().all(|row| row.len() == 72));
    assert!(run(Wanted::Last(Want::Hidden))[0] == all[59]);
    assert!(run(Wanted::Last(Want::Nothing)).is_empty());
}

#[test]
fn unknown_tokens_and_a_stop_are_errors() {
    let model = model(Format::Ternary, (5, 1, 24));
    let compute = Compute::new(2).unwrap();
    let mut cache = cache(&model, KvKind::F16);
    let run = |cache: &KvCache, sequence: &Sequence, cancel: &CancelToken| {
        let slice = Slice { sequence, new: sequence.len(), want: Wanted::Last(Want::Logits) };
        model.forward(&compute, cache, &[slice], &mut Scratch::default(), cancel)
    };
    let mut sequence = Sequence::default();
    cache.extend(&mut sequence, &[1, VOCAB as u32]).unwrap();
    let error = run(&cache, &sequence, &CancelToken::new()).unwrap_err();
    assert_eq!(error.to_string(), "input: token 77; ids are 0..=76");
    let mut sequence = Sequence::default();
    cache.extend(&mut sequence, &[1, 2]).unwrap();
    let cancel = CancelToken::new();
    cancel.cancel();
    assert!(matches!(run(&cache, &sequence, &cancel), Err(EngineError::Cancelled)));
    assert!(run(&cache, &sequence, &CancelToken::new()).is_ok());
}
