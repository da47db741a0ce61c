// SPDX-License-Identifier: AGPL-3.0-or-later
//! From answers to figures.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::bootstrap::{Bootstrap, Estimate};
use super::data::{Data, Example};
use super::document::{
    ApartReport, Confusion, Figures, GroupReport, HistogramReport, PiiReport, Rates, SignalReport,
    ThresholdsReport, TypeReport,
};
use super::guard::{Answer, Answers, Voice};
use super::latency::Latency;
use super::mistakes::{self, Masking, Mistake};
use super::ranking::{FIGURES, Ranking, Step};
use super::spans::{self, Counts, OVERALL_FIGURES, Sum, TYPE_FIGURES};
use super::types::Types;

/// Most points of a curve in a report.
const CURVE_POINTS: usize = 256;
/// Bins of the histograms of scores.
const SCORE_BINS: usize = 40;

/// How to measure.
pub(crate) struct Measuring<'a> {
    pub(crate) bootstrap: Bootstrap,
    pub(crate) thresholds: ThresholdsReport,
    pub(crate) labelled_types_only: bool,
    /// None leaves texts out.
    pub(crate) masking: Option<Masking<'a>>,
}

/// What was measured, to be put into a [`Report`](super::document::Report).
pub(crate) struct Measured {
    pub(crate) pii: Option<PiiReport>,
    /// In the order of `HEADS`.
    pub(crate) signals: [Option<SignalReport>; 2],
    pub(crate) latency: Option<Latency>,
    pub(crate) mistakes: Vec<Mistake>,
}

impl Measuring<'_> {
    /// Measures answers to labelled texts.
    pub(crate) fn measure(&self, data: &Data, mut answers: Answers, types: &Types) -> Measured {
        let set_aside = self.set_aside(data, &mut answers, types);
        let mut mistakes = Vec::new();
        let pii = self.pii(data, &answers, types, set_aside, &mut mistakes);
        let thresholds = [self.thresholds.toxicity, self.thresholds.jailbreak];
        let signals = [0, 1].map(|head| {
            let masking = self.masking.as_ref();
            let report = self.signal(data, &answers, head, thresholds[head])?;
            let of =
                mistakes::of_signal(data, &answers.all, head, thresholds[head], types, masking);
            mistakes.extend(of);
            Some(report)
        });
        Measured { pii, signals, latency: Latency::of(&answers.times), mistakes }
    }

    /// Takes out what was found of types that do not count.
    fn set_aside(
        &self,
        data: &Data,
        answers: &mut Answers,
        types: &Types,
    ) -> BTreeMap<String, usize> {
        let golds = data.examples.iter().flat_map(|example| example.spans.iter().flatten());
        let labelled: std::collections::BTreeSet<usize> =
            golds.flat_map(|gold| types.label(gold.label).keys.iter().copied()).collect();
        let counts = |key: usize| {
            types.is_known(key) && (!self.labelled_types_only || labelled.contains(&key))
        };
        let mut out = BTreeMap::new();
        for (example, answer) in data.examples.iter().zip(&mut answers.all) {
            answer.spans.retain(|found| {
                let keep = counts(found.key);
                if !keep && example.spans.is_some() {
                    *out.entry(types.key(found.key).to_owned()).or_default() += 1;
                }
                keep
            });
        }
        for answer in answers.by_voice.iter_mut().flat_map(|(_, answers)| answers) {
            answer.spans.retain(|found| counts(found.key));
        }
        out
    }

    fn pii(
        &self,
        data: &Data,
        answers: &Answers,
        types: &Types,
        set_aside: BTreeMap<String, usize>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<PiiReport> {
        let judged = judged(data, &answers.all, types);
        if judged.is_empty() {
            return None;
        }
        *mistakes = mistakes::of_pii(data, &answers.all, &judged, types, self.masking.as_ref());
        let counts: Vec<&Counts> = judged.iter().map(|(_, counts)| counts).collect();
        let whole = Sum::of(&counts, &vec![1; counts.len()], types.keys());
        let seen = |key: &usize| whole.support(*key) != (0.0, 0.0);
        let mut present: Vec<usize> = (0..types.keys()).filter(seen).collect();
        present.sort_by(|a, b| {
            let labelled = |key: &usize| whole.support(*key).0;
            labelled(b).total_cmp(&labelled(a)).then_with(|| types.key(*a).cmp(types.key(*b)))
        });
        // A text is clean if nobody labelled anything in it, whatever counts.
        let clean: Vec<(bool, bool)> = judged
            .iter()
            .map(|(text, counts)| {
                let clean = data.examples[*text].spans.as_ref().is_some_and(Vec::is_empty);
                (clean, counts.types.iter().any(|(_, counts)| counts.found > 0))
            })
            .collect();
        let estimates = self.bootstrap.estimates(counts.len(), |weights| {
            let sum = Sum::of(&counts, weights, types.keys());
            let mut figures = sum.overall().to_vec();
            figures.push(clean_flagged(&clean, weights));
            figures.extend(present.iter().flat_map(|key| sum.of_type(*key)));
            figures
        });
        let (overall, by_type) = estimates.split_at(OVERALL_FIGURES + 1);
        let type_report = |(key, figures): (&usize, &[Estimate])| {
            let (labelled, found) = whole.support(*key);
            let (labelled, found) = (count(labelled), count(found));
            TypeReport {
                name: types.key(*key).to_owned(),
                labelled,
                found,
                strict: Rates::of(&figures[..3], found, labelled),
                overlap: Rates::of(&figures[3..], found, labelled),
            }
        };
        let reports: Vec<TypeReport> =
            present.iter().zip(by_type.chunks(TYPE_FIGURES)).map(type_report).collect();
        let mut apart = BTreeMap::<usize, usize>::new();
        for label in counts.iter().flat_map(|counts| &counts.apart) {
            *apart.entry(*label).or_default() += 1;
        }
        let apart_report = |(label, labelled): (usize, usize)| ApartReport {
            label: types.label(label).name.clone(),
            why: types.standing(label),
            labelled,
        };
        let by_detector = answers.by_voice.iter().map(|(voice, answers)| {
            let judged = self::judged(data, answers, types);
            let counts: Vec<&Counts> = judged.iter().map(|(_, counts)| counts).collect();
            (name(*voice), plain(&counts, &present, types))
        });
        let labelled = reports.iter().map(|report| report.labelled).sum();
        let found = reports.iter().map(|report| report.found).sum();
        let clean_texts = clean.iter().filter(|(clean, _)| *clean).count();
        Some(PiiReport {
            texts: counts.len(),
            labelled,
            found,
            strict: Rates::of(&overall[..3], found, labelled),
            overlap: Rates::of(&overall[3..6], found, labelled),
            bytes: Rates::of(&overall[6..9], found, labelled),
            covered: overall[9].of_share(labelled),
            clean_texts,
            clean_texts_flagged: overall[10].of_share(clean_texts as u64),
            confusion: confusion(&counts, &present, types),
            by_detector: by_detector.collect(),
            types: reports,
            apart: apart.into_iter().map(apart_report).collect(),
            set_aside,
        })
    }

    fn signal(
        &self,
        data: &Data,
        answers: &Answers,
        head: usize,
        threshold: f64,
    ) -> Option<SignalReport> {
        let labelled: Vec<usize> =
            (0..data.examples.len()).filter(|i| data.examples[*i].labels[head].is_some()).collect();
        if labelled.is_empty() {
            return None;
        }
        let scored = |answers: &[Answer], texts: &[usize]| -> Vec<(f64, bool)> {
            let row = |i: &usize| {
                (answers[*i].scores[head], data.examples[*i].labels[head] == Some(true))
            };
            texts.iter().map(row).collect()
        };
        let figures = |ranking: &Ranking| {
            let estimates = self
                .bootstrap
                .estimates(ranking.texts(), |weights| ranking.figures(weights, threshold).to_vec());
            let shares = ranking.shares_of(threshold);
            let estimate = |(estimate, of): (Estimate, u64)| estimate.of_share(of);
            Figures(estimates.into_iter().zip(shares).map(estimate).collect())
        };
        let ranking = Ranking::new(&scored(&answers.all, &labelled));
        let mut groups = BTreeMap::<&str, Vec<usize>>::new();
        for text in &labelled {
            if let Some(group) = &data.examples[*text].group {
                groups.entry(group).or_default().push(*text);
            }
        }
        let group_report = |(group, texts): (&str, Vec<usize>)| {
            let ranking = Ranking::new(&scored(&answers.all, &texts));
            let figures = figures(&ranking);
            GroupReport {
                group: group.to_owned(),
                texts: ranking.texts(),
                positives: ranking.positives(),
                negatives: ranking.negatives(),
                recall: figures.get("recall"),
                fpr: figures.get("fpr"),
                auc: figures.get("auc"),
            }
        };
        let by_detector = answers.by_voice.iter().map(|(voice, answers)| {
            let ranking = Ranking::new(&scored(answers, &labelled));
            let figures = ranking.figures(&vec![1; ranking.texts()], threshold);
            let figures = FIGURES.iter().zip(figures);
            (
                name(*voice),
                figures.map(|(name, figure)| ((*name).to_owned(), value(figure))).collect(),
            )
        });
        let (roc, precision_recall) = curves(&ranking);
        let [negatives, positives] = ranking.histogram(SCORE_BINS);
        Some(SignalReport {
            texts: ranking.texts(),
            positives: ranking.positives(),
            negatives: ranking.negatives(),
            threshold,
            figures: figures(&ranking),
            groups: groups.into_iter().map(group_report).collect(),
            reliability: ranking.bins(),
            histogram: HistogramReport { negatives, positives },
            roc,
            precision_recall,
            by_detector: by_detector.collect(),
        })
    }
}

/// The texts that are labelled for personal data, and what was found in each.
fn judged(data: &Data, answers: &[Answer], types: &Types) -> Vec<(usize, Counts)> {
    let pairs = data.examples.iter().zip(answers).enumerate();
    let judge = |(text, (example, answer)): (usize, (&Example, &Answer))| {
        let gold = example.spans.as_ref()?;
        Some((text, spans::judge(gold, &answer.spans, types)))
    };
    pairs.filter_map(judge).collect()
}

/// The share of clean texts in which something was found.
fn clean_flagged(clean: &[(bool, bool)], weights: &[u32]) -> f64 {
    let (mut texts, mut flagged) = (0.0, 0.0);
    for ((clean, found), weight) in clean.iter().zip(weights) {
        if *clean {
            texts += f64::from(*weight);
            flagged += f64::from(*weight) * f64::from(u8::from(*found));
        }
    }
    flagged / texts
}

/// The figures of one voice, without intervals.
fn plain(counts: &[&Counts], present: &[usize], types: &Types) -> Map<String, Value> {
    const NAMES: [&str; OVERALL_FIGURES] = [
        "strict_precision",
        "strict_recall",
        "strict_f1",
        "overlap_precision",
        "overlap_recall",
        "overlap_f1",
        "bytes_precision",
        "bytes_recall",
        "bytes_f1",
        "covered",
    ];
    let sum = Sum::of(counts, &vec![1; counts.len()], types.keys());
    let overall = NAMES.iter().zip(sum.overall());
    let mut out: Map<String, Value> =
        overall.map(|(name, figure)| ((*name).to_owned(), value(figure))).collect();
    let by_type = present.iter().map(|key| {
        let [.., f1] = sum.of_type(*key);
        (types.key(*key).to_owned(), value(f1))
    });
    out.insert("overlap_f1_by_type".to_owned(), Value::Object(by_type.collect()));
    out
}

fn confusion(counts: &[&Counts], present: &[usize], types: &Types) -> Confusion {
    let nothing = present.len();
    let place = |key: Option<usize>| {
        key.map_or(Some(nothing), |key| present.iter().position(|known| *known == key))
    };
    let mut table = vec![vec![0; nothing + 1]; nothing + 1];
    for (gold, found) in counts.iter().flat_map(|counts| &counts.confusion) {
        if let (Some(row), Some(column)) = (place(*gold), place(*found)) {
            table[row][column] += 1;
        }
    }
    Confusion {
        types: present.iter().map(|key| types.key(*key).to_owned()).collect(),
        counts: table,
    }
}

/// ROC and precision over recall, from the strictest threshold to none.
fn curves(ranking: &Ranking) -> (Vec<[f64; 3]>, Vec<[f64; 3]>) {
    let steps = ranking.steps(&vec![1; ranking.texts()]);
    let (positives, negatives) = (ranking.positives() as f64, ranking.negatives() as f64);
    if positives == 0.0 {
        return (Vec::new(), Vec::new());
    }
    let steps = thinned(&steps);
    let precision =
        |step: &Step| step.true_positives / (step.true_positives + step.false_positives);
    let point = |step: &Step| [step.true_positives / positives, precision(step), step.score];
    let curve = steps.iter().map(point).collect();
    if negatives == 0.0 {
        return (Vec::new(), curve);
    }
    let point = |step: &Step| {
        [step.false_positives / negatives, step.true_positives / positives, step.score]
    };
    (steps.iter().map(point).collect(), curve)
}

/// At most [`CURVE_POINTS`] of the steps, spread evenly over the way that the curve takes, the last among them.
fn thinned(steps: &[Step]) -> Vec<Step> {
    let Some(last) = steps.last() else { return Vec::new() };
    let way = |step: &Step| {
        step.true_positives / last.true_positives.max(1.0)
            + step.false_positives / last.false_positives.max(1.0)
    };
    let (mut out, mut next) = (Vec::new(), 0.0);
    for (i, step) in steps.iter().enumerate() {
        if way(step) >= next || i + 1 == steps.len() || i == 0 {
            out.push(*step);
            next = way(step) + way(last) / (CURVE_POINTS - 2) as f64;
        }
    }
    out
}

fn name(voice: Voice) -> &'static str {
    match voice {
        Voice::Rules => "rules",
        Voice::Models => "models",
    }
}

fn value(figure: f64) -> Value {
    serde_json::Number::from_f64(figure).map_or(Value::Null, Value::Number)
}

fn count(sum: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of counts")]
    let count = sum as u64;
    count
}

#[cfg(test)]
mod tests;
