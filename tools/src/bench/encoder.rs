// SPDX-License-Identifier: AGPL-3.0-or-later
//! Forward passes of an encoder: token ids in, a vector a token out, one sequence.

use std::time::Duration;

use bho_engine::{CancelToken, Compute, Storage};
use bho_kernels::Kernels;
use bho_models::bert::{BertConfig, BertModel, TokenSequence};
use bho_models::{ModelSource, ModelStore, Package};
use serde::Serialize;

use super::random_bytes;
use super::team::{self, Sampling, Seconds};
use crate::exit::{Exit, Failure, OrFailed as _};
use crate::models;

/// Samples of a pass; most of them outlast any interruption.
const SAMPLING: Sampling = Sampling { sample: Duration::from_millis(20), samples: 15 };

/// One number of tokens on some threads.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) isa: &'static str,
    pub(crate) threads: usize,
    pub(crate) tokens: usize,
    pub(crate) seconds: Seconds,
    pub(crate) tokens_per_s: f64,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) version: &'static str,
    /// False when it was stopped.
    pub(crate) complete: bool,
    pub(crate) cpu: crate::machine::Cpu,
    pub(crate) model: String,
    pub(crate) precision: &'static str,
    pub(crate) rows: Vec<Row>,
}

/// The bundled encoder that is measured where none is named: int8, as other runtimes have it too.
const MEASURED: &str = "minilm-l6-int8";

/// The encoder [`MEASURED`], which is part of the program.
///
/// # Errors
/// When it is not.
pub(crate) fn bundled() -> Result<Package, Failure> {
    let store = ModelStore::bundled().map_err(models::failure)?;
    let source = store.resolve(MEASURED).map_err(models::failure)?;
    let ModelSource::Bundled { name, bytes, .. } = source else {
        return Err(Failure::said(Exit::Failed, "the encoder is not part of this program"));
    };
    Package::from_storage(&name, Storage::Static(bytes)).map_err(models::failure)
}

/// Measures; `tick` is told what comes next, how many steps are done and how many there are.
///
/// # Errors
/// [`Exit::Usage`] for more tokens than the model reads, [`Exit::Failed`] when a backend or a number
/// of threads changes the result.
pub(crate) fn run(
    package: &Package,
    isas: &[&'static dyn Kernels],
    tokens: &[usize],
    threads: &[usize],
    cancel: &CancelToken,
    tick: &mut dyn FnMut(&str, usize, usize),
) -> Result<Report, Failure> {
    let name = &package.name;
    let config =
        BertConfig::from_json(package.weights.name(), &package.config).map_err(models::failure)?;
    if let Some(tokens) = tokens.iter().find(|tokens| **tokens > config.positions) {
        let message = format!(
            "--tokens: {name} reads up to {} tokens at once, not {tokens}",
            config.positions
        );
        return Err(Failure::said(Exit::Usage, message));
    }
    let sequences: Vec<_> = tokens.iter().map(|&tokens| sequence(tokens, config.vocab)).collect();
    let mut expected: Vec<Option<Vec<f32>>> = vec![None; tokens.len()];
    let mut rows = Vec::new();
    let mut precision = "";
    let total = isas.len() * threads.len() * tokens.len();
    let never = CancelToken::new();
    for &kernels in isas {
        for &threads in threads {
            let compute = Compute::with_kernels(kernels, threads)?;
            let model = BertModel::load(config.clone(), &package.weights, &compute)
                .map_err(models::failure)?;
            precision = model.precision();
            for (sequence, expected) in sequences.iter().zip(&mut expected) {
                let tokens = sequence.ids.len();
                tick(&format!("{} {tokens} tokens", kernels.name()), rows.len(), total);
                // What a classifier runs: its head reads the first token alone.
                let forward = || match model.config().has_sequence_head() {
                    true => model.first_states(std::slice::from_ref(sequence), &never),
                    false => model.hidden_states(std::slice::from_ref(sequence), &never),
                };
                let hidden = forward().or_failed()?;
                if *expected.get_or_insert_with(|| hidden.clone()) != hidden {
                    let message =
                        format!("{}: another result with {threads} threads", kernels.name());
                    return Err(Failure::said(Exit::Failed, message));
                }
                let pass = |(): &mut (), _| {
                    std::hint::black_box(forward().expect("it worked before"));
                };
                let Some(seconds) = team::time(&mut [()], SAMPLING, cancel, pass) else { continue };
                let tokens_per_s = tokens as f64 / seconds.median;
                rows.push(Row { isa: kernels.name(), threads, tokens, seconds, tokens_per_s });
            }
        }
    }
    Ok(Report {
        version: env!("CARGO_PKG_VERSION"),
        complete: !cancel.is_cancelled(),
        cpu: crate::machine::Machine::read().cpu,
        model: name.clone(),
        precision,
        rows,
    })
}

/// Random ids: what a forward pass costs does not depend on them.
fn sequence(tokens: usize, vocab: usize) -> TokenSequence {
    let mut bytes = random_bytes(tokens as u64);
    let mut id = || u32::from_le_bytes(std::array::from_fn(|_| bytes.next().unwrap_or_default()));
    let vocab = u32::try_from(vocab).unwrap_or(u32::MAX);
    TokenSequence::single((0..tokens).map(|_| id() % vocab).collect())
}
