// SPDX-License-Identifier: AGPL-3.0-or-later
//! `LlamaForCausalLM` (arXiv:2302.13971, arXiv:2407.21783): plain, or fine-tuned to BitNet's
//! ternary weights with a `bitnet` quantization config (HF1BitLLM, Falcon3-1.58bit, Falcon-E). TriLM
//! (arXiv:2407.12327) is a plain Llama whose float weights have three values a row.

use bho_engine::decoder::GateActivation;

use super::{Common, Settings};
use crate::decoder::spec::{DecoderSpec, MatrixSpec, NormSpec, Scale, WeightKind};

/// What a `bitnet` quantization config says of linear layers.
pub(super) struct BitNetWeights {
    pub(super) weights: WeightKind,
    /// Epsilon of a norm before each of them.
    pub(super) input_norm: Option<f32>,
}

/// Reads `quantization_config`; none without one.
pub(super) fn bitnet_weights(settings: &Settings<'_>) -> Option<BitNetWeights> {
    settings.get("quantization_config")?;
    let at = |key: &str| format!("quantization_config.{key}");
    settings.choice(&at("quant_method"), &["bitnet"])?;
    let auto = settings.choice(&at("linear_class"), &["bitlinear", "autobitlinear"]) == Some(1);
    let online = settings.choice(&at("quantization_mode"), &["offline", "online"]) == Some(1);
    let scale = match (auto, online) {
        // Only autobitlinear knows the mode; bitlinear is always packed.
        (true, true) => Scale::AbsMean,
        (true, false) => Scale::Multiply,
        (false, _) => Scale::Divide,
    };
    check_kept(settings, &at("modules_to_not_convert"));
    let input_norm = settings
        .flag(&at("use_rms_norm"), false)
        .then(|| settings.positive(&at("rms_norm_eps"), 1e-6));
    Some(BitNetWeights { weights: WeightKind::BitNet(scale), input_norm })
}

/// Notes as a fault a list of layers that stay in floats which is not the usual one: the linear layers
/// of all blocks are BitLinear, the output head is not.
fn check_kept(settings: &Settings<'_>, key: &str) {
    // Without a list the head stays; it also does where it has no weights of its own.
    let Some(kept) = settings.get(key) else { return };
    let tied = settings.flag("tie_word_embeddings", false);
    let names = kept.as_array().map(|names| names.iter().map(|name| name.as_str().unwrap_or("")));
    // Not linear, so that it makes no difference whether they are named.
    let idle = |name: &str| {
        ["embed_tokens", "norm"].iter().any(|part| name.rsplit('.').next() == Some(part))
    };
    let usual = names.is_some_and(|mut names| {
        let head = tied || names.clone().any(|name| name == "lm_head");
        head && names.all(|name| name == "lm_head" || idle(name))
    });
    if !usual {
        let mut shown = kept.to_string();
        if shown.chars().count() > 60 {
            shown = shown.chars().take(60).chain("…".chars()).collect();
        }
        let why = if kept.as_array().is_some_and(Vec::is_empty) {
            ", which makes the output head a BitLinear too"
        } else {
            ""
        };
        settings.fault(format!(
            "{key} is {shown}{why}; accepted: null or [\"lm_head\"], as only models whose head alone \
             stays in floats are run"
        ));
    }
}

pub(super) fn spec(settings: &Settings<'_>) -> DecoderSpec {
    let common = Common::read(settings, 10_000.0);
    let activation = Common::activation(settings, "hidden_act", GateActivation::Silu);
    let attention_bias = settings.flag("attention_bias", false);
    let ffn_bias = settings.flag("mlp_bias", false);
    let bitnet = bitnet_weights(settings);
    let weights = bitnet.as_ref().map_or(WeightKind::Plain, |bitnet| bitnet.weights);
    // Packed layers of `autobitlinear` scale their bias too, and no public model has one.
    if weights == WeightKind::BitNet(Scale::Multiply) && (attention_bias || ffn_bias) {
        settings.fault("biases in packed autobitlinear layers are not supported");
    }
    let layers = (0..common.layers).map(|i| {
        let mut layer = common.layer(i, activation, weights);
        let (attention, ffn) = (
            [&mut layer.query, &mut layer.key, &mut layer.value, &mut layer.output],
            [&mut layer.gate, &mut layer.up, &mut layer.down],
        );
        let attention = attention.into_iter().map(|matrix| (matrix, attention_bias));
        let ffn = ffn.into_iter().map(|matrix| (matrix, ffn_bias));
        for (matrix, bias) in attention.chain(ffn) {
            matrix.bias = bias;
            matrix.input_norm =
                bitnet.as_ref().and_then(|b| b.input_norm).map(|eps| norm(matrix, eps));
        }
        layer
    });
    let layers = layers.collect();
    common.model("LlamaForCausalLM", layers)
}

/// The norm before a layer that has one of its own.
fn norm(matrix: &MatrixSpec, eps: f32) -> NormSpec {
    NormSpec::new(format!("{}.rms_norm.weight", matrix.name), matrix.cols, eps)
}
