// SPDX-License-Identifier: AGPL-3.0-or-later
//! Help texts, usage errors and completions. `UPDATE_EXPECTED=1` rewrites the files under `help/`.

use std::fs;
use std::path::Path;

use crate::support::{EMAIL, fails, keeps_quiet, run, stderr, stdout};

const VERBS: &[&[&str]] = &[
    &[],
    &["run"],
    &["validate"],
    &["guard"],
    &["guard", "check"],
    &["guard", "reveal"],
    &["guard", "keygen"],
    &["guard", "tune"],
    &["eval"],
    &["eval", "guard"],
    &["eval", "summary"],
    &["eval", "claims"],
    &["eval", "retrieval"],
    &["eval", "similarity"],
    &["embed"],
    &["convert"],
    &["quantize"],
    &["inspect"],
    &["bench"],
    &["bench", "kernels"],
    &["bench", "encoder"],
    &["bench", "e2e"],
    &["generate"],
    &["chat"],
    &["ppl"],
    &["models"],
    &["models", "list"],
    &["models", "show"],
    &["models", "verify"],
    &["models", "pull"],
    &["models", "rm"],
    &["dev"],
    &["dev", "make-model"],
    &["doctor"],
    &["completions"],
];

#[test]
fn help_is_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/help");
    let mut wrong = Vec::new();
    for verb in VERBS {
        let output = run(verb.iter().copied().chain(["--help"]));
        assert!(output.status.success());
        let text = stdout(&output);
        if !matches!(verb, [] | ["guard" | "eval" | "bench" | "dev" | "models"]) {
            assert!(text.contains("Examples:"), "{verb:?} has no examples");
        }
        let name = if verb.is_empty() { "bho".to_owned() } else { verb.join("-") };
        let expected = folder.join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &text).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", expected.display()));
        }
    }
    assert!(wrong.is_empty(), "not as expected:\n{}", wrong.join("\n"));
}

#[test]
fn wrong_usage_exits_with_2() {
    for args in [
        &[][..],
        &["dance"],
        &["run"],
        &["run", "p.yml"],
        &["run", "p.yml", "--input", "a", "--source", "b"],
        &["run", "p.yml", "--input", "a", "--seed", "x"],
        &["run", "p.yml", "--input", "a", "--threads", "0"],
        &["guard", "check"],
        &["guard", "check", "a", "--jsonl", "b"],
        &["guard", "check", "a", "--mode", "sideways"],
        &["completions", "cobol"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!stderr(&output).is_empty() && stdout(&output).is_empty(), "{args:?}");
    }
}

#[test]
fn a_text_without_quotes_is_not_repeated() {
    let output = run(["guard", "check", "write", "to", EMAIL]);
    fails(&output, 2, "put the text in quotes");
    keeps_quiet(&output, EMAIL);
}

#[test]
fn the_version_is_told() {
    let output = run(["--version"]);
    assert!(output.status.success());
    assert_eq!(stdout(&output), format!("bho {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_shell_gets_a_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(["completions", shell]);
        assert!(output.status.success(), "{shell}");
        let script = stdout(&output);
        // `verify` is a verb of `bho models` alone.
        for word in ["bho", "validate", "verify"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}
