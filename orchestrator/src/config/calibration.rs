// SPDX-License-Identifier: AGPL-3.0-or-later
//! `policies.calibration`: thresholds and maps of the guard, measured by `bho guard tune`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path as FilePath;

use bho_guard::{Calibration, Signal};

use crate::yaml::Path;

use super::fault::Faults;
use super::{CalibrationSource, Policies, Pos};

/// Beyond the largest calibration, so that a longer file is known as one.
const MAX_READ: u64 = (1 << 20) + 1;

/// Reads the file that the policies name, relative to `folder`, and takes its thresholds where the pipeline sets none.
pub(super) fn read(policies: &mut Policies, folder: Option<&FilePath>, faults: &mut Faults) {
    let Some(CalibrationSource { file, pos, .. }) = &policies.calibration else { return };
    let pos = *pos;
    let found = match folder {
        Some(folder) => load(&folder.join(file)).map_err(|why| format!("{file}: {why}")),
        None => Err(format!("{file}: a pipeline that is no file has no folder to find it in")),
    };
    match found {
        Ok(calibration) => apply(policies, calibration),
        Err(message) => fault(pos, message, faults),
    }
}

fn fault(pos: Pos, message: String, faults: &mut Faults) {
    let path = Path::ROOT.key("policies");
    faults
        .error("bad_calibration", &path.key("calibration"), pos, message)
        .hint("`bho guard tune --data FILE.jsonl -o calibration.json` makes one");
}

fn load(path: &FilePath) -> Result<Calibration, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    file.take(MAX_READ)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {error}"))?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to()))?;
    Calibration::from_json(text)
}

fn apply(policies: &mut Policies, calibration: Calibration) {
    let Some(source) = &mut policies.calibration else { return };
    let own = &source.own_thresholds;
    for (signal, slot) in [
        (Signal::Toxicity, &mut policies.toxicity_block),
        (Signal::Jailbreak, &mut policies.jailbreak_block),
        (Signal::Pii, &mut policies.pii_redact),
    ] {
        if let Some(threshold) = calibration.threshold(signal).filter(|_| !own.contains(&signal)) {
            *slot = threshold;
        }
    }
    source.read = Some(calibration);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::AgentRegistry;
    use crate::config::{load_file, load_str};

    const MEASURED: &str = r#"{"format": "bho.calibration.v1", "created": "2026-01-01T00:00:00Z", "data": [],
        "signals": {"toxicity": {"threshold": 0.8}, "jailbreak": {"threshold": 0.31}}}"#;

    fn pipeline(policies: &str) -> String {
        format!(
            "version: 0.1.0\nschema: pipeline.v1\nname: demo\npolicies: {policies}\nnodes: [{{id: a, agent: bitnet.summarizer}}]\n"
        )
    }

    fn loaded(measured: &str, policies: &str) -> Result<Policies, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("c.json"), measured).unwrap();
        let path = dir.path().join("p.yml");
        std::fs::write(&path, pipeline(policies)).unwrap();
        let loaded = load_file(&path, &AgentRegistry::builtin()).unwrap();
        let faults = loaded.render("p.yml");
        loaded.pipeline.map(|pipeline| pipeline.policies).ok_or(faults)
    }

    #[test]
    fn measured_thresholds_hold_unless_the_pipeline_sets_its_own() {
        let policies =
            loaded(MEASURED, "{calibration: c.json, thresholds: {toxicity_block: 0.6}}").unwrap();
        assert_eq!(policies.toxicity_block, 0.6);
        assert_eq!(policies.jailbreak_block, 0.31);
        assert_eq!(policies.pii_redact, Policies::default().pii_redact);
        assert!(policies.calibration.is_some_and(|source| source.read.is_some()));
    }

    #[test]
    fn the_effective_pipeline_means_the_same() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("c.json"), MEASURED).unwrap();
        let path = dir.path().join("p.yml");
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            load_file(&path, &AgentRegistry::builtin()).unwrap().pipeline.unwrap()
        };
        let first = load(&pipeline("{calibration: c.json}"));
        let second = load(&first.to_yaml().unwrap());
        let figures = |p: &Policies| (p.toxicity_block, p.jailbreak_block, p.pii_redact);
        assert_eq!(figures(&first.policies), figures(&second.policies));
        let read = |p: Policies| p.calibration.unwrap().read;
        assert_eq!(read(first.policies), read(second.policies));
    }

    #[test]
    fn a_file_that_is_missing_or_damaged_is_a_fault_with_its_place() {
        for (measured, policies, message) in [
            (MEASURED, "{calibration: d.json}", "d.json: cannot be read"),
            ("{", "{calibration: c.json}", "c.json: EOF while parsing"),
            ("{}", "{calibration: c.json}", "missing field `format`"),
            (MEASURED, "{calibration: [c.json]}", "p.yml:4:25: error[wrong_type]"),
        ] {
            let faults = loaded(measured, policies).unwrap_err();
            assert!(faults.contains(message), "{faults}");
            assert!(faults.contains("p.yml:4:25: error["), "{faults}");
        }
        let text = pipeline("{calibration: c.json}");
        let faults = load_str(&text, &AgentRegistry::builtin()).render("-");
        assert!(faults.contains("-:4:25: error[bad_calibration]"), "{faults}");
    }
}
