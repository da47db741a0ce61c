// SPDX-License-Identifier: AGPL-3.0-or-later
//! Metadata values, decoded where they lie in the file.

use super::cursor::Cursor;

/// Arrays of arrays deeper than this are refused; public files have none at all.
const MAX_DEPTH: usize = 8;

/// Type of a metadata value, in the numbering of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GgufValueType {
    /// `UINT8`.
    U8,
    /// `INT8`.
    I8,
    /// `UINT16`.
    U16,
    /// `INT16`.
    I16,
    /// `UINT32`.
    U32,
    /// `INT32`.
    I32,
    /// `FLOAT32`.
    F32,
    /// `BOOL`, one byte.
    Bool,
    /// `STRING`.
    String,
    /// `ARRAY`, all elements of one type.
    Array,
    /// `UINT64`.
    U64,
    /// `INT64`.
    I64,
    /// `FLOAT64`.
    F64,
}

use GgufValueType as Type;

/// By number.
const TYPES: [Type; 13] = [
    Type::U8,
    Type::I8,
    Type::U16,
    Type::I16,
    Type::U32,
    Type::I32,
    Type::F32,
    Type::Bool,
    Type::String,
    Type::Array,
    Type::U64,
    Type::I64,
    Type::F64,
];

impl GgufValueType {
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, String> {
        let (at, number) = (cursor.at(), cursor.u32()?);
        TYPES
            .get(number as usize)
            .copied()
            .ok_or_else(|| format!("value type {number} at byte {at}; known: 0..=12"))
    }

    /// Bytes of a value, or of the shortest one.
    fn min_bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::String => 8,
            Self::Array => 12,
        }
    }
}

/// A metadata value. Integers and floats of all widths are widened, without loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GgufValue<'a> {
    /// An unsigned integer.
    Uint(u64),
    /// A signed integer.
    Int(i64),
    /// A float; may be NaN.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A string.
    Str(&'a str),
    /// An array.
    Array(GgufArray<'a>),
}

impl GgufValue<'_> {
    /// What messages call it.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Uint(v) => format!("unsigned integer {v}"),
            Self::Int(v) => format!("integer {v}"),
            Self::Float(v) => format!("float {v}"),
            Self::Bool(v) => format!("bool {v}"),
            Self::Str(v) => format!("string of {} bytes", v.len()),
            Self::Array(v) => format!("array of {} {:?}", v.len, v.kind),
        }
    }
}

/// An array over the bytes of the file; an element is decoded when it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GgufArray<'a> {
    kind: Type,
    len: usize,
    bytes: &'a [u8],
    depth: usize,
}

impl<'a> GgufArray<'a> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Type of every element.
    pub fn kind(&self) -> GgufValueType {
        self.kind
    }

    /// The elements in order. All were checked when the file was opened; should somebody have
    /// changed the mapped file since, the iterator ends early.
    pub fn iter(&self) -> impl Iterator<Item = GgufValue<'a>> + use<'a> {
        let (mut cursor, kind, depth) = (Cursor::new(self.bytes, 0), self.kind, self.depth);
        (0..self.len).map_while(move |_| read(&mut cursor, kind, depth).ok())
    }

    /// Reads the head of an array and checks all of it.
    fn read(cursor: &mut Cursor<'a>, depth: usize) -> Result<Self, String> {
        if depth > MAX_DEPTH {
            return Err(format!("arrays within arrays deeper than {MAX_DEPTH} at {}", cursor.at()));
        }
        let kind = Type::read(cursor)?;
        let len = cursor.count("array elements", kind.min_bytes())?;
        let mut all = cursor.clone();
        match kind {
            Type::String | Type::Array | Type::Bool => {
                for i in 0..len {
                    read(cursor, kind, depth).map_err(|e| format!("element {i}: {e}"))?;
                }
            }
            _ => {
                cursor.take((len * kind.min_bytes()) as u64)?;
            }
        }
        let bytes = all.take((cursor.at() - all.at()) as u64)?;
        Ok(Self { kind, len, bytes, depth })
    }
}

/// Reads one value; `depth` counts the arrays around it.
pub(super) fn read<'a>(
    cursor: &mut Cursor<'a>,
    kind: Type,
    depth: usize,
) -> Result<GgufValue<'a>, String> {
    Ok(match kind {
        Type::U8 => GgufValue::Uint(cursor.u8()?.into()),
        Type::U16 => GgufValue::Uint(cursor.u16()?.into()),
        Type::U32 => GgufValue::Uint(cursor.u32()?.into()),
        Type::U64 => GgufValue::Uint(cursor.u64()?),
        Type::I8 => GgufValue::Int((cursor.u8()? as i8).into()),
        Type::I16 => GgufValue::Int((cursor.u16()? as i16).into()),
        Type::I32 => GgufValue::Int((cursor.u32()? as i32).into()),
        Type::I64 => GgufValue::Int(cursor.u64()? as i64),
        Type::F32 => GgufValue::Float(f32::from_bits(cursor.u32()?).into()),
        Type::F64 => GgufValue::Float(f64::from_bits(cursor.u64()?)),
        Type::Bool => match cursor.u8()? {
            byte @ (0 | 1) => GgufValue::Bool(byte == 1),
            byte => return Err(format!("bool {byte} at byte {}; 0 or 1", cursor.at() - 1)),
        },
        Type::String => GgufValue::Str(cursor.str()?),
        Type::Array => GgufValue::Array(GgufArray::read(cursor, depth + 1)?),
    })
}
