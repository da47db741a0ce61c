// SPDX-License-Identifier: AGPL-3.0-or-later
//! Requests: where redirects may lead, who sees a token, and which failures are tried again.

use std::time::{Duration, Instant};

use bho_models::store::{Plan, PullOptions, TransportError};

use crate::support::{Net, content, link, options, part, pull_file, reply, store};

#[test]
fn redirects_are_bounded_and_never_lead_to_http_or_files() {
    let (_dir, store) = store();
    for (location, message) in [
        ("https://h/m.gguf", "redirects more than 10 times"),
        ("http://h/m.gguf", "from https to http"),
        ("http://127.0.0.1/m.gguf", "from https to http"),
        ("file:///etc/passwd", "not one"),
        ("//user:pw@h/", "user name"),
        ("", "redirects more than 10 times"),
    ] {
        let net = Net::new(|_, _| reply(307, &[("location", location)], b""));
        let error = pull_file(&store, &net, &options()).unwrap_err().to_string();
        assert!(error.contains(message), "{location}: {error}");
        assert!(net.requests() <= 11);
    }
    let error =
        Plan::of_link(&link("http://example.org/m.gguf"), &options()).unwrap_err().to_string();
    assert!(error.contains("use https, or --insecure-http"), "{error}");
    let insecure = PullOptions { insecure_http: true, ..options() };
    assert!(Plan::of_link(&link("http://example.org/m.gguf"), &insecure).is_ok());
    assert!(Plan::of_link(&link("http://[::1]:80/m.gguf"), &options()).is_ok());
}

#[test]
fn a_token_stays_with_the_host_it_is_for() {
    let (_dir, store) = store();
    let options = PullOptions { token: Some("secret".into()), ..options() };
    let net = Net::new(|n, _| match n {
        1 => reply(302, &[("location", "/moved")], b""),
        2 => reply(302, &[("location", "https://cdn/x")], b""),
        _ => reply(200, &[], b"x"),
    });
    pull_file(&store, &net, &options).unwrap();
    let tokens: Vec<_> = net
        .asked
        .borrow()
        .iter()
        .map(|asked| asked.header("authorization").map(str::to_owned))
        .collect();
    assert_eq!(tokens, [Some("Bearer secret".to_owned()), Some("Bearer secret".to_owned()), None]);
}

#[test]
fn statuses_are_tried_again_where_that_may_help() {
    let (bytes, (_dir, store)) = (content(1000), store());
    for status in [429, 500, 502, 503, 504, 408] {
        let net = Net::new(|n, asked| {
            if n < 3 {
                reply(status, &[("retry-after", "0")], b"")
            } else {
                part(asked, &bytes, "\"a\"")
            }
        });
        assert!(pull_file(&store, &net, &options()).is_ok(), "{status}");
        store.remove("m").unwrap();
        let net = Net::new(|_, _| reply(status, &[], b""));
        let error = pull_file(&store, &net, &options()).unwrap_err().to_string();
        assert!(error.contains(&format!("status {status}")) && net.requests() == 4, "{error}");
    }
    for (status, message) in [
        (404, "no such file"),
        (401, "BHO_HUB_TOKEN"),
        (403, "licence"),
        (204, "status 204"),
        (400, "status 400"),
    ] {
        let net = Net::new(|_, _| reply(status, &[], b""));
        let error = pull_file(&store, &net, &options()).unwrap_err().to_string();
        assert!(error.contains(message) && net.requests() == 1, "{error}");
    }
    let net = Net::new(|_, _| reply(429, &[("retry-after", "86400")], b""));
    let error = pull_file(&store, &net, &options()).unwrap_err().to_string();
    assert!(error.contains("come back in 86400 s") && net.requests() == 1, "{error}");
    let net = Net::new(|n, _| {
        if n == 1 { reply(503, &[("retry-after", "1")], b"") } else { reply(200, &[], b"x") }
    });
    let begin = Instant::now();
    pull_file(&store, &net, &options()).unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

#[test]
fn no_connection_is_tried_again_unless_that_is_hopeless() {
    let (_dir, store) = store();
    for (retry, requests) in [(true, 4), (false, 1)] {
        let net = Net::failing(|_, _| Err(TransportError { message: "no route".into(), retry }));
        let error = pull_file(&store, &net, &options()).unwrap_err().to_string();
        assert!(error.contains("no route") && net.requests() == requests, "{error}");
    }
}
