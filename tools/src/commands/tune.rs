// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho guard tune`: thresholds and maps from labelled texts, as a file that a pipeline can name.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::bail;
use bho_engine::CancelToken;
use bho_guard::{
    CALIBRATION_FORMAT, Calibration, CalibrationData, CalibrationModel, Category, Signal,
    SignalCalibration, Verdict,
};

use super::bench::{advance, progress};
use super::eval::read;
use crate::cli::eval::{GuardTuneArgs, MapArg, SignalArg};
use crate::eval::data::Data;
use crate::eval::guard::{Subject, pii_score};
use crate::eval::tune::{self, Chosen};
use crate::exit::{self, Exit, Failure, OrFailed as _};
use crate::output::file::Target;
use crate::output::style::Style;
use crate::output::table::Table;
use crate::output::{self, json};

/// Rates that a threshold can be chosen for.
const LIMITS: std::ops::RangeInclusive<f64> = 0.0001..=0.5;

/// Tunes, and writes the calibration only if every signal could be.
pub(crate) fn execute(args: &GuardTuneArgs) -> Result<Exit, Failure> {
    if !LIMITS.contains(&args.fpr) {
        let message =
            format!("--fpr is {}; accepted: {} to {}", args.fpr, LIMITS.start(), LIMITS.end());
        return Err(Failure::said(Exit::Usage, message));
    }
    let target = Target::new(args.output.clone())?;
    let created = created()?;
    let mut subject = Subject::open(&args.guard)?;
    // What was measured before is no part of what is measured now.
    subject.uncalibrate();
    let (data, _) = read(&args.data, subject.types(false))?;
    let signals = signals(&args.signal, &data, args.data.label.is_some());
    let signals = signals.map_err(|message| Failure::said(Exit::Failed, message))?;
    let cancel = CancelToken::new();
    exit::cancel_on_interrupt(&cancel);

    let mut calibration = Calibration {
        format: CALIBRATION_FORMAT.to_owned(),
        created,
        data: data
            .files
            .iter()
            .map(|file| CalibrationData {
                file: file.file.clone(),
                sha256: file.sha256.clone(),
                texts: file.texts,
            })
            .collect(),
        models: subject
            .models()
            .iter()
            .map(|model| CalibrationModel {
                name: model.name.clone(),
                sha256: model.sha256.clone(),
            })
            .collect(),
        signals: BTreeMap::new(),
    };
    let verdicts = check(&subject, &data, &cancel)?;
    if args.calibrate != MapArg::None {
        for signal in signals.iter().filter(|signal| **signal != Signal::Pii) {
            let scored = learned_scores(&subject, &data, &verdicts, *signal);
            let map = match args.calibrate {
                MapArg::Logistic => tune::logistic(&scored),
                _ => tune::isotonic(&scored),
            };
            let map = map.map_err(|why| anyhow::anyhow!("{}: {why}", signal.key())).or_failed()?;
            let entry =
                SignalCalibration { threshold: 0.0, map: Some(map), measured: BTreeMap::new() };
            calibration.signals.insert(signal.key().to_owned(), entry);
        }
    }
    // The threshold is one of scores as the guard will have them, rules and maps in place.
    let verdicts = if calibration.signals.is_empty() {
        verdicts
    } else {
        subject.calibrate(calibration.clone());
        check(&subject, &data, &cancel)?
    };
    let mut chosen = Vec::new();
    for signal in signals {
        let scored = scores(&subject, &data, &verdicts, signal);
        let found = tune::threshold(&scored, args.fpr);
        let found = found.map_err(|why| anyhow::anyhow!("{}: {why}", signal.key())).or_failed()?;
        let map = calibration.signals.remove(signal.key()).and_then(|entry| entry.map);
        let measured = measured(&found, args.fpr);
        let entry = SignalCalibration { threshold: found.threshold, map, measured };
        calibration.signals.insert(signal.key().to_owned(), entry);
        chosen.push((signal, found));
    }
    let mut bytes = serde_json::to_vec_pretty(&calibration)?;
    bytes.push(b'\n');
    target.write(&bytes)?;

    let mut out = output::stdout();
    if args.json {
        json::document(&mut out, &calibration)?;
    } else {
        out.write_all(describe(&chosen, args).as_bytes())?;
        out.flush()?;
    }
    Ok(Exit::Success)
}

/// The signals to tune: those asked for, or all that texts are labelled for.
fn signals(asked: &[SignalArg], data: &Data, told: bool) -> Result<Vec<Signal>, String> {
    let all = [
        (SignalArg::Toxicity, Signal::Toxicity),
        (SignalArg::Jailbreak, Signal::Jailbreak),
        (SignalArg::Pii, Signal::Pii),
    ];
    let labelled = |signal: Signal| {
        data.examples.iter().any(|example| match signal {
            Signal::Toxicity => example.labels[0].is_some(),
            Signal::Jailbreak => example.labels[1].is_some(),
            Signal::Pii => example.spans.is_some(),
        })
    };
    let wanted = all.into_iter().filter(|(arg, _)| asked.is_empty() || asked.contains(arg));
    let (found, missing): (Vec<Signal>, Vec<Signal>) =
        wanted.map(|(_, signal)| signal).partition(|signal| labelled(*signal));
    match missing.first() {
        Some(signal) if !asked.is_empty() => {
            Err(format!("no text is labelled for {}", signal.key()))
        }
        _ if found.is_empty() => {
            let hint = if told { "" } else { "; --label says what the key `label` is about" };
            Err(format!("no text is labelled{hint}"))
        }
        _ => Ok(found),
    }
}

fn check(subject: &Subject, data: &Data, cancel: &CancelToken) -> Result<Vec<Verdict>, Failure> {
    let bar = progress();
    let guard = subject.guard()?;
    let mut verdicts = Vec::with_capacity(data.examples.len());
    for (done, example) in data.examples.iter().enumerate() {
        advance(&bar, "texts checked", done, data.examples.len());
        let checked =
            guard.check_with_cancel("tune", &example.text, subject.mode, &|| cancel.is_cancelled());
        if cancel.is_cancelled() {
            bar.finish_and_clear();
            return Err(Failure::silent(Exit::Interrupted));
        }
        let of_line = |error| anyhow::anyhow!("line {}: {error}", example.line);
        verdicts.push(checked.map_err(of_line).or_failed()?);
    }
    bar.finish_and_clear();
    Ok(verdicts)
}

/// Scores and labels of the texts that are labelled for a signal. A text is positive for personal data if any is labelled.
fn scores(
    subject: &Subject,
    data: &Data,
    verdicts: &[Verdict],
    signal: Signal,
) -> Vec<(f64, bool)> {
    let pairs = data.examples.iter().zip(verdicts);
    pairs
        .filter_map(|(example, verdict)| {
            let labels = &verdict.card.labels;
            Some(match signal {
                Signal::Toxicity => (labels.toxicity, example.labels[0]?),
                Signal::Jailbreak => (labels.jailbreak, example.labels[1]?),
                Signal::Pii => {
                    let spans = example.spans.as_ref()?;
                    (pii_score(verdict, &subject.policy), !spans.is_empty())
                }
            })
        })
        .collect()
}

/// What models alone said of the labelled texts that they gave a score: that is what a map maps.
fn learned_scores(
    subject: &Subject,
    data: &Data,
    verdicts: &[Verdict],
    signal: Signal,
) -> Vec<(f64, bool)> {
    let learned = subject.learned();
    let (head, category) = match signal {
        Signal::Toxicity => (0, Category::Toxicity),
        _ => (1, Category::Jailbreak),
    };
    let pairs = data.examples.iter().zip(verdicts);
    pairs
        .filter_map(|(example, verdict)| {
            let label = example.labels[head]?;
            let of_it = verdict
                .findings
                .iter()
                .filter(|f| f.category == category && learned.contains(&f.detector));
            Some((f64::from(of_it.map(|f| f.score).reduce(f32::max)?), label))
        })
        .collect()
}

fn measured(chosen: &Chosen, limit: f64) -> BTreeMap<String, f64> {
    let mut out: BTreeMap<String, f64> = [
        ("target_fpr", limit),
        ("confidence", 1.0 - tune::RISK),
        ("negatives", chosen.negatives as f64),
        ("positives", chosen.positives as f64),
        ("false_positives", chosen.false_positives as f64),
        ("fpr", chosen.fpr()),
        ("fpr_upper", chosen.fpr_upper),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    out.extend(chosen.recall().map(|recall| ("recall".to_owned(), recall)));
    out
}

fn describe(chosen: &[(Signal, Chosen)], args: &GuardTuneArgs) -> String {
    let mut table = Table::new([
        "signal",
        ">threshold",
        ">harmless texts",
        ">flagged",
        ">FPR",
        ">at most (95 %)",
        ">recall",
    ]);
    for (signal, chosen) in chosen {
        table.row([
            signal.key().into(),
            format!("{:.4}", chosen.threshold).into(),
            chosen.negatives.to_string().into(),
            chosen.false_positives.to_string().into(),
            format!("{:.4}", chosen.fpr()).into(),
            format!("{:.4}", chosen.fpr_upper).into(),
            chosen.recall().map_or_else(|| "–".to_owned(), |recall| format!("{recall:.4}")).into(),
        ]);
    }
    let file = args.output.display();
    format!(
        "{}\n{file} is written; a pipeline takes it up with `policies.calibration`\n",
        table.render(&Style::stdout())
    )
}

/// Now, or what `SOURCE_DATE_EPOCH` says for builds that are to come out the same each time.
fn created() -> anyhow::Result<String> {
    let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => match text.trim().parse::<u64>() {
            Ok(seconds) => seconds,
            Err(_) => bail!("SOURCE_DATE_EPOCH is not a whole number of seconds"),
        },
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    };
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    if days > 2_932_896 {
        bail!("SOURCE_DATE_EPOCH is after the year 9999");
    }
    let (year, month, day) = date(days);
    Ok(format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    ))
}

/// Year, month and day so many days after 1970-01-01, in the Gregorian calendar.
fn date(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_the_calendars() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (20_779, (2026, 11, 22)),
            (2_932_896, (9999, 12, 31)),
        ] {
            assert_eq!(date(days), expected, "{days}");
        }
    }
}
