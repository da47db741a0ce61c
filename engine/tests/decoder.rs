// SPDX-License-Identifier: AGPL-3.0-or-later
//! Forward passes of small random decoders: what a token's numbers must not depend on.

mod common;

use bho_engine::decoder::{
    DecoderModel, KvCache, KvKind, PAGE, Scorer, Scratch, Sequence, Slice, Want, Wanted,
};
use bho_engine::{CancelToken, Compute, EngineError};
use common::{Format, VOCAB, model, tokens};

fn cache(model: &DecoderModel, kind: KvKind) -> KvCache {
    KvCache::new(model.kv_shape(kind), 64 << 20).unwrap()
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
        let prompt = tokens(5 * PAGE + 17, 1);
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
fn scores_are_the_log_softmax_of_the_logits_step_by_step() {
    for (format, shape) in [(Format::Ternary, (5, 1, 24)), (Format::Float, (3, 3, 16))] {
        let model = model(format, shape);
        // More than one chunk of a pass is read before the first that is scored, and 40 more.
        let text = [tokens(480, 5), tokens(30, 6)].concat();
        let one = Compute::new(1).unwrap();
        let mut stepwise = cache(&model, KvKind::F16);
        let (_, logits) = logits(&model, &one, &mut stepwise, &text, &[1]);
        let expected: Vec<_> = (1..text.len())
            .map(|i| {
                let row = logits[i - 1].iter().map(|&logit| f64::from(logit));
                let all = row.map(f64::exp).sum::<f64>().ln();
                f64::from(logits[i - 1][text[i] as usize]) - all
            })
            .collect();
        for (threads, first) in [(1, 1), (2, 1), (3, 2), (2, 470), (2, 509)] {
            let compute = Compute::new(threads).unwrap();
            let mut scorer = Scorer::new(&model, &compute, KvKind::F16, 512).unwrap();
            let cancel = CancelToken::new();
            let found = scorer.score(&text, first, &cancel).unwrap();
            assert_eq!(found.len(), text.len() - first);
            for (found, expected) in found.iter().zip(&expected[first - 1..]) {
                assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} for {expected}");
            }
            // Nothing is kept of the last text.
            assert!(scorer.score(&text, first, &cancel).unwrap() == found);
        }
    }
}

#[test]
fn what_cannot_be_scored_is_refused() {
    let model = model(Format::Ternary, (5, 1, 24));
    let compute = Compute::new(2).unwrap();
    let mut scorer = Scorer::new(&model, &compute, KvKind::F16, PAGE).unwrap();
    let cancel = CancelToken::new();
    let mut refused = |tokens: &[u32], first| scorer.score(tokens, first, &cancel).unwrap_err();
    assert!(refused(&[1, 2], 0).to_string().contains("follows nothing"));
    assert!(refused(&tokens(PAGE + 1, 1), 1).to_string().contains("33 tokens; 32 fit"));
    assert!(refused(&[1, 77], 1).to_string().contains("token 77"));
    cancel.cancel();
    assert!(matches!(refused(&[1, 2], 1), EngineError::Cancelled));
    assert!(scorer.score(&[1], 1, &CancelToken::new()).unwrap().is_empty());
    let states = [vec![0.5; 72], vec![0.5; 71]];
    let short = model.log_probs(&compute, &states, &[1, 2], &CancelToken::new());
    assert!(short.unwrap_err().to_string().contains("states of 72 values"));
}

#[test]
fn embeddings_that_are_no_numbers_are_errors_and_not_text() {
    use bho_engine::decoder::TokenEmbeddings;
    use bho_engine::layers::Embeddings;
    for (value, token) in [(f32::NAN, 3), (f32::INFINITY, 76), (f32::NEG_INFINITY, 0)] {
        let mut table = vec![0.25; VOCAB * 72];
        table[token * 72 + 71] = value;
        let table = Embeddings::float("table", (VOCAB, 72), table).unwrap();
        let embeddings = TokenEmbeddings::Table(table);
        let model = common::model_with(Format::Ternary, (5, 1, 24), embeddings);
        let compute = Compute::new(2).unwrap();
        let mut cache = cache(&model, KvKind::F16);
        let mut run = |tokens: &[u32]| {
            let mut sequence = Sequence::default();
            cache.extend(&mut sequence, tokens).unwrap();
            let want = Wanted::Last(Want::Logits);
            let slice = Slice { sequence: &sequence, new: tokens.len(), want };
            let (mut scratch, cancel) = (Scratch::default(), CancelToken::new());
            model.forward(&compute, &cache, &[slice], &mut scratch, &cancel)
        };
        let error = run(&[5, token as u32, 6]).unwrap_err().to_string();
        assert!(error.contains(&format!("embedding of token {token} holds {value}")), "{error}");
        assert!(run(&[5, 6]).is_ok());
    }
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
