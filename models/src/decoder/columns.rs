// SPDX-License-Identifier: AGPL-3.0-or-later
//! Ternary weights with a scale a column, which the rows of the layer before take over.
//!
//! Tensor parallelism shares o_proj and down_proj out by columns, so a model whose devices each took a
//! scale of their own (TriLM, arXiv:2407.12327 §3) has scales by blocks of columns there. Attention
//! is linear in its values, `act(gate) · up` in `up`: a column's scale may as well multiply the row
//! that makes its input, and what is left are signs.

use bho_engine::CancelToken;

use super::quantizer::{How, Layer, column_scales};
use super::spec::{DecoderSpec, WeightKind};
use crate::error::ModelError;
use crate::source::Source;

/// Makes o_proj and down_proj ternary where each of their columns has one scale and v_proj or up_proj,
/// ternary too, can take them over. `layers` are those of the model in the order of
/// [`DecoderSpec::matrices`].
///
/// Where they cannot, everything stays as it is: a sub-norm or a bias lies between, or one row feeds
/// columns of different scales, as with fewer key/value heads than parts.
///
/// # Errors
/// As [`Source::floats`]; [`ModelError::Cancelled`].
pub(super) fn fold(
    spec: &DecoderSpec,
    layers: &mut [Layer],
    source: &dyn Source,
    cancel: &CancelToken,
) -> Result<(), ModelError> {
    let config = &spec.config;
    let (dim, sharing) = (config.head_dim, config.heads / config.kv_heads);
    for (spec, block) in spec.layers.iter().zip(layers.as_chunks_mut::<7>().0) {
        let [_, _, value, output, _, up, down] = block;
        if spec.attention_sub_norm.is_none() {
            let row_of = |col: usize| col / dim / sharing * dim + col % dim;
            fold_pair(value, output, row_of, source, cancel)?;
        }
        if spec.ffn_sub_norm.is_none() {
            fold_pair(up, down, |col| col, source, cancel)?;
        }
    }
    Ok(())
}

/// The scales of `layer`'s columns into the rows of `before`; column `col` reads row `row_of(col)`.
fn fold_pair(
    before: &mut Layer,
    layer: &mut Layer,
    row_of: impl Fn(usize) -> usize,
    source: &dyn Source,
    cancel: &CancelToken,
) -> Result<(), ModelError> {
    let done = matches!(layer.how, How::ThreeValues | How::Packed(_));
    if done
        || before.how != How::ThreeValues
        || before.matrix.bias
        || layer.matrix.weights != WeightKind::Plain
        || layer.matrix.input_norm.is_some()
    {
        return Ok(());
    }
    let shape = (layer.matrix.rows, layer.matrix.cols);
    let Some(scales) = column_scales(&layer.source, shape, source, cancel)? else {
        return Ok(());
    };
    // Rows that only columns of zeros read add nothing and get a scale of 0: any other could be the
    // largest input of `layer` and make its rounding coarser.
    let mut factors = vec![0.0; before.matrix.rows];
    for (col, &scale) in scales.iter().enumerate().filter(|(_, scale)| **scale != 0.0) {
        let factor = &mut factors[row_of(col)];
        if *factor != 0.0 && *factor != scale {
            return Ok(());
        }
        *factor = scale;
    }
    // Values stay about as large as they were, so half precision holds them in the KV cache.
    let largest = scales.iter().copied().fold(0.0, f32::max);
    factors.iter_mut().for_each(|factor| *factor /= largest);
    layer.columns = (0..shape.1).map(|col| factors[row_of(col)] * largest).collect();
    layer.how = How::Columns(largest);
    layer.stored = before.stored;
    before.row_factors = factors;
    Ok(())
}
