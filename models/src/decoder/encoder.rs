// SPDX-License-Identifier: AGPL-3.0-or-later
//! A decoder that gives vectors, behind the [`Encoder`] trait: text, windows and pooling.

use std::sync::Arc;

use bho_engine::decoder::{
    DecoderModel, KvCache, KvKind, PAGE, Scratch, Sequence, Slice, Want, Wanted,
};
use bho_engine::{
    CancelToken, Classification, Compute, Coverage, Embedding, Encoder, EngineError, ModelInfo,
    TokenLabel, WindowScores,
};
use serde_json::Value;

use super::load::{LoadedDecoder, from_package};
use super::text::{ids, special_text};
use crate::decoder_tokenizer::{DecoderTokenizer, EncodeOptions};
use crate::error::ModelError;
use crate::package::{Package, Pooling};
use crate::windows::{self, normalize};

/// Keys and values of a window take at most this: what bounds the window of models whose context is
/// longer than passages are.
const MAX_KV_BYTES: usize = 1 << 30;

/// What Qwen3's embedding models put behind a text, whatever their config calls its end.
const QWEN3_END: &str = "<|endoftext|>";

/// A text as it stands, between tokens that are put around each window of it.
const BARE: EncodeOptions =
    EncodeOptions { parse_special: false, add_special: false, max_tokens: usize::MAX };

/// A decoder that gives vectors (BitNet embedding, arXiv:2606.25674), ready for text.
///
/// Keys and values are kept in single precision while a pass runs and forgotten behind it, so a
/// text's vector is the same whatever else is in the batch, on any number of threads.
pub struct DecoderEncoder {
    model: DecoderModel,
    compute: Compute,
    tokenizer: DecoderTokenizer,
    pooling: Pooling,
    /// Tokens before and behind each window.
    around: [Vec<u32>; 2],
    /// Tokens of a window, those around it included.
    window: usize,
    info: ModelInfo,
}

impl DecoderEncoder {
    /// Builds the encoder of a package; `sha256` is that of its file, or empty.
    ///
    /// # Errors
    /// Naming the part of the package that is missing or wrong.
    pub fn load(package: &Package, sha256: &str, compute: &Compute) -> Result<Self, ModelError> {
        let LoadedDecoder { model, package, architecture, precision } =
            from_package(package.clone())?;
        let file = package.weights.name();
        let config = model.config();
        if model.head().is_some() {
            let message = format!("{architecture} writes text; it was not made to give vectors");
            return Err(ModelError::invalid(file, message));
        }
        let json = package.tokenizer.as_deref().ok_or_else(|| {
            ModelError::invalid(file, "has no tokenizer; convert the model with its tokenizer.json")
        })?;
        let tokenizer = DecoderTokenizer::from_json(file, json, config.vocab)?;
        let around = [tokenizer.prefix().to_vec(), end(&package, &tokenizer)?];
        let page_bytes = model.kv_shape(KvKind::F32).page_bytes().max(1);
        let window = package.max_tokens.unwrap_or(config.context).min(config.context);
        let window = window.min((MAX_KV_BYTES / page_bytes).max(1) * PAGE);
        let least = around.concat().len() + 2;
        if window < least {
            let message = format!("a window of {window} tokens; accepted: {least} or more");
            return Err(ModelError::invalid(file, message));
        }
        let info = ModelInfo {
            name: package.name.clone(),
            architecture,
            sha256: sha256.into(),
            precision,
            weight_bytes: package.weights.tensors().values().map(|t| t.bytes() as u64).sum(),
            isa: compute.kernels().name().into(),
            threads: compute.threads(),
        };
        let (compute, pooling) = (compute.clone(), package.pooling);
        Ok(Self { model, compute, tokenizer, pooling, around, window, info })
    }

    /// [`DecoderEncoder::load`] behind the trait, for the table of architectures.
    pub(crate) fn load_dyn(
        package: &Package,
        sha256: &str,
        compute: &Compute,
    ) -> Result<Arc<dyn Encoder>, ModelError> {
        Ok(Arc::new(Self::load(package, sha256, compute)?))
    }

    /// Token ids of `text` with those around it and nothing cut, for parity tests.
    ///
    /// # Errors
    /// [`EngineError::Tokenizer`].
    pub fn token_ids(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        Ok(self.sequence(&self.tokenizer.encode(text, BARE)?))
    }

    fn sequence(&self, tokens: &[u32]) -> Vec<u32> {
        let [before, behind] = &self.around;
        [before, tokens, behind].concat()
    }

    /// The pooled, not normalised vector of each sequence, in passes of bounded size.
    fn pooled(
        &self,
        sequences: &[Vec<u32>],
        cancel: &CancelToken,
    ) -> Result<Vec<Vec<f32>>, EngineError> {
        let passes = windows::passes(sequences.iter().map(Vec::len));
        let pages = |pass: &std::ops::Range<usize>| {
            sequences[pass.clone()].iter().map(|s| s.len().div_ceil(PAGE)).sum::<usize>()
        };
        let Some(most) = passes.iter().map(pages).max() else { return Ok(Vec::new()) };
        let shape = self.model.kv_shape(KvKind::F32);
        let mut cache = KvCache::new(shape, most * shape.page_bytes())?;
        let mut scratch = Scratch::default();
        let want = match self.pooling {
            Pooling::Last => Wanted::Last(Want::Hidden),
            Pooling::Mean | Pooling::Cls => Wanted::All(Want::Hidden),
        };
        let mut out = Vec::with_capacity(sequences.len());
        for pass in passes {
            let mut held = Vec::with_capacity(pass.len());
            for tokens in &sequences[pass] {
                let mut sequence = Sequence::default();
                cache.extend(&mut sequence, tokens)?;
                held.push(sequence);
            }
            let slice = |sequence| Slice { sequence, new: Sequence::len(sequence), want };
            let slices: Vec<_> = held.iter().map(slice).collect();
            let states =
                self.model.forward(&self.compute, &cache, &slices, &mut scratch, cancel)?;
            let mut states = states.into_iter();
            for sequence in &held {
                let mut own = states.by_ref().take(match self.pooling {
                    Pooling::Last => 1,
                    Pooling::Mean | Pooling::Cls => sequence.len(),
                });
                let mut vector = own.next().unwrap_or_default();
                for row in own {
                    if self.pooling == Pooling::Mean {
                        self.compute.kernels().add(&mut vector, &row);
                    }
                }
                out.push(vector);
            }
            held.into_iter().for_each(|sequence| cache.end(sequence));
        }
        Ok(out)
    }

    fn no_head(&self, head: &'static str) -> EngineError {
        EngineError::NoHead { model: self.info.name.clone(), head, available: "embedding".into() }
    }
}

/// Tokens behind a text: those of the tokenizer's template, else the one that ends a text.
fn end(package: &Package, tokenizer: &DecoderTokenizer) -> Result<Vec<u32>, ModelError> {
    if !tokenizer.suffix().is_empty() {
        return Ok(tokenizer.suffix().to_vec());
    }
    let qwen3 = package.config.get("model_type").and_then(Value::as_str) == Some("qwen3");
    let known = qwen3.then(|| tokenizer.id(QWEN3_END)).flatten();
    let config = ids(package.config.get("eos_token_id")).first().copied();
    let named = special_text(&package.tokenizer_config, "eos_token");
    let id = known.or(config).or_else(|| tokenizer.id(&named?));
    match id {
        Some(id) if (id as usize) < tokenizer.ids() => Ok(vec![id]),
        found => {
            let found = found.map_or("none".into(), |id| format!("{id}, which is no token"));
            let message = format!(
                "the token that ends a text is {found}; accepted: a template in the tokenizer, \
                 eos_token_id in the config, eos_token in tokenizer_config.json"
            );
            Err(ModelError::invalid(package.weights.name(), message))
        }
    }
}

impl Encoder for DecoderEncoder {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn dim(&self) -> usize {
        self.model.config().hidden
    }

    /// A long text's vector is the mean over its windows of what each is pooled to (for `mean`, over
    /// all their tokens). Texts of more than 4 MiB are an error.
    fn embed(&self, texts: &[&str], cancel: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
        let body = self.window - self.around.concat().len();
        let (mut sequences, mut owners) = (Vec::new(), Vec::new());
        let mut out = Vec::with_capacity(texts.len());
        for (i, text) in texts.iter().enumerate() {
            cancel.check()?;
            let tokens = self.tokenizer.encode(text, BARE)?;
            let kept = tokens.len().min(windows::reach(body));
            let cut = windows::cut(kept, body);
            let coverage = Coverage {
                tokens: tokens.len(),
                windows: cut.len(),
                truncated: tokens.len() - kept,
            };
            for window in cut {
                sequences.push(self.sequence(&tokens[window]));
                owners.push(i);
            }
            out.push(Embedding { vector: vec![0f32; self.dim()], coverage });
        }
        // The mean's divisor falls out of the normalisation.
        for (owner, vector) in owners.into_iter().zip(self.pooled(&sequences, cancel)?) {
            self.compute.kernels().add(&mut out[owner].vector, &vector);
        }
        out.iter_mut().for_each(|embedding| normalize(&mut embedding.vector));
        Ok(out)
    }

    fn classify(
        &self,
        _: &[(&str, Option<&str>)],
        _: &CancelToken,
    ) -> Result<Vec<Classification>, EngineError> {
        Err(self.no_head("sequence classification"))
    }

    fn classify_windows(&self, _: &str, _: &CancelToken) -> Result<Vec<WindowScores>, EngineError> {
        Err(self.no_head("sequence classification"))
    }

    fn tag(&self, _: &[&str], _: &CancelToken) -> Result<Vec<Vec<TokenLabel>>, EngineError> {
        Err(self.no_head("token classification"))
    }
}
