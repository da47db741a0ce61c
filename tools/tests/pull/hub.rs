// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho models pull OWNER/NAME`.

use serde_json::json;

use crate::support::{Server, bho, content, fails, pull, pulled, reply, send, sha256, stderr};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A hub with one repository, whose large file lies behind a redirect.
fn hub(names: &[&str]) -> Server {
    let weights = content(400_000);
    let siblings: Vec<_> = names.iter().map(|name| json!({ "rfilename": name })).collect();
    let listing =
        json!({ "sha": COMMIT, "siblings": siblings, "cardData": { "license": "apache-2.0" } })
            .to_string();
    Server::new(move |_, asked, out| match asked.path.as_str() {
        "/api/models/org/tiny/revision/main?blobs=true" => reply(
            out,
            "200 OK",
            &format!("content-length: {}\r\n", listing.len()),
            listing.as_bytes(),
        ),
        path if path.ends_with("model.safetensors") => {
            let headers = format!(
                "location: /cdn/blob?signature=x\r\nx-linked-etag: \"{}\"\r\nx-linked-size: 400000\r\ncontent-length: 0\r\n",
                sha256(&weights)
            );
            reply(out, "302 Found", &headers, b"")
        }
        "/cdn/blob?signature=x" => send(
            out,
            asked,
            &weights,
            "\"w\"",
            if asked.from().is_none() { 150_000 } else { usize::MAX },
        ),
        path if path.ends_with("config.json") => send(out, asked, b"{}", "\"c\"", usize::MAX),
        _ => reply(out, "404 Not Found", "content-length: 0\r\n", b""),
    })
}

#[test]
fn a_repository_is_pulled_with_its_licence_and_commit() {
    let dir = tempfile::tempdir().unwrap();
    let server = hub(&[
        ".gitattributes",
        "README.md",
        "config.json",
        "model.safetensors",
        "pytorch_model.bin",
    ]);
    let mut command = bho(dir.path());
    command
        .env("BHO_HUB", server.url(""))
        .env("BHO_HUB_TOKEN", "t0ken")
        .args(["models", "pull", "org/tiny", "--yes", "--json"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("licence: apache-2.0"), "{}", stderr(&output));
    let manifest: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&manifest["name"], &manifest["revision"], &manifest["licence"]),
        (&"tiny".into(), &COMMIT.into(), &"apache-2.0".into())
    );
    let files: Vec<_> = manifest["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| (file["path"].as_str().unwrap(), file["checked"].as_str()))
        .collect();
    assert_eq!(files, [("config.json", None), ("model.safetensors", Some("hub"))]);
    // Same host and port here: the token goes along. It is nowhere in the store.
    assert!(
        server.asked().iter().all(|asked| asked.header("authorization") == Some("Bearer t0ken"))
    );
    assert!(
        server
            .asked()
            .iter()
            .any(|asked| asked.path == format!("/org/tiny/resolve/{COMMIT}/config.json"))
    );
    assert!(!std::fs::read_to_string(dir.path().join("refs/tiny.json")).unwrap().contains("t0ken"));
    let folder = manifest["path"].as_str().unwrap();
    assert_eq!(std::fs::read(format!("{folder}/model.safetensors")).unwrap(), content(400_000));
}

#[test]
fn the_hub_is_the_users_choice() {
    let dir = tempfile::tempdir().unwrap();
    fails(&pull(dir.path(), &["org/tiny"]), 2, "--hub URL or in BHO_HUB");
    fails(&pull(dir.path(), &["org/tiny", "--hub", "nonsense"]), 2, "--hub: ");
    fails(
        &pull(dir.path(), &["org/tiny", "--hub", "http://hub.example.org"]),
        1,
        "--insecure-http",
    );
    let server = hub(&["model.safetensors"]);
    fails(
        &pull(dir.path(), &["org/none", "--hub", &server.url("")]),
        1,
        "no such file, repository or revision",
    );
    fails(&pull(dir.path(), &["tiny", "--hub", &server.url("")]), 1, "OWNER/NAME");
    fails(
        &pull(dir.path(), &["org/tiny", "--hub", &server.url(""), "--file", "*.gguf"]),
        1,
        "no file matches",
    );
    let manifest = pulled(
        dir.path(),
        &["org/tiny", "--hub", &server.url("/"), "--file", "model*", "--name", "mine"],
    );
    assert_eq!(manifest["files"].as_array().unwrap().len(), 1);
}

#[test]
fn hostile_listings_bring_nothing() {
    for name in [
        "../../evil.safetensors",
        "/etc/evil.safetensors",
        "a\u{0}b.safetensors",
        "a\u{1b}[2Jb",
        "COM1.safetensors",
        "MODEL.safetensors",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let server = hub(&["model.safetensors", name]);
        let output = pull(dir.path(), &["org/tiny", "--hub", &server.url("")]);
        fails(&output, 1, "path ");
        assert!(!stderr(&output).contains('\u{1b}') && server.asked().len() == 1);
        assert!(!dir.path().join("blobs").exists());
    }
}
