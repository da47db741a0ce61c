// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho eval summary`, `claims`, `retrieval` and `similarity`: agents and embeddings against labelled lines.

use std::io::Write as _;
use std::sync::Arc;

use bho_engine::{CancelToken, Encoder};
use bho_guard::{Guard, Policy};
use serde::Serialize;

use super::bench::{advance, progress};
use super::eval::in_the_data;
use crate::cli::eval_tasks::{
    EmbedderArgs, EvalClaimsArgs, EvalRetrievalArgs, EvalSimilarityArgs, EvalSummaryArgs,
    LinesArgs, ReportArgs,
};
use crate::eval::bootstrap::{Bootstrap, INTERVAL};
use crate::eval::document::{BootstrapReport, ModelReport};
use crate::eval::latency::Latency;
use crate::eval::report::sheet::Sheet;
use crate::eval::report::tasks as layout;
use crate::eval::tasks::{
    Data, Head, Measuring, Reading, Subject, claims, retrieval, similarity, summary,
};
use crate::exit::{self, Exit, Failure};
use crate::machine::Machine;
use crate::models;
use crate::output::file::Target;
use crate::output::style::Style;
use crate::output::{self, json};

/// `bho eval summary`.
pub(crate) fn summary(args: &EvalSummaryArgs) -> Result<Exit, Failure> {
    let frame = Frame::new(&args.report)?;
    let mut data = summary::read(&args.lines.data, &reading(&args.lines)).map_err(in_the_data)?;
    let subject = Subject::open(&args.agent, summary::AGENT)?;
    let setting = summary::Setting {
        sentences: args.sentences as usize,
        stemmed: args.stem,
        oracle: args.oracle,
    };
    let cancel = interruptible();
    let (answers, stopped) = with_bar(|bar| {
        let all = data.items.len();
        let step = |done| bar("texts summarised", done, all);
        summary::ask(&subject, &data, setting, &cancel, step)
    });
    let stopped = data.end_at(answers.times.len(), stopped)?;
    let head = frame.head(summary::FORMAT, &data, &answers.times, subject.models, subject.pipeline);
    let report = summary::measure(&data, &answers, setting, &frame.measuring(), head);
    frame.show(&report, &layout::summaries(&report), stopped)
}

/// `bho eval claims`.
pub(crate) fn claims(args: &EvalClaimsArgs) -> Result<Exit, Failure> {
    let frame = Frame::new(&args.report)?;
    let evidence = args.evidence.as_deref();
    let data = claims::read(&args.lines.data, &reading(&args.lines), evidence);
    let mut data = data.map_err(in_the_data)?;
    let subject = Subject::open(&args.agent, claims::AGENT)?;
    let cancel = interruptible();
    let (answers, stopped) = with_bar(|bar| {
        let all = data.items.len();
        claims::ask(&subject, &data, &cancel, |done| bar("claims checked", done, all))
    });
    let stopped = data.end_at(answers.times.len(), stopped)?;
    let head = frame.head(claims::FORMAT, &data, &answers.times, subject.models, subject.pipeline);
    let report = claims::measure(&data, &answers, &frame.measuring(), head);
    frame.show(&report, &layout::claims(&report), stopped)
}

/// `bho eval retrieval`.
pub(crate) fn retrieval(args: &EvalRetrievalArgs) -> Result<Exit, Failure> {
    let frame = Frame::new(&args.report)?;
    if !args.relevant_from.is_finite() {
        return Err(Failure::said(Exit::Usage, "--relevant-from: expected a number, e.g. 4"));
    }
    let read =
        retrieval::read(&args.lines.data, &args.corpus, &reading(&args.lines), args.relevant_from);
    let (data, corpus) = read.map_err(in_the_data)?;
    let query = encoder(&args.embedder, args.query_prompt.as_deref())?;
    let document = match args.query_prompt == args.document_prompt {
        true => Arc::clone(&query),
        false => encoder(&args.embedder, args.document_prompt.as_deref())?,
    };
    let encoders = retrieval::Encoders { query: query.as_ref(), document: document.as_ref() };
    let cancel = interruptible();
    let answers = with_bar(|bar| retrieval::ask(&encoders, &data, &corpus, &cancel, bar))?;
    let models = of_encoder(query.as_ref());
    let mut head = frame.head(retrieval::FORMAT, &data, &answers.times, models, None);
    head.data.extend(corpus.files.iter().cloned());
    let report = retrieval::measure(&data, &corpus, &answers, &frame.measuring(), head);
    frame.show(&report, &layout::retrieval(&report), None)
}

/// `bho eval similarity`.
pub(crate) fn similarity(args: &EvalSimilarityArgs) -> Result<Exit, Failure> {
    let frame = Frame::new(&args.report)?;
    let mut data =
        similarity::read(&args.lines.data, &reading(&args.lines)).map_err(in_the_data)?;
    let encoder = encoder(&args.embedder, args.prompt.as_deref())?;
    let cancel = interruptible();
    let (answers, stopped) = with_bar(|bar| {
        let all = data.items.len();
        let step = |done| bar("pairs embedded", done, all);
        similarity::ask(encoder.as_ref(), &data, &cancel, step)
    });
    let stopped = data.end_at(answers.times.len(), stopped)?;
    let models = of_encoder(encoder.as_ref());
    let head = frame.head(similarity::FORMAT, &data, &answers.times, models, None);
    let report = similarity::measure(&data, &answers, &frame.measuring(), head);
    frame.show(&report, &layout::similarity(&report), stopped)
}

fn reading(args: &LinesArgs) -> Reading {
    Reading {
        limit: args.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        group: args.group.clone(),
    }
}

fn encoder(args: &EmbedderArgs, prompt: Option<&str>) -> Result<Arc<dyn Encoder>, Failure> {
    models::encoder(&args.model, prompt, args.threads as usize)
}

fn of_encoder(encoder: &dyn Encoder) -> Vec<ModelReport> {
    let info = encoder.info();
    vec![ModelReport { name: info.name.clone(), sha256: info.sha256.clone() }]
}

/// A token that Ctrl-C cancels; after the input has been read.
fn interruptible() -> CancelToken {
    let cancel = CancelToken::new();
    exit::cancel_on_interrupt(&cancel);
    cancel
}

/// Work that says how far it is: of what, how much is done, of how much.
fn with_bar<T>(work: impl FnOnce(&dyn Fn(&str, usize, usize)) -> T) -> T {
    let bar = progress();
    let done = work(&|what, done, all| advance(&bar, what, done, all));
    bar.finish_and_clear();
    done
}

/// What stands around every measurement: where the report goes, and how its intervals are made.
struct Frame {
    html: Option<Target>,
    json: bool,
    bootstrap: Bootstrap,
    masking: Option<Guard>,
}

impl Frame {
    /// Looks at the place of the page before there is any work.
    fn new(args: &ReportArgs) -> Result<Self, Failure> {
        let html = args.html.clone().map(Target::new).transpose()?;
        let bootstrap = Bootstrap { resamples: args.bootstrap as usize, seed: args.seed };
        let masking = (!args.no_texts).then(|| Guard::new(Policy::default())).transpose()?;
        Ok(Self { html, json: args.json, bootstrap, masking })
    }

    fn measuring(&self) -> Measuring<'_> {
        Measuring { bootstrap: self.bootstrap, masking: self.masking.as_ref() }
    }

    fn head<T>(
        &self,
        format: &'static str,
        data: &Data<T>,
        times: &[(f64, usize)],
        models: Vec<ModelReport>,
        pipeline: Option<String>,
    ) -> Head {
        Head {
            format,
            version: env!("CARGO_PKG_VERSION"),
            data: data.files.clone(),
            notes: data.notes.clone(),
            models,
            pipeline,
            bootstrap: BootstrapReport {
                resamples: self.bootstrap.resamples,
                seed: self.bootstrap.seed,
                interval: INTERVAL,
            },
            latency: Latency::of(times),
            machine: Machine::read().cpu.brand,
        }
    }

    /// Writes the page, and prints tables or JSON, also where the page cannot be written; `stopped`: what ended the work early.
    fn show(
        &self,
        report: &impl Serialize,
        sheet: &Sheet<'_>,
        stopped: Option<Failure>,
    ) -> Result<Exit, Failure> {
        let page = |target: &Target| target.write(sheet.page().as_bytes());
        let written = self.html.as_ref().map_or(Ok(()), page);
        let mut out = output::stdout();
        if self.json {
            json::document(&mut out, report)?;
        } else {
            out.write_all(sheet.terminal(&Style::stdout()).as_bytes())?;
            out.flush()?;
        }
        written?;
        stopped.map_or(Ok(Exit::Success), Err)
    }
}
