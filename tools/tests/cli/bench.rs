// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho bench`. Nothing here looks at how fast anything is.

use std::process::Stdio;

use serde_json::Value;

use crate::support::{fails, json, keys, run, std_bho, stdout};

/// A run of a moment.
const TINY: &[&str] = &["bench", "kernels", "--quick", "--shapes", "64x64", "--arena-mb", "8"];

fn tiny<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [TINY, more].concat()
}

#[test]
fn kernels_stand_beside_the_limits_of_the_machine() {
    let output = run(tiny(&["--tokens", "1,2", "--isa", "scalar", "--threads", "1,2"]));
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in [
        "limits of this machine, 1 / 2 threads",
        "DRAM read",
        "int8 peak",
        "ternary weights",
        "int8 weights",
        "64x64",
        "scalar/1x16",
        "in short, 2 threads",
        "note: DRAM: 8.4 MB of memory",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn the_report_has_stable_keys_and_sane_numbers() {
    let args = tiny(&["--tokens", "1,2,40", "--isa", "scalar", "--threads", "1,2", "--json"]);
    let report = json(&run(args), 0);
    assert_eq!(
        keys(&report),
        ["version", "complete", "machine", "limits", "rows", "notes", "elapsed_s"]
    );
    assert_eq!(report["complete"], true);
    assert_eq!(
        keys(&report["machine"]),
        ["cpu", "memory", "caches", "transparent_huge_pages", "arena_bytes", "threads"]
    );
    let positive = |value: &Value| value.as_f64().is_some_and(|n| n.is_finite() && n > 0.0);
    let read = report["limits"]["read"].as_array().unwrap();
    assert!(read.iter().any(|limit| limit["from"] == "DRAM"));
    assert!(read.iter().all(|limit| positive(&limit["gb_s"])));
    let peaks = report["limits"]["int8"].as_array().unwrap();
    assert_eq!(peaks.len(), 2);
    assert!(peaks.iter().all(|peak| peak["isa"] == "scalar" && positive(&peak["gop_s"])));

    let rows = report["rows"].as_array().unwrap();
    let of = |tokens: u64, threads: u64| {
        rows.iter().filter(|r| r["tokens"] == tokens && r["threads"] == threads).count()
    };
    // Per operation: more tokens once, many not for dense weights; one token from a cache and from
    // memory on each page size.
    assert_eq!((of(2, 1), of(2, 2), of(40, 2)), (3, 3, 2));
    assert!(of(1, 1) == of(1, 2) && (6..=9).contains(&of(1, 1)), "{}", of(1, 1));
    for row in rows {
        assert_eq!(
            keys(row),
            [
                "op",
                "isa",
                "kernel",
                "rows",
                "cols",
                "tokens",
                "threads",
                "split",
                "mode",
                "weights_from",
                "pages",
                "packed_bytes",
                "seconds",
                "gb_s",
                "gop_s",
                "ops_per_byte",
                "limit",
                "fraction"
            ]
        );
        let op = row["op"].as_str().unwrap();
        let (gemm, packed_bytes) = match op {
            "ternary" => ("ternary_gemm", 1024),
            "dense" => ("ternary_dense_gemm", 1024),
            _ => ("int8_gemm", 4096),
        };
        assert_eq!(row["kernel"], format!("{gemm}/scalar/1x16"));
        assert_eq!(row["packed_bytes"], packed_bytes);
        let ring = row["mode"] == "dram";
        assert!(ring == (row["weights_from"] == "DRAM") && (!ring || row["tokens"] == 1), "{row}");
        let seconds = |key: &str| row["seconds"][key].as_f64().unwrap();
        assert!(seconds("min") > 0.0 && seconds("min") <= seconds("median"));
        assert!(seconds("median") <= seconds("max"));
        assert!(["gb_s", "gop_s", "fraction"].iter().all(|key| positive(&row[*key])), "{row}");
        let limit = row["limit"]["gop_s"].as_f64().unwrap();
        // The rate is that of the median, the share that of the best sample.
        let best = row["gop_s"].as_f64().unwrap() * seconds("median") / seconds("min");
        let share = best / limit;
        assert!((share - row["fraction"].as_f64().unwrap()).abs() < 1e-9, "{row}");
        let by = row["limit"]["by"].as_str().unwrap();
        assert!(by == "int8 peak" || by.ends_with(" read"), "{by}");
    }
}

#[test]
fn every_backend_of_this_machine_is_measured_and_its_inner_loops_are_named() {
    let report = json(&run(["doctor", "--json"]), 0);
    let available = report["kernels"]["available"].as_array().unwrap();
    let names: Vec<_> = available.iter().map(|name| name.as_str().unwrap()).collect();
    let list = names.join(",");
    let args = tiny(&["--tokens", "1,3", "--threads", "1", "--json", "--isa", &list]);
    let report = json(&run(args), 0);
    for name in names {
        let mut rows = report["rows"].as_array().unwrap().iter().filter(|row| row["isa"] == name);
        // The operation, the instruction set that ran, and the loop.
        let named = |row: &Value| {
            let parts: Vec<_> = row["kernel"].as_str().unwrap().splitn(3, '/').collect();
            let op = row["op"].as_str().unwrap().replace("dense", "ternary_dense");
            parts[0] == format!("{op}_gemm") && parts.len() == 3
        };
        assert!(rows.next().is_some_and(named) && rows.all(named), "{name}");
    }
}

#[test]
fn the_roofline_is_a_picture_and_a_plot() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("roofline.svg");
    let svg = ["--svg", path.to_str().unwrap()];
    let args = tiny(&["--tokens", "1,8", "--isa", "scalar", "--threads", "1,2", "--plot"]);
    let text = stdout(&run([&args[..], &svg].concat()));
    assert!(text.contains("roofline, 2 threads") && text.contains("A scalar"), "{text}");
    assert!(text.contains('─') && text.contains('└'), "{text}");

    let picture = std::fs::read_to_string(path).unwrap();
    assert_well_formed(&picture);
    for part in ["<svg xmlns=", "DRAM", "scalar", "2 threads", "64x64, N = 8", "int8_gemm/scalar"] {
        assert!(picture.contains(part), "{part} is not in the picture");
    }
    assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
}

/// Every element is closed in order, and no bare `&` or `<` is in the text.
fn assert_well_formed(xml: &str) {
    let mut open = Vec::new();
    let mut rest = xml.trim_end();
    while let Some(at) = rest.find('<') {
        let text = &rest[..at];
        assert!(!text.contains('>'), "{text}");
        let entity = |tail: &str| ["amp;", "lt;", "gt;"].iter().any(|e| tail.starts_with(e));
        assert!(text.split('&').skip(1).all(entity), "{text}");
        let end = at + rest[at..].find('>').expect("a tag is closed");
        let tag = &rest[at + 1..end];
        assert!(tag.matches('"').count().is_multiple_of(2) && !tag.contains('<'), "{tag}");
        let name = tag.split_whitespace().next().unwrap().trim_matches('/');
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        rest = &rest[end + 1..];
        assert!(!open.is_empty() || rest.is_empty(), "more than one root: {rest}");
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn what_is_not_known_is_refused_with_what_is() {
    for (args, message) in [
        (&["--isa", "quantum"][..], "this build has: scalar"),
        (&["--isa", "scalar,quantum"], "--isa: no kernel backend is called \"quantum\""),
        (&["--shapes", "64"], "expected ROWSxCOLS such as 2560x6912, each 1 to 65536"),
        (&["--shapes", "64x0"], "expected ROWSxCOLS"),
        (&["--op", "float"], "[possible values: ternary, dense, int8]"),
        (&["--pages", "giant"], "[possible values: small, huge]"),
        (&["--tokens", "0"], "1..=4096"),
        (&["--threads", "0"], "1..=1024"),
        (&["--arena-mb", "0"], "1..=65536"),
        (&["--json", "--plot"], "cannot be used with"),
        (&["--svg", "no/such/folder/roofline.svg"], "cannot write no/such/folder/roofline.svg"),
    ] {
        fails(&run([&["bench", "kernels", "--quick"], args].concat()), 2, message);
    }
    fails(&run(["bench", "encoder", "--tokens", "4000"]), 2, "reads up to 512 tokens at once");
    fails(&run(["bench", "encoder", "--isa", "quantum"]), 2, "this build has: scalar");
    fails(&run(["bench"]), 2, "Commands:");
    let forced = std_bho().env("BHO_ISA", "quantum").args(TINY).output().unwrap();
    fails(&forced, 2, "BHO_ISA: no kernel backend");
}

#[test]
fn the_backend_that_the_environment_forces_is_the_one_measured() {
    let mut command = std_bho();
    command.env("BHO_ISA", "scalar").args(tiny(&["--tokens", "2", "--threads", "1", "--json"]));
    let report = json(&command.output().unwrap(), 0);
    let rows = report["rows"].as_array().unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|row| row["isa"] == "scalar"));
}

#[test]
fn the_encoder_is_timed_on_each_number_of_tokens_and_threads() {
    let args = ["bench", "encoder", "--tokens", "5,3", "--threads", "1,2"];
    let output = run(args);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("minilm-l6-int8") && text.contains("tokens/s"), "{text}");
    let report = json(&run([&args[..], &["--json"]].concat()), 0);
    assert_eq!(keys(&report), ["version", "complete", "cpu", "model", "precision", "rows"]);
    let rows = report["rows"].as_array().unwrap();
    let shape: Vec<_> = rows
        .iter()
        .map(|row| (row["threads"].as_u64().unwrap(), row["tokens"].as_u64().unwrap()))
        .collect();
    assert_eq!(shape, [(1, 3), (1, 5), (2, 3), (2, 5)]);
    assert!(rows.iter().all(|row| row["tokens_per_s"].as_f64().unwrap() > 0.0));
}

#[test]
fn a_closed_standard_output_costs_neither_success_nor_the_picture() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("roofline.svg");
    let mut command = std_bho();
    command.args(tiny(&["--tokens", "2", "--isa", "scalar", "--threads", "1", "--svg"])).arg(&path);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(std::fs::read_to_string(path).unwrap().ends_with("</svg>\n"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_prints_what_is_measured() {
    let mut command = std_bho();
    // All shapes on the slowest backend: far from done when it is stopped.
    command.args(["bench", "kernels", "--isa", "scalar", "--arena-mb", "64", "--json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(3000));
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let report = json(&output, 130);
    assert_eq!(report["complete"], false);
    // However far it came: the report has all its parts.
    assert!(report["limits"]["read"].is_array() && report["rows"].is_array());
}
