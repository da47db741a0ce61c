// SPDX-License-Identifier: AGPL-3.0-or-later
//! Lines as they are read, and as they are refused.

use super::*;

fn read_with(text: &str, reading: &Reading) -> anyhow::Result<Data> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.jsonl");
    std::fs::write(&path, text).unwrap();
    let mut types = Types::new(&["email", "name"]);
    Data::read(&[StreamArg::File(path)], reading, &mut types)
}

fn read(text: &str) -> anyhow::Result<Data> {
    read_with(text, &Reading::default())
}

fn spans_of(text: &str) -> Vec<[usize; 2]> {
    let data = read(text).unwrap();
    data.examples[0].spans.iter().flatten().map(|gold| [gold.span.start, gold.span.end]).collect()
}

#[test]
fn the_three_forms_are_read() {
    let data = read(concat!(
        r#"{"text": "a@b.c", "spans": [{"start": 0, "end": 5, "type": "email"}], "labels": {"toxicity": 1}, "group": "g"}"#,
        "\n\n",
        r#"{"full_text": "é Ann", "spans": [{"entity_type": "PERSON", "entity_value": "Ann", "start_position": 2, "end_position": 5}]}"#,
        "\n",
        r#"{"text": "fine", "labels": {"toxicity": null, "jailbreak": false, "rude": 1}}"#,
    ))
    .unwrap();
    let [a, b, c] = &data.examples[..] else { panic!() };
    assert_eq!((a.line, b.line, c.line), (1, 3, 4));
    assert_eq!((a.labels, a.group.as_deref()), ([Some(true), None], Some("g")));
    assert_eq!(b.spans.as_ref().unwrap()[0].span, 3..6);
    assert_eq!((&c.spans, c.labels), (&None, [None, Some(false)]));
    assert_eq!(data.notes.len(), 1);
    assert_eq!(data.files[0].texts, 3);
    assert_eq!(data.files[0].sha256.len(), 64);
}

#[test]
fn offsets_are_bytes_unless_the_line_or_the_flag_says_otherwise() {
    assert_eq!(
        spans_of(r#"{"text": "é Ann", "spans": [{"start": 3, "end": 6, "type": "name"}]}"#),
        [[3, 6]]
    );
    for start in [2, 3] {
        let line = format!(
            r#"{{"text": "é Ann", "spans": [{{"start": {start}, "end": {}, "type": "name", "value": "Ann"}}]}}"#,
            start + 3
        );
        assert_eq!(spans_of(&line), [[3, 6]]);
    }
    let reading = Reading { unit: Some(Unit::Chars), ..Reading::default() };
    let line = r#"{"text": "é Ann", "spans": [{"start": 2, "end": 5, "type": "name"}]}"#;
    let data = read_with(line, &reading).unwrap();
    assert_eq!(data.examples[0].spans.as_ref().unwrap()[0].span, 3..6);
}

#[test]
fn one_label_needs_to_be_told_what_it_is_about() {
    let error = read(r#"{"text": "a", "label": 1}"#).unwrap_err().to_string();
    assert!(error.contains(":1:15: say what `label` is about"), "{error}");
    let reading = Reading { label: Some(1), group: Some("cls".into()), ..Reading::default() };
    let text = "{\"text\": \"a\", \"label\": \"malicious\", \"cls\": 3}\n{\"text\": \"b\", \"label\": 0, \"spans\": [3, 4]}\n{\"text\": \"c\", \"label\": 0, \"spans\": []}";
    let data = read_with(text, &reading).unwrap();
    assert_eq!(data.examples[0].labels, [None, Some(true)]);
    assert_eq!(data.examples[0].group.as_deref(), Some("3"));
    assert_eq!((data.examples[1].labels, data.notes.len()), ([None, Some(false)], 1));
    assert!(data.examples.iter().all(|example| example.spans.is_none()));
}

#[test]
fn bad_lines_say_where_and_what_is_accepted() {
    for (line, message) in [
        ("{\"text\": \"a\"", ":1:12: not valid JSON"),
        ("[\n{\"text\": \"a\"}]", "jq -c"),
        ("3", ":1:1: not an object; accepted"),
        ("{\"txt\": \"a\"}", ":1:1: the line has no `text`; accepted"),
        ("{\"text\": 1}", ":1:2: `text` is not a text"),
        (r#"{"text": "a", "labels": 1}"#, ":1:15: `labels` is not an object"),
        (
            r#"{"text": "a", "labels": {"toxicity": 0.5}}"#,
            ":1:26: `toxicity` is no label; accepted: 0, 1",
        ),
        (r#"{"text": "a", "spans": {}}"#, ":1:15: `spans` is not a list"),
        (r#"{"text": "a", "spans": [{}]}"#, "spans[0] has no whole number `start`"),
        (r#"{"text": "a", "spans": [{"start": 0, "end": 1}]}"#, "spans[0] has no `type`"),
        (
            r#"{"text": "é", "spans": [{"start": 0, "end": 1, "type": "x"}]}"#,
            "2 bytes (1 characters); --offsets chars",
        ),
        (r#"{"text": "a", "spans": [{"start": 0, "end": 2, "type": "x"}]}"#, "0..2 is no stretch"),
        (r#"{"text": "a", "spans": [{"start": 1, "end": 0, "type": "x"}]}"#, "1..0 is no stretch"),
        (r#"{"text": "a", "spans": [{"start": 0, "end": 0, "type": "x"}]}"#, "0..0 is no stretch"),
        (
            r#"{"text": "ab", "spans": [{"start": 0, "end": 1, "type": "x", "value": "b"}]}"#,
            "its `value` is not",
        ),
        (
            r#"{"text": "ab", "spans": [{"start": 0, "end": 1, "type": "x", "score": 2}]}"#,
            "spans[0].score",
        ),
        ("", "there are no texts"),
    ] {
        let error = read(line).unwrap_err().to_string();
        assert!(error.contains(message), "{line}: {error}");
    }
}

#[test]
fn predictions_follow_the_data() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.jsonl");
    let mut types = Types::new(&["email", "name"]);
    let data = read("{\"text\": \"é Ann\", \"spans\": []}\n{\"text\": \"b\"}").unwrap();
    let mut predict = |text: &str| {
        std::fs::write(&path, text).unwrap();
        data.predictions(&StreamArg::File(path.clone()), None, false, &mut types)
    };
    let found = predict(concat!(
        r#"{"full_text": "é Ann", "spans": [{"start": 2, "end": 5, "type": "PERSON", "score": 0.5}], "scores": {"toxicity": 0.25}, "ms": 2.5}"#,
        "\n{}\n",
    ))
    .unwrap();
    assert_eq!(found[0].spans[0].span, 3..6);
    assert_eq!((found[0].scores, found[0].milliseconds), ([Some(0.25), None], Some(2.5)));
    assert_eq!(found[1], Foreign::default());
    for (text, message) in [
        ("{}", "1 lines of predictions for 2 texts"),
        (r#"{"text": "x"}"#, ":1:2: the text is not that of d.jsonl:1"),
        (r#"{"scores": {"toxicity": 2}}"#, "`scores.toxicity` is not"),
        (r#"{"ms": "fast"}"#, "`ms` is not a time"),
    ] {
        let error = predict(text).unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[test]
fn a_limit_shortens_the_data_and_not_the_checksum() {
    let text = "{\"text\": \"a\"}\n{\"text\": \"b\"}\n";
    let all = read(text).unwrap();
    let one = read_with(text, &Reading { limit: Some(1), ..Reading::default() }).unwrap();
    assert_eq!((all.examples.len(), one.examples.len()), (2, 1));
    assert_eq!(all.files[0].sha256, one.files[0].sha256);
}
