// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the `safetensors` crate leaves unchecked in a header.
//!
//! Keys must be unique: the format says so, but a map filled from JSON keeps the last one
//! silently, and readers would disagree about what a file holds. And offsets must lie inside the
//! file before anybody adds to them: the crate's own sum of them can overflow.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// Checks the header of the file `bytes`, if it has one that is all there.
pub(super) fn check(bytes: &[u8]) -> Result<(), serde_json::Error> {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return Ok(()) };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let Some((header, data)) = rest.split_at_checked(length) else { return Ok(()) };
    let mut json = serde_json::Deserializer::from_slice(header);
    Object { depth: 1, data: data.len() as u64 }.deserialize(&mut json)
}

/// The header (depth 1), or an object in it (depth 0): the metadata, or the entry of a tensor.
#[derive(Clone, Copy)]
struct Object {
    depth: usize,
    /// Bytes of data in the file.
    data: u64,
}

impl<'de> DeserializeSeed<'de> for Object {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if self.depth > 0 {
                let entry = Object { depth: self.depth - 1, ..self };
                map.next_value_seed(entry).map_err(|e| A::Error::custom(format!("{key}: {e}")))?;
            } else if key == "data_offsets" {
                let offsets = map.next_value::<Value>()?;
                let end = offsets.get(1).and_then(Value::as_u64).unwrap_or(0);
                if end > self.data {
                    let message = format!("data_offsets end at {end} of {} bytes", self.data);
                    return Err(A::Error::custom(message));
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            if seen.contains(&key) {
                return Err(A::Error::custom(format!("key {key:?} stands twice")));
            }
            seen.insert(key);
        }
        Ok(())
    }
}
