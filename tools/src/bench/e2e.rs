// SPDX-License-Identifier: AGPL-3.0-or-later
//! A whole decoder: prompts read and tokens written a second, beside what memory allows.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bho_engine::decoder::{
    DecoderLayer, DecoderModel, KvCache, KvKind, Scratch, Sequence, Slice, Want, Wanted,
};
use bho_engine::generation::{Generator, GeneratorOptions, Request, Vocabulary};
use bho_engine::sampling::SamplingParams;
use bho_engine::{CancelToken, Compute, EngineError};
use bho_models::ModelError;
use bho_models::decoder::{LoadedDecoder, load_decoder};
use serde::Serialize;

use super::limits::{self, Limits};
use super::team::Sampling;
use super::{PageSize, memory};
use crate::machine::{Machine, Memory};

/// Tokens of a prompt that a pass reads, as the generator does.
const CHUNK: usize = 512;

/// What to measure.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) prompts: Vec<usize>,
    pub(crate) generate: Vec<usize>,
    pub(crate) threads: Vec<usize>,
    pub(crate) rounds: usize,
    pub(crate) kv: KvKind,
    /// Texts written side by side, beside one alone.
    pub(crate) concurrent: usize,
    /// Whether weights are moved to huge pages first.
    pub(crate) huge: bool,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) version: &'static str,
    /// False when it was stopped.
    pub(crate) complete: bool,
    pub(crate) model: String,
    pub(crate) architecture: String,
    pub(crate) precision: String,
    /// Bytes of the file.
    pub(crate) size: u64,
    /// Weights.
    pub(crate) params: u64,
    /// Bytes of weights that a token reads.
    pub(crate) token_bytes: usize,
    pub(crate) isa: &'static str,
    pub(crate) kv: &'static str,
    /// Bytes of weights that were moved to huge pages, and how long that took.
    pub(crate) huge_bytes: usize,
    pub(crate) huge_ms: f64,
    /// From the call to a model that can run.
    pub(crate) load_ms: f64,
    /// From the call to the first token behind a prompt of one, with all threads.
    pub(crate) first_token_ms: f64,
    pub(crate) rows: Vec<Row>,
    /// Most memory that the process held, file pages included; none where the system does not tell.
    pub(crate) peak_bytes: Option<u64>,
}

/// One test on so many threads.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// `pp512`, `tg64`, `2 x tg64`.
    pub(crate) test: String,
    pub(crate) threads: usize,
    /// Mean over the rounds.
    pub(crate) tokens_per_second: f64,
    /// Sample standard deviation.
    pub(crate) deviation: f64,
    pub(crate) seconds: Vec<f64>,
    /// Of texts side by side: the time for all of them over that for one alone.
    pub(crate) over_one: Option<f64>,
    /// Of `tg`: bytes of weights read a second.
    pub(crate) gb_s: Option<f64>,
    /// Of `tg`: that as a share of what probing reads from main memory.
    pub(crate) fraction: Option<f64>,
}

/// Measures; `tick` is told what comes next, how many steps are done and how many there are.
pub(crate) fn run(
    path: &Path,
    settings: &Settings,
    cancel: &CancelToken,
    tick: &mut dyn FnMut(&str, usize, usize),
) -> Result<Report, ModelError> {
    let begin = Instant::now();
    let LoadedDecoder { model, package, architecture, precision } = load_decoder(path)?;
    let (model, load) = (Arc::new(model), begin.elapsed());
    let longest = settings.prompts.iter().chain(&settings.generate).copied().max().unwrap_or(1);
    let context = model.config().context;
    if longest > context {
        let message = format!("{longest} tokens do not fit the model's context of {context}");
        return Err(EngineError::Input(message).into());
    }
    let most = settings.threads.iter().copied().max().unwrap_or(1);
    let mut bench = Bench::new(&model, most, settings.kv, longest)?;
    bench.pass(1, cancel)?;
    let first_token = begin.elapsed();
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        complete: true,
        model: package.name.clone(),
        architecture,
        precision,
        size: package.weights.as_bytes().len() as u64,
        params: parameters(&model),
        token_bytes: model.token_bytes(),
        isa: bench.compute.kernels().name(),
        kv: settings.kv.name(),
        load_ms: load.as_secs_f64() * 1e3,
        first_token_ms: first_token.as_secs_f64() * 1e3,
        rows: Vec::new(),
        peak_bytes: None,
        huge_bytes: 0,
        huge_ms: 0.0,
    };
    if settings.huge {
        let begin = Instant::now();
        report.huge_bytes = bho_engine::promote(&model.packed(), usize::MAX, cancel)?;
        report.huge_ms = begin.elapsed().as_secs_f64() * 1e3;
    }
    let tests: Vec<_> = (settings.prompts.iter().map(|&n| (true, n)))
        .chain(settings.generate.iter().map(|&n| (false, n)))
        .collect();
    let writing = if settings.concurrent > 1 { &settings.generate[..] } else { &[] };
    let measured = tests.len() + writing.len();
    let total = measured * settings.threads.len() * (settings.rounds + 1);
    let mut done = 0;
    'all: {
        for &(prompt, n) in &tests {
            for &threads in &settings.threads {
                let mut bench = Bench::new(&model, threads, settings.kv, longest)?;
                let test = format!("{}{n}", if prompt { "pp" } else { "tg" });
                let mut seconds = Vec::new();
                // One round to warm up.
                for round in 0..=settings.rounds {
                    tick(&format!("{test}, {threads} threads"), done, total);
                    done += 1;
                    match if prompt { bench.read(n, cancel) } else { bench.write(n, cancel) } {
                        Ok(time) if round > 0 => seconds.push(time.as_secs_f64()),
                        Ok(_) => {}
                        Err(EngineError::Cancelled) => {
                            report.complete = false;
                            break 'all;
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                report.rows.push(row(test, threads, n, seconds, |rate| {
                    (!prompt).then(|| rate * model.token_bytes() as f64 / 1e9)
                }));
            }
        }
        for &n in writing {
            for &threads in &settings.threads {
                let test = format!("{} x tg{n}", settings.concurrent);
                let side = SideBySide::new(&model, threads, settings, n)?;
                let (mut one, mut all) = (Vec::new(), Vec::new());
                for round in 0..=settings.rounds {
                    tick(&format!("{test}, {threads} threads"), done, total);
                    done += 1;
                    match side
                        .write(1, cancel)
                        .and_then(|a| Ok((a, side.write(settings.concurrent, cancel)?)))
                    {
                        Ok((a, b)) if round > 0 => {
                            one.push(a.as_secs_f64());
                            all.push(b.as_secs_f64());
                        }
                        Ok(_) => {}
                        Err(EngineError::Cancelled) => {
                            report.complete = false;
                            break 'all;
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                let over_one = all.iter().sum::<f64>() / one.iter().sum::<f64>();
                let tokens = settings.concurrent * n;
                let mut row = row(test, threads, tokens, all, |rate| {
                    Some(rate / settings.concurrent as f64 * model.token_bytes() as f64 / 1e9)
                });
                row.over_one = Some(over_one);
                report.rows.push(row);
            }
        }
    }
    report.peak_bytes = crate::machine::peak_memory();
    // Behind it, as what memory is probed with would count.
    if report.complete && !settings.generate.is_empty() {
        tick("reads from DRAM", total, total);
        let limits = read_limits(&settings.threads, cancel)?;
        for row in &mut report.rows {
            let limit = limits.read.iter().filter(|read| read.threads == row.threads);
            let limit = limit.map(|read| read.gb_s).max_by(f64::total_cmp);
            row.fraction = row.gb_s.zip(limit).map(|(gb_s, limit)| gb_s / limit);
        }
    }
    Ok(report)
}

/// What this machine reads from main memory on huge pages.
fn read_limits(threads: &[usize], cancel: &CancelToken) -> Result<Limits, ModelError> {
    let caches = memory::caches();
    let Memory { available_bytes, limit_bytes, .. } = Machine::read().memory;
    let free = [available_bytes, limit_bytes].into_iter().flatten().min();
    let bytes = memory::arena_bytes(&caches, free);
    let io = |source| EngineError::Io { path: "memory to read from".into(), source };
    let (arenas, _) = memory::arenas(bytes, &[PageSize::Huge]).map_err(io)?;
    let sampling = Sampling { sample: Duration::from_millis(10), samples: 15 };
    Ok(limits::measure(&[], &arenas, &[], threads, sampling, cancel, &mut |_| {}))
}

fn row(
    test: String,
    threads: usize,
    tokens: usize,
    seconds: Vec<f64>,
    gb_s: impl Fn(f64) -> Option<f64>,
) -> Row {
    let rates: Vec<f64> = seconds.iter().map(|s| tokens as f64 / s).collect();
    let count = rates.len().max(1) as f64;
    let mean = rates.iter().sum::<f64>() / count;
    let squares = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>();
    let deviation = (squares / (count - 1.0).max(1.0)).sqrt();
    Row {
        test,
        threads,
        tokens_per_second: mean,
        deviation,
        over_one: None,
        gb_s: gb_s(mean),
        fraction: None,
        seconds,
    }
}

/// Weights of linear layers and of the embedding table, which may be the head's.
fn parameters(model: &DecoderModel) -> u64 {
    let layers = model.layers().iter().flat_map(DecoderLayer::projections);
    let matrices = layers.chain(model.head());
    matrices.map(|matrix| matrix.rows() as u64 * matrix.cols() as u64).sum()
}

/// A generator as callers use it, with texts of `tokens` tokens.
struct SideBySide {
    generator: Generator,
    tokens: usize,
}

/// Only ids are wanted.
struct NoText;

impl Vocabulary for NoText {
    fn bytes(&self, _: u32) -> &[u8] {
        &[]
    }
}

impl SideBySide {
    fn new(
        model: &Arc<DecoderModel>,
        threads: usize,
        settings: &Settings,
        tokens: usize,
    ) -> Result<Self, EngineError> {
        let pages = (tokens + 1).div_ceil(bho_engine::decoder::PAGE) * settings.concurrent;
        let options = GeneratorOptions {
            kv: settings.kv,
            kv_bytes: pages * model.kv_shape(settings.kv).page_bytes(),
            parallel: settings.concurrent,
            ..GeneratorOptions::new(model, tokens + 1)
        };
        let compute = Compute::new(threads)?;
        let generator = Generator::new(model.clone(), Arc::new(NoText), compute, options)?;
        Ok(Self { generator, tokens })
    }

    /// So many texts at the same time, each behind a token of its own.
    fn write(&self, texts: usize, cancel: &CancelToken) -> Result<Duration, EngineError> {
        let vocab = self.generator.model().config().vocab;
        let one = |i: usize| -> Result<(), EngineError> {
            let request = Request {
                prompt: vec![(i % vocab) as u32],
                max_tokens: self.tokens,
                sampling: SamplingParams::greedy(),
                constraint: None,
                stop_tokens: Vec::new(),
                stop: Vec::new(),
            };
            self.generator.generate(request, cancel, &mut |_| {})?;
            Ok(cancel.check()?)
        };
        let begin = Instant::now();
        std::thread::scope(|scope| {
            let texts: Vec<_> = (0..texts).map(|i| scope.spawn(move || one(i))).collect();
            texts.into_iter().try_for_each(|text| match text.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
        Ok(begin.elapsed())
    }
}

/// Passes of one model on so many threads.
struct Bench<'a> {
    model: &'a DecoderModel,
    compute: Compute,
    cache: KvCache,
    scratch: Scratch,
    sequence: Sequence,
}

impl<'a> Bench<'a> {
    fn new(
        model: &'a DecoderModel,
        threads: usize,
        kv: KvKind,
        longest: usize,
    ) -> Result<Self, EngineError> {
        let shape = model.kv_shape(kv);
        let pages = longest.div_ceil(bho_engine::decoder::PAGE) + 1;
        Ok(Self {
            model,
            compute: Compute::new(threads)?,
            cache: KvCache::new(shape, pages * shape.page_bytes())?,
            scratch: Scratch::default(),
            sequence: Sequence::default(),
        })
    }

    fn begin(&mut self) {
        self.cache.end(std::mem::take(&mut self.sequence));
    }

    /// The next `n` tokens in one pass, with the logits of the last.
    fn pass(&mut self, n: usize, cancel: &CancelToken) -> Result<(), EngineError> {
        let vocab = self.model.config().vocab;
        let first = self.sequence.len();
        // Any tokens: reading one is as much work as another.
        let tokens: Vec<_> = (first..first + n).map(|i| (i * 7919 % vocab) as u32).collect();
        self.cache.extend(&mut self.sequence, &tokens)?;
        let slice = Slice { sequence: &self.sequence, new: n, want: Wanted::Last(Want::Logits) };
        let (compute, scratch) = (&self.compute, &mut self.scratch);
        self.model.forward(compute, &self.cache, &[slice], scratch, cancel)?;
        Ok(())
    }

    fn read(&mut self, n: usize, cancel: &CancelToken) -> Result<Duration, EngineError> {
        self.begin();
        let begin = Instant::now();
        for start in (0..n).step_by(CHUNK) {
            self.pass(CHUNK.min(n - start), cancel)?;
        }
        Ok(begin.elapsed())
    }

    fn write(&mut self, n: usize, cancel: &CancelToken) -> Result<Duration, EngineError> {
        self.begin();
        let begin = Instant::now();
        for _ in 0..n {
            self.pass(1, cancel)?;
        }
        Ok(begin.elapsed())
    }
}
