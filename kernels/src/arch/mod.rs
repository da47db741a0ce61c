// SPDX-License-Identifier: AGPL-3.0-or-later
//! Backends, one file each. A new one is a file here and a line in [`BACKENDS`].
//!
//! A backend is a unit struct that exists only where its CPU features do: [`Detect`] hands out
//! the reference, so holding one is the proof its `unsafe` entry calls rely on. It supplies two
//! inner loops (`ternary`, `int8`) generic over a [`crate::sink::Sink`], a loop over its
//! multiply-add instruction alone (`peak`), and has the rest made by [`kernels!`], which also compiles the plain vector maths with the backend's features.

#[cfg(target_arch = "x86_64")]
mod amx_int8;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512_dense;
#[cfg(target_arch = "x86_64")]
mod avx512_vnni;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "each CPU uses its part"))]
mod blocked;
#[cfg(bho_emulate)]
mod emulate;
#[cfg(target_arch = "x86_64")]
mod f16c;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon_dotprod;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon_f16;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon_i8mm;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon_int4;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86_cpu;

use crate::backend::Kernels;
use crate::formats::{AlignedBytes, DenseTernaryView, PANEL, TernaryView};

/// Gives the backend if this CPU can run it.
pub(crate) type Detect = fn() -> Option<&'static dyn Kernels>;

/// Every backend of this build, slowest first.
pub(crate) const BACKENDS: &[(&str, Detect)] = &[
    ("scalar", scalar::detect),
    #[cfg(target_arch = "x86_64")]
    ("avx2", avx2::detect),
    #[cfg(target_arch = "x86_64")]
    ("avx_vnni", avx_vnni::detect),
    #[cfg(target_arch = "x86_64")]
    ("avx512_vnni", avx512_vnni::detect),
    #[cfg(target_arch = "x86_64")]
    ("amx_int8", amx_int8::detect),
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    ("neon", neon::detect),
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    ("neon_dotprod", neon_dotprod::detect),
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    ("neon_i8mm", neon_i8mm::detect),
];

/// The instruction set and the loop that did the work; see [`crate::KernelName`].
pub(crate) struct Ran(pub(crate) &'static str, pub(crate) &'static str);

/// Implements [`Kernels`] for `$backend` from `ternary` and `int8` inner loops in scope.
///
/// `$features` are the target features of the backend (none for the baseline), and `$halves` is
/// its `vecmath::HalfLanes`, if it has instructions for f16, `$dots` its `vecmath::int4::GroupDot`. `$few_dense` multiplies few
/// tokens by dense ternary weights as they are, if the backend can; else they are unpacked for
/// `ternary`. Each method checks shapes in safe code and enters one function compiled with those
/// features.
macro_rules! kernels {
    ($backend:ident, $name:literal $(, $features:literal)? $(; $halves:ty)? $(=> $dots:ty)? $(, $few_dense:path)?) => {
        // A block of its own, so that the names of types need no paths.
        const _: () = {
            use alloc::vec::Vec;
            use $crate::{
                AttentionHead, DenseTernaryView, Dequant, F16View, F32View, Int4View, Int8View, KernelError, KernelName,
                KvColumns, KvRows, RopeStyle, RowQuant, RowsView, TernaryView, bf16, f16,
        };
        $(#[target_feature(enable = $features)])?
        fn ternary_dense<S: $crate::sink::SplitSink>(
            w: DenseTernaryView<'_>,
            x: RowsView<'_>,
            mut sink: S,
        ) -> $crate::arch::Ran {
            $(if let Some(ran) = $few_dense(w, x, &mut sink) {
                return ran;
            })?
            $crate::arch::unpacked(w, |part, row| ternary(part, x, sink.rows_from(row)))
        }
        impl $crate::backend::Kernels for $backend {
            fn name(&self) -> &'static str {
                $name
            }

            fn ternary_gemm(
                &self,
                w: TernaryView<'_>,
                x: RowsView<'_>,
                y: &mut [i32],
            ) -> Result<KernelName, KernelError> {
                let sink = $crate::sink::IntSink::new((w.rows(), w.cols()), 1, x, y)?;
                let $crate::arch::Ran(isa, variant) = $crate::arch::enter!(ternary(w, x, sink));
                Ok(KernelName { op: "ternary_gemm", isa, variant })
            }

            fn ternary_linear(
                &self,
                w: TernaryView<'_>,
                x: RowsView<'_>,
                dequant: Dequant<'_>,
                y: &mut [f32],
            ) -> Result<KernelName, KernelError> {
                let sink = $crate::sink::FloatSink::new((w.rows(), w.cols()), 1, x, dequant, y)?;
                let $crate::arch::Ran(isa, variant) = $crate::arch::enter!(ternary(w, x, sink));
                Ok(KernelName { op: "ternary_linear", isa, variant })
            }

            fn ternary_dense_gemm(
                &self,
                w: DenseTernaryView<'_>,
                x: RowsView<'_>,
                y: &mut [i32],
            ) -> Result<KernelName, KernelError> {
                let sink = $crate::sink::IntSink::new((w.rows(), w.cols()), 1, x, y)?;
                let $crate::arch::Ran(isa, variant) = $crate::arch::enter!(ternary_dense(w, x, sink));
                Ok(KernelName { op: "ternary_dense_gemm", isa, variant })
            }

            fn ternary_dense_linear(
                &self,
                w: DenseTernaryView<'_>,
                x: RowsView<'_>,
                dequant: Dequant<'_>,
                y: &mut [f32],
            ) -> Result<KernelName, KernelError> {
                let sink = $crate::sink::FloatSink::new((w.rows(), w.cols()), 1, x, dequant, y)?;
                let $crate::arch::Ran(isa, variant) = $crate::arch::enter!(ternary_dense(w, x, sink));
                Ok(KernelName { op: "ternary_dense_linear", isa, variant })
            }

            fn int8_gemm(
                &self,
                w: Int8View<'_>,
                x: RowsView<'_>,
                y: &mut [i32],
            ) -> Result<KernelName, KernelError> {
                let sink = $crate::sink::IntSink::new((w.rows(), w.cols()), 128, x, y)?;
                let $crate::arch::Ran(isa, variant) = $crate::arch::enter!(int8(w, x, sink));
                Ok(KernelName { op: "int8_gemm", isa, variant })
            }

            fn int8_linear(
                &self,
                w: Int8View<'_>,
                x: RowsView<'_>,
                dequant: Dequant<'_>,
                y: &mut [f32],
            ) -> Result<KernelName, KernelError> {
                let sink = $crate::sink::FloatSink::new((w.rows(), w.cols()), 128, x, dequant, y)?;
                let $crate::arch::Ran(isa, variant) = $crate::arch::enter!(int8(w, x, sink));
                Ok(KernelName { op: "int8_linear", isa, variant })
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

            $crate::arch::kernels!(@maths [$($features)?]
                f32_linear(w: F32View<'_>, bias: Option<&[f32]>, x: &[f32], y: &mut [f32])
                    -> Result<(), KernelError>;
                attention(head: &AttentionHead<'_>, scores: &mut Vec<f32>, out: &mut [f32])
                    -> Result<(), KernelError>;
                quantize_row(x: &[f32], out: &mut [i8]) -> RowQuant;
                quantize_row_range(x: &[f32], out: &mut [i8]) -> RowQuant;
                layer_norm(x: &mut [f32], gain: &[f32], bias: &[f32], eps: f32);
                rms_norm(x: &mut [f32], gain: &[f32], eps: f32);
                rope(x: &mut [f32], cos: &[f32], sin: &[f32], style: RopeStyle)
                    -> Result<(), KernelError>;
                softmax(x: &mut [f32]);
                gelu_erf(x: &mut [f32]);
                gelu_tanh(x: &mut [f32]);
                silu(x: &mut [f32]);
                tanh(x: &mut [f32]);
                relu(x: &mut [f32]);
                relu_squared(x: &mut [f32]);
                add(x: &mut [f32], y: &[f32]);
                mul(x: &mut [f32], y: &[f32]);
                bf16_to_f32(x: &[bf16], y: &mut [f32]);
                f32_to_bf16(x: &[f32], y: &mut [bf16]);
            );
            $crate::arch::kernels!(@maths [$($features)?] [$($halves)?] [$($dots)?]
                int4_linear(w: Int4View<'_>, x: RowsView<'_>, bias: Option<&[f32]>, y: &mut [f32])
                    -> Result<(), KernelError>;
            );
            $crate::arch::kernels!(@maths [$($features)?] [$($halves)?]
                f16_linear(w: F16View<'_>, bias: Option<&[f32]>, x: &[f32], y: &mut [f32])
                    -> Result<(), KernelError>;
                f16_to_f32(x: &[f16], y: &mut [f32]);
                f32_to_f16(x: &[f32], y: &mut [f16]);
                kv_scores(q: &[f32], keys: &[KvColumns<'_>], scale: f32, scores: &mut [f32])
                    -> Result<(), KernelError>;
                kv_values(p: &[f32], values: &[KvRows<'_>], out: &mut [f32])
                    -> Result<(), KernelError>;
            );
        }
        };
    };
    // Methods whose body is the plain function of the same name, compiled with the features.
    (@maths $features:tt $($op:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)?;)*) => {
        $($crate::arch::kernels!(@one $features $op() ($($arg: $ty),*) $(-> $ret)?);)*
    };
    (@maths $features:tt $halves:tt $($op:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)?;)*) => {
        $($crate::arch::kernels!(
            @one $features $op($crate::arch::kernels!(@token $halves),) ($($arg: $ty),*) $(-> $ret)?
        );)*
    };
    (@maths $features:tt $halves:tt $dots:tt $($op:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)?;)*) => {
        $($crate::arch::kernels!(
            @one $features
            $op($crate::arch::kernels!(@token $halves), $crate::arch::kernels!(@token $dots),)
            ($($arg: $ty),*) $(-> $ret)?
        );)*
    };
    (@one [$($features:literal)?] $op:ident($($token:tt)*) ($($arg:ident: $ty:ty),*) $(-> $ret:ty)?) => {
        fn $op(&self, $($arg: $ty),*) $(-> $ret)? {
            $(#[target_feature(enable = $features)])?
            fn go($($arg: $ty),*) $(-> $ret)? {
                $crate::vecmath::$op($($token)* $($arg),*)
            }
            $crate::arch::enter!(go($($arg),*))
        }
    };
    (@token []) => { $crate::vecmath::PlainLanes::new() };
    (@token [$token:ty]) => { <$token>::new() };
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

/// Dense ternary weights that are unpacked at a time, in bytes of 2-bit tiles: they stay in the
/// second-level cache.
const UNPACKED_BYTES: usize = 256 << 10;

/// Calls `ternary` with a few panels of dense weights after another, unpacked to 2-bit tiles, and the
/// row that each begins at.
#[inline(always)]
fn unpacked(
    w: DenseTernaryView<'_>,
    mut ternary: impl FnMut(TernaryView<'_>, usize) -> Ran,
) -> Ran {
    let panel_bytes = TernaryView::panel_bytes(w.cols());
    // Whole groups of those that backends read side by side.
    let step = (UNPACKED_BYTES / panel_bytes).max(1).next_multiple_of(4);
    let mut tiles = AlignedBytes::default();
    let mut ran = None;
    for panel in (0..w.panels()).step_by(step) {
        let panels = panel..w.panels().min(panel + step);
        ran = Some(ternary(w.unpack_panels(panels, &mut tiles), panel * PANEL));
    }
    ran.expect("a matrix has rows")
}

/// Asks for the cache line of value `ahead`, which need not exist, where the instruction set has a way.
#[inline(always)]
pub(crate) fn prefetch<T>(values: &[T], ahead: usize) {
    let at = values.as_ptr().wrapping_add(ahead);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing: it may point anywhere. SSE is part of x86-64.
    #[allow(unused_unsafe, reason = "a safe function in later compilers")]
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a prefetch reads nothing: it may point anywhere.
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{}]", in(reg) at,
            options(nomem, nostack, preserves_flags));
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = at;
}

/// Xors all whole words; compilers make it as many wide loads as the caller has registers.
#[inline(always)]
fn read_all(bytes: &[u8]) -> u64 {
    bytes.as_chunks::<8>().0.iter().fold(0, |sum, word| sum ^ u64::from_ne_bytes(*word))
}
