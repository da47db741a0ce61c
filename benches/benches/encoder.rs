// SPDX-License-Identifier: AGPL-3.0-or-later
//! The bundled encoder: forward passes of exact token counts, in int8 and in ternary, real texts, and a batch.
//!
//! `tools/peers/encoder_table.py` reads the ids that end in `t{threads}/{tokens}` and sets them
//! beside onnxruntime's: ready token ids in, one pooled vector out, batch 1.

use std::time::Duration;

use bho_benches::{Random, bundled, criterion, network, prose, sentences, ternary_network};
use bho_engine::{CancelToken, Compute};
use bho_models::bert::{BertModel, TokenSequence};
use bho_models::load_encoder;
use criterion::{BenchmarkId, Throughput};

const THREADS: [usize; 2] = [1, 2];

/// Special tokens of BERT's vocabulary, and the first that is none of its reserved ones.
const CLS: u32 = 101;
const SEP: u32 = 102;
const FIRST: u32 = 1000;

/// `[CLS] … [SEP]` of exactly `tokens` random ids.
fn sequence(model: &BertModel, tokens: usize) -> TokenSequence {
    let mut random = Random::new(tokens as u64);
    let span = model.config().vocab as u32 - FIRST;
    let body = (2..tokens).map(|_| FIRST + random.below(span));
    let mut ids = vec![CLS];
    ids.extend(body);
    ids.push(SEP);
    TokenSequence::single(ids)
}

/// Mean over the rows of each sequence, L2-normalised, as [`bho_engine::Encoder::embed`] does it.
fn pool(model: &BertModel, hidden: &[f32], tokens: usize) -> Vec<Vec<f32>> {
    let dim = model.config().hidden;
    let pooled = hidden.chunks_exact(tokens * dim).map(|rows| {
        let mut sum = vec![0f32; dim];
        for row in rows.chunks_exact(dim) {
            model.compute().kernels().add(&mut sum, row);
        }
        let norm = sum.iter().map(|v| v * v).sum::<f32>().sqrt();
        sum.iter_mut().for_each(|v| *v /= norm);
        sum
    });
    pooled.collect()
}

fn main() {
    let mut c = criterion(Duration::from_secs(1)).sample_size(20).configure_from_args();
    let never = CancelToken::new();
    let forward = |model: &BertModel, sequences: &[TokenSequence]| {
        let tokens = sequences[0].ids.len();
        pool(model, &model.hidden_states(sequences, &never).expect("valid ids"), tokens)
    };
    let one_thread = network(&Compute::new(1).expect("kernels"));
    let mut group = c.benchmark_group("encoder/minilm-int8");
    for threads in THREADS {
        let compute = Compute::new(threads).expect("threads");
        let model = network(&compute);
        for tokens in [16, 64, 128, 256] {
            let input = [sequence(&model, tokens)];
            assert_eq!(input[0].ids.len(), tokens);
            assert_eq!(forward(&model, &input), forward(&one_thread, &input), "{threads} threads");
            group.throughput(Throughput::Elements(tokens as u64));
            group.bench_function(BenchmarkId::new(format!("t{threads}"), tokens), |b| {
                b.iter(|| forward(&model, &input));
            });
        }

        let batch: Vec<_> = (0..32).map(|_| sequence(&model, 128)).collect();
        group.throughput(Throughput::Elements(32 * 128));
        group.bench_function(format!("batch-32x128/t{threads}"), |b| {
            b.iter(|| forward(&model, &batch));
        });

        // Text in, tokenizer included.
        let encoder = load_encoder(&bundled(), &compute).expect("the model loads");
        let sentences = sentences();
        let all: Vec<&str> = sentences.iter().map(String::as_str).collect();
        let long = prose(20_000);
        for (name, texts) in [
            ("embed-1-sentence", &all[100..101]),
            ("embed-32-sentences", &all[100..132]),
            ("embed-20kB-text", &[long.as_str()][..]),
        ] {
            let embeddings = encoder.embed(texts, &never).expect("texts embed");
            assert!(embeddings.iter().all(|e| e.coverage.truncated == 0));
            group.throughput(Throughput::Bytes(texts.iter().map(|t| t.len() as u64).sum()));
            group.bench_function(format!("{name}/t{threads}"), |b| {
                b.iter(|| encoder.embed(texts, &never));
            });
        }
    }
    group.finish();

    // The same shape with ternary layers; what its vectors mean does not matter here.
    let one_thread = ternary_network(&Compute::new(1).expect("kernels"));
    let mut group = c.benchmark_group("encoder/minilm-ternary");
    for threads in THREADS {
        let model = ternary_network(&Compute::new(threads).expect("threads"));
        for tokens in [16, 64, 128, 256] {
            let input = [sequence(&model, tokens)];
            assert_eq!(forward(&model, &input), forward(&one_thread, &input), "{threads} threads");
            group.throughput(Throughput::Elements(tokens as u64));
            group.bench_function(BenchmarkId::new(format!("t{threads}"), tokens), |b| {
                b.iter(|| forward(&model, &input));
            });
        }
    }
    group.finish();
    c.final_summary();
}
