// SPDX-License-Identifier: AGPL-3.0-or-later
//! Flags of `bho eval` and of `bho guard tune`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::args::{ModeArg, stream};
use super::eval_tasks::{EvalClaimsArgs, EvalRetrievalArgs, EvalSimilarityArgs, EvalSummaryArgs};
use crate::eval::data::Unit;
use crate::input::StreamArg;

#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub(crate) struct EvalArgs {
    #[command(subcommand)]
    pub(crate) verb: EvalVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EvalVerb {
    /// Hold the guard, or somebody else's predictions, against labelled texts.
    Guard(EvalGuardArgs),
    /// Hold summaries against ones that people wrote, beside lead and TextRank.
    Summary(EvalSummaryArgs),
    /// Hold claim checks against labelled claims.
    Claims(EvalClaimsArgs),
    /// Hold what embeddings find against what belongs to queries, beside BM25.
    Retrieval(EvalRetrievalArgs),
    /// Hold the likeness of embeddings against that which people see.
    Similarity(EvalSimilarityArgs),
}

/// What texts as a whole are labelled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HeadArg {
    /// abuse, hate, threats
    Toxicity,
    /// attempts to make a model drop its instructions
    Jailbreak,
}

/// Labelled texts and how to read them.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// Labelled texts, one JSON object a line, or - for standard input; may be given several times
    #[arg(long, required = true, value_name = "FILE|-", value_parser = stream(), value_hint = ValueHint::FilePath)]
    pub(crate) data: Vec<StreamArg>,

    /// What the key `label` of the lines is about
    #[arg(long, value_enum, value_name = "SIGNAL")]
    pub(crate) label: Option<HeadArg>,

    /// Key that sorts the texts into groups [default: group, else the file where there are several]
    #[arg(long, value_name = "KEY")]
    pub(crate) group: Option<String>,

    /// What offsets of spans count [default: bytes; chars in presidio-research's form; else by `value`]
    #[arg(long, value_enum, value_name = "UNIT")]
    pub(crate) offsets: Option<Unit>,

    /// TOML file of the data's names for types: NAME = "email", ["place", "address"] or "ignore"
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) types: Option<PathBuf>,

    /// Read so many texts of each file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
}

/// The guard that is measured.
#[derive(Debug, Args)]
pub(crate) struct GuardOfArgs {
    /// Measure the guard of this pipeline: its `policies` and models
    #[arg(long, value_name = "PIPELINE", value_hint = ValueHint::FilePath)]
    pub(crate) pipeline: Option<PathBuf>,

    /// Side of the model the texts stand on
    #[arg(long, value_enum, default_value_t = ModeArg::Input)]
    pub(crate) mode: ModeArg,

    /// Leave the learned models out
    #[arg(long)]
    pub(crate) rules_only: bool,

    /// Threads of a model's forward pass; texts are checked one after the other
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: u32,
}

const EVAL_GUARD_EXAMPLES: &str = "\
Examples:
  bho eval guard --data labelled.jsonl
  bho eval guard --data labelled.jsonl --pipeline pipeline.yml --html report.html
  bho eval guard --data attacks.jsonl --data harmless.jsonl --label jailbreak --by-detector
  bho eval guard --data labelled.jsonl --predictions theirs.jsonl --json > theirs.json

A line holds what is known of its text: {\"text\": \"...\", \"spans\": [{\"start\": 0, \"end\": 5, \"type\":
\"email\"}], \"labels\": {\"toxicity\": 0, \"jailbreak\": 1}, \"group\": \"...\"}. What a line leaves out it is
not labelled for; spans count bytes. presidio-research's lines and {\"text\", \"label\"} with --label do
too. Predictions have one line for each text in the same order: {\"spans\": [{..., \"score\": 0.9}],
\"scores\": {\"toxicity\": 0.2}, \"ms\": 3.1}.

Intervals are 95 % bootstrap intervals over texts. Reports show texts with all personal data masked,
the missed included; --no-texts leaves them out. docs/evaluation.md defines every figure. A line that
cannot be used ends in exit status 1.";

#[derive(Debug, Args)]
#[command(after_help = EVAL_GUARD_EXAMPLES)]
pub(crate) struct EvalGuardArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,

    #[command(flatten)]
    pub(crate) guard: GuardOfArgs,

    /// Thresholds and maps of this calibration file; thresholds that the pipeline sets itself stay
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "predictions")]
    pub(crate) calibration: Option<PathBuf>,

    /// Measure these predictions instead of the guard
    #[arg(long, value_name = "FILE|-", value_parser = stream(), value_hint = ValueHint::FilePath)]
    pub(crate) predictions: Option<StreamArg>,

    /// Add columns for the rules alone and the models alone
    #[arg(long, conflicts_with = "predictions")]
    pub(crate) by_detector: bool,

    /// Count types that the policy keeps as if it replaced them
    #[arg(long)]
    pub(crate) kept: bool,

    /// Leave out what is found of types that the data never labels
    #[arg(long)]
    pub(crate) labelled_types_only: bool,

    /// Resamples behind the intervals; 0 is none
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub(crate) bootstrap: u32,

    /// Seed of the resamples
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Leave texts out of the report, masked ones too
    #[arg(long)]
    pub(crate) no_texts: bool,

    /// Write a page with curves, diagrams and the worst mistakes to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) html: Option<PathBuf>,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const TUNE_EXAMPLES: &str = "\
Examples:
  bho guard tune --data labelled.jsonl --fpr 0.05 -o calibration.json
  bho guard tune --data prompts.jsonl --label jailbreak --fpr 0.01 --calibrate logistic -o jb.json
  bho guard tune --data labelled.jsonl --signal toxicity --pipeline pipeline.yml -o tox.json

For each signal: the lowest threshold at which, with 95 % confidence, at most the given share of
harmless texts is flagged (exact binomial bound). That takes 59 harmless texts for 0.05 and 299 for
0.01. A text is harmless to a signal if its label is 0, and for personal data if it is labelled with
no span. --calibrate also fits a map from learned scores to probabilities, before the threshold.

A pipeline takes the file up with `policies.calibration: calibration.json`; thresholds that it sets
itself win. Judge the outcome on other texts: bho eval guard --calibration calibration.json.";

#[derive(Debug, Args)]
#[command(after_help = TUNE_EXAMPLES)]
pub(crate) struct GuardTuneArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,

    #[command(flatten)]
    pub(crate) guard: GuardOfArgs,

    /// Largest share of harmless texts to be flagged
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    pub(crate) fpr: f64,

    /// Signals to tune [default: all that the texts are labelled for]
    #[arg(long, value_enum, value_name = "SIGNAL", value_delimiter = ',')]
    pub(crate) signal: Vec<SignalArg>,

    /// Also fit a map from learned scores to probabilities
    #[arg(long, value_enum, value_name = "MAP", default_value_t = MapArg::None)]
    pub(crate) calibrate: MapArg,

    /// Calibration file to write
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,

    /// Print what was chosen as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SignalArg {
    Toxicity,
    Jailbreak,
    Pii,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MapArg {
    /// scores stay as they are
    None,
    /// Platt's: two numbers, never ties two scores
    Logistic,
    /// pool adjacent violators: follows any shape, needs more texts
    Isotonic,
}
