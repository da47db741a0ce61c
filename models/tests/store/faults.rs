// SPDX-License-Identifier: AGPL-3.0-or-later
//! Downloads over a network that fails in every way there is a rule for.

use std::fs;
use std::time::Duration;

use bho_engine::CancelToken;
use bho_models::ModelError;
use bho_models::store::{Checked, Event, Plan, PullOptions};

use crate::support::{
    Asked, Net, broken, content, files, link, options, part, pull_file, reply, sha256, store, whole,
};

#[test]
fn a_broken_connection_is_resumed_where_it_broke() {
    let (bytes, (_dir, store)) = (content(700_000), store());
    let net = Net::new(|n, asked| match n {
        1 => broken(part(asked, &bytes, "\"a\""), 300_000),
        2 => broken(part(asked, &bytes, "\"a\""), 300_000),
        _ => part(asked, &bytes, "\"a\""),
    });
    let manifest = pull_file(&store, &net, &options()).unwrap();
    let asked = net.asked.borrow();
    assert_eq!(
        asked.iter().map(Asked::from).collect::<Vec<_>>(),
        [None, Some(300_000), Some(600_000)]
    );
    assert_eq!(asked[1].header("if-range"), Some("\"a\""));
    assert_eq!(
        (manifest.files[0].sha256.as_str(), manifest.files[0].checked),
        (sha256(&bytes).as_str(), None)
    );
    assert_eq!(fs::read(store.path(&manifest).unwrap()).unwrap(), bytes);
    assert!(files(&store, "partial").is_empty());
}

#[test]
fn a_later_process_goes_on_and_a_damaged_side_car_only_costs_time() {
    let (bytes, (_dir, store)) = (content(50_000), store());
    let once = PullOptions { retries: 0, ..options() };
    let breaking = Net::new(|_, asked| broken(part(asked, &bytes, "\"a\""), 20_000));
    let error = pull_file(&store, &breaking, &once).unwrap_err().to_string();
    assert!(
        error.contains("broke off behind 20000 bytes") && error.contains("given up"),
        "{error}"
    );
    let good = Net::new(|_, asked| part(asked, &bytes, "\"a\""));
    pull_file(&store, &good, &once).unwrap();
    assert_eq!(good.asked.borrow()[0].from(), Some(20_000));

    for damage in ["{", "", "{\"name\": 5}", "[]"] {
        store.remove("m").unwrap();
        pull_file(&store, &breaking, &once).unwrap_err();
        let car =
            files(&store, "partial").into_iter().find(|file| file.ends_with(".json")).unwrap();
        fs::write(store.root().join("partial").join(car), damage).unwrap();
        let good = Net::new(|_, asked| part(asked, &bytes, "\"a\""));
        assert_eq!(pull_file(&store, &good, &once).unwrap().files[0].sha256, sha256(&bytes));
        assert_eq!(good.asked.borrow()[0].from(), None, "{damage}");
    }
}

#[test]
fn parts_of_two_versions_are_never_joined() {
    let (old, new, (_dir, store)) = (content(60_000), vec![7; 60_000], store());
    // Answers a part of the new version however it is asked, or honours If-Range.
    for honours in [true, false] {
        let net = Net::new(|n, asked| match n {
            1 => broken(whole(&old, "\"old\""), 30_000),
            _ if honours => part(asked, &new, "\"new\""),
            _ => match asked.from() {
                Some(from) => reply(
                    206,
                    &[("content-range", &format!("bytes {from}-59999/60000")), ("etag", "\"new\"")],
                    &new[from..],
                ),
                None => whole(&new, "\"new\""),
            },
        });
        let manifest = pull_file(&store, &net, &options()).unwrap();
        assert_eq!(manifest.files[0].sha256, sha256(&new), "{honours}");
        store.remove("m").unwrap();
    }
}

#[test]
fn without_a_strong_tag_nothing_is_resumed_unless_the_sum_is_known() {
    let (bytes, (_dir, store)) = (content(60_000), store());
    for (tag, given, from) in
        [("", false, None), ("W/\"a\"", false, None), ("", true, Some(30_000))]
    {
        let net = Net::new(|n, asked| match n {
            1 => broken(whole(&bytes, tag), 30_000),
            _ => part(asked, &bytes, tag),
        });
        let options = PullOptions { sha256: given.then(|| sha256(&bytes)), ..options() };
        let manifest = pull_file(&store, &net, &options).unwrap();
        assert_eq!(net.asked.borrow()[1].from(), from, "{tag} {given}");
        assert_eq!(manifest.files[0].checked, given.then_some(Checked::User));
        store.remove("m").unwrap();
    }
}

#[test]
fn a_server_that_knows_no_parts_sends_the_whole_again() {
    let (bytes, (_dir, store)) = (content(60_000), store());
    let net = Net::new(|n, _| match n {
        1 => broken(whole(&bytes, "\"a\""), 59_999),
        _ => whole(&bytes, "\"a\""),
    });
    assert_eq!(pull_file(&store, &net, &options()).unwrap().files[0].sha256, sha256(&bytes));
}

#[test]
fn nonsense_about_parts_is_refused() {
    let (bytes, (_dir, store)) = (content(60_000), store());
    for range in [
        "",
        "bytes",
        "bytes 5-2/9",
        "bytes 30000-60000/60000",
        "bytes 0-59999/60000",
        "bytes 30000-59999/70000",
        "bytes 99999999999999999999-1/2",
        "bytes -1-2/3",
    ] {
        let net = Net::new(|n, asked| match asked.from() {
            _ if n == 1 => broken(whole(&bytes, "\"a\""), 30_000),
            Some(_) => reply(206, &[("content-range", range)], &bytes[30_000..]),
            None => whole(&bytes, "\"a\""),
        });
        match pull_file(&store, &net, &options()) {
            Ok(manifest) => assert_eq!(manifest.files[0].sha256, sha256(&bytes), "{range}"),
            Err(error) => assert!(error.to_string().contains("Content-Range"), "{range}: {error}"),
        }
        let _ = store.remove("m");
    }
    let net = Net::new(|_, _| reply(206, &[("content-range", "bytes 0-9/10")], b"0123456789"));
    let error = pull_file(&store, &net, &options()).unwrap_err().to_string();
    assert!(error.contains("a part where the whole was asked for"), "{error}");
}

#[test]
fn what_is_there_already_is_only_looked_at() {
    let (bytes, (_dir, store)) = (content(60_000), store());
    let once = PullOptions { retries: 0, sha256: Some(sha256(&bytes)), ..options() };
    // Everything came, then the process ended before it was stored.
    let breaking = Net::new(|_, _| broken(reply(200, &[("etag", "\"a\"")], &bytes), 60_000));
    pull_file(&store, &breaking, &once).unwrap_err();
    let net = Net::new(|_, asked| part(asked, &bytes, "\"a\""));
    let manifest = pull_file(&store, &net, &once).unwrap();
    assert_eq!((net.asked.borrow()[0].from(), manifest.files[0].size), (Some(60_000), 60_000));
    // Once stored, a file whose sum is known is not asked for.
    let silent = Net::new(|_, _| reply(500, &[], b""));
    pull_file(&store, &silent, &once).unwrap();
    assert_eq!(silent.requests(), 0);
    // Unless its blob was damaged: then it is repaired.
    damage(&store.root().join("blobs/sha256").join(sha256(&bytes)));
    let net = Net::new(|_, asked| part(asked, &bytes, "\"a\""));
    let manifest = pull_file(&store, &net, &once).unwrap();
    assert_eq!(fs::read(store.path(&manifest).unwrap()).unwrap(), bytes);
}

/// Flips a bit of a read-only file.
pub(crate) fn damage(path: &std::path::Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[100] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn wrong_bytes_are_fetched_once_more_and_never_stored() {
    let (bytes, (_dir, store)) = (content(60_000), store());
    let mut other = bytes.clone();
    other[59_999] ^= 1;
    let given = PullOptions { sha256: Some(sha256(&bytes)), ..options() };
    let net = Net::new(|n, asked| part(asked, if n == 1 { &other } else { &bytes }, "\"a\""));
    assert_eq!(pull_file(&store, &net, &given).unwrap().files[0].sha256, sha256(&bytes));
    assert_eq!(net.asked.borrow()[1].from(), None);
    store.remove("m").unwrap();

    let net = Net::new(|_, asked| part(asked, &other, "\"a\""));
    let error = pull_file(&store, &net, &given).unwrap_err().to_string();
    assert!(error.contains(&sha256(&other)) && error.contains(&sha256(&bytes)), "{error}");
    assert!(error.contains("nothing was stored") && net.requests() == 2, "{error}");
    assert!(files(&store, "blobs/sha256").is_empty() && files(&store, "refs").is_empty());
}

#[test]
fn what_a_hub_says_of_a_file_behind_its_redirect_is_held_against_it() {
    let (bytes, (_dir, store)) = (content(60_000), store());
    let tag = format!("\"{}\"", sha256(&bytes));
    let to = |tag: &str| {
        reply(
            302,
            &[
                ("location", "https://cdn/x?sig=1"),
                ("x-linked-etag", tag),
                ("x-linked-size", "60000"),
            ],
            b"",
        )
    };
    let net = Net::new(|_, asked| {
        if asked.url.starts_with("https://h/") { to(&tag) } else { part(asked, &bytes, "\"c\"") }
    });
    assert_eq!(pull_file(&store, &net, &options()).unwrap().files[0].checked, Some(Checked::Hub));
    store.remove("m").unwrap();
    let wrong = format!("\"{}\"", sha256(b"other"));
    let net = Net::new(|_, asked| {
        if asked.url.starts_with("https://h/") { to(&wrong) } else { part(asked, &bytes, "\"c\"") }
    });
    let error = pull_file(&store, &net, &options()).unwrap_err().to_string();
    assert!(error.contains("the hub says"), "{error}");
    let given = PullOptions { sha256: Some(sha256(&bytes)), ..options() };
    let error = pull_file(&store, &net, &given).unwrap_err().to_string();
    assert!(error.contains("expected"), "{error}");
    // Only the first response is the hub's own word.
    let net = Net::new(|_, asked| {
        if asked.url.starts_with("https://h/") {
            reply(302, &[("location", "https://cdn/x")], b"")
        } else {
            reply(200, &[("x-linked-etag", &wrong)], &bytes)
        }
    });
    assert_eq!(pull_file(&store, &net, &options()).unwrap().files[0].checked, None);
}

#[test]
fn lengths_that_lie_are_told() {
    let (bytes, (_dir, store)) = (content(1000), store());
    let lies = |length: &'static str| {
        Net::new(move |_, _| reply(200, &[("content-length", length)], &content(1000)))
    };
    let error = pull_file(&store, &lies("2000"), &options()).unwrap_err().to_string();
    assert!(error.contains("ended at 1000 of 2000 bytes"), "{error}");
    let error = pull_file(&store, &lies("500"), &options()).unwrap_err().to_string();
    assert!(error.contains("sent more than it announced"), "{error}");
    let small = PullOptions { max_bytes: 999, ..options() };
    let error = pull_file(&store, &lies("1000"), &small).unwrap_err().to_string();
    assert!(error.contains("1000 bytes are announced, --max-size leaves 999"), "{error}");
    // A length that is no number is none.
    assert_eq!(pull_file(&store, &lies("-1"), &options()).unwrap().files[0].sha256, sha256(&bytes));
}

#[test]
fn a_body_without_end_stops_at_the_limit() {
    let (_dir, store) = store();
    let small = PullOptions { max_bytes: 5_000_000, ..options() };
    let endless = Net::new(|_, _| {
        let mut response = reply(200, &[], b"");
        response.body = Box::new(std::io::repeat(1));
        response
    });
    let error = pull_file(&store, &endless, &small).unwrap_err().to_string();
    assert!(error.contains("sends more than the 5000000 bytes"), "{error}");
    assert_eq!(endless.requests(), 1);
}

#[test]
fn a_connection_that_moves_keeps_its_tries_and_one_that_drips_is_given_up() {
    let (bytes, (_dir, store)) = (content(8 << 20), store());
    // Breaks more often than there are tries, but brings a MiB each time.
    let net = Net::new(|_, asked| broken(part(asked, &bytes, "\"a\""), (1 << 20) + 5));
    assert_eq!(pull_file(&store, &net, &options()).unwrap().files[0].sha256, sha256(&bytes));
    assert!(net.requests() > 4);

    struct Drips;
    impl std::io::Read for Drips {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            std::thread::sleep(Duration::from_millis(5));
            out[0] = 1;
            Ok(1)
        }
    }
    let net = Net::new(|_, _| {
        let mut response = reply(200, &[("content-length", "1000000")], b"");
        response.body = Box::new(Drips);
        response
    });
    let options =
        PullOptions { patience: Duration::from_millis(50), name: Some("d".into()), ..options() };
    let plan = Plan::of_link(&link("https://h/drips"), &options).unwrap();
    let error = crate::support::pull(&store, &net, &plan, &options).unwrap_err().to_string();
    assert!(error.contains("bytes came in 0.1 s"), "{error}");
}

#[test]
fn a_stop_keeps_what_has_come_and_says_so() {
    let (bytes, (_dir, store)) = (content(2_000_000), store());
    let cancel = CancelToken::new();
    let net = Net::new(|_, asked| part(asked, &bytes, "\"a\""));
    let plan = Plan::of_link(&link("https://h/m.gguf?token=secret"), &options()).unwrap();
    let error = plan.pull(&store, Some(&net), &options(), &cancel, &mut |event| {
        if matches!(event, Event::Progress { bytes: 500_000.., .. }) {
            cancel.cancel();
        }
    });
    let error = error.unwrap_err();
    assert!(matches!(error, ModelError::Paused(_)), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("of 2000000 bytes of https://h/m.gguf are kept") && !text.contains("secret"),
        "{text}"
    );
    assert!(files(&store, "refs").is_empty());
    let found = store.verify(None, &CancelToken::new(), &mut |_| {}).unwrap();
    assert_eq!((found.partial.len(), found.partial[0].size), (1, Some(2_000_000)));
    let plan = Plan::of_link(&link("https://h/m.gguf?token=other"), &options()).unwrap();
    crate::support::pull(&store, &net, &plan, &options()).unwrap();
    assert!(net.asked.borrow()[1].from() >= Some(500_000));
}
