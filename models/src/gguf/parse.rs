// SPDX-License-Identifier: AGPL-3.0-or-later
//! The header: magic, counts, metadata, tensor infos. Every size is checked before it is used.

use std::collections::BTreeMap;

use super::cursor::Cursor;
use super::types::GgufType;
use super::value::{self, GgufValue, GgufValueType};
use super::{Entry, GgufTensor};

/// Most metadata keys, and most tensors: public models have about 100 and 3,000.
const MAX_COUNT: usize = 1 << 16;

/// Longest metadata key and tensor name, in bytes, as the format has them.
const MAX_KEY: usize = (1 << 16) - 1;
const MAX_TENSOR_NAME: usize = 64;

/// Most dimensions of a tensor.
const MAX_DIMS: u32 = 4;

/// Bytes of the shortest metadata entry (key of one byte, type, value of one byte) and tensor info
/// (name of one byte, no dimensions, type, offset).
const MIN_ENTRY: usize = 8 + 1 + 4 + 1;
const MIN_INFO: usize = 8 + 1 + 4 + 4 + 8;

/// Multiple that tensors begin at unless `general.alignment` says another.
const ALIGNMENT: u64 = 32;
const ALIGNMENT_KEY: &str = "general.alignment";

pub(super) struct Header {
    pub(super) version: u32,
    pub(super) metadata: BTreeMap<String, Entry>,
    pub(super) tensors: BTreeMap<String, GgufTensor>,
}

/// Reads and checks the header of the file `bytes`.
pub(super) fn header(bytes: &[u8]) -> Result<Header, String> {
    let cursor = &mut Cursor::new(bytes, 0);
    let magic = cursor.take(4)?;
    if magic != b"GGUF" {
        return Err(format!("the file begins with {magic:02x?}, not with GGUF"));
    }
    let version = cursor.u32()?;
    match version {
        2 | 3 => {}
        _ if version != 0 && version & 0xffff == 0 => {
            let version = version.swap_bytes();
            return Err(format!("big-endian (version {version}); little-endian files are read"));
        }
        _ => return Err(format!("version {version}; versions 2 and 3 are read")),
    }
    let tensor_count = limited(cursor.count("tensors", MIN_INFO)?, "tensors")?;
    let key_count = limited(cursor.count("metadata keys", MIN_ENTRY)?, "metadata keys")?;

    let mut metadata = BTreeMap::new();
    let mut alignment = ALIGNMENT;
    for i in 0..key_count {
        let fail = |e: String| format!("metadata key {i}: {e}");
        let key = name(cursor, MAX_KEY).map_err(fail)?;
        let (entry, value) = entry(cursor).map_err(|e| format!("metadata {key}: {e}"))?;
        if key == ALIGNMENT_KEY {
            alignment = checked_alignment(value)?;
        }
        if metadata.insert(key.to_owned(), entry).is_some() {
            return Err(format!("metadata {key}: stands twice"));
        }
    }

    let mut infos = Vec::with_capacity(tensor_count);
    for i in 0..tensor_count {
        let name = name(cursor, MAX_TENSOR_NAME).map_err(|e| format!("tensor {i}: {e}"))?;
        infos.push((name, info(cursor).map_err(|e| format!("tensor {name}: {e}"))?));
    }
    let data = (cursor.at() as u64).next_multiple_of(alignment);
    let tensors = place(infos, data, alignment, bytes.len())?;
    Ok(Header { version, metadata, tensors })
}

fn limited(count: usize, what: &str) -> Result<usize, String> {
    if count > MAX_COUNT {
        return Err(format!("{count} {what}; at most {MAX_COUNT} are read"));
    }
    Ok(count)
}

fn name<'a>(cursor: &mut Cursor<'a>, max: usize) -> Result<&'a str, String> {
    let name = cursor.str().map_err(|e| format!("its name: {e}"))?;
    if name.is_empty() || name.len() > max {
        return Err(format!("a name of {} bytes; 1..={max} are accepted", name.len()));
    }
    Ok(name)
}

fn entry<'a>(cursor: &mut Cursor<'a>) -> Result<(Entry, GgufValue<'a>), String> {
    let kind = GgufValueType::read(cursor)?;
    let at = cursor.at();
    Ok((Entry { kind, at }, value::read(cursor, kind, 0)?))
}

fn checked_alignment(value: GgufValue<'_>) -> Result<u64, String> {
    match value {
        GgufValue::Uint(n) if n.is_power_of_two() && (8..=1 << 16).contains(&n) => Ok(n),
        _ => Err(format!(
            "metadata {ALIGNMENT_KEY}: {}; a power of two from 8 to 65536 is needed",
            value.describe()
        )),
    }
}

/// A tensor as its info has it.
struct Info {
    kind: GgufType,
    shape: Vec<usize>,
    bytes: u64,
    offset: u64,
}

fn info(cursor: &mut Cursor<'_>) -> Result<Info, String> {
    let dims = cursor.u32()?;
    if dims > MAX_DIMS {
        return Err(format!("{dims} dimensions; at most {MAX_DIMS} are accepted"));
    }
    let mut shape = Vec::with_capacity(MAX_DIMS as usize);
    for i in 0..dims {
        let dim = cursor.u64()?;
        match usize::try_from(dim) {
            Ok(dim @ 1..) => shape.push(dim),
            _ => return Err(format!("dimension {i} is {dim}")),
        }
    }
    let cols = shape.first().copied().unwrap_or(1);
    let rows = shape.iter().skip(1).try_fold(1usize, |rows, &dim| rows.checked_mul(dim));
    shape.reverse();
    let rows = rows
        .filter(|rows| rows.checked_mul(cols).is_some())
        .ok_or_else(|| format!("the product of dimensions {shape:?} overflows"))?;
    let kind = GgufType::from_number(cursor.u32()?)?;
    let bytes = kind.tensor_bytes(rows, cols)? as u64;
    Ok(Info { kind, shape, bytes, offset: cursor.u64()? })
}

/// Finds the tensors in the file; `data` is where offset 0 lies.
fn place(
    infos: Vec<(&str, Info)>,
    data: u64,
    alignment: u64,
    file: usize,
) -> Result<BTreeMap<String, GgufTensor>, String> {
    let mut tensors = BTreeMap::new();
    let mut ranges = Vec::with_capacity(infos.len());
    for (name, Info { kind, shape, bytes, offset }) in infos {
        if !offset.is_multiple_of(alignment) {
            return Err(format!("tensor {name}: offset {offset} is no multiple of {alignment}"));
        }
        let start = data.checked_add(offset);
        let end = start.and_then(|start| start.checked_add(bytes));
        let range = match (start, end) {
            // Fits usize, as the length of the file does.
            (Some(start), Some(end)) if end <= file as u64 => start as usize..end as usize,
            _ => {
                return Err(format!(
                    "tensor {name}: {bytes} bytes from offset {offset} of the data at byte {data} \
                     lie outside the file of {file}"
                ));
            }
        };
        ranges.push((range.start, range.end, name));
        if tensors.insert(name.to_owned(), GgufTensor { kind, shape, range }).is_some() {
            return Err(format!("tensor {name}: stands twice"));
        }
    }
    ranges.sort_unstable();
    for pair in ranges.windows(2) {
        let [(_, end, first), (start, _, second)] = pair else { continue };
        if start < end {
            return Err(format!("tensors {first} and {second} overlap at byte {start}"));
        }
    }
    Ok(tensors)
}
