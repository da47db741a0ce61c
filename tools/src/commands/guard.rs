// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho guard`: texts are checked, one or one a line; pseudonyms are turned back; keys are made.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use bho_engine::Compute;
use bho_guard::{Detector, Guard, GuardBuilder, Key, Mode, Policy};
use bho_orchestrator::config::KeySource;
use bho_orchestrator::guarding::guard_policy;
use serde_json::json;

use super::validate;
use crate::cli::args::{GuardCheckArgs, ModeArg};
use crate::cli::vault::{GuardKeygenArgs, GuardRevealArgs};
use crate::exit::{Exit, Failure, OrFailed as _};
use crate::input::{JsonLines, TextArg};
use crate::output::{
    self, card, json,
    style::{self, Style},
};
use crate::{guards, keys, machine};

/// Checks what the arguments name. The guard's models are loaded first: no text waits for them.
pub(crate) fn check(args: GuardCheckArgs) -> Result<Exit, Failure> {
    let guard = guard(args.pipeline.as_deref())?;
    let mode = args.mode.into();
    match (args.jsonl, args.text) {
        (Some(stream), _) => check_lines(&guard, mode, stream.json_lines()?),
        (None, Some(text)) => check_one(&guard, mode, text, args.json),
        (None, None) => Err(Failure::said(Exit::Usage, "expected a text or --jsonl FILE")),
    }
}

impl From<ModeArg> for Mode {
    fn from(arg: ModeArg) -> Self {
        match arg {
            ModeArg::Input => Self::Input,
            ModeArg::Output => Self::Output,
        }
    }
}

/// The guard of a pipeline, or the default one, with its models.
pub(crate) fn guard(pipeline: Option<&Path>) -> Result<Guard, Failure> {
    guard_or(pipeline, Policy::default())
}

/// The guard of a pipeline, or one of this policy, with its models.
pub(crate) fn guard_or(pipeline: Option<&Path>, policy: Policy) -> Result<Guard, Failure> {
    match pipeline {
        Some(path) => guard_of(path),
        None => {
            let detectors = guards::bundled(machine::threads(None, None).count)?;
            build(Guard::builder().policy(policy), detectors)
        }
    }
}

/// The guard that a run of this pipeline has.
fn guard_of(path: &Path) -> Result<Guard, Failure> {
    let environment = guards::environment()?;
    let pipeline = validate::valid(path)?;
    let keys = keys::of_pipeline(&pipeline.policies, path)?;
    let threads = machine::threads(None, pipeline.device_profile.cpu_threads);
    let compute = Compute::new(threads.count)?;
    let learned = guards::load(&environment, Some((&pipeline, path)), &compute)?;
    let mut builder = Guard::builder().policy(guard_policy(&pipeline.policies)).keys(keys);
    if let Some(calibration) = pipeline.policies.calibration.and_then(|source| source.read) {
        builder = builder.calibration(calibration);
    }
    build(builder, learned.detectors)
}

fn build(builder: GuardBuilder, detectors: Vec<Arc<dyn Detector>>) -> Result<Guard, Failure> {
    Ok(detectors.into_iter().fold(builder, GuardBuilder::detector).build()?)
}

/// Turns pseudonyms back. The text is the caller's own again: it is printed as it is.
pub(crate) fn reveal(args: GuardRevealArgs) -> Result<Exit, Failure> {
    let source = match (args.key_env, args.key_file) {
        (Some(name), _) => KeySource::Env(name),
        (None, Some(path)) => KeySource::File(path.display().to_string()),
        (None, None) => {
            return Err(Failure::said(Exit::Usage, "expected --key-env or --key-file"));
        }
    };
    let vault = keys::open_vault(&args.vault, &source)?;
    let text = args.text.read()?;
    let found = vault.reveal(&text).or_failed()?;
    let mut out = output::stdout();
    if args.json {
        let document = json!({
            "text": found.text.as_str(),
            "revealed": found.revealed,
            "unknown": found.unknown,
        });
        json::document(&mut out, &document)?;
    } else if io::stdout().is_terminal() {
        writeln!(out, "{}", style::clean(found.text.trim_end()))?;
    } else {
        out.write_all(found.text.as_bytes())?;
    }
    out.flush()?;
    if found.unknown > 0 && !args.json {
        let pseudonyms = output::count(found.unknown, "pseudonym");
        output::warning(&format!("{pseudonyms} not in this vault, left as they stand"));
    }
    Ok(Exit::Success)
}

/// Writes a new key to a file that is not there yet.
pub(crate) fn keygen(args: &GuardKeygenArgs) -> Result<Exit, Failure> {
    let path = &args.file;
    let key = Key::generate().or_failed()?.to_hex();
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let cannot = || format!("cannot write {}", path.display());
    let mut file = options.open(path).with_context(cannot)?;
    file.write_all(key.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .with_context(cannot)?;
    let mut out = output::stdout();
    if args.json {
        json::document(&mut out, &json!({ "file": path.display().to_string(), "bits": 256 }))?;
    } else {
        writeln!(
            out,
            "{}: a key of 256 bits; keep a copy",
            style::clean(&path.display().to_string())
        )?;
    }
    out.flush()?;
    Ok(Exit::Success)
}

fn check_one(guard: &Guard, mode: Mode, text: TextArg, as_json: bool) -> Result<Exit, Failure> {
    let text = text.read()?;
    let card = guard.check("cli", &text, mode).or_failed()?.card;
    let mut out = output::stdout();
    if as_json {
        json::document(&mut out, &card)?;
    } else {
        out.write_all(card::single(&card, &Style::stdout()).as_bytes())?;
        out.flush()?;
    }
    Ok(Exit::Success)
}

fn check_lines(guard: &Guard, mode: Mode, mut lines: JsonLines) -> Result<Exit, Failure> {
    let mut out = output::stdout();
    let mut bad: u64 = 0;
    loop {
        // What is done is seen before the next line is waited for.
        if lines.may_block() {
            out.flush()?;
        }
        let Some(line) = lines.next_line()? else { break };
        let checked = line.text.and_then(|text| {
            let node = format!("line:{}", line.number);
            guard.check(&node, &text, mode).map_err(|error| error.to_string())
        });
        match checked {
            Ok(verdict) => json::line(&mut out, &verdict.card)?,
            Err(message) => {
                bad += 1;
                output::error(&format!("{}:{}: {message}", lines.name(), line.number));
            }
        }
    }
    out.flush()?;
    Ok(if bad == 0 { Exit::Success } else { Exit::Failed })
}
