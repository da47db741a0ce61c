// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho models pull` over the network: a server of this machine that keeps no promise it could break.

mod hub;
mod support;

use std::io::Read as _;
use std::time::{Duration, Instant};

use support::{Server, bho, content, fails, pull, pulled, reply, send, sha256, stderr};

#[test]
fn a_file_is_pulled_shown_verified_and_removed() {
    let (bytes, dir) = (content(300_000), tempfile::tempdir().unwrap());
    let sum = sha256(&bytes);
    let (served, url) = serving(bytes.clone());
    let manifest = pulled(dir.path(), &[&url, "--sha256", &sum.to_uppercase(), "--licence", "MIT"]);
    assert_eq!(manifest["name"], "model.Q4");
    assert_eq!(
        (&manifest["files"][0]["sha256"], &manifest["files"][0]["checked"]),
        (&sum.as_str().into(), &"user".into())
    );
    assert_eq!(std::fs::read(manifest["path"].as_str().unwrap()).unwrap(), bytes);
    assert_eq!(
        served.asked()[0].header("user-agent").unwrap(),
        concat!("bho/", env!("CARGO_PKG_VERSION"))
    );
    let text = bho(dir.path()).args(["models", "show", "model.Q4"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("MIT") && text.contains(&sum) && text.contains("as given"), "{text}");
    // What is there is not asked for again.
    pulled(dir.path(), &[&url, "--sha256", &sum]);
    assert_eq!(served.asked().len(), 1);
}

/// A server of one good file, and its address.
fn serving(bytes: Vec<u8>) -> (Server, String) {
    let server = Server::new(move |_, asked, out| send(out, asked, &bytes, "\"a\"", usize::MAX));
    let url = server.url("/files/model.Q4.gguf");
    (server, url)
}

#[test]
fn dropped_connections_are_resumed() {
    let (bytes, dir) = (content(900_000), tempfile::tempdir().unwrap());
    let sent = bytes.clone();
    let server = Server::new(move |n, asked, out| {
        send(out, asked, &sent, "\"a\"", if n < 3 { 400_000 } else { usize::MAX })
    });
    let manifest = pulled(dir.path(), &[&server.url("/m")]);
    assert_eq!(manifest["files"][0]["sha256"], sha256(&bytes).as_str());
    let from: Vec<_> = server.asked().iter().map(support::Request::from).collect();
    assert_eq!(from, [None, Some(400_000), Some(800_000)]);
    assert_eq!(server.asked()[1].header("if-range"), Some("\"a\""));
}

#[test]
fn servers_without_parts_and_versions_that_change_are_read_anew() {
    for ignores in [true, false] {
        let (old, new, dir) = (content(200_000), vec![9; 200_000], tempfile::tempdir().unwrap());
        let expected = sha256(if ignores { &old } else { &new });
        let server = Server::new(move |n, asked, out| match (n, ignores) {
            (1, _) => send(out, asked, &old, "\"old\"", 100_000),
            (_, true) => reply(out, "200 OK", "content-length: 200000\r\netag: \"old\"\r\n", &old),
            (_, false) => send(out, asked, &new, "\"new\"", usize::MAX),
        });
        let manifest = pulled(dir.path(), &[&server.url("/m")]);
        assert_eq!(manifest["files"][0]["sha256"], expected.as_str());
        assert_eq!(server.asked()[1].from(), Some(100_000));
    }
}

#[test]
fn wrong_bytes_are_refused() {
    let (bytes, dir) = (content(1000), tempfile::tempdir().unwrap());
    let (served, url) = serving(bytes);
    let output = pull(dir.path(), &[&url, "--sha256", &sha256(b"other")]);
    fails(&output, 1, "nothing was stored");
    assert_eq!(served.asked().len(), 2);
    fails(
        &bho(dir.path()).args(["models", "show", "model.Q4"]).output().unwrap(),
        2,
        "no model is called",
    );
    fails(&pull(dir.path(), &[&url, "--sha256", "abc"]), 1, "64 lower-case hex digits");
}

#[test]
fn lengths_that_lie_and_bodies_without_end_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(|_, asked, out| match asked.path.as_str() {
        "/short" => reply(out, "200 OK", "content-length: 2000\r\n", &[0; 1000]),
        "/huge" => reply(out, "200 OK", "content-length: 99999999999999\r\n", b""),
        "/twice" => reply(out, "200 OK", "content-length: 5\r\ncontent-length: 7\r\n", b"1234567"),
        "/chunks" => {
            reply(out, "200 OK", "transfer-encoding: chunked\r\n", b"fffffffffffffffff\r\n")
        }
        _ => {
            reply(out, "200 OK", "", b"")?;
            while out.write_all(&[0; 65536]).is_ok() {}
            Ok(())
        }
    });
    let quick =
        |path: &str| pull(dir.path(), &[&server.url(path), "--retries", "1", "--max-size", "10MB"]);
    fails(&quick("/short"), 1, "given up at try 2");
    fails(&quick("/huge"), 1, "99999999999999 bytes are announced, --max-size leaves 10000000");
    fails(&quick("/endless"), 1, "sends more than the 10000000 bytes");
    for path in ["/twice", "/chunks"] {
        let output = quick(path);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{path}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"));
    }
}

#[test]
fn redirects_are_followed_within_bounds() {
    let (bytes, dir) = (content(5000), tempfile::tempdir().unwrap());
    let server = Server::new(move |_, asked, out| match asked.path.as_str() {
        "/loop" => reply(out, "302 Found", "location: /loop\r\ncontent-length: 0\r\n", b""),
        "/a" => reply(
            out,
            "301 Moved Permanently",
            "location: b?signed=1\r\ncontent-length: 0\r\n",
            b"",
        ),
        "/out" => {
            reply(out, "302 Found", "location: http://192.0.2.1/x\r\ncontent-length: 0\r\n", b"")
        }
        "/file" => {
            reply(out, "302 Found", "location: file:///etc/hostname\r\ncontent-length: 0\r\n", b"")
        }
        _ => send(out, asked, &bytes, "\"a\"", usize::MAX),
    });
    assert_eq!(pulled(dir.path(), &[&server.url("/a")])["name"], "a");
    fails(&pull(dir.path(), &[&server.url("/loop")]), 1, "redirects more than 10 times");
    fails(&pull(dir.path(), &[&server.url("/out")]), 1, "http is not secure");
    fails(&pull(dir.path(), &[&server.url("/file")]), 1, "redirects to an address that is not one");
}

#[test]
fn a_server_that_says_nothing_or_drips_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(|_, asked, out| {
        if asked.path == "/drips" {
            reply(out, "200 OK", "content-length: 100000\r\n", b"")?;
            for _ in 0..600 {
                out.write_all(b"x")?;
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        std::thread::sleep(Duration::from_secs(60));
        Ok(())
    });
    for (path, message) in [("/drips", "bytes came in 1."), ("/silent", "timeout")] {
        let begin = Instant::now();
        let output = pull(dir.path(), &[&server.url(path), "--retries", "1", "--timeout", "1"]);
        fails(&output, 1, message);
        assert!(begin.elapsed() < Duration::from_secs(40), "{path}: {:?}", begin.elapsed());
    }
}

#[test]
fn statuses_are_told_apart() {
    let (bytes, dir) = (content(5000), tempfile::tempdir().unwrap());
    let server = Server::new(move |n, asked, out| match asked.path.as_str() {
        "/busy" if n < 3 => {
            reply(out, "429 Too Many Requests", "retry-after: 1\r\ncontent-length: 0\r\n", b"")
        }
        "/missing" => reply(out, "404 Not Found", "content-length: 3\r\n", b"no\n"),
        "/closed" => reply(out, "401 Unauthorized", "content-length: 0\r\n", b""),
        "/broken" => reply(out, "500 Internal Server Error", "content-length: 0\r\n", b""),
        "/garbage" => out.write_all(b"\x00\xff not http at all\r\n\r\n"),
        _ => send(out, asked, &bytes, "\"a\"", usize::MAX),
    });
    let begin = Instant::now();
    pulled(dir.path(), &[&server.url("/busy")]);
    assert!(begin.elapsed() >= Duration::from_secs(2));
    fails(&pull(dir.path(), &[&server.url("/missing")]), 1, "status 404");
    fails(&pull(dir.path(), &[&server.url("/closed")]), 1, "BHO_HUB_TOKEN");
    fails(&pull(dir.path(), &[&server.url("/broken"), "--retries", "1"]), 1, "status 500");
    let output = pull(dir.path(), &[&server.url("/garbage"), "--retries", "1"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    // Nobody listens on the port of a server that is gone.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    fails(
        &pull(dir.path(), &[&format!("http://127.0.0.1:{port}/m"), "--retries", "0"]),
        1,
        "refused",
    );
}

#[test]
fn addresses_that_are_not_safe_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fails(&pull(dir.path(), &["http://example.org/m"]), 1, "--insecure-http");
    fails(&pull(dir.path(), &["ftp://example.org/m"]), 2, "https://");
    fails(&pull(dir.path(), &["https://me:hunter2@example.org/m"]), 2, "user name");
    fails(&pull(dir.path(), &["http://127.0.0.1:1/a%2f..%2fb"]), 1, "slash");
    fails(&pull(dir.path(), &["http://127.0.0.1:1/"]), 1, "names no file");
    fails(&pull(dir.path(), &["http://127.0.0.1:1/.."]), 1, "file name");
}

#[test]
fn nothing_is_fetched_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let (served, url) = serving(content(100));
    let output = bho(dir.path()).args(["models", "pull", &url]).output().unwrap();
    fails(&output, 2, "give --yes");
    assert!(stderr(&output).contains("licence: not stated") && served.asked().is_empty());
}

#[test]
fn pulls_of_the_same_file_at_once_share_it() {
    let (bytes, dir) = (content(2_000_000), tempfile::tempdir().unwrap());
    let (served, _) = serving(bytes.clone());
    // Not by a name whose format `verify` would read.
    let url = served.url("/files/weights");
    let start = || {
        bho(dir.path())
            .args(["models", "pull", "--yes", &url, "--sha256", &sha256(&bytes)])
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..3).map(|_| start()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let report = bho(dir.path()).args(["models", "verify", "--json"]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!((&report["ok"], &report["blobs"]), (&true.into(), &1.into()));
    assert_eq!(report["partial"], serde_json::json!([]));
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_has_come_and_the_same_command_goes_on() {
    let (bytes, dir) = (content(3_000_000), tempfile::tempdir().unwrap());
    let sent = bytes.clone();
    let server = Server::new(move |n, asked, out| {
        if n > 1 {
            return send(out, asked, &sent, "\"a\"", usize::MAX);
        }
        send(out, asked, &sent, "\"a\"", 1_000_000)?;
        // The rest comes so slowly that there is time to stop.
        for chunk in sent[1_000_000..].chunks(2000) {
            out.write_all(chunk)?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    });
    let url = server.url("/m");
    let mut child = bho(dir.path())
        .args(["models", "pull", "--yes", &url])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let part = || {
        std::fs::read_dir(dir.path().join("partial"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.metadata().ok())
            .map(|about| about.len())
            .max()
    };
    let begin = Instant::now();
    while part() < Some(1_000_000) {
        assert!(begin.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let status = child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.contains("are kept; the same command goes on from there"), "{said}");
    let manifest = pulled(dir.path(), &[&url]);
    assert_eq!(manifest["files"][0]["sha256"], sha256(&bytes).as_str());
    assert!(server.asked()[1].from() >= Some(1_000_000));
}

#[cfg(unix)]
#[test]
fn a_disk_that_takes_no_more_is_told_and_the_rest_can_follow() {
    let (bytes, dir) = (content(3_000_000), tempfile::tempdir().unwrap());
    let (_served, url) = serving(bytes);
    // A limit on the size of files stands for the end of the disk: 1000 blocks of 512 or 1024 bytes.
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 1000; exec \"$0\" models pull --yes \"$1\""]);
    let output = limited
        .arg(env!("CARGO_BIN_EXE_bho"))
        .arg(&url)
        .env("BHO_MODELS_DIR", dir.path())
        .output()
        .unwrap();
    fails(&output, 2, "cannot write");
    assert!(stderr(&output).contains("partial"), "{}", stderr(&output));
    pulled(dir.path(), &[&url]);
}

#[test]
fn tls_is_checked_against_the_roots_of_this_machine() {
    let (bytes, dir) = (content(200_000), tempfile::tempdir().unwrap());
    let sent = bytes.clone();
    let server = Server::secure(move |n, asked, out| match asked.path.as_str() {
        "/down" => {
            reply(out, "302 Found", "location: http://127.0.0.1:1/x\r\ncontent-length: 0\r\n", b"")
        }
        _ => send(out, asked, &sent, "\"a\"", if n == 1 { 100_000 } else { usize::MAX }),
    });
    let roots = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pull/tls/ca.pem");
    let run = |roots: &std::path::Path, path: &str| {
        let mut command = bho(dir.path());
        command
            .env("SSL_CERT_FILE", roots)
            .args(["models", "pull", "--yes", "--retries", "2", &server.url(path)])
            .output()
            .unwrap()
    };
    let output = run(roots.as_ref(), "/m");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let blob = dir.path().join("blobs/sha256").join(sha256(&bytes));
    assert_eq!(std::fs::read(blob).unwrap(), bytes);
    fails(&run(roots.as_ref(), "/down"), 1, "from https to http");
    let requests = server.asked().len();
    // No roots at all; roots that did not sign this one are those of the system.
    let none = dir.path().join("none.pem");
    std::fs::write(&none, b"").unwrap();
    fails(&run(&none, "/n"), 1, "no root certificates");
    let other = dir.path().join("other.pem");
    std::fs::write(&other, OTHER_CA).unwrap();
    let output = run(&other, "/n");
    fails(&output, 1, "certificate");
    assert!(!stderr(&output).contains("trying again"), "{}", stderr(&output));
    assert_eq!(server.asked().len(), requests);
}

/// A root that has signed nothing here.
const OTHER_CA: &str = include_str!("tls/other.pem");
