// SPDX-License-Identifier: AGPL-3.0-or-later
//! `BitNetForCausalLM`, microsoft/bitnet-b1.58-2B-4T (arXiv:2504.12285): sub-norms before the
//! output and the down projection, squared ReLU, grouped queries.

use bho_engine::decoder::GateActivation;

use super::llama::bitnet_weights;
use super::{Common, Settings};
use crate::decoder::spec::{DecoderSpec, NormSpec, Scale, WeightKind};

pub(super) fn spec(settings: &Settings<'_>) -> DecoderSpec {
    let common = Common::read(settings, 500_000.0);
    let activation = Common::activation(settings, "hidden_act", GateActivation::ReluSquared);
    // Master weights come without a quantization config; the model rounds them all the same.
    let weights =
        bitnet_weights(settings).map_or(WeightKind::BitNet(Scale::AbsMean), |w| w.weights);
    let (width, ffn, eps) = (common.config.heads * common.config.head_dim, common.ffn, common.eps);
    let layers = (0..common.layers).map(|i| {
        let mut layer = common.layer(i, activation, weights);
        let gain = |name: &str| format!("model.layers.{i}.{name}.weight");
        layer.attention_sub_norm = Some(NormSpec::new(gain("self_attn.attn_sub_norm"), width, eps));
        layer.ffn_sub_norm = Some(NormSpec::new(gain("mlp.ffn_sub_norm"), ffn, eps));
        layer
    });
    let layers = layers.collect();
    common.model("BitNetForCausalLM", layers)
}
