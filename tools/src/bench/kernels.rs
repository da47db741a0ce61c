// SPDX-License-Identifier: AGPL-3.0-or-later
//! Matrix products of every backend, checked, timed and held against the limits of this CPU.
//!
//! For one token, weights are read from two places: the same matrix over and over, from whichever
//! cache holds it, and a ring of matrices larger than all caches, from main memory, as a decoder
//! reads them. For more tokens the matrix is the same each time, as prefill reuses it.

use std::ops::Range;
use std::time::{Duration, Instant};

use bho_engine::CancelToken;
use bho_kernels::{KernelName, Kernels, PANEL, QuantRows, oracle};
use serde::Serialize;

use super::limits::{self, Limits, Roof};
use super::memory::{self, Arena, Cache, Place};
use super::team::{self, Sampling, Seconds};
use super::{Op, PageSize, Shape, random_bytes};
use crate::exit::{Exit, Failure};
use crate::machine::{Cpu, Machine, Memory};

/// Linear layers of BitNet b1.58 2B4T, and two of larger models.
pub(crate) const SHAPES: [Shape; 6] = [
    Shape::new(2560, 2560),
    Shape::new(2560, 640),
    Shape::new(2560, 6912),
    Shape::new(6912, 2560),
    Shape::new(2048, 8192),
    Shape::new(4096, 14336),
];

/// Those of `--quick`.
pub(crate) const QUICK_SHAPES: [Shape; 2] = [Shape::new(2560, 2560), Shape::new(2560, 6912)];

/// Tokens side by side.
pub(crate) const TOKENS: [usize; 5] = [1, 8, 32, 128, 512];

/// Those of `--quick`.
pub(crate) const QUICK_TOKENS: [usize; 2] = [1, 128];

/// Most tokens that some backend multiplies by dense weights as they are.
const DENSE_TOKENS: usize = 4;

/// What to measure, and how long.
pub(crate) struct Settings {
    pub(crate) ops: Vec<Op>,
    /// Whether dense ternary weights are multiplied by many tokens too, which no backend does without
    /// unpacking them to the other ternary format.
    pub(crate) dense_many: bool,
    pub(crate) isas: Vec<&'static dyn Kernels>,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) tokens: Vec<usize>,
    pub(crate) threads: Vec<usize>,
    pub(crate) pages: Vec<PageSize>,
    /// Size of the memory that main memory is measured with; none for four times the last cache.
    pub(crate) arena_bytes: Option<usize>,
    pub(crate) limits: Sampling,
    pub(crate) rows: Sampling,
    /// What is not begun after this long is left out.
    pub(crate) deadline: Duration,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) version: &'static str,
    /// False when it was stopped.
    pub(crate) complete: bool,
    pub(crate) machine: MachineReport,
    pub(crate) limits: Limits,
    pub(crate) rows: Vec<Row>,
    pub(crate) notes: Vec<String>,
    pub(crate) elapsed_s: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct MachineReport {
    pub(crate) cpu: Cpu,
    pub(crate) memory: Memory,
    pub(crate) caches: Vec<Cache>,
    pub(crate) transparent_huge_pages: Option<String>,
    /// Bytes that figures of main memory were read from.
    pub(crate) arena_bytes: usize,
    pub(crate) threads: Vec<usize>,
}

/// How the work of a product is shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Split {
    Rows,
    Tokens,
}

/// How often the weights of a row are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// The same matrix over and over.
    Cache,
    /// A ring of matrices in main memory, each in turn.
    Dram,
}

/// One kernel on one shape.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) op: Op,
    /// The backend that was asked.
    pub(crate) isa: &'static str,
    /// The inner loop that ran.
    pub(crate) kernel: String,
    /// Outputs.
    pub(crate) rows: usize,
    /// Inputs.
    pub(crate) cols: usize,
    pub(crate) tokens: usize,
    pub(crate) threads: usize,
    pub(crate) split: Split,
    pub(crate) mode: Mode,
    pub(crate) weights_from: Place,
    pub(crate) pages: PageSize,
    pub(crate) packed_bytes: usize,
    pub(crate) seconds: Seconds,
    /// Packed weights per second.
    pub(crate) gb_s: f64,
    /// Two operations a multiply-add.
    pub(crate) gop_s: f64,
    /// Operations for each byte of weights.
    pub(crate) ops_per_byte: f64,
    /// Set when all limits are known.
    pub(crate) limit: Option<Roof>,
    /// Of the limit, which is the best of its samples, reached by the best sample.
    pub(crate) fraction: Option<f64>,
}

impl Row {
    pub(crate) fn shape(&self) -> Shape {
        Shape::new(self.rows, self.cols)
    }
}

/// One row to be measured.
#[derive(Clone, Copy)]
struct Case {
    op: Op,
    kernels: &'static dyn Kernels,
    shape: Shape,
    tokens: usize,
    threads: usize,
    /// Which arena the weights are in.
    arena: usize,
    mode: Mode,
}

/// Measures; `tick` is told what comes next, how many steps are done and how many there are.
///
/// # Errors
/// [`Exit::Failed`] when a backend's sums are not those of another; [`Exit::Usage`] without memory.
pub(crate) fn run(
    settings: &Settings,
    cancel: &CancelToken,
    tick: &mut dyn FnMut(&str, usize, usize),
) -> Result<Report, Failure> {
    let start = Instant::now();
    let Machine { cpu, memory } = Machine::read();
    let caches = memory::caches();
    let arena_bytes = settings.arena_bytes.unwrap_or_else(|| {
        let free = [memory.available_bytes, memory.limit_bytes].into_iter().flatten().min();
        memory::arena_bytes(&caches, free)
    });
    tick("filling memory", 0, 1);
    let (arenas, mut notes) = memory::arenas(arena_bytes, &settings.pages)?;
    let arena_bytes = arenas.first().map_or(0, |arena| arena.bytes().len());
    if caches.last().is_some_and(|last| arena_bytes < 2 * last.bytes) {
        notes.push(format!(
            "DRAM: {} of memory is less than twice the last cache, so these figures are partly \
             the cache's",
            crate::output::size(arena_bytes as u64)
        ));
    }

    let cases = cases(settings, &arenas);
    let mut done = 0;
    // Limits are measured twice; the bar need not be exact about the caches there are.
    let limits_each = settings.isas.len() + 2 * arenas.len() + 3;
    let total = cases.len() + 2 * settings.threads.len() * limits_each;
    let mut tick = |what: &str| {
        tick(what, done, total);
        done += 1;
    };
    let measure_limits = |tick: &mut dyn FnMut(&str)| {
        let (isas, threads) = (&settings.isas, &settings.threads);
        limits::measure(&caches, &arenas, isas, threads, settings.limits, cancel, tick)
    };
    let mut limits = measure_limits(&mut tick);
    let bench = Bench { settings, caches: &caches, arenas: &arenas, limits: &limits, cancel };
    let (mut rows, mut slow, mut large, mut late) = (Vec::<Row>::new(), 0, 0, 0);
    for case in cases {
        if cancel.is_cancelled() {
            break;
        }
        tick(&format!("{} {} {}", case.kernels.name(), case.op.name(), case.shape));
        if case.op.packed_len(case.shape)? > arena_bytes {
            large += 1;
        } else if bench.takes_too_long(&case) {
            slow += 1;
        } else if start.elapsed() > settings.deadline {
            late += 1;
        } else {
            rows.extend(bench.measure(&case)?);
        }
    }
    // Noise comes and goes: a limit that was too low at first is not what kernels are held against.
    limits = limits.or_better(measure_limits(&mut tick));
    for row in &mut rows {
        row.limit = limits.roof(row.isa, row.threads, row.weights_from, row.ops_per_byte);
        // Best against best: neighbours that slow a median down were not there for the limit.
        let best_gop_s = row.gop_s * row.seconds.median / row.seconds.min;
        row.fraction = row.limit.as_ref().map(|limit| best_gop_s / limit.gop_s);
    }
    for (count, why) in [
        (slow, "a call takes too long on this machine"),
        (large, "the matrix is larger than the memory set aside"),
        (late, "the time was up"),
    ] {
        if count > 0 {
            notes.push(format!("left out, as {why}: {}", crate::output::count(count, "case")));
        }
    }
    Ok(Report {
        version: env!("CARGO_PKG_VERSION"),
        complete: !cancel.is_cancelled(),
        machine: MachineReport {
            cpu,
            memory,
            transparent_huge_pages: memory::transparent_huge_pages(),
            arena_bytes,
            threads: settings.threads.clone(),
            caches,
        },
        limits,
        rows,
        notes,
        elapsed_s: start.elapsed().as_secs_f64(),
    })
}

/// Backends are the innermost loop: what is compared is measured within the same second.
fn cases(settings: &Settings, arenas: &[Arena]) -> Vec<Case> {
    let mut cases = Vec::new();
    let best_pages = arenas.len().saturating_sub(1);
    for &op in &settings.ops {
        for &shape in &settings.shapes {
            for &tokens in &settings.tokens {
                if op == Op::Dense && tokens > DENSE_TOKENS && !settings.dense_many {
                    continue;
                }
                let mut sources = vec![(best_pages, Mode::Cache)];
                if tokens == 1 {
                    sources.extend((0..arenas.len()).map(|arena| (arena, Mode::Dram)));
                }
                for (arena, mode) in sources {
                    for &threads in &settings.threads {
                        cases.extend(settings.isas.iter().map(|&kernels| Case {
                            op,
                            kernels,
                            shape,
                            tokens,
                            threads,
                            arena,
                            mode,
                        }));
                    }
                }
            }
        }
    }
    cases
}

struct Bench<'a> {
    settings: &'a Settings,
    caches: &'a [Cache],
    arenas: &'a [Arena],
    limits: &'a Limits,
    cancel: &'a CancelToken,
}

/// What one thread does in a round.
struct Worker {
    /// Of the packed matrix.
    bytes: Range<usize>,
    part: Shape,
    first_row: usize,
    first_token: usize,
    x: QuantRows,
    y: Vec<i32>,
    ran: Option<KernelName>,
}

impl Bench<'_> {
    /// Whether all samples of a case would take longer than they are worth. `scalar` is there to be
    /// right, so a second of it is enough.
    fn takes_too_long(&self, case: &Case) -> bool {
        /// Share of the peak that loops reach at least, when they are not short of memory.
        const REACHED: f64 = 0.4;
        let patience = if case.kernels.name() == "scalar" { 1.0 } else { 3.0 };
        let peak = self.limits.peak(case.kernels.name(), case.threads);
        let call = operations(case) / 1e9 / (peak.unwrap_or(f64::INFINITY) * REACHED);
        call * self.settings.rows.samples as f64 > patience
    }

    fn measure(&self, case: &Case) -> Result<Option<Row>, Failure> {
        let Case { op, kernels, shape, tokens, threads, mode, .. } = *case;
        let packed_bytes = op.packed_len(shape)?;
        let arena = &self.arenas[case.arena];
        let slots = match mode {
            Mode::Cache => 1,
            Mode::Dram => arena.bytes().len() / packed_bytes,
        };
        let x = activations(tokens * shape.cols);
        let split = split(tokens, threads);
        let mut workers = share(case, split, &x)?;
        let work = |worker: &mut Worker, round: usize| {
            if worker.y.is_empty() {
                return;
            }
            let matrix = &arena.bytes()[round % slots * packed_bytes..][..packed_bytes];
            let (part, weights) = (worker.part, &matrix[worker.bytes.clone()]);
            let ran = op.multiply(kernels, part, weights, worker.x.view(), &mut worker.y);
            worker.ran = Some(ran.expect("the shapes were checked with the first round"));
        };

        // Right before fast, with the very parts that are timed.
        for worker in &mut workers {
            let weights = &arena.bytes()[worker.bytes.clone()];
            op.multiply(kernels, worker.part, weights, worker.x.view(), &mut worker.y)?;
        }
        let others: Vec<_> = bho_kernels::available();
        let others: Vec<_> = others.into_iter().filter(|k| k.name() != kernels.name()).collect();
        check(case, &others, &arena.bytes()[..packed_bytes], &x, &workers)?;

        let Some(seconds) = team::time(&mut workers, self.settings.rows, self.cancel, work) else {
            return Ok(None);
        };
        let part = workers.iter().map(|worker| worker.bytes.len()).max().unwrap_or_default();
        let weights_from = match mode {
            Mode::Cache => memory::home(self.caches, packed_bytes, part, threads),
            Mode::Dram => Place::Dram,
        };
        let giga_ops = operations(case) / 1e9;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let giga_bytes = packed_bytes as f64 / 1e9;
        let gop_s = giga_ops / seconds.median;
        let ops_per_byte = giga_ops / giga_bytes;
        let ran = workers.iter().find_map(|worker| worker.ran);
        Ok(Some(Row {
            op,
            isa: kernels.name(),
            kernel: ran.map(|name| name.to_string()).unwrap_or_default(),
            rows: shape.rows,
            cols: shape.cols,
            tokens,
            threads,
            split,
            mode,
            weights_from,
            pages: arena.pages,
            packed_bytes,
            seconds,
            gb_s: giga_bytes / seconds.median,
            gop_s,
            ops_per_byte,
            limit: None,
            fraction: None,
        }))
    }
}

/// Two for each multiply-add.
fn operations(case: &Case) -> f64 {
    2.0 * case.shape.rows as f64 * case.shape.cols as f64 * case.tokens as f64
}

fn activations(count: usize) -> Vec<i8> {
    // -128 does not occur in symmetric quantization.
    random_bytes(2).map(|byte| byte.cast_signed().max(-127)).take(count).collect()
}

/// Few tokens share the rows out, so that each weight is read once; many tokens, the tokens, so
/// that each thread writes its own lines of the output.
fn split(tokens: usize, threads: usize) -> Split {
    if tokens / TOKEN_STEP >= threads.max(2) { Split::Tokens } else { Split::Rows }
}

/// Tokens that the widest kernels take side by side.
const TOKEN_STEP: usize = 16;

/// Part `index` of `count` when `whole` is shared out in steps.
fn portion(whole: usize, step: usize, index: usize, count: usize) -> Range<usize> {
    let steps = whole.div_ceil(step);
    let edge = |i: usize| (steps * i / count * step).min(whole);
    edge(index)..edge(index + 1)
}

fn share(case: &Case, split: Split, x: &[i8]) -> Result<Vec<Worker>, Failure> {
    let Case { op, shape, tokens, threads, .. } = *case;
    let panel_bytes = op.packed_len(Shape::new(PANEL, shape.cols))?;
    let worker = |index| {
        let (rows, tokens) = match split {
            Split::Rows => (portion(shape.rows, PANEL, index, threads), 0..tokens),
            Split::Tokens => (0..shape.rows, portion(tokens, TOKEN_STEP, index, threads)),
        };
        let x = &x[tokens.start * shape.cols..tokens.end * shape.cols];
        let panels = rows.start / PANEL..rows.end.div_ceil(PANEL);
        Ok(Worker {
            bytes: panels.start * panel_bytes..panels.end * panel_bytes,
            part: Shape::new(rows.len(), shape.cols),
            first_row: rows.start,
            first_token: tokens.start,
            x: QuantRows::from_int8(x, shape.cols)?,
            y: vec![0; rows.len() * tokens.len()],
            ran: None,
        })
    };
    (0..threads).map(worker).collect()
}

/// Holds the workers' sums against those of another backend, or of plain loops where there is none.
fn check(
    case: &Case,
    others: &[&'static dyn Kernels],
    weights: &[u8],
    x: &[i8],
    workers: &[Worker],
) -> Result<(), Failure> {
    /// Tokens whose sums are looked at, the first and the last among them.
    const CHECKED: usize = 16;
    /// Multiplications that plain loops are asked for.
    const PLAIN: usize = 200_000_000;
    let Case { op, shape, tokens, .. } = *case;
    let other = others.last();
    let affordable = match other {
        Some(kernels) if kernels.name() != "scalar" => CHECKED,
        _ => (PLAIN / (shape.rows * shape.cols)).clamp(1, CHECKED),
    };
    let count = affordable.min(tokens);
    let chosen: Vec<_> = (0..count).map(|i| i * (tokens - 1) / (count - 1).max(1)).collect();
    let x: Vec<i8> =
        chosen.iter().flat_map(|t| &x[t * shape.cols..][..shape.cols]).copied().collect();
    let expected = match other {
        Some(kernels) => {
            let mut y = vec![0; count * shape.rows];
            let x = QuantRows::from_int8(&x, shape.cols)?;
            op.multiply(*kernels, shape, weights, x.view(), &mut y)?;
            y
        }
        None => {
            let plain = op.unpack(shape, weights)?;
            let sums = oracle::matmul_int(&plain, &x, shape.rows, shape.cols);
            sums.into_iter().map(|sum| i32::try_from(sum).unwrap_or(i32::MAX)).collect()
        }
    };
    for worker in workers.iter().filter(|worker| !worker.y.is_empty()) {
        let rows = worker.part.rows;
        for (local, sums) in worker.y.chunks_exact(rows).enumerate() {
            let token = worker.first_token + local;
            let Some(index) = chosen.iter().position(|t| *t == token) else { continue };
            if sums != &expected[index * shape.rows + worker.first_row..][..rows] {
                let message = format!(
                    "{}: wrong sums of {} {shape}, token {} of {tokens}, rows {} to {}",
                    case.kernels.name(),
                    op.name(),
                    token + 1,
                    worker.first_row,
                    worker.first_row + rows
                );
                return Err(Failure::said(Exit::Failed, message));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    fn case(op: Op, tokens: usize, threads: usize) -> Case {
        let kernels = bho_kernels::by_name("scalar").unwrap();
        Case {
            op,
            kernels,
            shape: Shape::new(70, 40),
            tokens,
            threads,
            arena: 0,
            mode: Mode::Cache,
        }
    }

    #[test]
    fn parts_cover_the_whole_in_steps() {
        for (whole, step, count) in [(70, 16, 2), (70, 16, 9), (1, 16, 3), (512, 16, 3)] {
            let parts: Vec<_> = (0..count).map(|i| portion(whole, step, i, count)).collect();
            assert_eq!((parts[0].start, parts[count - 1].end), (0, whole));
            assert!(parts.windows(2).all(|two| two[0].end == two[1].start));
            assert!(parts.iter().all(|part| part.start % step == 0 || part.is_empty()));
        }
        assert_eq!(
            (split(1, 1), split(8, 2), split(31, 2)),
            (Split::Rows, Split::Rows, Split::Rows)
        );
        assert_eq!(
            (split(32, 2), split(32, 4), split(64, 4)),
            (Split::Tokens, Split::Rows, Split::Tokens)
        );
    }

    #[test]
    fn wrong_sums_of_any_thread_are_found_and_right_ones_pass() {
        let never_right =
            |workers: &mut [Worker]| *workers.last_mut().unwrap().y.last_mut().unwrap() += 1;
        let weights: Vec<u8> =
            random_bytes(5).take(70 * 64).map(|byte| byte & 0b10_10_10_10).collect();
        for &op in Op::value_variants() {
            for (tokens, threads) in [(1, 1), (1, 3), (40, 1), (40, 2)] {
                let case = case(op, tokens, threads);
                let weights = &weights[..op.packed_len(case.shape).unwrap()];
                let x = activations(tokens * case.shape.cols);
                let mut workers =
                    share(&case, split(tokens, threads), &x).unwrap_or_else(|_| panic!());
                for worker in &mut workers {
                    let part = &weights[worker.bytes.clone()];
                    op.multiply(case.kernels, worker.part, part, worker.x.view(), &mut worker.y)
                        .unwrap();
                }
                // Against plain loops, and against the fastest backend.
                for others in [&[][..], &[bho_kernels::best()]] {
                    assert!(check(&case, others, weights, &x, &workers).is_ok(), "{op:?} {tokens}");
                }
                never_right(&mut workers);
                assert!(check(&case, &[], weights, &x, &workers).is_err(), "{op:?} {tokens}");
            }
        }
    }
}
