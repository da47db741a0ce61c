// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho convert`: a Hugging Face directory, or two, to one file.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use bho_engine::CancelToken;
use bho_kernels::I2sLayout;
use bho_models::decoder::{DecoderOptions, EmbedFormat, HeadFormat, WeightFormat};
use bho_models::{ConvertOptions, ConvertReport, Progress, TensorReport};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::model_files::{
    self as args, ConvertArgs, DecoderArgs, FileArgs, HeadPrecision, Precision,
};
use crate::exit::{self, Exit, Failure};
use crate::models;
use crate::output::style::{Style, Tint};
use crate::output::table::Table;
use crate::output::{self, json};

/// Tensors shown, those with the largest error first.
const SHOWN: usize = 5;

/// Converts; Ctrl-C leaves no file.
pub(crate) fn execute(args: ConvertArgs) -> Result<Exit, Failure> {
    let weights = match args.weights {
        Precision::Int8 => WeightFormat::Int8,
        Precision::Ternary => WeightFormat::Ternary,
        Precision::F32 => WeightFormat::F32,
    };
    let report = write(args.files, args.judge, decoder_options(weights, &args.decoder))?;
    let mut out = output::stdout();
    if args.json {
        json::document(&mut out, &report)?;
    } else {
        out.write_all(describe(&report, &Style::stdout()).as_bytes())?;
        out.flush()?;
    }
    Ok(Exit::Success)
}

/// What the flags say of a decoder.
pub(super) fn decoder_options(weights: WeightFormat, args: &DecoderArgs) -> DecoderOptions {
    DecoderOptions {
        weights,
        head: args.head.into(),
        embed: match args.embed {
            args::Table::Auto => EmbedFormat::Auto,
            args::Table::Int8 => EmbedFormat::Int8,
            args::Table::F16 => EmbedFormat::F16,
            args::Table::Own => EmbedFormat::Own,
        },
        dense: args.dense,
        floats_only: false,
    }
}

/// Writes the file, with progress on a terminal; Ctrl-C stops it within a tensor.
pub(super) fn write(
    args: FileArgs,
    judge: Option<PathBuf>,
    decoder: DecoderOptions,
) -> Result<ConvertReport, Failure> {
    let src = models::file(&args.src)?;
    let judge = judge.map(|judge| models::file(&judge)).transpose()?;
    // A folder that is not there is the environment's fault; what is in it, the job's.
    for path in [&src].into_iter().chain(&judge) {
        std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    let options = ConvertOptions {
        name: args.name,
        source: args.source,
        revision: args.revision,
        licence: args.licence,
        force: args.force,
        i2s: if args.i2s_arm { I2sLayout::Arm } else { I2sLayout::X86 },
        decoder,
        judge,
    };
    let cancel = CancelToken::new();
    exit::cancel_on_interrupt(&cancel);
    let bar = progress();
    let converted = bho_models::convert(&src, &args.out, &options, &cancel, &mut |progress| {
        advance(&bar, progress);
    });
    bar.finish_and_clear();
    converted.map_err(models::failure)
}

/// Drawn on standard error, and only if that is a terminal.
pub(super) fn progress() -> ProgressBar {
    ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{bar:32} {bytes}/{total_bytes} {bytes_per_sec}  {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    )
}

pub(super) fn advance(bar: &ProgressBar, progress: &Progress<'_>) {
    bar.set_length(progress.total);
    bar.set_position(progress.done);
    bar.set_message(progress.tensor.to_owned());
}

/// The file, its size and its hash.
pub(super) fn describe_file(report: &ConvertReport, style: &Style) -> String {
    let size = output::size(report.bytes);
    let about = format!("{size}, {}", output::count(report.tensors.len(), "tensor"));
    format!(
        "{}  {}\nsha256 {}\n\n",
        style.paint(Tint::Bold, &report.path.display().to_string()),
        style.paint(Tint::Dim, &about),
        report.sha256
    )
}

/// What of the source has no place in the result.
pub(super) fn describe_left_out(report: &ConvertReport, style: &Style) -> String {
    if report.left_out.is_empty() {
        return String::new();
    }
    let names = format!("not used by the model, left out: {}", report.left_out.join(", "));
    style.wrap(&names) + "\n"
}

fn describe(report: &ConvertReport, style: &Style) -> String {
    let mut out = describe_file(report, style);
    let mut worst: Vec<&TensorReport> = report.tensors.iter().collect();
    worst.sort_by(|a, b| b.rms_error.total_cmp(&a.rms_error));
    let mut table = Table::new(["largest error in", "dtype", ">rms error"]);
    for tensor in worst.into_iter().take(SHOWN) {
        let error = format!("{:.3} %", tensor.rms_error * 100.0);
        table.row([tensor.name.as_str().into(), tensor.dtype.into(), error.into()]);
    }
    out.push_str(&table.render(style));
    if !report.shared.is_empty() {
        let tensors = output::count(report.shared.len(), "tensor");
        out.push_str(&format!("stored once for both networks: {tensors}\n"));
    }
    out.push_str(&describe_left_out(report, style));
    out
}

impl From<HeadPrecision> for HeadFormat {
    fn from(head: HeadPrecision) -> Self {
        match head {
            HeadPrecision::Int8 => Self::Int8,
            HeadPrecision::Int4 => Self::Int4,
            HeadPrecision::F16 => Self::F16,
            HeadPrecision::F32 => Self::F32,
        }
    }
}
