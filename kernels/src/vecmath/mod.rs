// SPDX-License-Identifier: AGPL-3.0-or-later
//! Vector maths, written once as plain loops over [`LANES`] lanes.
//!
//! Each backend compiles these bodies with its own instruction set. No fused multiply-add and no
//! reassociation is used, and sums have a fixed order of lanes, so **every backend gives the same
//! bits**: a pipeline's answer does not depend on the machine. (The payload of a NaN may differ.)

mod activation;
mod attention;
mod convert;
mod exp;
pub(crate) mod int4;
mod kv;
mod linear;
mod norm;
mod quantize;
mod reduce;
mod rope;

pub(crate) use activation::{add, gelu_erf, gelu_tanh, mul, relu, relu_squared, silu, tanh};
pub(crate) use attention::attention;
#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_endian = "little")))]
pub(crate) use convert::HalfLanes;
pub(crate) use convert::{PlainLanes, bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
pub(crate) use int4::int4_linear;
pub use kv::{KvColumns, KvRows};
pub(crate) use kv::{kv_scores, kv_values};
pub(crate) use linear::{f16_linear, f32_linear};
pub(crate) use norm::{layer_norm, rms_norm, softmax};
pub(crate) use quantize::{quantize_row, quantize_row_range};
pub use rope::RopeStyle;
pub(crate) use rope::rope;

/// Lanes of the fixed summation order; one AVX-512 register, two AVX2 registers, four NEON ones.
pub(crate) const LANES: usize = 16;

/// One value a lane.
pub(crate) type Lanes = [f32; LANES];

/// # Panics
/// When a slice is not as long as the row it goes with: a mistake of the caller.
#[inline(always)]
fn same_length(what: &str, expected: usize, found: usize) {
    assert!(expected == found, "{what}: expected {expected}, found {found}");
}

/// At most 16 values, then `fill`.
#[inline(always)]
fn padded<T: Copy>(row: &[T], fill: T) -> [T; LANES] {
    let mut lanes = [fill; LANES];
    // Not `copy_from_slice`, which calls memcpy for a few values.
    for i in 0..LANES {
        if i < row.len() {
            lanes[i] = row[i];
        }
    }
    lanes
}
