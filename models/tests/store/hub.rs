// SPDX-License-Identifier: AGPL-3.0-or-later
//! Repositories of a hub: what is chosen, what is refused, what is recorded.

use bho_engine::CancelToken;
use bho_models::ModelError;
use bho_models::store::{Checked, OriginKind, Plan, PullOptions};
use serde_json::{Value, json};

use crate::support::{Net, content, link, options, part, pull, reply, sha256, store};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn listing(paths: &[&str]) -> Value {
    let siblings: Vec<_> = paths.iter().map(|path| json!({ "rfilename": path })).collect();
    json!({ "sha": COMMIT, "siblings": siblings, "cardData": { "license": "mit" } })
}

fn plan_of(text: &str, options: &PullOptions) -> Result<Plan, ModelError> {
    let net = Net::new(|_, _| reply(200, &[], text.as_bytes()));
    let repository = (&link("https://hub/base"), "org/model", "main");
    Plan::of_hub(&net, repository, options, &CancelToken::new(), &mut |_| {})
}

fn chosen(paths: &[&str], patterns: &[&str]) -> Result<Vec<String>, String> {
    let options =
        PullOptions { files: patterns.iter().map(ToString::to_string).collect(), ..options() };
    let plan = plan_of(&listing(paths).to_string(), &options).map_err(|e| e.to_string())?;
    Ok(plan.files().map(|file| file.path.to_owned()).collect())
}

#[test]
fn a_repository_is_pulled_at_the_commit_that_was_listed() {
    let (weights, config, (_dir, store)) = (content(9000), b"{}".to_vec(), store());
    let listed = json!({
        "sha": COMMIT,
        "cardData": { "license": "other", "license_name": "falcon" },
        "siblings": [
            { "rfilename": "model.safetensors", "size": 9000, "lfs": { "sha256": sha256(&weights), "size": 9000 } },
            { "rfilename": "config.json", "size": 2 },
            { "rfilename": "pytorch_model.bin", "size": 1 },
        ],
    });
    let net = Net::new(|_, asked| match asked.url.rsplit('/').next().unwrap() {
        "model.safetensors" => part(asked, &weights, "\"w\""),
        "config.json" => part(asked, &config, "\"c\""),
        _ => reply(200, &[], listed.to_string().as_bytes()),
    });
    let options = options();
    let repository = (&link("https://hub/base"), "org/model", "refs/pr/1");
    let plan = Plan::of_hub(&net, repository, &options, &CancelToken::new(), &mut |_| {}).unwrap();
    assert_eq!(
        (plan.name.as_str(), plan.bytes(), plan.licence.as_deref()),
        ("model", Some(9002), Some("falcon"))
    );
    let manifest = pull(&store, &net, &plan, &options).unwrap();
    let urls: Vec<_> = net.asked.borrow().iter().map(|asked| asked.url.clone()).collect();
    assert_eq!(
        urls,
        [
            "https://hub/base/api/models/org/model/revision/refs%2Fpr%2F1?blobs=true".to_owned(),
            format!("https://hub/base/org/model/resolve/{COMMIT}/model.safetensors"),
            format!("https://hub/base/org/model/resolve/{COMMIT}/config.json"),
        ]
    );
    assert_eq!(
        (manifest.source.kind, manifest.source.location.as_str()),
        (OriginKind::Hub, "https://hub/base/org/model")
    );
    assert_eq!(manifest.revision.as_deref(), Some(COMMIT));
    let checked: Vec<_> = manifest.files.iter().map(|file| file.checked).collect();
    assert_eq!(checked, [Some(Checked::Hub), None]);
    let folder = store.path(&manifest).unwrap();
    assert_eq!(std::fs::read(folder.join("config.json")).unwrap(), config);
    // The same commit again asks for nothing but the listing.
    let plan = Plan::of_hub(&net, repository, &options, &CancelToken::new(), &mut |_| {}).unwrap();
    pull(&store, &net, &plan, &options).unwrap();
    assert_eq!(net.requests(), 4);
}

#[test]
fn a_listing_and_the_file_must_agree_on_its_size() {
    let (_dir, store) = store();
    let listed = json!({ "siblings": [{ "rfilename": "m.gguf", "size": 10 }] }).to_string();
    let net = Net::new(|n, asked| {
        if n == 1 { reply(200, &[], listed.as_bytes()) } else { part(asked, &content(11), "\"a\"") }
    });
    let plan = Plan::of_hub(
        &net,
        (&link("https://hub"), "a/b", "main"),
        &options(),
        &CancelToken::new(),
        &mut |_| {},
    )
    .unwrap();
    let error = pull(&store, &net, &plan, &options()).unwrap_err().to_string();
    assert!(error.contains("11 bytes are announced where the hub lists 10"), "{error}");
}

#[test]
fn the_files_a_model_needs_are_chosen() {
    let all = [
        ".gitattributes",
        "README.md",
        "LICENSE",
        "config.json",
        "model-1-of-2.safetensors",
        "model-2-of-2.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
        "chat_template.jinja",
        "vocab.txt",
        "onnx/model.onnx",
        "onnx/config.json",
        "pytorch_model.bin",
        "1_Pooling/config.json",
    ];
    assert_eq!(
        chosen(&all, &[]).unwrap(),
        [
            "LICENSE",
            "config.json",
            "model-1-of-2.safetensors",
            "model-2-of-2.safetensors",
            "model.safetensors.index.json",
            "tokenizer.json",
            "chat_template.jinja",
            "vocab.txt",
            "1_Pooling/config.json"
        ]
    );
    assert_eq!(chosen(&all, &["*.json", "onnx/*"]).unwrap().len(), 6);
    let ggufs = ["README.md", "LICENSE.txt", "m.Q4.gguf", "m.Q8.gguf"];
    assert!(
        chosen(&ggufs, &[]).unwrap_err().contains("name one with --file: m.Q4.gguf, m.Q8.gguf")
    );
    assert_eq!(chosen(&ggufs, &["*Q8*"]).unwrap(), ["m.Q8.gguf"]);
    assert_eq!(chosen(&ggufs[..3], &[]).unwrap(), ["LICENSE.txt", "m.Q4.gguf"]);
    assert!(chosen(&ggufs, &["*.bin"]).unwrap_err().contains("no file matches \"*.bin\""));
    assert!(chosen(&["a.bin"], &[]).unwrap_err().contains("has no .safetensors or .gguf file"));
    assert!(chosen(&[], &[]).is_err());
}

#[test]
fn hostile_names_in_a_listing_are_refused_even_if_not_wanted() {
    for path in [
        "../../x.gguf",
        "/etc/passwd",
        "a\0b",
        "a\u{1b}[2J",
        "..",
        "",
        "a\\b",
        "CON",
        "sub/NUL.txt",
        "C:x",
        "a/",
        "M.GGUF",
        "m.gguf/x",
        "x\u{202e}gpj.exe",
        &"x".repeat(600),
    ] {
        let error = chosen(&["m.gguf", path], &["m.gguf"]).unwrap_err();
        assert!(error.contains("path "), "{path:?}: {error}");
    }
}

#[test]
fn listings_that_are_none_are_refused() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (text, message) in [
        ("", "not JSON"),
        ("{", "not JSON"),
        (deep.as_str(), "not JSON"),
        ("{}", "lists no files"),
        ("[]", "lists no files"),
        ("{\"siblings\": 5}", "lists no files"),
        ("{\"siblings\": [5]}", "without a name"),
        ("{\"siblings\": [{\"rfilename\": 5}]}", "without a name"),
    ] {
        let error = plan_of(text, &options()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert!(error.len() < 1000);
    }
    let endless = Net::new(|_, _| {
        let mut response = reply(200, &[], b"");
        response.body = Box::new(std::io::repeat(b'['));
        response
    });
    let repository = (&link("https://hub"), "a/b", "main");
    let error = Plan::of_hub(&endless, repository, &options(), &CancelToken::new(), &mut |_| {})
        .unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
}

#[test]
fn what_a_listing_says_beside_files_is_taken_with_care() {
    // A sha that is no commit, a sum that is none, sizes that are none.
    let odd = json!({ "sha": "../../x", "cardData": { "license": ["mit", 5, "apache-2.0"] },
        "siblings": [{ "rfilename": "m.gguf", "size": -5, "lfs": { "sha256": "zz", "size": "x" } }] });
    let plan = plan_of(&odd.to_string(), &options()).unwrap();
    assert_eq!(
        (plan.revision.as_deref(), plan.licence.as_deref()),
        (Some("main"), Some("mit OR apache-2.0"))
    );
    let file = plan.files().next().unwrap();
    assert_eq!((file.size, file.sha256), (None, None));
    let huge = json!({ "siblings": [{ "rfilename": "m.gguf", "size": u64::MAX }] });
    let error = plan_of(&huge.to_string(), &options()).unwrap_err().to_string();
    assert!(error.contains("more than --max-size"), "{error}");
    let given = PullOptions { sha256: Some("0".repeat(64)), ..options() };
    let two = plan_of(&listing(&["model.safetensors", "config.json"]).to_string(), &given)
        .unwrap_err()
        .to_string();
    assert!(two.contains("there are 2 files"), "{two}");
}

#[test]
fn repositories_and_revisions_are_names() {
    let net = Net::new(|_, _| reply(404, &[], b""));
    for (repository, revision) in [
        ("model", "main"),
        ("a/b/c", "main"),
        ("../x", "main"),
        ("a/..", "main"),
        ("a/b", "../x"),
        ("a/b", ""),
        ("a /b", "main"),
    ] {
        let target = (&link("https://hub"), repository, revision);
        assert!(Plan::of_hub(&net, target, &options(), &CancelToken::new(), &mut |_| {}).is_err());
        assert_eq!(net.requests(), 0, "{repository} {revision}");
    }
    let target = (&link("https://hub"), "a/b", "main");
    let error = Plan::of_hub(&net, target, &options(), &CancelToken::new(), &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(error.contains("no such file, repository or revision"), "{error}");
}
