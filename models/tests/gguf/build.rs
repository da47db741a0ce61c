// SPDX-License-Identifier: AGPL-3.0-or-later
//! GGUF files, good and bad, byte by byte.

use bho_engine::Storage;
use bho_models::ModelError;
use bho_models::gguf::GgufFile;

/// Numbers of value types.
pub(crate) const U32: u32 = 4;
pub(crate) const I32: u32 = 5;
pub(crate) const F32: u32 = 6;
pub(crate) const BOOL: u32 = 7;
pub(crate) const STRING: u32 = 8;
pub(crate) const ARRAY: u32 = 9;
pub(crate) const U64: u32 = 10;

/// A file to be written; what is not set is as it should be.
#[derive(Clone)]
pub(crate) struct Builder {
    pub(crate) magic: [u8; 4],
    pub(crate) version: u32,
    pub(crate) tensor_count: Option<u64>,
    pub(crate) key_count: Option<u64>,
    pub(crate) alignment: usize,
    pub(crate) keys: Vec<Vec<u8>>,
    pub(crate) infos: Vec<Vec<u8>>,
    pub(crate) data: Vec<u8>,
}

impl Default for Builder {
    fn default() -> Self {
        let (keys, infos, data) = <_>::default();
        let (tensor_count, key_count) = (None, None);
        Self {
            magic: *b"GGUF",
            version: 3,
            tensor_count,
            key_count,
            alignment: 32,
            keys,
            infos,
            data,
        }
    }
}

/// A string as the format has it.
pub(crate) fn string(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [&(text.len() as u64).to_le_bytes(), text].concat()
}

/// An array: type of its elements, their count, their bytes.
pub(crate) fn array(kind: u32, count: u64, elements: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &count.to_le_bytes(), elements].concat()
}

/// An array of strings.
pub(crate) fn strings<S: AsRef<[u8]>>(texts: &[S]) -> Vec<u8> {
    let elements: Vec<u8> = texts.iter().flat_map(string).collect();
    array(STRING, texts.len() as u64, &elements)
}

impl Builder {
    /// A metadata value of any type number and bytes.
    pub(crate) fn key(mut self, key: impl AsRef<[u8]>, kind: u32, value: &[u8]) -> Self {
        self.keys.push([&string(key)[..], &kind.to_le_bytes(), value].concat());
        self
    }

    pub(crate) fn str(self, key: &str, value: &str) -> Self {
        self.key(key, STRING, &string(value))
    }

    pub(crate) fn u32(self, key: &str, value: u32) -> Self {
        self.key(key, U32, &value.to_le_bytes())
    }

    pub(crate) fn f32(self, key: &str, value: f32) -> Self {
        self.key(key, F32, &value.to_le_bytes())
    }

    /// A tensor info of any kind; `dims` in the file's order.
    pub(crate) fn info(mut self, name: &str, dims: &[u64], kind: u32, offset: u64) -> Self {
        let dim_bytes: Vec<u8> = dims.iter().flat_map(|d| d.to_le_bytes()).collect();
        let count = (dims.len() as u32).to_le_bytes();
        let (kind, offset) = (kind.to_le_bytes(), offset.to_le_bytes());
        self.infos.push([&string(name)[..], &count, &dim_bytes, &kind, &offset].concat());
        self
    }

    /// A tensor with its data.
    pub(crate) fn tensor(self, name: &str, dims: &[u64], kind: u32, data: &[u8]) -> Self {
        let offset = self.data.len() as u64;
        let mut this = self.info(name, dims, kind, offset);
        this.data.extend_from_slice(data);
        this.data.resize(this.data.len().next_multiple_of(this.alignment), 0);
        this
    }

    /// An F32 tensor.
    pub(crate) fn floats(self, name: &str, dims: &[u64], data: &[f32]) -> Self {
        let bytes: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, dims, 0, &bytes)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let tensors = self.tensor_count.unwrap_or(self.infos.len() as u64);
        let keys = self.key_count.unwrap_or(self.keys.len() as u64);
        let mut out = self.magic.to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(tensors.to_le_bytes());
        out.extend(keys.to_le_bytes());
        self.keys.iter().chain(&self.infos).for_each(|bytes| out.extend(bytes));
        if !self.infos.is_empty() {
            out.resize(out.len().next_multiple_of(self.alignment), 0);
        }
        out.extend(&self.data);
        out
    }

    pub(crate) fn parse(&self) -> Result<GgufFile, ModelError> {
        parse(self.bytes())
    }
}

pub(crate) fn parse(bytes: Vec<u8>) -> Result<GgufFile, ModelError> {
    GgufFile::parse("test.gguf", Storage::Heap(bytes.into()))
}
