// SPDX-License-Identifier: AGPL-3.0-or-later
//! What all tasks read alike.

use super::*;
use crate::exit::Exit;

#[test]
fn several_files_are_groups_unless_their_lines_say_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        StreamArg::File(path)
    };
    let line = "{\"x\": \"a\"}\n";
    let grouped = "{\"x\": \"a\", \"group\": \"g\", \"kind\": 3}\n";
    let files = [write("one.jsonl", &line.repeat(3)), write("two.jsonl", grouped)];
    let read =
        |reading: &Reading| Data::read(&files, reading, "", |_, place, _| Ok(Some(place))).unwrap();
    let groups = |data: &Data<Place>| data.groups(|place| place);
    let data = read(&Reading { limit: Some(2), group: None });
    assert_eq!(groups(&data), [("g".to_owned(), vec![2]), ("one.jsonl".to_owned(), vec![0, 1])]);
    assert_eq!((data.files[0].texts, data.files[1].texts), (2, 1));
    let other = read(&Reading { limit: None, group: Some("kind".to_owned()) });
    assert_eq!(groups(&other)[0], ("3".to_owned(), vec![3]));
    assert_eq!(data.files[0].sha256, other.files[0].sha256, "of all of it, whatever the limit");
    // One group is all there is.
    let one = Data::read(&files[..1], &Reading::default(), "", |_, place, _| Ok(Some(place)));
    assert!(groups(&one.unwrap()).is_empty());
}

#[test]
fn texts_that_are_shown_hide_what_the_rules_find() {
    let guard = Guard::new(bho_guard::Policy::default()).unwrap();
    let bootstrap = Bootstrap { resamples: 0, seed: 0 };
    let shown = Measuring { bootstrap, masking: Some(&guard) }
        .shown("Ann <ann@example.org> or bob@example.org, call +1 (555) 123-4567 now");
    assert_eq!(shown.as_deref(), Some("Ann <[email]> or [email], call [phone] now"));
    assert_eq!(Measuring { bootstrap, masking: None }.shown("a"), None);
}

#[test]
fn what_was_answered_before_a_stop_is_measured_and_what_was_not_is_noted() {
    let (dir, line) = (tempfile::tempdir().unwrap(), "{\"x\": \"a\"}\n");
    let path = dir.path().join("one.jsonl");
    std::fs::write(&path, line.repeat(5)).unwrap();
    let files = [StreamArg::File(path)];
    let read =
        || Data::read(&files, &Reading::default(), "", |_, place, _| Ok(Some(place))).unwrap();
    let stop = || Some(Failure::said(Exit::Failed, "the model went away"));
    let mut data = read();
    assert!(data.end_at(2, stop()).unwrap().is_some());
    assert_eq!((data.items.len(), data.notes.get(NOT_ASKED)), (2, Some(&3)));
    let mut data = read();
    assert!(data.end_at(5, None).unwrap().is_none());
    assert_eq!((data.items.len(), data.notes.len()), (5, 0));
    assert_eq!(read().end_at(0, stop()).unwrap_err().message().unwrap(), "the model went away");
}
