// SPDX-License-Identifier: AGPL-3.0-or-later
//! Backends, one file each. A new one is a file here and a line in [`BACKENDS`].
//!
//! A backend is a unit struct that exists only where its CPU features do: [`Detect`] hands out
//! the reference, so holding one is the proof its `unsafe` entry calls rely on. It supplies two
//! inner loops (`ternary`, `int8`) generic over a [`crate::sink::Sink`], a loop over its
//! multiply-add instruction alone (`peak`), and has the rest made by [`kernels!`], which also compiles the plain vector maths with the backend's features.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512_vnni;
mod blocked;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86_cpu;

use crate::backend::Kernels;

/// Gives the backend if this CPU can run it.
pub(crate) type Detect = fn() -> Option<&'static dyn Kernels>;

/// Every backend of this build, slowest first.
pub(crate) const BACKENDS: &[(&str, Detect)] = &[
    ("scalar", scalar::detect),
    #[cfg(target_arch = "x86_64")]
    ("avx2", avx2::detect),
    #[cfg(target_arch = "x86_64")]
    ("avx512_vnni", avx512_vnni::detect),
];

/// The instruction set and the loop that did the work; see [`crate::KernelName`].
pub(crate) struct Ran(pub(crate) &'static str, pub(crate) &'static str);

/// Implements [`Kernels`] for `$backend` from `ternary` and `int8` inner loops in scope.
///
/// `$features` are the target features of the backend (none for the baseline). Each method
/// checks shapes in safe code, then enters one function compiled with those features.
macro_rules! kernels {
    ($backend:ident, $name:literal $(, $features:literal)?) => {
        impl $crate::backend::Kernels for $backend {
            fn name(&self) -> &'static str {
                $name
            }

            fn ternary_gemm(
                &self,
                w: $crate::TernaryView<'_>,
                x: $crate::RowsView<'_>,
                y: &mut [i32],
            ) -> Result<$crate::KernelName, $crate::KernelError> {
                let sink = $crate::sink::IntSink::new((w.rows(), w.cols()), 1, x, y)?;
                let $crate::arch::Ran(isa, variant) = $crate::arch::enter!(ternary(w, x, sink));
                Ok($crate::KernelName { op: "ternary_gemm", isa, variant })
            }

            fn ternary_linear(
                &self,
                w: $crate::TernaryView<'_>,
                x: $crate::RowsView<'_>,
                dequant: $crate::Dequant<'_>,
                y: &mut [f32],
            ) -> Result<$crate::KernelName, $crate::KernelError> {
                let sink = $crate::sink::FloatSink::new((w.rows(), w.cols()), 1, x, dequant, y)?;
                let $crate::arch::Ran(isa, variant) = $crate::arch::enter!(ternary(w, x, sink));
                Ok($crate::KernelName { op: "ternary_linear", isa, variant })
            }

            fn int8_gemm(
                &self,
                w: $crate::Int8View<'_>,
                x: $crate::RowsView<'_>,
                y: &mut [i32],
            ) -> Result<$crate::KernelName, $crate::KernelError> {
                let sink = $crate::sink::IntSink::new((w.rows(), w.cols()), 128, x, y)?;
                let $crate::arch::Ran(isa, variant) = $crate::arch::enter!(int8(w, x, sink));
                Ok($crate::KernelName { op: "int8_gemm", isa, variant })
            }

            fn int8_linear(
                &self,
                w: $crate::Int8View<'_>,
                x: $crate::RowsView<'_>,
                dequant: $crate::Dequant<'_>,
                y: &mut [f32],
            ) -> Result<$crate::KernelName, $crate::KernelError> {
                let sink = $crate::sink::FloatSink::new((w.rows(), w.cols()), 128, x, dequant, y)?;
                let $crate::arch::Ran(isa, variant) = $crate::arch::enter!(int8(w, x, sink));
                Ok($crate::KernelName { op: "int8_linear", isa, variant })
            }

            fn f32_linear(
                &self,
                w: $crate::F32View<'_>,
                bias: Option<&[f32]>,
                x: &[f32],
                y: &mut [f32],
            ) -> Result<(), $crate::KernelError> {
                $crate::arch::check_f32_linear(&w, bias, x, y)?;
                $(#[target_feature(enable = $features)])?
                fn go(w: &$crate::F32View<'_>, bias: Option<&[f32]>, x: &[f32], y: &mut [f32]) {
                    $crate::vecmath::f32_linear(w, bias, x, y);
                }
                $crate::arch::enter!(go(&w, bias, x, y));
                Ok(())
            }

            fn attention(
                &self,
                head: &$crate::AttentionHead<'_>,
                scores: &mut $crate::arch::Scratch,
                out: &mut [f32],
            ) -> Result<(), $crate::KernelError> {
                $crate::arch::prepare_attention(head, scores, out)?;
                $(#[target_feature(enable = $features)])?
                fn go(head: &$crate::AttentionHead<'_>, scores: &mut [f32], out: &mut [f32]) {
                    $crate::vecmath::attention_head(head, scores, out);
                }
                $crate::arch::enter!(go(head, scores, out));
                Ok(())
            }

            fn quantize_row(&self, x: &[f32], out: &mut [i8]) -> $crate::RowQuant {
                $(#[target_feature(enable = $features)])?
                fn go(x: &[f32], out: &mut [i8]) -> $crate::RowQuant {
                    $crate::vecmath::quantize_row(x, out)
                }
                $crate::arch::enter!(go(x, out))
            }

            fn quantize_row_range(&self, x: &[f32], out: &mut [i8]) -> $crate::RowQuant {
                $(#[target_feature(enable = $features)])?
                fn go(x: &[f32], out: &mut [i8]) -> $crate::RowQuant {
                    $crate::vecmath::quantize_row_range(x, out)
                }
                $crate::arch::enter!(go(x, out))
            }

            fn layer_norm(&self, x: &mut [f32], gain: &[f32], bias: &[f32], eps: f32) {
                $(#[target_feature(enable = $features)])?
                fn go(x: &mut [f32], gain: &[f32], bias: &[f32], eps: f32) {
                    $crate::vecmath::layer_norm(x, gain, bias, eps);
                }
                $crate::arch::enter!(go(x, gain, bias, eps));
            }

            fn add(&self, x: &mut [f32], y: &[f32]) {
                $(#[target_feature(enable = $features)])?
                fn go(x: &mut [f32], y: &[f32]) {
                    $crate::vecmath::add(x, y);
                }
                $crate::arch::enter!(go(x, y));
            }

            fn probe_int8(&self, rounds: u64) -> u64 {
                $crate::arch::enter!(peak(rounds))
            }

            fn probe_read(&self, bytes: &[u8]) -> u64 {
                $(#[target_feature(enable = $features)])?
                fn go(bytes: &[u8]) -> u64 {
                    $crate::arch::read_all(bytes)
                }
                $crate::arch::enter!(go(bytes))
            }

            $crate::arch::kernels!(@map softmax $(, $features)?);
            $crate::arch::kernels!(@map gelu_erf $(, $features)?);
            $crate::arch::kernels!(@map gelu_tanh $(, $features)?);
            $crate::arch::kernels!(@map tanh $(, $features)?);
            $crate::arch::kernels!(@map relu $(, $features)?);
        }
    };
    (@map $op:ident $(, $features:literal)?) => {
        fn $op(&self, x: &mut [f32]) {
            $(#[target_feature(enable = $features)])?
            fn go(x: &mut [f32]) {
                $crate::vecmath::$op(x);
            }
            $crate::arch::enter!(go(x));
        }
    };
}
pub(crate) use kernels;

/// Enters a function compiled with the backend's target features.
macro_rules! enter {
    ($call:expr) => {{
        // SAFETY: `detect` hands out a backend only after it saw every feature the callee enables.
        #[allow(unused_unsafe, reason = "the baseline backend's functions are safe")]
        unsafe {
            $call
        }
    }};
}
pub(crate) use enter;

/// Xors all whole words; compilers make it as many wide loads as the caller has registers.
#[inline(always)]
fn read_all(bytes: &[u8]) -> u64 {
    bytes.as_chunks::<8>().0.iter().fold(0, |sum, word| sum ^ u64::from_ne_bytes(*word))
}

use crate::backend::AttentionHead;
use crate::error::KernelError;
use crate::formats::{F32View, PANEL};

fn check_f32_linear(
    w: &F32View<'_>,
    bias: Option<&[f32]>,
    x: &[f32],
    y: &[f32],
) -> Result<(), KernelError> {
    let tokens = x.len() / w.cols();
    KernelError::check("activations", tokens * w.cols(), x.len())?;
    KernelError::check("output", tokens * w.rows(), y.len())?;
    KernelError::check("bias", w.rows(), bias.map_or(w.rows(), <[f32]>::len))
}

/// The scratch that attention grows.
pub(crate) type Scratch = alloc::vec::Vec<f32>;

/// Queries the attention loop scores at a time; `scores` holds as many rows.
const ATTENTION_ROWS: usize = 4;

fn prepare_attention(
    head: &AttentionHead<'_>,
    scores: &mut alloc::vec::Vec<f32>,
    out: &[f32],
) -> Result<(), KernelError> {
    KernelError::dimension("attention keys", super::formats::MAX_DIM, head.keys)?;
    KernelError::dimension("attention head size", head.stride, head.dim)?;
    let keys = head.keys.next_multiple_of(PANEL);
    let dim = head.dim.next_multiple_of(PANEL);
    KernelError::check("keys", keys * head.dim, head.kt.len())?;
    KernelError::check("values", dim * head.keys, head.v.len())?;
    KernelError::check("attention output", head.queries * head.dim, out.len())?;
    let needed = head.queries.checked_sub(1).map_or(0, |q| q * head.stride + head.dim);
    if head.q.len() < needed {
        return Err(KernelError::Shape { what: "queries", expected: needed, found: head.q.len() });
    }
    scores.resize(ATTENTION_ROWS * keys, 0.0);
    Ok(())
}
