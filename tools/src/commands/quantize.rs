// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho quantize`: float weights to ternary or int8, and what that does to each tensor.

use std::io::Write as _;

use bho_models::decoder::{DecoderOptions, WeightFormat};
use bho_models::{ConvertReport, TensorReport};
use serde::Serialize;

use super::convert::{decoder_options, describe_file, describe_left_out, write};
use crate::cli::model_files::{QuantizeArgs, Scales, Target};
use crate::exit::{Exit, Failure};
use crate::output::style::{Style, Tint};
use crate::output::table::{Cell, Table};
use crate::output::{self, json};

/// Relative error from which on a model is told to be broken. Rounding normally distributed weights
/// to three values costs 0.51; a ternary model's own master weights are rounded so in training.
const BROKEN: f64 = 0.2;

/// What is printed as JSON.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    report: &'a ConvertReport,
    /// Root mean square error of all tensors listed, relative, each weighted by its values.
    mean_error: f64,
    /// What to expect of the model, if it is bad.
    warning: Option<&'static str>,
}

const WARNING: &str = "weights that were not trained to be ternary lose what they knew: expect \
                       nonsense unless these are the master weights of a ternary model, or you train on";

/// Quantizes; Ctrl-C leaves no file.
pub(crate) fn execute(args: QuantizeArgs) -> Result<Exit, Failure> {
    let weights = match (args.to, args.scales) {
        (Target::Int8, Scales::Row) => {
            return Err(Failure::said(
                Exit::Usage,
                "--scales is for --to ternary: int8 has a scale a row",
            ));
        }
        (Target::Int8, Scales::Tensor) => WeightFormat::Int8,
        (Target::Ternary, Scales::Tensor) => WeightFormat::Ternary,
        (Target::Ternary, Scales::Row) => WeightFormat::TernaryRows,
    };
    let options = decoder_options(weights, &args.decoder);
    let report = write(args.files, None, DecoderOptions { floats_only: true, ..options })?;
    let mean_error = mean_error(&report.tensors);
    let broken = args.to == Target::Ternary && mean_error > BROKEN;
    let warning = broken.then_some(WARNING);
    let mut out = output::stdout();
    if args.json {
        json::document(&mut out, &Report { report: &report, mean_error, warning })?;
        return Ok(Exit::Success);
    }
    out.write_all(describe(&report, mean_error, &Style::stdout()).as_bytes())?;
    out.flush()?;
    if let Some(warning) = warning {
        output::warning(warning);
    }
    Ok(Exit::Success)
}

/// Relative error over all tensors, each as heavy as it has values.
fn mean_error(tensors: &[TensorReport]) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for tensor in tensors {
        #[expect(clippy::cast_precision_loss, reason = "a weight")]
        let values = tensor.shape.iter().product::<usize>() as f64;
        sum += tensor.rms_error.powi(2) * values;
        count += values;
    }
    if count > 0.0 { (sum / count).sqrt() } else { 0.0 }
}

fn describe(report: &ConvertReport, mean_error: f64, style: &Style) -> String {
    let mut out = describe_file(report, style);
    let mut table =
        Table::new(["tensor", "dtype", ">rel. error", ">max error", ">zeros", ">cosine"]);
    let optional = |value: Option<f64>, text: fn(f64) -> String| value.map_or("-".into(), text);
    for tensor in &report.tensors {
        table.row([
            tensor.name.as_str().into(),
            tensor.dtype.into(),
            format!("{:.4}", tensor.rms_error).into(),
            format!("{:.3e}", tensor.max_error).into(),
            optional(tensor.zeros, |share| format!("{:.1} %", share * 100.0)).into(),
            optional(tensor.cosine, |cosine| format!("{cosine:.5}")).into(),
        ]);
    }
    let empty = || Cell::from("");
    let all = Cell::tinted(Tint::Bold, "all");
    let error = Cell::tinted(Tint::Bold, format!("{mean_error:.4}"));
    table.row([all, empty(), error, empty(), empty(), empty()]);
    out.push_str(&table.render(style));
    out.push_str(&describe_left_out(report, style));
    out
}
