// SPDX-License-Identifier: AGPL-3.0-or-later
//! The report of `bho eval guard`, as `--json` prints it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::bootstrap::Estimate;
use super::data::{DataFile, HEADS};
use super::latency::Latency;
use super::mistakes::Mistake;
use super::ranking::{Bin, FIGURES};
use super::types::Standing;

/// The value of [`Report::format`].
pub(crate) const FORMAT: &str = "bho.eval.guard.v1";
/// Everything that was measured. Keys are told in `docs/evaluation.md`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    pub(crate) format: &'static str,
    pub(crate) version: &'static str,
    pub(crate) data: Vec<DataFile>,
    pub(crate) texts: usize,
    /// What was left aside when reading, and in how many lines.
    pub(crate) notes: BTreeMap<String, usize>,
    pub(crate) subject: SubjectReport,
    pub(crate) bootstrap: BootstrapReport,
    pub(crate) pii: Option<PiiReport>,
    pub(crate) toxicity: Option<SignalReport>,
    pub(crate) jailbreak: Option<SignalReport>,
    pub(crate) latency: Option<Latency>,
    pub(crate) machine: Option<String>,
    pub(crate) mistakes: Vec<Mistake>,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SubjectReport {
    /// The file of somebody else's predictions; none when it was the guard.
    pub(crate) predictions: Option<String>,
    pub(crate) mode: &'static str,
    pub(crate) pipeline: Option<String>,
    pub(crate) calibration: Option<String>,
    pub(crate) models: Vec<ModelReport>,
    /// Signals that nothing in the guard feeds: their scores are all 0.
    pub(crate) inactive: Vec<&'static str>,
    pub(crate) thresholds: ThresholdsReport,
}

/// A model of the guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ModelReport {
    pub(crate) name: String,
    pub(crate) sha256: String,
}

/// Where the guard acts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct ThresholdsReport {
    pub(crate) toxicity: f64,
    pub(crate) jailbreak: f64,
    pub(crate) pii: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct BootstrapReport {
    pub(crate) resamples: usize,
    pub(crate) seed: u64,
    pub(crate) interval: f64,
}

/// Precision, recall and F1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Rates {
    pub(crate) precision: Estimate,
    pub(crate) recall: Estimate,
    pub(crate) f1: Estimate,
}

impl Rates {
    /// Precision, recall and F1 of so many found and so many labelled. F1 is at least the lesser of the two.
    pub(super) fn of(figures: &[Estimate], found: u64, labelled: u64) -> Self {
        Self {
            precision: figures[0].of_share(found),
            recall: figures[1].of_share(labelled),
            f1: figures[2].of_share(found.min(labelled)),
        }
    }
}

/// Personal data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PiiReport {
    pub(crate) texts: usize,
    /// Labelled spans that count, and found ones.
    pub(crate) labelled: u64,
    pub(crate) found: u64,
    pub(crate) strict: Rates,
    pub(crate) overlap: Rates,
    pub(crate) bytes: Rates,
    /// Labelled spans that are covered from end to end, whatever the type.
    pub(crate) covered: Estimate,
    /// Texts that are labelled with nothing, and the share of them in which something was found.
    pub(crate) clean_texts: usize,
    pub(crate) clean_texts_flagged: Estimate,
    pub(crate) types: Vec<TypeReport>,
    /// Labels that do not count, and why.
    pub(crate) apart: Vec<ApartReport>,
    /// What was found of types that do not count.
    pub(crate) set_aside: BTreeMap<String, usize>,
    pub(crate) confusion: Confusion,
    pub(crate) by_detector: BTreeMap<&'static str, Map<String, Value>>,
}

/// One type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct TypeReport {
    #[serde(rename = "type")]
    pub(crate) name: String,
    pub(crate) labelled: u64,
    pub(crate) found: u64,
    pub(crate) strict: Rates,
    pub(crate) overlap: Rates,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ApartReport {
    pub(crate) label: String,
    pub(crate) why: Standing,
    pub(crate) labelled: usize,
}

/// For each labelled type, as what its spans were found. The last row is what met no label, the last column what was
/// not found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Confusion {
    pub(crate) types: Vec<String>,
    pub(crate) counts: Vec<Vec<usize>>,
}

/// Toxicity or jailbreak.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SignalReport {
    pub(crate) texts: usize,
    pub(crate) positives: usize,
    pub(crate) negatives: usize,
    pub(crate) threshold: f64,
    /// By name; `fpr` is the over-defense rate.
    pub(crate) figures: Figures,
    pub(crate) groups: Vec<GroupReport>,
    pub(crate) reliability: Vec<Bin>,
    pub(crate) histogram: HistogramReport,
    /// False positive rate, recall, threshold.
    pub(crate) roc: Vec<[f64; 3]>,
    /// Recall, precision, threshold.
    pub(crate) precision_recall: Vec<[f64; 3]>,
    pub(crate) by_detector: BTreeMap<&'static str, Map<String, Value>>,
}

/// Figures in the order of [`FIGURES`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figures(pub(crate) Vec<Estimate>);

impl Figures {
    /// The figure of this name.
    pub(crate) fn get(&self, name: &str) -> Estimate {
        let at = FIGURES.iter().position(|known| *known == name);
        let none = Estimate { value: None, low: None, high: None };
        at.and_then(|at| self.0.get(at)).copied().unwrap_or(none)
    }
}

impl Serialize for Figures {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(FIGURES.iter().zip(&self.0))
    }
}

/// The texts of one group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct GroupReport {
    pub(crate) group: String,
    pub(crate) texts: usize,
    pub(crate) positives: usize,
    pub(crate) negatives: usize,
    pub(crate) recall: Estimate,
    pub(crate) fpr: Estimate,
    pub(crate) auc: Estimate,
}

/// Texts by score, in bins of equal width from 0 to 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct HistogramReport {
    pub(crate) negatives: Vec<usize>,
    pub(crate) positives: Vec<usize>,
}

/// The signals of a report under their names.
pub(crate) fn named(report: &Report) -> impl Iterator<Item = (&'static str, &SignalReport)> {
    let signals = [&report.toxicity, &report.jailbreak];
    HEADS.into_iter().zip(signals).filter_map(|(name, signal)| Some((name, signal.as_ref()?)))
}
