// SPDX-License-Identifier: AGPL-3.0-or-later
//! Forward passes of small random decoders: what a token's numbers must not depend on.

mod common;

use bho_engine::decoder::{
    DecoderModel, KvCache, KvKind, PAGE, Scratch, Sequence, Slice, Want, Wanted,
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
