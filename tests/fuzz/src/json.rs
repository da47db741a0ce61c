// SPDX-License-Identifier: AGPL-3.0-or-later
//! JSON that is nearly right: a sound document and a few changes anywhere in it.

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use serde_json::{Value, json};

use crate::Hostile;

/// A change of one place of a document.
#[derive(Debug, Arbitrary)]
pub struct Edit {
    /// Which child to go to, level by level; what has none ends the way.
    path: [u8; 4],
    /// How many levels less one; the whole document for 255.
    depth: u8,
    change: Change,
}

#[derive(Debug, Arbitrary)]
enum Change {
    /// Takes a child away.
    Remove(u8),
    Number(Hostile),
    Negative(i8),
    Float(f64),
    /// One of the snippets of the target.
    Snippet(u8),
    /// A snippet under the name of a child, or beside the items of a list.
    Put(u8, u8),
    Text(String),
    /// What stands elsewhere.
    Copy([u8; 4]),
    /// A child under another child's name, or twice in a list.
    Twice(u8, u8),
    /// A list in a list, and so on.
    Nest(u8),
    Flag(bool),
    Empty,
}

/// Makes the changes; a snippet is any JSON.
pub fn edit(document: &mut Value, edits: &[Edit], snippets: &[&str]) {
    let snippet = |n: u8| -> Value {
        let text = snippets[usize::from(n) % snippets.len()];
        serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    };
    for Edit { path, depth, change } in edits {
        let copied = match change {
            Change::Copy(from) => at(document, from).clone(),
            _ => Value::Null,
        };
        let levels = if *depth == 255 { 0 } else { 1 + usize::from(depth % 4) };
        let place = at(document, &path[..levels]);
        match change {
            Change::Remove(n) => match place {
                Value::Array(items) if !items.is_empty() => {
                    items.remove(usize::from(*n) % items.len());
                }
                Value::Object(map) => {
                    key(map, *n).map(|key| map.shift_remove(&key));
                }
                _ => *place = Value::Null,
            },
            Change::Number(n) => *place = json!(n.0),
            Change::Negative(n) => *place = json!(n),
            Change::Float(x) => *place = json!(x),
            Change::Snippet(n) => *place = snippet(*n),
            Change::Put(n, value) => match place {
                Value::Array(items) => items.push(snippet(*value)),
                Value::Object(map) => {
                    key(map, *n).map(|key| map.insert(key, snippet(*value)));
                }
                _ => *place = snippet(*value),
            },
            Change::Text(text) => *place = json!(text),
            Change::Copy(_) => *place = copied,
            Change::Twice(n, to) => match place {
                Value::Array(items) if !items.is_empty() => {
                    items.push(items[usize::from(*n) % items.len()].clone());
                }
                Value::Object(map) => {
                    if let (Some(from), Some(to)) = (key(map, *n), key(map, *to)) {
                        let value = map[&from].clone();
                        map.insert(to, value);
                    }
                }
                _ => {}
            },
            // serde_json reads 127 levels.
            Change::Nest(levels) => {
                for _ in 0..levels % 130 {
                    *place = json!([std::mem::take(place)]);
                }
            }
            Change::Flag(flag) => *place = json!(flag),
            Change::Empty => {
                *place = match place {
                    Value::Array(_) => json!([]),
                    Value::String(_) => json!(""),
                    _ => json!({}),
                }
            }
        }
    }
}

fn key(map: &serde_json::Map<String, Value>, n: u8) -> Option<String> {
    map.keys().nth(usize::from(n) % map.len().max(1)).cloned()
}

/// The place at the end of a way.
fn at<'v>(value: &'v mut Value, path: &[u8]) -> &'v mut Value {
    let mut pointer = String::new();
    let mut here = &*value;
    for &step in path {
        let step = usize::from(step);
        let (name, next) = match here {
            Value::Array(items) if !items.is_empty() => {
                let i = step % items.len();
                (i.to_string(), &items[i])
            }
            Value::Object(map) if !map.is_empty() => {
                let (key, next) = map.iter().nth(step % map.len()).unwrap();
                (key.replace('~', "~0").replace('/', "~1"), next)
            }
            _ => break,
        };
        pointer.push('/');
        pointer.push_str(&name);
        here = next;
    }
    value.pointer_mut(&pointer).unwrap()
}
