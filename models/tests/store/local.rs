// SPDX-License-Identifier: AGPL-3.0-or-later
//! The store on disk: manifests, blobs, links, removal, and damage to each.

use std::fs;
use std::path::Path;
use std::sync::Barrier;

use bho_engine::CancelToken;
use bho_models::ModelError;
use bho_models::store::{LocalStore, Manifest, Plan, PullOptions};

use crate::faults::damage;
use crate::support::{Net, broken, content, files, options, part, pull_file, sha256, store};

/// Takes a folder of these files into the store.
fn import(store: &LocalStore, name: &str, contents: &[(&str, &[u8])]) -> Manifest {
    let dir = tempfile::tempdir().unwrap();
    for (path, bytes) in contents {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let options = PullOptions { name: Some(name.into()), licence: Some("MIT".into()), ..options() };
    let plan = Plan::of_local(dir.path(), &options).unwrap();
    plan.pull(store, None, &options, &CancelToken::new(), &mut |_| {}).unwrap()
}

fn verify(store: &LocalStore, name: Option<&str>) -> bho_models::store::Verification {
    let names = name.map(|name| vec![name]);
    store.verify(names.as_deref(), &CancelToken::new(), &mut |_| {}).unwrap()
}

#[test]
fn a_folder_comes_back_as_it_was_and_equal_files_are_kept_once() {
    let (_dir, store) = store();
    let manifest = import(
        &store,
        "a",
        &[
            ("config.json", b"{}"),
            ("sub/config.json", b"{}"),
            ("w.bin", &[1; 5000]),
            (".git", b"x"),
        ],
    );
    assert_eq!(manifest.bytes(), 5004);
    assert_eq!(files(&store, "blobs/sha256").len(), 2);
    let folder = store.path(&manifest).unwrap();
    assert_eq!(fs::read(folder.join("sub/config.json")).unwrap(), b"{}");
    assert_eq!(fs::read(folder.join("w.bin")).unwrap(), [1; 5000]);
    assert!(!folder.join(".git").exists());
    assert!(fs::metadata(folder.join("w.bin")).unwrap().permissions().readonly());
    assert_eq!(store.get("a").unwrap(), Some(manifest));
    assert!(verify(&store, None).ok);
    // The store can be moved as a whole.
    let moved = store.root().with_file_name("elsewhere");
    fs::rename(store.root(), &moved).unwrap();
    assert_eq!(fs::read(moved.join("snapshots/a/sub/config.json")).unwrap(), b"{}");
}

#[test]
fn a_single_file_is_its_own_path() {
    let (dir, store) = store();
    let file = dir.path().join("model.Q4.gguf");
    fs::write(&file, b"GGUF").unwrap();
    let plan = Plan::of_local(&file, &options()).unwrap();
    assert_eq!(plan.name, "model.Q4");
    let manifest = plan.pull(&store, None, &options(), &CancelToken::new(), &mut |_| {}).unwrap();
    assert!(store.path(&manifest).unwrap().ends_with("snapshots/model.Q4/model.Q4.gguf"));
    let wrong = PullOptions { sha256: Some("0".repeat(64)), name: Some("x".into()), ..options() };
    let plan = Plan::of_local(&file, &wrong).unwrap();
    let error =
        plan.pull(&store, None, &wrong, &CancelToken::new(), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("expected 0000") && store.get("x").unwrap().is_none(), "{error}");
    assert!(Plan::of_local(Path::new("no/such"), &options()).is_err());
    assert!(Plan::of_local(&dir.path().join("models/partial"), &options()).is_err());
}

#[test]
fn only_what_no_other_model_needs_is_removed() {
    let (_dir, store) = store();
    import(&store, "a", &[("shared", b"shared"), ("own", b"only a")]);
    import(&store, "b", &[("shared", b"shared"), ("own", b"only b")]);
    let removed = store.remove("a").unwrap();
    assert_eq!((removed.files, removed.bytes, removed.kept), (1, 6, None));
    assert!(verify(&store, Some("b")).ok && store.get("a").unwrap().is_none());
    assert!(!store.root().join("snapshots/a").exists());
    assert!(matches!(store.remove("a"), Err(ModelError::Unknown { .. })));
    store.remove("b").unwrap();
    assert!(files(&store, "blobs/sha256").is_empty());
    for name in ["../refs", "..", "", "/", "a/b"] {
        assert!(matches!(store.remove(name), Err(ModelError::Unknown { .. })), "{name}");
        assert!(matches!(store.get(name), Ok(None)), "{name}");
    }
}

#[test]
fn a_damaged_a_missing_and_a_surplus_blob_are_told_apart() {
    let (_dir, store) = store();
    let manifest = import(&store, "a", &[("one", &[1; 500]), ("two", &[2; 500])]);
    import(&store, "b", &[("three", &[3; 500])]);
    let blob = |bytes: &[u8]| store.root().join("blobs/sha256").join(sha256(bytes));
    fs::write(store.root().join("blobs/sha256").join(sha256(b"surplus")), b"surplus").unwrap();
    damage(&blob(&[1; 500]));
    let found = verify(&store, None);
    assert!(!found.ok && found.models[0].faults.len() == 1, "{found:?}");
    assert!(
        found.models[0].faults[0].starts_with("one: blob ")
            && found.models[0].faults[0].contains("is damaged")
    );
    assert!(found.models[1].faults.is_empty());
    assert_eq!((found.unreferenced.len(), found.unreferenced[0].sound), (1, true));
    assert!(verify(&store, Some("b")).ok && verify(&store, Some("b")).unreferenced.is_empty());
    fs::remove_file(blob(&[2; 500])).unwrap();
    assert!(verify(&store, Some("a")).models[0].faults[1].contains("is missing"));
    let error = store.path(&manifest).unwrap_err().to_string();
    assert!(error.contains("is missing") && error.contains("bho models verify a"), "{error}");
    fs::write(blob(&[1; 500]), b"short").unwrap();
    assert!(store.path(&manifest).unwrap_err().to_string().contains("is not what was stored"));
    assert!(matches!(
        store.verify(Some(&["a", "zz"]), &CancelToken::new(), &mut |_| {}),
        Err(ModelError::Unknown { .. })
    ));
}

#[test]
fn a_manifest_that_is_damaged_or_hostile_is_told_and_costs_no_blob() {
    let (_dir, store) = store();
    import(&store, "good", &[("x", b"good")]);
    import(&store, "bad", &[("y", b"bad bytes")]);
    let path = store.root().join("refs/bad.json");
    let text = fs::read_to_string(&path).unwrap();
    for (damaged, message) in [
        (text[..text.len() / 2].to_owned(), "not a manifest"),
        (String::new(), "not a manifest"),
        (text.replace("\"y\"", "\"../../../y\""), "files: path"),
        (text.replace("\"y\"", "\"/etc/y\""), "absolute"),
        (text.replace("\"bad\"", "\"good\""), "not the name of the file"),
        (text.replace("\"format\": 1", "\"format\": 9"), "this version reads 1"),
        (text.replace(&sha256(b"bad bytes"), "../../../../etc/passwd"), "64 lower-case hex"),
        (text.replace("\"size\": 9", "\"size\": 18446744073709551615"), "cannot be"),
        (text.replace("\"size\": 9", "\"size\": -1"), "not a manifest"),
        (text.replace("\"size\"", "\"sise\""), "not a manifest"),
        ("[".repeat(200_000), "not a manifest"),
        (" ".repeat(5 << 20), "larger than"),
    ] {
        fs::write(&path, damaged).unwrap();
        let error = store.get("bad").unwrap_err().to_string();
        assert!(error.contains(message) && error.contains("bad.json"), "{error}");
        let listed = store.list().unwrap();
        assert!(listed[0].manifest.is_err() && listed[1].manifest.is_ok());
        let found = verify(&store, None);
        assert!(!found.ok && found.unreferenced.is_empty(), "{found:?}");
    }
    // What the damaged one needs is not known: nothing is swept.
    let removed = store.remove("good").unwrap();
    assert!(removed.kept.is_some() && removed.files == 0, "{removed:?}");
    assert_eq!(files(&store, "blobs/sha256").len(), 2);
    // It can be removed itself, and then everything is.
    assert_eq!(store.remove("bad").unwrap().files, 2);
}

#[test]
fn files_that_are_whole_and_cannot_be_read_are_told() {
    let (_dir, store) = store();
    let header = |json: &str| [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
    let one = r#"{"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}"#;
    let sound = [header(one), vec![0; 4]].concat();
    let outside = header(one);
    let huge = u64::MAX.to_le_bytes();
    let newer = header(r#"{"__metadata__": {"bho.format": "9"}}"#);
    let config = header(r#"{"__metadata__": {"bho.format": "1", "bho.config": "{"}}"#);
    let files: [(&str, &[u8], &str); 11] = [
        ("w.safetensors", &sound, ""),
        ("README.md", &[0xff; 9], ""),
        ("config.json", b"{}", ""),
        ("w.safetensors", &outside, "w.safetensors: not safetensors: "),
        ("w.safetensors", &huge, "w.safetensors: not safetensors: "),
        ("w.safetensors", b"<html>", "w.safetensors: not safetensors: "),
        ("w.safetensors", b"GGUF\x03\0\0\0", "a GGUF file"),
        ("w.safetensors", &newer, "this version reads \"1\""),
        ("w.safetensors", &config, "bho.config: not JSON"),
        ("w.gguf", b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", "w.gguf: GGUF: "),
        ("sub/config.json", b"{\"a\": 1", "sub/config.json: not JSON: "),
    ];
    for (name, bytes, message) in files {
        import(&store, "m", &[(name, bytes)]);
        let found = verify(&store, Some("m"));
        let model = &found.models[0];
        assert_eq!((found.ok, model.faults.is_empty()), (message.is_empty(), message.is_empty()));
        assert_eq!(model.remedy.is_none(), message.is_empty());
        if !message.is_empty() {
            assert!(model.faults.len() == 1 && model.faults[0].contains(message), "{model:?}");
            assert!(model.remedy.as_ref().unwrap().contains("bho models rm m"), "{model:?}");
        }
        store.remove("m").unwrap();
    }
}

#[test]
fn links_that_were_changed_are_made_again() {
    let (_dir, store) = store();
    let manifest = import(&store, "a", &[("one", b"1"), ("sub/two", b"2")]);
    let folder = store.path(&manifest).unwrap();
    fs::remove_file(folder.join("one")).unwrap();
    fs::write(folder.join("one"), b"something else").unwrap();
    assert_eq!(fs::read(store.path(&manifest).unwrap().join("one")).unwrap(), b"1");
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(fs::read(store.path(&manifest).unwrap().join("sub/two")).unwrap(), b"2");
    assert_eq!(files(&store, "snapshots"), ["a"]);
}

#[test]
fn a_name_is_kept_for_the_source_that_has_it() {
    let (bytes, (_dir, store)) = (content(100), store());
    import(&store, "m", &[("x", b"x")]);
    let net = Net::new(|_, asked| part(asked, &bytes, "\"a\""));
    let error = pull_file(&store, &net, &options()).unwrap_err().to_string();
    assert!(
        error.contains("there is a model of this name already") && net.requests() == 0,
        "{error}"
    );
    let named = PullOptions { name: Some("other".into()), ..options() };
    pull_file(&store, &net, &named).unwrap();
    // The same source again brings what it has now.
    let newer = content(200);
    let net = Net::new(|_, asked| part(asked, &newer, "\"b\""));
    assert_eq!(pull_file(&store, &net, &named).unwrap().bytes(), 200);
    assert_eq!(verify(&store, None).unreferenced.len(), 1);
}

#[test]
fn pulls_side_by_side_do_not_disturb_each_other() {
    let (bytes, (_dir, store)) = (content(3_000_000), store());
    let barrier = Barrier::new(4);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (store, bytes, barrier) = (&store, &bytes, &barrier);
            scope.spawn(move || {
                let net = Net::new(|n, asked| {
                    let response = part(asked, bytes, "\"a\"");
                    if n == 1 { broken(response, 1_000_000) } else { response }
                });
                // Two names for the same file, each twice.
                let options = PullOptions { name: Some(format!("m{}", number % 2)), ..options() };
                barrier.wait();
                pull_file(store, &net, &options).unwrap();
            });
        }
    });
    let found = verify(&store, None);
    assert!(found.models.len() == 2 && found.blobs == 1, "{found:?}");
    // They are whole, if no GGUF.
    assert!(found.models.iter().all(|m| m.faults[0].starts_with("m.gguf: GGUF: ")), "{found:?}");
    assert!(found.partial.is_empty() && files(&store, "partial").is_empty());
}

#[test]
fn nothing_is_removed_while_a_pull_is_under_way() {
    let (bytes, (_dir, store)) = (content(100_000), store());
    import(&store, "a", &[("x", b"x")]);
    let net = Net::new(|_, asked| {
        let busy = store.remove("a").unwrap_err().to_string();
        assert!(busy.contains("a pull is under way"), "{busy}");
        part(asked, &bytes, "\"a\"")
    });
    pull_file(&store, &net, &options()).unwrap();
    store.remove("a").unwrap();
}

#[test]
fn a_download_given_up_goes_with_its_name() {
    let (bytes, (_dir, store)) = (content(1000), store());
    let net = Net::new(|_, asked| broken(part(asked, &bytes, "\"a\""), 600));
    let once = PullOptions { retries: 0, ..options() };
    pull_file(&store, &net, &once).unwrap_err();
    let found = verify(&store, None);
    assert_eq!(
        (found.partial[0].bytes, found.partial[0].location.as_str()),
        (600, "https://h/m.gguf")
    );
    let removed = store.remove("m").unwrap();
    assert_eq!((removed.files, removed.bytes), (1, 600));
    assert!(files(&store, "partial").is_empty());
}

#[cfg(unix)]
#[test]
fn a_store_that_cannot_be_written_says_which_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let store = LocalStore::new(file.join("below"));
    let net = Net::new(|_, asked| part(asked, b"x", "\"a\""));
    let error = pull_file(&store, &net, &options()).unwrap_err();
    assert!(
        matches!(error, ModelError::Io { .. }) && error.to_string().contains("below"),
        "{error}"
    );
    assert!(store.list().is_err());
}
