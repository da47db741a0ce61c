// SPDX-License-Identifier: AGPL-3.0-or-later
//! `BitnetForCausalLM`, 1bitLLM/bitnet_b1_58-large and -3B, the reproduction of arXiv:2402.17764:
//! SiLU, a norm inside the attention and one before the down projection, float weights that are
//! rounded to ternary when the model runs.

use bho_engine::decoder::GateActivation;

use super::{Common, Settings};
use crate::decoder::spec::{DecoderSpec, NormSpec, Scale, WeightKind};

pub(super) fn spec(settings: &Settings<'_>) -> DecoderSpec {
    for (key, only) in [("weight_bits", 1), ("input_bits", 8)] {
        if let Some(found) = settings.size_if(key, 64)
            && found != only
        {
            settings.fault(format!("{key} is {found}; accepted: {only}"));
        }
    }
    let common = Common::read(settings, 10_000.0);
    let activation = Common::activation(settings, "hidden_act", GateActivation::Silu);
    let (width, ffn, eps) = (common.config.heads * common.config.head_dim, common.ffn, common.eps);
    let layers = (0..common.layers).map(|i| {
        let mut layer = common.layer(i, activation, WeightKind::BitNet(Scale::AbsMean));
        let gain = |name: &str| format!("model.layers.{i}.{name}.weight");
        layer.attention_sub_norm = Some(NormSpec::new(gain("self_attn.inner_attn_ln"), width, eps));
        layer.ffn_sub_norm = Some(NormSpec::new(gain("mlp.ffn_layernorm"), ffn, eps));
        layer
    });
    let layers = layers.collect();
    common.model("BitnetForCausalLM", layers)
}
