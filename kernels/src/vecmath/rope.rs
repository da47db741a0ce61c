// SPDX-License-Identifier: AGPL-3.0-or-later
//! Rotary position embedding (arXiv:2104.09864).

use crate::error::KernelError;

/// Which two values of a head's row turn together as one complex number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RopeStyle {
    /// `x[i]` and `x[i + dim/2]`, as GPT-NeoX and the Llama checkpoints of Hugging Face have them.
    Halves,
    /// `x[2i]` and `x[2i + 1]`, as the paper has them (§3.4.2).
    Interleaved,
}

/// `(a, b)` turned by the angle of this cosine and sine.
#[inline(always)]
fn turn(a: f32, b: f32, cos: f32, sin: f32) -> (f32, f32) {
    (a * cos - b * sin, b * cos + a * sin)
}

/// Turns the pairs of one row in place.
#[inline(always)]
pub(crate) fn rope(
    x: &mut [f32],
    cos: &[f32],
    sin: &[f32],
    style: RopeStyle,
) -> Result<(), KernelError> {
    let pairs = cos.len();
    KernelError::check("rotary sines", pairs, sin.len())?;
    KernelError::check("rotary row", 2 * pairs, x.len())?;
    let angles = cos.iter().zip(sin);
    match style {
        RopeStyle::Halves => {
            let (first, second) = x.split_at_mut(pairs);
            for ((a, b), (&cos, &sin)) in first.iter_mut().zip(second).zip(angles) {
                (*a, *b) = turn(*a, *b, cos, sin);
            }
        }
        RopeStyle::Interleaved => {
            for ([a, b], (&cos, &sin)) in x.as_chunks_mut::<2>().0.iter_mut().zip(angles) {
                (*a, *b) = turn(*a, *b, cos, sin);
            }
        }
    }
    Ok(())
}
