// SPDX-License-Identifier: AGPL-3.0-or-later
//! Queries, documents, and which belong together.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use serde_json::{Map, Value};

use super::super::{Data, MAX_LINE, Notes, Place, Reading, note, similarity, text};
use crate::eval::lines::{DataFile, Record, short_name, short_records};
use crate::input::StreamArg;

const ACCEPTED: &str = "accepted: {\"query\": \"...\", \"relevant\": [\"id\"] or {\"id\": grade}} with --corpus, or with \
     \"documents\": [{\"id\": \"...\", \"text\": \"...\"}] in the line; pairs {\"a\": \"...\", \"b\": \"...\", \"score\": 4.2}";
const ACCEPTED_DOCUMENT: &str =
    "accepted: {\"id\": \"...\", \"text\": \"...\", \"title\": \"...\"}";
/// Longest query and longest document, in bytes.
const MAX_QUERY: usize = 64 << 10;
const MAX_DOCUMENT: usize = 1 << 20;

/// All documents: the common ones first, then those of single queries.
#[derive(Debug, Default)]
pub(crate) struct Corpus {
    pub(crate) texts: Vec<String>,
    /// Documents that every query without its own is asked of.
    pub(crate) common: usize,
    /// Files of `--corpus`.
    pub(crate) files: Vec<DataFile>,
}

/// A query.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) place: Place,
    pub(crate) text: String,
    /// Where its documents stand.
    pub(crate) documents: Range<usize>,
    /// Documents that belong to it, and how much: places in all documents, grades over 0.
    pub(crate) relevant: Vec<(usize, f64)>,
}

/// A line before all documents are known.
enum Line {
    /// `relevant` by ids of the common documents.
    Common {
        place: Place,
        text: String,
        relevant: Vec<(usize, f64)>,
    },
    /// Documents of its own, and `relevant` among them.
    Own {
        place: Place,
        text: String,
        documents: Vec<String>,
        relevant: Vec<(usize, f64)>,
    },
    Pair {
        place: Place,
        a: String,
        b: String,
        score: f64,
    },
}

/// Reads queries and documents. In pairs, each `b` is a document, and belongs to `a` from a score of `relevant_from` on.
///
/// # Errors
/// The first line that cannot be used, as `FILE:LINE:COLUMN`; a common query without `corpus`; no query at all.
pub(crate) fn read(
    streams: &[StreamArg],
    corpus: &[StreamArg],
    reading: &Reading,
    relevant_from: f64,
) -> anyhow::Result<(Data<Query>, Corpus)> {
    let (mut all, ids) = read_corpus(corpus)?;
    let lines = Data::read(streams, reading, ACCEPTED, |record, place, notes| {
        line(record, place, &ids, notes)
    })?;
    let Data { items, files, mut notes } = lines;
    // Pairs: equal texts are one document and one query.
    let mut pairs: HashMap<String, usize> = HashMap::new();
    let mut asked: HashMap<String, usize> = HashMap::new();
    let mut met: HashSet<(usize, usize)> = HashSet::new();
    let mut queries: Vec<Query> = Vec::new();
    let mut own: Vec<(Query, Vec<String>)> = Vec::new();
    for line in items {
        match line {
            Line::Common { place, text, relevant } => {
                queries.push(Query { place, text, documents: 0..0, relevant });
            }
            Line::Own { place, text, documents, relevant } => {
                own.push((Query { place, text, documents: 0..0, relevant }, documents));
            }
            Line::Pair { place, a, b, score } => {
                let document = *pairs.entry(b).or_insert_with_key(|b| {
                    all.texts.push(b.clone());
                    all.texts.len() - 1
                });
                if score < relevant_from {
                    continue;
                }
                let query = *asked.entry(a).or_insert_with_key(|a| {
                    let (text, relevant) = (a.clone(), Vec::new());
                    queries.push(Query { place, text, documents: 0..0, relevant });
                    queries.len() - 1
                });
                if met.insert((query, document)) {
                    queries[query].relevant.push((document, 1.0));
                }
            }
        }
    }
    all.common = all.texts.len();
    queries.iter_mut().for_each(|query| query.documents = 0..all.common);
    for (mut query, documents) in own {
        let start = all.texts.len();
        all.texts.extend(documents);
        query.documents = start..all.texts.len();
        query.relevant.iter_mut().for_each(|(place, _)| *place += start);
        queries.push(query);
    }
    if queries.is_empty() {
        let why = format!("no pair has a score of {relevant_from} or more (--relevant-from)");
        anyhow::bail!(
            "{}: there are no queries; {why}",
            streams.first().map_or_else(String::new, StreamArg::name)
        );
    }
    if !pairs.is_empty() {
        notes.insert("pairs: each different second text is a document".to_owned(), pairs.len());
    }
    Ok((Data { items: queries, files, notes }, all))
}

/// The documents of `--corpus`, and where each id stands.
fn read_corpus(streams: &[StreamArg]) -> anyhow::Result<(Corpus, HashMap<String, usize>)> {
    let mut corpus = Corpus::default();
    let mut ids = HashMap::new();
    for stream in streams {
        let first = corpus.texts.len();
        let sha256 = short_records(stream, None, MAX_LINE, ACCEPTED_DOCUMENT, |record| {
            let (id, text) = document(record, &record.fields)?;
            let id = id.ok_or_else(|| {
                record.fault("id", format!("the document has no `id`; {ACCEPTED_DOCUMENT}"))
            })?;
            if ids.insert(id, corpus.texts.len()).is_some() {
                return Err(record.fault("id", "another document has the same `id`"));
            }
            corpus.texts.push(text);
            Ok(())
        })?;
        let texts = corpus.texts.len() - first;
        corpus.files.push(DataFile { file: short_name(&stream.name()), sha256, texts });
    }
    corpus.common = corpus.texts.len();
    Ok((corpus, ids))
}

/// The id of a document, where it has one, and its text, its title before it.
fn document(
    record: &Record<'_>,
    fields: &Map<String, Value>,
) -> anyhow::Result<(Option<String>, String)> {
    let Some(Value::String(body)) = fields.get("text") else {
        let message = format!("a document has no `text`; {ACCEPTED_DOCUMENT}");
        return Err(record.fault("text", message));
    };
    let text = match fields.get("title").and_then(Value::as_str).filter(|t| !t.trim().is_empty()) {
        Some(title) => format!("{title}\n{body}"),
        None => body.clone(),
    };
    if text.len() > MAX_DOCUMENT {
        let message = format!("a document is longer than {} KiB", MAX_DOCUMENT >> 10);
        return Err(record.fault("text", message));
    }
    let id = ["id", "_id"].iter().find_map(|key| fields.get(*key)).and_then(identity);
    Ok((id, text))
}

/// An id as text.
fn identity(value: &Value) -> Option<String> {
    match value {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

fn line(
    record: &Record<'_>,
    place: Place,
    common: &HashMap<String, usize>,
    notes: &mut Notes,
) -> anyhow::Result<Option<Line>> {
    let is_pair = !record.fields.contains_key("query")
        && (record.fields.contains_key("a") || record.fields.contains_key("sentence1"));
    if is_pair {
        if !common.is_empty() {
            return Err(record.fault("a", "pairs bring their documents: leave --corpus out"));
        }
        let (a, b, score) = similarity::pair(record, ACCEPTED)?;
        return Ok(Some(Line::Pair { place, a, b, score }));
    }
    let text = text(record, &["query"], MAX_QUERY, ACCEPTED)?;
    let own = match record.first(&["documents"]) {
        None => None,
        Some((_, Value::Array(items))) => Some(own_documents(record, items)?),
        Some(_) => {
            return Err(record.fault("documents", format!("`documents` is not a list; {ACCEPTED}")));
        }
    };
    let ids = own.as_ref().map_or(common, |(_, ids)| ids);
    if ids.is_empty() {
        let message = format!("there are no documents to find: give --corpus; {ACCEPTED}");
        return Err(record.fault("query", message));
    }
    let relevant = relevant(record, ids)?;
    if relevant.is_empty() {
        note(notes, "no document is relevant: not used");
        return Ok(None);
    }
    Ok(Some(match own {
        None => Line::Common { place, text, relevant },
        Some((documents, _)) => Line::Own { place, text, documents, relevant },
    }))
}

/// Documents that stand in the line; those without an id have their place, from 0, as id.
fn own_documents(
    record: &Record<'_>,
    items: &[Value],
) -> anyhow::Result<(Vec<String>, HashMap<String, usize>)> {
    let (mut texts, mut ids) = (Vec::with_capacity(items.len()), HashMap::new());
    for (i, item) in items.iter().enumerate() {
        let (id, text) = match item {
            Value::String(text) => (None, text.clone()),
            Value::Object(fields) => document(record, fields)?,
            _ => {
                let message = format!("documents[{i}] is no text and no document; {ACCEPTED}");
                return Err(record.fault("documents", message));
            }
        };
        if ids.insert(id.unwrap_or_else(|| i.to_string()), i).is_some() {
            let message = format!("documents[{i}] has the `id` of another document");
            return Err(record.fault("documents", message));
        }
        texts.push(text);
    }
    Ok((texts, ids))
}

/// What belongs to the query: places and grades; grades of 0 are left out.
fn relevant(
    record: &Record<'_>,
    ids: &HashMap<String, usize>,
) -> anyhow::Result<Vec<(usize, f64)>> {
    let fault = |message: String| record.fault("relevant", message);
    let graded: Vec<(String, f64)> = match record.first(&["relevant"]) {
        Some((_, Value::Array(items))) => items
            .iter()
            .enumerate()
            .map(|(i, item)| {
                let id = identity(item);
                let id = id.ok_or_else(|| fault(format!("relevant[{i}] is no id; {ACCEPTED}")))?;
                Ok((id, 1.0))
            })
            .collect::<anyhow::Result<_>>()?,
        Some((_, Value::Object(grades))) => grades
            .iter()
            .enumerate()
            .map(|(i, (id, grade))| {
                let grade = grade.as_f64().filter(|grade| *grade >= 0.0);
                let wrong = || fault(format!("grade {i} of `relevant` is no number from 0 up"));
                Ok((id.clone(), grade.ok_or_else(wrong)?))
            })
            .collect::<anyhow::Result<_>>()?,
        _ => return Err(fault(format!("the line has no `relevant`; {ACCEPTED}"))),
    };
    let mut out: Vec<(usize, f64)> = Vec::with_capacity(graded.len());
    let mut known = HashSet::new();
    for (i, (id, grade)) in graded.into_iter().enumerate() {
        let missing =
            || fault(format!("no document has the id that `relevant` names as number {i}"));
        let place = *ids.get(&id).ok_or_else(missing)?;
        if grade > 0.0 && known.insert(place) {
            out.push((place, grade));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(data: &str, corpus: Option<&str>) -> anyhow::Result<(Data<Query>, Corpus)> {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            StreamArg::File(path)
        };
        let data = write("q.jsonl", data);
        let corpus: Vec<_> = corpus.map(|text| write("c.jsonl", text)).into_iter().collect();
        read(&[data], &corpus, &Reading::default(), 4.0)
    }

    fn refused(data: &str, corpus: Option<&str>, expected: &str) {
        let message = reading(data, corpus).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }

    const CORPUS: &str =
        "{\"id\": \"x\", \"text\": \"one\"}\n{\"_id\": 7, \"text\": \"two\", \"title\": \"T\"}\n";

    #[test]
    fn common_documents_own_ones_and_pairs_are_read() {
        let queries = concat!(
            "{\"query\": \"own\", \"documents\": [\"p\", {\"id\": \"q\", \"text\": \"r\"}], \"relevant\": {\"q\": 2, \"0\": 0}}\n",
            "{\"query\": \"all\", \"relevant\": [7, \"x\", 7]}\n",
            "{\"query\": \"none\", \"relevant\": []}\n",
        );
        let (data, corpus) = reading(queries, Some(CORPUS)).unwrap();
        assert_eq!(corpus.texts, ["one", "T\ntwo", "p", "r"]);
        let found: Vec<_> = data
            .items
            .iter()
            .map(|q| (q.text.as_str(), q.documents.clone(), &q.relevant))
            .collect();
        assert_eq!(found[0], ("all", 0..2, &vec![(1, 1.0), (0, 1.0)]));
        assert_eq!(found[1], ("own", 2..4, &vec![(3, 2.0)]));
        assert_eq!(data.notes.values().sum::<usize>(), 1);

        let pairs = concat!(
            "{\"a\": \"u\", \"b\": \"v\", \"score\": 4.5}\n{\"a\": \"u\", \"b\": \"w\", \"score\": 1}\n",
            "{\"a\": \"z\", \"b\": \"v\", \"score\": 2}\n{\"a\": \"u\", \"b\": \"w\", \"score\": \"4\"}\n",
        );
        let (data, corpus) = reading(pairs, None).unwrap();
        assert_eq!(corpus.texts, ["v", "w"]);
        assert_eq!(data.items.len(), 1);
        assert_eq!(data.items[0].relevant, [(0, 1.0), (1, 1.0)]);
    }

    #[test]
    fn what_does_not_fit_together_is_told_by_its_place() {
        let query = "{\"query\": \"a\", \"relevant\": [\"nowhere\"]}\n";
        refused(
            query,
            Some(CORPUS),
            "q.jsonl:1:16: no document has the id that `relevant` names as number 0",
        );
        refused(query, None, "q.jsonl:1:2: there are no documents to find: give --corpus");
        refused("{\"query\": \"a\"}", Some(CORPUS), "q.jsonl:1:1: the line has no `relevant`");
        refused("{\"query\": \" \"}", Some(CORPUS), "q.jsonl:1:2: `query` holds an empty text");
        let twice = format!("{CORPUS}{CORPUS}");
        refused(query, Some(&twice), "c.jsonl:3:2: another document has the same `id`");
        refused(query, Some("{\"text\": \"a\"}"), "c.jsonl:1:1: the document has no `id`");
        let pair = "{\"a\": \"u\", \"b\": \"v\", \"score\": 4.5}";
        refused(pair, Some(CORPUS), "q.jsonl:1:2: pairs bring their documents");
        refused(&pair.replace("4.5", "1"), None, "there are no queries; no pair has a score of 4");
        refused(&pair.replace("4.5", "\"NaN\""), None, "`score` is not a number");
        let grade = "{\"query\": \"a\", \"relevant\": {\"x\": -1}}";
        refused(grade, Some(CORPUS), "grade 0 of `relevant`");
        let own = "{\"query\": \"a\", \"documents\": [\"b\", {\"id\": 0, \"text\": \"c\"}], \"relevant\": [0]}";
        refused(own, None, "documents[1] has the `id` of another document");
    }
}
