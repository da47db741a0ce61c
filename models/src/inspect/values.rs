// SPDX-License-Identifier: AGPL-3.0-or-later
//! Every number of a file looked at: what is not finite, and codes that mean nothing.

use bho_kernels::{PANEL, TERNARY_TILE_COLS, TILE_BYTES, TernaryView};
use safetensors::Dtype;

use super::audit::{Finding, Findings};
use super::open::{Container, Opened};
use crate::gguf::GgufFile;
use crate::weights::{FloatKind, Tensor, Weights, to_f32};

/// Values looked at before their pages are given back.
const CHUNK: usize = 1 << 20;

/// Longest row that is turned into floats: of few bits, it may take many times its bytes.
const MAX_ROW: usize = 1 << 26;

/// Looks at all tensors.
pub(super) fn check(opened: &Opened, findings: &mut Findings) {
    match &opened.container {
        Container::Safetensors(files) => {
            for file in files {
                for (name, tensor) in file.tensors() {
                    safetensor(file, name, tensor, findings);
                    file.release(tensor, tensor.bytes());
                }
            }
        }
        Container::Gguf(file) => {
            for name in file.tensors().keys() {
                gguf_tensor(file, name, findings);
            }
        }
    }
}

fn safetensor(file: &Weights, name: &str, tensor: &Tensor, findings: &mut Findings) {
    let bytes = file.tensor_bytes(tensor);
    if let Some(kind) = FloatKind::of(tensor.dtype) {
        floats(file, name, tensor, kind, findings);
    } else if tensor.dtype == Dtype::F64 {
        findings.push(Finding::warning("dtype", name, "has 64-bit floats, which are not read"));
    } else if tensor.dtype == Dtype::U8 && ternary(file, name) {
        // Whole tiles: their padding has codes too.
        let view = match tensor.shape[..] {
            [panels, tiles, TILE_BYTES] => {
                let (rows, cols) =
                    (panels.saturating_mul(PANEL), tiles.saturating_mul(TERNARY_TILE_COLS));
                TernaryView::new(rows, cols, bytes)
            }
            // Packed as transformers does: the same two bits, in another order.
            _ => TernaryView::new(PANEL, TERNARY_TILE_COLS * (bytes.len() / TILE_BYTES), {
                &bytes[..bytes.len() / TILE_BYTES * TILE_BYTES]
            }),
        };
        let rest = bytes.len() / TILE_BYTES * TILE_BYTES;
        let wrong = match view.map(|view| view.check_codes()) {
            Ok(Err(error)) => Some(error.to_string()),
            // Too short or too large for a tile: byte by byte.
            Err(_) => code_3(bytes, 0),
            Ok(Ok(())) => code_3(bytes, rest),
        };
        if let Some(error) = wrong {
            findings.push(Finding::severe("code", name, error));
        }
    }
}

/// The first byte from `from` on that holds the code 3.
fn code_3(bytes: &[u8], from: usize) -> Option<String> {
    let at = bytes[from..].iter().position(|b| b & (b >> 1) & 0x55 != 0)? + from;
    Some(format!("byte {at} holds the code 3, which is no weight"))
}

/// Whether a tensor of bytes holds two-bit codes: tiles of ours, or packed by transformers.
fn ternary(file: &Weights, name: &str) -> bool {
    name.ends_with(".ternary")
        || (!name.ends_with("ternary_dense")
            && file.tensors().get(name).is_some_and(|tensor| tensor.shape.len() == 2)
            && file.tensors().contains_key(&format!("{name}_scale")))
}

fn floats(file: &Weights, name: &str, tensor: &Tensor, kind: FloatKind, findings: &mut Findings) {
    let size = if kind == FloatKind::F32 { 4 } else { 2 };
    let (mut bad, mut first, mut negative, mut zeros) = (0usize, None, 0usize, 0usize);
    for (i, chunk) in file.tensor_bytes(tensor).chunks(CHUNK * size).enumerate() {
        for (j, value) in to_f32(kind, chunk).into_iter().enumerate() {
            if !value.is_finite() {
                first.get_or_insert((i * CHUNK + j, value));
                bad += 1;
            }
            negative += usize::from(value < 0.0);
            zeros += usize::from(value == 0.0);
        }
        file.release(tensor, i * CHUNK * size);
    }
    if let Some((at, value)) = first {
        let message = format!("{bad} values are not finite, the first is value {at}: {value}");
        findings.push(Finding::severe("not_finite", name, message));
    }
    let scale = name.ends_with(".scale") || name.ends_with("_scale");
    if scale && negative > 0 {
        let message = format!("{negative} scales are negative");
        findings.push(Finding::warning("scale", name, message));
    } else if zeros == tensor.elements() && zeros > 0 {
        findings.push(Finding::warning("zeros", name, "all values are 0"));
    }
}

fn gguf_tensor(file: &GgufFile, name: &str, findings: &mut Findings) {
    let Some(tensor) = file.tensors().get(name) else { return };
    let (rows, cols) = (tensor.rows(), tensor.cols());
    if cols > MAX_ROW {
        let message = format!("has rows of {cols} values, too long to be looked at");
        findings.push(Finding::warning("shape", name, message));
        return;
    }
    let step = (CHUNK / cols).max(1);
    let mut values = Vec::new();
    let mut zeros = true;
    for start in (0..rows).step_by(step) {
        let end = rows.min(start + step);
        values.clear();
        values.resize((end - start) * cols, 0.0);
        if let Err(error) = file.rows_f32(name, start..end, &mut values) {
            let message = error.to_string();
            let message = message.rsplit(&format!("tensor {name}: ")).next().unwrap_or(&message);
            findings.push(Finding::severe("not_finite", name, message));
            return;
        }
        zeros &= values.iter().all(|value| *value == 0.0);
        file.release(name, end);
    }
    if zeros {
        findings.push(Finding::warning("zeros", name, "all values are 0"));
    }
}
