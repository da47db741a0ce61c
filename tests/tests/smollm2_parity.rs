// SPDX-License-Identifier: AGPL-3.0-or-later
//! Real weights, SmolLM2-135M-Instruct as a Q4_1 GGUF, against llama.cpp and float32 arithmetic: 20
//! prompts, up to 48 greedy steps each.
//!
//! `BHO_SMOLLM2_GGUF` names the file (`tools/golden/fetch_smollm2.sh`); `.ci/run` fetches it.

use std::path::{Path, PathBuf};

use bho_engine::decoder::{KvCache, KvKind, Scratch, Slice, Want, Wanted};
use bho_engine::{CancelToken, Compute};
use bho_models::decoder::{
    DecoderOptions, EmbedFormat, HeadFormat, LoadedDecoder, TextModel, TextOptions, WeightFormat,
    load_decoder,
};
use bho_models::{ConvertOptions, convert};
use bho_tests::{Reference, golden};
use serde_json::{Value, json};

const STEPS: usize = 48;
const TOP: usize = 20;

fn gguf() -> Option<PathBuf> {
    let path = std::env::var_os("BHO_SMOLLM2_GGUF").map(PathBuf::from);
    if path.is_none() {
        println!("BHO_SMOLLM2_GGUF is not set: SmolLM2 was not compared with llama.cpp");
    }
    path
}

fn converted(gguf: &Path, dir: &Path, decoder: DecoderOptions) -> PathBuf {
    let path = dir.join("smollm2.safetensors");
    let options = ConvertOptions { decoder, ..ConvertOptions::default() };
    convert(gguf, &path, &options, &CancelToken::new(), &mut |_| {}).unwrap();
    path
}

struct Prompt {
    text: String,
    chat: bool,
    ids: Vec<u32>,
    generated: Vec<u32>,
}

fn prompts() -> Vec<Prompt> {
    let text = std::fs::read_to_string(golden("smollm2/prompts.json")).unwrap();
    let values: Vec<Value> = serde_json::from_str(&text).unwrap();
    let ids = |value: &Value| -> Vec<u32> {
        value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
    };
    let prompt = |value: &Value| Prompt {
        text: value["text"].as_str().unwrap().to_owned(),
        chat: value["chat"].as_bool().unwrap(),
        ids: ids(&value["ids"]),
        generated: ids(&value["generated"]),
    };
    let prompts: Vec<_> = values.iter().map(prompt).collect();
    assert_eq!(prompts.len(), 20);
    prompts
}

/// Logits of each step behind `prompt`, with the golden's own tokens fed.
fn steps(loaded: &LoadedDecoder, compute: &Compute, prompt: &Prompt) -> Vec<Vec<f32>> {
    let mut cache = KvCache::new(loaded.model.kv_shape(KvKind::F32), 256 << 20).unwrap();
    let mut sequence = cache.begin(&[]);
    let (read, rest) = prompt.ids.split_at(prompt.ids.len() - 1);
    let fed = [rest, &prompt.generated[..prompt.generated.len() - 1]].concat();
    let (mut scratch, cancel) = (Scratch::default(), CancelToken::new());
    let mut out = Vec::new();
    for (tokens, want) in [(read, Want::Nothing), (&fed[..], Want::Logits)] {
        cache.extend(&mut sequence, tokens).unwrap();
        let slice = Slice { sequence: &sequence, new: tokens.len(), want: Wanted::All(want) };
        out = loaded.model.forward(compute, &cache, &[slice], &mut scratch, &cancel).unwrap();
    }
    out
}

fn argmax(logits: &[f32]) -> usize {
    let best = |a: &usize, b: &usize| logits[*a].total_cmp(&logits[*b]).then(b.cmp(a));
    (0..logits.len()).max_by(best).unwrap()
}

/// How steps compare with the references.
#[derive(Debug, Default)]
struct Comparison {
    steps: usize,
    /// Largest and mean difference from float32, over the likeliest tokens of each step.
    worst: f32,
    mean: f64,
    /// Steps with the likeliest token of float32, and of llama.cpp.
    as_f32: usize,
    as_llama_cpp: usize,
    /// Largest gap between llama.cpp's two best where another token is the likeliest here.
    gap: f32,
}

fn compare(path: &Path) -> Comparison {
    let loaded = load_decoder(path).unwrap();
    let compute = Compute::new(2).unwrap();
    let reference = Reference::open(&golden("smollm2/golden.safetensors"));
    let ids = reference.ints("top_ids");
    let [llama_cpp, f32s] =
        ["top_logits", "top_logits_f32"].map(|name| reference.floats(name).unwrap());
    let mut comparison = Comparison::default();
    for (p, prompt) in prompts().iter().enumerate() {
        for (s, logits) in steps(&loaded, &compute, prompt).iter().enumerate() {
            let at = (p * STEPS + s) * TOP..(p * STEPS + s + 1) * TOP;
            let (ids, llama_cpp, f32s) = (&ids[at.clone()], &llama_cpp[at.clone()], &f32s[at]);
            assert_eq!(ids[0], prompt.generated[s] as i32);
            for (&id, &expected) in ids.iter().zip(f32s) {
                let difference = (logits[id as usize] - expected).abs();
                comparison.worst = comparison.worst.max(difference);
                comparison.mean += f64::from(difference);
            }
            let best = argmax(logits);
            comparison.steps += 1;
            comparison.as_f32 += usize::from(best == ids[argmax(f32s)] as usize);
            if best == ids[0] as usize {
                comparison.as_llama_cpp += 1;
            } else {
                comparison.gap = comparison.gap.max(llama_cpp[0] - llama_cpp[1]);
            }
        }
    }
    comparison.mean /= (comparison.steps * TOP) as f64;
    comparison
}

#[test]
fn logits_are_those_of_float32_and_tokens_those_of_llama_cpp() {
    let Some(gguf) = gguf() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (weights, head) = (WeightFormat::F32, HeadFormat::F32);
    let exact =
        DecoderOptions { weights, head, embed: EmbedFormat::Own, dense: false, floats_only: false };
    let found = compare(&converted(&gguf, dir.path(), exact));
    println!("float weights: {found:?}");
    assert!(found.steps > 800 && found.worst < 5e-2, "{found:?}");
    assert!(found.as_f32 == found.steps, "{found:?}");
    // llama.cpp rounds activations to int8; where its choice is clear, it is ours.
    assert!(found.gap < 0.4, "{found:?}");

    let found =
        compare(&converted(&gguf, tempfile::tempdir().unwrap().path(), DecoderOptions::default()));
    println!("int8 weights: {found:?}");
    assert!(found.mean < 0.5 && found.as_f32 * 10 > found.steps * 9, "{found:?}");
}

#[test]
fn prompts_become_the_tokens_of_llama_cpp() {
    let Some(gguf) = gguf() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = converted(&gguf, dir.path(), DecoderOptions::default());
    let compute = Compute::new(1).unwrap();
    let model = TextModel::open(&path, &compute, TextOptions::default()).unwrap();
    for prompt in prompts() {
        let found = if prompt.chat {
            let message = json!({ "role": "user", "content": prompt.text });
            model.chat_prompt(&[message]).unwrap()
        } else {
            model.prompt(&prompt.text).unwrap()
        };
        assert_eq!(found, prompt.ids, "{}", prompt.text);
    }
    assert!(model.stop_tokens().contains(&2), "{:?}", model.stop_tokens());
}
