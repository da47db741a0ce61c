// SPDX-License-Identifier: AGPL-3.0-or-later
//! `Qwen3Model` and `Gemma3TextModel` as microsoft/bitnet-embedding-0.6b and -270m have them
//! (arXiv:2606.25674): decoders that give the last token's vector, with a norm of its own before
//! each linear layer. docs/architectures.md says what is known and what is assumed.

use bho_engine::decoder::GateActivation;

use super::{Common, Settings};
use crate::decoder::rope;
use crate::decoder::spec::{DecoderSpec, LayerSpec, MatrixSpec, NormSpec, Scale, WeightKind};

pub(super) fn qwen3(settings: &Settings<'_>) -> DecoderSpec {
    refuse(settings, &["use_sliding_window"]);
    let common = common(settings);
    let activation = Common::activation(settings, "hidden_act", GateActivation::Silu);
    let layers = (0..common.layers).map(|i| layer(&common, i, activation)).collect();
    vectors("Qwen3Model", common, layers)
}

pub(super) fn gemma3(settings: &Settings<'_>) -> DecoderSpec {
    let flags =
        ["use_bidirectional_attention", "attn_logit_softcapping", "final_logit_softcapping"];
    refuse(settings, &flags);
    let mut common = common(settings);
    let activation = Common::activation(settings, "hidden_activation", GateActivation::GeluTanh);
    let config = &mut common.config;
    config.embedding_scale = (config.hidden as f32).sqrt();
    let scalar = settings.positive("query_pre_attn_scalar", config.head_dim as f32);
    config.attention_scale = 1.0 / scalar.sqrt();
    let (head_dim, context) = (config.head_dim, config.context);
    if settings.get("rope_parameters.full_attention").is_some() {
        common.rope = rope::read(settings, "full_attention", head_dim, 1_000_000.0, context);
    }
    let local = settings.positive_if("rope_parameters.sliding_attention.rope_theta");
    let local = local.unwrap_or_else(|| settings.positive("rope_local_base_freq", 10_000.0));
    let window = settings.size_if("sliding_window", super::MAX_DIM);
    let pattern = settings.size_if("sliding_window_pattern", super::MAX_LAYERS).unwrap_or(6);
    let kinds = settings.choices("layer_types", &["sliding_attention", "full_attention"]);
    if kinds.as_ref().is_some_and(|kinds| kinds.len() != common.layers) {
        let layers = common.layers;
        settings.fault(format!("layer_types has not num_hidden_layers = {layers} entries"));
    }
    let layers = (0..common.layers).map(|i| {
        let mut layer = layer(&common, i, activation);
        let (hidden, eps) = (common.config.hidden, common.eps);
        let norm = |name: &str| {
            let gain = format!("layers.{i}.{name}_layernorm.weight");
            Some(NormSpec { offset: 1.0, ..NormSpec::new(gain, hidden, eps) })
        };
        layer.attention_norm = norm("input");
        layer.attention_post_norm = norm("post_attention");
        layer.ffn_norm = norm("pre_feedforward");
        layer.ffn_post_norm = norm("post_feedforward");
        for norm in [&mut layer.query_norm, &mut layer.key_norm].into_iter().flatten() {
            norm.offset = 1.0;
        }
        let listed = kinds.as_ref().and_then(|kinds| kinds.get(i)).map(|kind| *kind == 0);
        if listed.unwrap_or(!(i + 1).is_multiple_of(pattern)) {
            (layer.rope, layer.window) = (1, window);
        }
        layer
    });
    let layers = layers.collect();
    let mut spec = vectors("Gemma3TextModel", common, layers);
    spec.norm.offset = 1.0;
    let freq = bho_engine::decoder::RotaryEmbedding::inv_freq(local, head_dim);
    spec.ropes.push((freq, 1.0));
    spec
}

/// Notes as faults the features that make another model of it.
fn refuse(settings: &Settings<'_>, keys: &[&str]) {
    for key in keys {
        if settings.get(key).is_some_and(|value| value.as_bool() != Some(false)) {
            settings.fault(format!("{key} is set, which this version does not run"));
        }
    }
}

fn common(settings: &Settings<'_>) -> Common {
    Common { prefix: "", ..Common::read(settings, 1_000_000.0) }
}

/// A layer with norms on its heads, and one before each linear layer.
fn layer(common: &Common, index: usize, activation: GateActivation) -> LayerSpec {
    let mut layer = common.layer(index, activation, WeightKind::BitNet(Scale::AbsMean));
    let head_norm = |name: &str| {
        let gain = format!("layers.{index}.self_attn.{name}_norm.weight");
        Some(NormSpec::new(gain, common.config.head_dim, common.eps))
    };
    (layer.query_norm, layer.key_norm) = (head_norm("q"), head_norm("k"));
    let LayerSpec { query, key, value, output, gate, up, down, .. } = &mut layer;
    for matrix in [query, key, value, output, gate, up, down] {
        let MatrixSpec { name, cols, .. } = &*matrix;
        matrix.input_norm = Some(NormSpec::new(format!("{name}.norm.weight"), *cols, common.eps));
    }
    layer
}

fn vectors(architecture: &str, common: Common, layers: Vec<LayerSpec>) -> DecoderSpec {
    DecoderSpec { head: None, ..common.model(architecture, layers) }
}
