// SPDX-License-Identifier: AGPL-3.0-or-later
//! Keys, pseudonyms and the way back, as a user takes it.

use std::fs;
use std::path::Path;

use crate::support::{EMAIL, bho, fails, json, keeps_quiet, keys, run, stderr, stdout};

const NODE: &str = "nodes: [{id: a, agent: bitnet.summarizer, timeout_ms: 120000}]\n";

/// A folder with `vault.key` and a pipeline of these policies.
fn folder(policies: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let key = at(dir.path(), "vault.key");
    assert_eq!(json(&run(["guard", "keygen", &key, "--json"]), 0)["bits"], 256);
    let file = at(dir.path(), "p.yml");
    let head = "version: 0.1.0\nschema: pipeline.v1\nname: demo\n";
    fs::write(&file, format!("{head}policies: {policies}\n{NODE}")).unwrap();
    (dir, file)
}

fn at(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

const PSEUDONYMS: &str =
    "{ vault: { file: a.vault, key: { file: vault.key } }, redactions: { email: pseudonymise } }";

#[test]
fn what_a_run_replaced_is_revealed_exactly() {
    let (dir, pipeline) = folder(PSEUDONYMS);
    let text = format!("Please answer the letter that {EMAIL} wrote about the harbour lights.");
    let output = run(["run", &pipeline, "--input", &text, "--json"]);
    keeps_quiet(&output, EMAIL);
    let answer = json(&output, 0)["text"].as_str().unwrap().to_owned();
    assert!(answer.contains("[EMAIL_"), "{answer}");

    let (vault, key) = (at(dir.path(), "a.vault"), at(dir.path(), "vault.key"));
    let revealed = bho()
        .args(["guard", "reveal", "--vault", &vault, "--key-file", &key, "-"])
        .write_stdin(answer.clone())
        .output()
        .unwrap();
    assert_eq!(stdout(&revealed), text);
    let hex = fs::read_to_string(&key).unwrap();
    let by_env = bho()
        .env("VAULT_KEY", hex.trim())
        .args(["guard", "reveal", "--vault", &vault, "--key-env", "VAULT_KEY", "--json", &answer])
        .output()
        .unwrap();
    let document = json(&by_env, 0);
    assert_eq!(keys(&document), ["text", "revealed", "unknown"]);
    assert_eq!((&document["revealed"], &document["unknown"]), (&1.into(), &0.into()));
    assert!(!fs::read(&vault).unwrap().windows(6).any(|w| w == &EMAIL.as_bytes()[..6]));

    let strange =
        run(["guard", "reveal", "--vault", &vault, "--key-file", &key, "[EMAIL_bbbbbbbbbb]"]);
    assert_eq!(stdout(&strange), "[EMAIL_bbbbbbbbbb]");
    assert!(stderr(&strange).contains("1 pseudonym not in this vault"), "{}", stderr(&strange));
}

#[test]
fn a_check_uses_the_policies_of_a_pipeline() {
    let (_dir, pipeline) = folder("{ redactions: { email: { operator: mask, keep_last: 3 } } }");
    let output = run(["guard", "check", "--json", "--pipeline", &pipeline, "to ann@example.org"]);
    assert_eq!(json(&output, 0)["text"], "to ***@*******.org");
    let (_dir, pipeline) = folder("{ redactions: { email: maskk } }");
    let output = run(["guard", "check", "--pipeline", &pipeline, EMAIL]);
    fails(&output, 1, "did you mean `mask`?");
    keeps_quiet(&output, EMAIL);
}

#[test]
fn keys_that_do_not_fit_are_clear_errors() {
    let (dir, pipeline) = folder(PSEUDONYMS);
    let (vault, key) = (at(dir.path(), "a.vault"), at(dir.path(), "vault.key"));
    fails(&run(["guard", "keygen", &key]), 2, "cannot write");
    let check = ["guard", "check", "--pipeline", &pipeline, EMAIL];
    assert_eq!(run(check).status.code(), Some(0));
    let other = at(dir.path(), "other.key");
    assert_eq!(run(["guard", "keygen", &other]).status.code(), Some(0));

    let reveal =
        |flag: &str, value: &str| run(["guard", "reveal", "--vault", &vault, flag, value, "x"]);
    fails(&reveal("--key-file", &other), 1, "is sealed with another key");
    fails(&reveal("--key-file", &at(dir.path(), "none")), 2, "cannot read");
    fails(
        &reveal("--key-env", "NO_SUCH_VARIABLE"),
        2,
        "NO_SUCH_VARIABLE, named by --key-env, is not set",
    );
    fs::write(&other, "a passphrase, not a key").unwrap();
    fails(&reveal("--key-file", &other), 2, "sealed with a key of 64 hex digits");
    fs::write(&other, " \n").unwrap();
    fails(&reveal("--key-file", &other), 2, "is empty");
    let none =
        run(["guard", "reveal", "--vault", &at(dir.path(), "none"), "--key-file", &key, "x"]);
    fails(&none, 2, "cannot read the vault");
    fs::write(&vault, &fs::read(&vault).unwrap()[..90]).unwrap();
    fails(&reveal("--key-file", &key), 1, "is damaged");
    let output = run(check);
    fails(&output, 1, "is damaged");
    keeps_quiet(&output, EMAIL);
}
