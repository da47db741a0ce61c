// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho eval guard`: the guard, or somebody else's predictions, against labelled texts.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use bho_engine::CancelToken;
use bho_guard::{Calibration, Mode};

use super::bench::{advance, progress};
use crate::cli::eval::{DataArgs, EvalGuardArgs, HeadArg};
use crate::eval::bootstrap::{Bootstrap, INTERVAL};
use crate::eval::data::{Data, Foreign, Reading};
use crate::eval::document::{
    BootstrapReport, FORMAT, ModelReport, Report, SubjectReport, ThresholdsReport,
};
use crate::eval::guard::{Answer, Answers, Subject};
use crate::eval::measure::Measuring;
use crate::eval::mistakes::Masking;
use crate::eval::report::{page, terminal};
use crate::eval::tasks::NOT_ASKED;
use crate::eval::types::Types;
use crate::exit::{self, Exit, Failure, OrFailed as _};
use crate::machine::Machine;
use crate::output::file::Target;
use crate::output::style::Style;
use crate::output::{self, json};

/// Measures. What can be refused is refused before a text is checked.
pub(crate) fn guard(args: &EvalGuardArgs) -> Result<Exit, Failure> {
    let html = args.html.clone().map(Target::new).transpose()?;
    let mut subject = Subject::open(&args.guard)?;
    if let Some(path) = &args.calibration {
        subject.calibrate(calibration(path)?);
    }
    if args.kept {
        subject.replace_kept();
    }
    let (mut data, mut types) = read(&args.data, subject.types(args.predictions.is_some()))?;
    let predictions = match &args.predictions {
        Some(stream) => Some(
            data.predictions(stream, args.data.offsets, args.data.limit.is_some(), &mut types)
                .or_failed()?,
        ),
        None => None,
    };
    let cancel = CancelToken::new();
    exit::cancel_on_interrupt(&cancel);
    let (answers, stopped) = match predictions {
        Some(predictions) => (answers(&data, predictions), None),
        None => {
            let bar = progress();
            let total = data.examples.len();
            let step = |done| advance(&bar, "texts checked", done, total);
            let asked = subject.ask(&data.examples, &mut types, args.by_detector, &cancel, step);
            bar.finish_and_clear();
            asked?
        }
    };
    let asked = answers.all.len();
    let stopped = match stopped {
        Some(stopped) if asked == 0 => return Err(stopped),
        stopped => stopped,
    };
    if asked < data.examples.len() {
        data.notes.insert(NOT_ASKED.to_owned(), data.examples.len() - asked);
        data.examples.truncate(asked);
    }
    let guard = subject.guard()?;
    let masking = (!args.no_texts).then_some(Masking { guard: &guard, mode: subject.mode });
    let mut report = report(args, &subject, &data, answers, &types, masking);
    if args.predictions.is_none() {
        let capabilities = guard.capabilities().into_iter().filter(|c| !c.is_active());
        report.subject.inactive = capabilities.map(|c| c.signal.key()).collect();
    }
    // What was measured is printed even where the page cannot be written.
    let written = html.map_or(Ok(()), |target| target.write(page::render(&report).as_bytes()));
    let mut out = output::stdout();
    if args.json {
        json::document(&mut out, &report)?;
    } else {
        out.write_all(terminal::render(&report, &Style::stdout()).as_bytes())?;
        out.flush()?;
    }
    written?;
    stopped.map_or(Ok(Exit::Success), Err)
}

/// The labelled texts that the arguments name.
pub(super) fn read(args: &DataArgs, mut types: Types) -> Result<(Data, Types), Failure> {
    if let Some(path) = &args.types {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        types.teach_toml(&text, &name).or_failed()?;
    }
    let reading = Reading {
        label: args.label.map(|label| match label {
            HeadArg::Toxicity => 0,
            HeadArg::Jailbreak => 1,
        }),
        group: args.group.clone(),
        unit: args.offsets,
        limit: args.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
    };
    let data = Data::read(&args.data, &reading, &mut types).map_err(in_the_data)?;
    Ok((data, types))
}

/// A file that cannot be read is the caller's; a bad line is the job's.
pub(super) fn in_the_data(error: anyhow::Error) -> Failure {
    match error.downcast_ref::<std::io::Error>() {
        Some(_) => error.into(),
        None => {
            Err::<(), _>(error).or_failed().err().unwrap_or_else(|| Failure::silent(Exit::Failed))
        }
    }
}

/// A calibration file's content.
fn calibration(path: &Path) -> Result<Calibration, Failure> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    Calibration::from_json(&text).map_err(|why| anyhow!("{name}: {why}")).or_failed()
}

/// Somebody else's predictions as answers; what they say nothing of has a score of 0.
fn answers(data: &Data, predictions: Vec<Foreign>) -> Answers {
    let times = predictions.iter().zip(&data.examples);
    let times = times.filter_map(|(p, example)| Some((p.milliseconds?, example.text.len())));
    let times = times.collect();
    let answer = |p: Foreign| Answer { spans: p.spans, scores: p.scores.map(|s| s.unwrap_or(0.0)) };
    let all = predictions.into_iter().map(answer).collect();
    Answers { all, by_voice: Vec::new(), times }
}

fn report(
    args: &EvalGuardArgs,
    subject: &Subject,
    data: &Data,
    answers: Answers,
    types: &Types,
    masking: Option<Masking<'_>>,
) -> Report {
    // What a policy says, and not what single precision makes of it.
    let shown = |threshold: f32| (f64::from(threshold) * 1e6).round() / 1e6;
    let limits = subject.policy.thresholds;
    let thresholds = ThresholdsReport {
        toxicity: shown(limits.toxicity_block),
        jailbreak: shown(limits.jailbreak_block),
        pii: shown(limits.pii_redact),
    };
    let bootstrap = Bootstrap { resamples: args.bootstrap as usize, seed: args.seed };
    let measuring =
        Measuring { bootstrap, thresholds, labelled_types_only: args.labelled_types_only, masking };
    let measured = measuring.measure(data, answers, types);
    let [toxicity, jailbreak] = measured.signals;
    let short = |path: &Path| {
        path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    };
    let models = match args.predictions {
        Some(_) => Vec::new(),
        None => subject
            .models()
            .iter()
            .map(|model| ModelReport { name: model.name.clone(), sha256: model.sha256.clone() })
            .collect(),
    };
    Report {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION"),
        data: data.files.clone(),
        texts: data.examples.len(),
        notes: data.notes.clone(),
        subject: SubjectReport {
            predictions: args.predictions.as_ref().map(|stream| short(Path::new(&stream.name()))),
            mode: match subject.mode {
                Mode::Input => "input",
                Mode::Output => "output",
            },
            pipeline: args.guard.pipeline.as_deref().map(short),
            calibration: args.calibration.as_deref().map(short),
            models,
            inactive: Vec::new(),
            thresholds,
        },
        bootstrap: BootstrapReport {
            resamples: bootstrap.resamples,
            seed: bootstrap.seed,
            interval: INTERVAL,
        },
        pii: measured.pii,
        toxicity,
        jailbreak,
        latency: measured.latency,
        machine: args.predictions.is_none().then(|| Machine::read().cpu.brand).flatten(),
        mistakes: measured.mistakes,
    }
}
