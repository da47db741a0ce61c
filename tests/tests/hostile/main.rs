// SPDX-License-Identifier: AGPL-3.0-or-later
//! Hostile and broken model files give an error that names the file and what is wrong in it:
//! never a panic, a hang or a huge allocation. What does load must then run without a panic.

mod config;
mod convert;
mod decoder_convert;
mod file;
mod flips;
mod header;
mod judge;
mod tensors;
mod tokenizer;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bho_engine::{CancelToken, Compute, Encoder};
use bho_models::{ModelError, ModelSource, load_encoder};

/// Name of every file under test, which error messages must repeat.
const NAME: &str = "hostile.safetensors";

/// A load that takes longer hangs; an ordinary one takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Address space this process may come to: the tests need a few hundred MiB, the arenas of the
/// allocator reserve more. One allocation of an absurd size goes past it.
const ADDRESS_SPACE_KIB: u64 = 6 << 20;

/// Longest error message: what a file says of itself must not flood a terminal.
const MESSAGE: usize = 2000;

fn load_file(path: &Path) -> Result<Arc<dyn Encoder>, ModelError> {
    let started = Instant::now();
    let loaded = load_encoder(&ModelSource::file(path), &Compute::new(1)?);
    assert!(started.elapsed() < PATIENCE, "loading took {:?}", started.elapsed());
    stays_small();
    if let Err(error) = &loaded {
        let shown = error.to_string();
        assert!(shown.contains(NAME), "the file is not named: {shown}");
        assert!(shown.len() < MESSAGE, "a message of {} bytes", shown.len());
    }
    loaded
}

fn load(bytes: &[u8]) -> Result<Arc<dyn Encoder>, ModelError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(NAME);
    std::fs::write(&path, bytes).unwrap();
    load_file(&path)
}

/// Loading fails, and the message names the file and every `culprit`.
#[track_caller]
fn refused(bytes: &[u8], culprits: &[&str]) {
    let Err(error) = load(bytes) else { panic!("was loaded in spite of {culprits:?}") };
    let shown = error.to_string();
    for culprit in culprits {
        assert!(shown.contains(culprit), "{culprit:?} is not named: {shown}");
    }
}

/// Loading may fail; if it does not, the model runs, be it to an error. Returns whether it loaded.
fn survives(bytes: &[u8]) -> bool {
    match load(bytes) {
        Ok(encoder) => {
            runs(encoder.as_ref(), "He said: the small model is RUNNING, 2 rivers north!");
            true
        }
        Err(_) => false,
    }
}

/// Every task on a text: any result or error, in time, without a panic.
fn runs(encoder: &dyn Encoder, text: &str) {
    let started = Instant::now();
    let never = CancelToken::new();
    if let Ok(embeddings) = encoder.embed(&[text, ""], &never) {
        assert!(embeddings.iter().all(|e| e.vector.len() == encoder.dim()));
    }
    let _ = encoder.classify(&[(text, Some("a red day")), ("", None)], &never);
    let _ = encoder.classify_pairs(&[(text, "a red day"), ("", "")], &never);
    let _ = encoder.tag(&[text], &never);
    assert!(started.elapsed() < PATIENCE, "running took {:?}", started.elapsed());
    stays_small();
}

/// The process never asked for an absurd amount of memory (read where the system tells).
fn stays_small() {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return };
    let peak = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let kib = peak.and_then(|v| v.trim().trim_end_matches(" kB").parse::<u64>().ok());
    assert!(kib.is_none_or(|kib| kib < ADDRESS_SPACE_KIB), "address space peaked at {kib:?} KiB");
}
