// SPDX-License-Identifier: AGPL-3.0-or-later
//! The one interface of all backends, and the choice between them.

use alloc::vec::Vec;
use core::fmt;

use half::{bf16, f16};

use crate::arch;
use crate::error::KernelError;
use crate::formats::{
    DenseTernaryView, F16View, F32View, Int4View, Int8View, RowsView, TernaryView,
};
use crate::vecmath::{KvColumns, KvRows, RopeStyle};

/// Environment variable that forces a backend by name, e.g. `BHO_ISA=avx2`.
#[cfg(feature = "std")]
pub const ISA_VARIABLE: &str = "BHO_ISA";

/// Which inner loop did a multiplication, e.g. `ternary_gemm/avx512_vnni/gemv`.
///
/// A backend may hand work to a simpler one, as `amx_int8` does with a single token; the name says
/// what really ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KernelName {
    /// The operation, e.g. `ternary_gemm`.
    pub op: &'static str,
    /// The instruction set.
    pub isa: &'static str,
    /// The loop: `gemv` for one token, else the block of tokens x rows held in registers.
    pub variant: &'static str,
}

impl fmt::Display for KernelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.op, self.isa, self.variant)
    }
}

/// Turns exact integer sums into floats:
/// `y = (sum - x_zero[t] · row_sum[r]) · row_scale[r] · x_scale[t] + bias[r]`.
#[derive(Debug, Clone, Copy)]
pub struct Dequant<'a> {
    /// `[rows]`: what one step of each output row's weights is worth.
    pub row_scales: &'a [f32],
    /// `[rows]`: sum of each output row's weights; needed where activations have zero points.
    pub row_sums: Option<&'a [i32]>,
    /// `[rows]`, or none.
    pub bias: Option<&'a [f32]>,
}

/// What the int8 values of a row stand for: `value ≈ scale · (int8 - zero)`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RowQuant {
    /// What one step is worth.
    pub scale: f32,
    /// The int8 value that stands for 0; in -128..=127.
    pub zero: i32,
    /// Sum of the row's int8 values.
    pub sum: i32,
}

/// One attention head over one sequence, packed so that lanes run along keys and values.
#[derive(Debug, Clone, Copy)]
pub struct AttentionHead<'a> {
    /// Queries, `[queries, stride]`; the first `dim` values of each row are used.
    pub q: &'a [f32],
    /// Distance between two queries.
    pub stride: usize,
    /// Number of queries.
    pub queries: usize,
    /// Number of keys and values.
    pub keys: usize,
    /// Values per head.
    pub dim: usize,
    /// Keys, `[keys/16][dim][16]`, padded with anything finite.
    pub kt: &'a [f32],
    /// Values, `[dim/16][keys][16]`, padded with anything finite.
    pub v: &'a [f32],
    /// Usually `1/√dim`.
    pub scale: f32,
}

/// What a backend can do. All of them give the same bits, integer and float alike.
pub trait Kernels: Send + Sync {
    /// Name of the backend, e.g. `avx2`.
    fn name(&self) -> &'static str;

    /// `y[t, r] = Σ_k w[r, k] · x[t, k]`, ternary weights, exact.
    ///
    /// - `y`: `[tokens, rows]`
    ///
    /// # Errors
    /// [`KernelError::Shape`] naming the argument that does not fit.
    fn ternary_gemm(
        &self,
        w: TernaryView<'_>,
        x: RowsView<'_>,
        y: &mut [i32],
    ) -> Result<KernelName, KernelError>;

    /// [`Kernels::ternary_gemm`] with the sums scaled to floats.
    ///
    /// # Errors
    /// [`KernelError::Shape`] naming the argument that does not fit.
    fn ternary_linear(
        &self,
        w: TernaryView<'_>,
        x: RowsView<'_>,
        dequant: Dequant<'_>,
        y: &mut [f32],
    ) -> Result<KernelName, KernelError>;

    /// [`Kernels::ternary_gemm`] from the dense format, exact too: a fifth fewer bytes to read, for
    /// more arithmetic. It pays for one token, with AVX-512 VNNI, where weights come from DRAM.
    ///
    /// `avx512_vnni` (and `amx_int8`, which hands few tokens to it) multiplies up to four tokens by
    /// dense tiles as they are. Else panels are unpacked to 2-bit tiles first, a few at a time, which
    /// is slower than keeping those; the variant is then that of the loop they went through.
    ///
    /// # Errors
    /// [`KernelError::Shape`] naming the argument that does not fit.
    fn ternary_dense_gemm(
        &self,
        w: DenseTernaryView<'_>,
        x: RowsView<'_>,
        y: &mut [i32],
    ) -> Result<KernelName, KernelError>;

    /// [`Kernels::ternary_dense_gemm`] with the sums scaled to floats.
    ///
    /// # Errors
    /// [`KernelError::Shape`] naming the argument that does not fit.
    fn ternary_dense_linear(
        &self,
        w: DenseTernaryView<'_>,
        x: RowsView<'_>,
        dequant: Dequant<'_>,
        y: &mut [f32],
    ) -> Result<KernelName, KernelError>;

    /// `y[t, r] = Σ_k w[r, k] · x[t, k]`, int8 weights, exact.
    ///
    /// - `y`: `[tokens, rows]`
    ///
    /// # Errors
    /// [`KernelError::Shape`] naming the argument that does not fit.
    fn int8_gemm(
        &self,
        w: Int8View<'_>,
        x: RowsView<'_>,
        y: &mut [i32],
    ) -> Result<KernelName, KernelError>;

    /// [`Kernels::int8_gemm`] with the sums scaled to floats.
    ///
    /// # Errors
    /// [`KernelError::Shape`] naming the argument that does not fit.
    fn int8_linear(
        &self,
        w: Int8View<'_>,
        x: RowsView<'_>,
        dequant: Dequant<'_>,
        y: &mut [f32],
    ) -> Result<KernelName, KernelError>;

    /// `y[t, r] = x_scale[t] · Σ_g w_scale[r, g] · Σ_{k in g} w[r, k] · x[t, k] + bias[r]`, int4
    /// weights in groups of 32 inputs: the sum of a group is exact, groups are added in their order as
    /// floats.
    ///
    /// - `x`: without zero points; `y`: `[tokens, rows]`
    ///
    /// # Errors
    /// [`KernelError::Shape`] naming the argument that does not fit.
    fn int4_linear(
        &self,
        w: Int4View<'_>,
        x: RowsView<'_>,
        bias: Option<&[f32]>,
        y: &mut [f32],
    ) -> Result<(), KernelError>;

    /// `y[t, r] = Σ_k w[r, k] · x[t, k] + bias[r]` in f32, summed in the order of `k`.
    ///
    /// # Errors
    /// [`KernelError::Shape`] naming the argument that does not fit.
    fn f32_linear(
        &self,
        w: F32View<'_>,
        bias: Option<&[f32]>,
        x: &[f32],
        y: &mut [f32],
    ) -> Result<(), KernelError>;

    /// [`Kernels::f32_linear`] with weights in half precision, which become floats exactly.
    ///
    /// # Errors
    /// [`KernelError::Shape`] naming the argument that does not fit.
    fn f16_linear(
        &self,
        w: F16View<'_>,
        bias: Option<&[f32]>,
        x: &[f32],
        y: &mut [f32],
    ) -> Result<(), KernelError>;

    /// `out[t] = softmax(q[t] · kᵀ · scale) · v`, `out`: `[queries, dim]`; `scores` is scratch.
    ///
    /// # Errors
    /// [`KernelError::Shape`] naming the argument that does not fit.
    fn attention(
        &self,
        head: &AttentionHead<'_>,
        scores: &mut Vec<f32>,
        out: &mut [f32],
    ) -> Result<(), KernelError>;

    /// Scores of queries against the cached keys of the KV head they share:
    /// `scores[q, p] = scale · Σ_d q[q, d] · keys[p, d]`.
    ///
    /// - `q`: `[queries, dim]`: all query heads of the group (arXiv:2305.13245), of one token or
    ///   several; `scores`: `[queries, positions]`
    /// - `keys`: one page or several, one after another; how the positions are cut into pages
    ///   changes no bit
    ///
    /// Summed in the order of `d`, then scaled: off by at most
    /// `(dim + 3) · 2^-24 · scale · Σ_d |q[q, d] · keys[p, d]|`. A page is read once for up to
    /// four queries, further ones find it in the cache. Where a query must not see a position,
    /// take the softmax of the positions before it and make the rest 0.
    ///
    /// # Errors
    /// [`KernelError::Shape`] naming the argument that does not fit, [`KernelError::Dimension`]
    /// for no pages.
    fn kv_scores(
        &self,
        q: &[f32],
        keys: &[KvColumns<'_>],
        scale: f32,
        scores: &mut [f32],
    ) -> Result<(), KernelError>;

    /// Cached values weighted by attention: `out[q, d] = Σ_p p[q, p] · values[p, d]`.
    ///
    /// - `p`: `[queries, positions]`; `out`: `[queries, dim]`; pages as in [`Kernels::kv_scores`]
    ///
    /// Summed in the order of positions: off by at most
    /// `(positions + 2) · 2^-24 · Σ_p |p[q, p] · values[p, d]|`.
    ///
    /// # Errors
    /// As [`Kernels::kv_scores`].
    fn kv_values(
        &self,
        p: &[f32],
        values: &[KvRows<'_>],
        out: &mut [f32],
    ) -> Result<(), KernelError>;

    /// Quantizes one row symmetrically: its absolute maximum becomes ±127, ties to even.
    ///
    /// # Panics
    /// When `out` is not as long as `x`.
    fn quantize_row(&self, x: &[f32], out: &mut [i8]) -> RowQuant;

    /// Quantizes one row over its own range: its minimum (or 0) becomes -128, its maximum (or 0)
    /// 127, and 0 is exact.
    ///
    /// # Panics
    /// When `out` is not as long as `x`.
    fn quantize_row_range(&self, x: &[f32], out: &mut [i8]) -> RowQuant;

    /// Layer normalisation of one row in place (arXiv:1607.06450).
    ///
    /// # Panics
    /// When `gain` or `bias` is not as long as `x`.
    fn layer_norm(&self, x: &mut [f32], gain: &[f32], bias: &[f32], eps: f32);

    /// Root mean square normalisation of one row in place (arXiv:1910.07467):
    /// `x · gain / √(mean(x²) + eps)`.
    ///
    /// # Panics
    /// When `gain` is not as long as `x`.
    fn rms_norm(&self, x: &mut [f32], gain: &[f32], eps: f32);

    /// Rotary position embedding (arXiv:2104.09864) of one head's row in place: pair `i` of its
    /// values turns by the angle whose cosine and sine are `cos[i]` and `sin[i]`.
    ///
    /// - `x`: `[dim]`; `cos`, `sin`: `[dim/2]`
    ///
    /// # Errors
    /// [`KernelError::Shape`] naming the argument that does not fit.
    fn rope(
        &self,
        x: &mut [f32],
        cos: &[f32],
        sin: &[f32],
        style: RopeStyle,
    ) -> Result<(), KernelError>;

    /// Softmax of one row in place, each value within 3e-7 of the exact one.
    ///
    /// A value more than 87.68 below the largest becomes 0, as does one masked by `-∞`. A row of
    /// nothing but `-∞`, or one with a NaN or `+∞`, becomes NaN.
    fn softmax(&self, x: &mut [f32]);

    /// GELU with the error function, `x/2 · (1 + erf(x/√2))` (arXiv:1606.08415), within 3e-7 and
    /// half a unit in the last place.
    fn gelu_erf(&self, x: &mut [f32]);

    /// GELU by its tanh approximation (arXiv:1606.08415), within 5e-7 and half a unit in the last
    /// place.
    fn gelu_tanh(&self, x: &mut [f32]);

    /// SiLU, `x / (1 + e^-x)` (arXiv:1702.03118), within 4e-7 of itself; 0 below -87.
    fn silu(&self, x: &mut [f32]);

    /// Hyperbolic tangent, within 3e-7.
    fn tanh(&self, x: &mut [f32]);

    /// `max(x, 0)`; a NaN stays one.
    fn relu(&self, x: &mut [f32]);

    /// `max(x, 0)²` (arXiv:2109.08668); a NaN stays one.
    fn relu_squared(&self, x: &mut [f32]);

    /// `x += y`.
    ///
    /// # Panics
    /// When `y` is not as long as `x`.
    fn add(&self, x: &mut [f32], y: &[f32]);

    /// `x *= y`.
    ///
    /// # Panics
    /// When `y` is not as long as `x`.
    fn mul(&self, x: &mut [f32], y: &[f32]);

    /// `y = x`, exact. A NaN comes out quiet with its payload, as IEEE 754 conversions do.
    ///
    /// # Panics
    /// When `y` is not as long as `x`.
    fn f16_to_f32(&self, x: &[f16], y: &mut [f32]);

    /// `y = x` to nearest, ties to even; too large becomes infinite, too small subnormal or 0. A
    /// NaN comes out quiet with the upper bits of its payload.
    ///
    /// # Panics
    /// When `y` is not as long as `x`.
    fn f32_to_f16(&self, x: &[f32], y: &mut [f16]);

    /// As [`Kernels::f16_to_f32`], from bfloat16.
    ///
    /// # Panics
    /// When `y` is not as long as `x`.
    fn bf16_to_f32(&self, x: &[bf16], y: &mut [f32]);

    /// As [`Kernels::f32_to_f16`], to bfloat16.
    ///
    /// # Panics
    /// When `y` is not as long as `x`.
    fn f32_to_bf16(&self, x: &[f32], y: &mut [bf16]);

    /// Runs the multiply-add instruction of the ternary loops on registers alone, `rounds` times
    /// over enough independent sums to hide its latency. Returns the 8-bit multiply-adds done: the
    /// peak that `bho bench kernels` holds the matmuls against.
    fn probe_int8(&self, rounds: u64) -> u64;

    /// Reads every byte once with the widest loads and returns a checksum: the bandwidth that
    /// `bho bench kernels` holds matrix-vector products against.
    fn probe_read(&self, bytes: &[u8]) -> u64;
}

/// The backends this machine can run, slowest first; `scalar` is always there.
pub fn available() -> Vec<&'static dyn Kernels> {
    arch::BACKENDS.iter().filter_map(|(_, detect)| detect()).collect()
}

/// The fastest backend this machine can run.
pub fn best() -> &'static dyn Kernels {
    available().pop().expect("scalar is always available")
}

/// The backend of this name.
///
/// # Errors
/// [`KernelError::UnknownIsa`], or [`KernelError::UnavailableIsa`] when this CPU lacks features.
pub fn by_name(name: &str) -> Result<&'static dyn Kernels, KernelError> {
    let Some((known, detect)) = arch::BACKENDS.iter().find(|(n, _)| *n == name) else {
        let known = arch::BACKENDS.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", ");
        return Err(KernelError::UnknownIsa { name: name.into(), known });
    };
    detect().ok_or_else(|| KernelError::UnavailableIsa {
        name: known,
        available: available().iter().map(|k| k.name()).collect::<Vec<_>>().join(", "),
    })
}

/// The backend of this process: the one [`ISA_VARIABLE`] names, else the fastest available.
/// Chosen once.
///
/// # Errors
/// When the variable names a backend that is unknown or unavailable.
#[cfg(feature = "std")]
pub fn kernels() -> Result<&'static dyn Kernels, KernelError> {
    static CHOICE: std::sync::OnceLock<Result<&'static dyn Kernels, KernelError>> =
        std::sync::OnceLock::new();
    CHOICE
        .get_or_init(|| match std::env::var(ISA_VARIABLE) {
            Ok(name) if !name.is_empty() => by_name(&name),
            _ => Ok(best()),
        })
        .clone()
}
