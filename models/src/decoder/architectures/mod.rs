// SPDX-License-Identifier: AGPL-3.0-or-later
//! One file per family: from its config to a [`DecoderSpec`].

mod bitnet;
mod bitnet_b1_58;
mod embedding;
mod llama;

use serde_json::Value;

use super::settings::Settings;
use super::spec::{DecoderSpec, LayerSpec, MatrixSpec, NormSpec, WeightKind};
use crate::error::ModelError;
use bho_engine::decoder::{DecoderConfig, GateActivation};

/// Reads a config.
type Read = fn(&Settings<'_>) -> DecoderSpec;

/// Architectures by class name in `config.json`.
const ARCHITECTURES: &[(&str, Read)] = &[
    ("BitNetForCausalLM", bitnet::spec),
    ("BitnetForCausalLM", bitnet_b1_58::spec),
    ("LlamaForCausalLM", llama::spec),
    ("Qwen3Model", embedding::qwen3),
    ("Gemma3TextModel", embedding::gemma3),
];

/// Class names this version runs.
pub(crate) fn known() -> String {
    ARCHITECTURES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Whether a config is that of a decoder known here.
pub(crate) fn is_known(config: &Value) -> bool {
    class_name(config).is_some_and(|name| ARCHITECTURES.iter().any(|(known, _)| *known == name))
}

/// Whether a config is that of a decoder which gives vectors, not text.
pub(crate) fn gives_vectors(config: &Value) -> bool {
    matches!(class_name(config), Some("Qwen3Model" | "Gemma3TextModel"))
}

fn class_name(config: &Value) -> Option<&str> {
    config.get("architectures")?.get(0)?.as_str()
}

/// The spec of a config.
///
/// # Errors
/// [`ModelError::Invalid`] with all faults of the config.
pub(crate) fn spec(file: &str, config: &Value) -> Result<DecoderSpec, ModelError> {
    let found = class_name(config).unwrap_or_default();
    let Some((_, read)) = ARCHITECTURES.iter().find(|(name, _)| *name == found) else {
        let message = format!("architectures is [{found:?}]; known: {}", known());
        return Err(ModelError::invalid(format!("{file}: config"), message));
    };
    let settings = Settings::new(file, config);
    let spec = read(&settings);
    settings.finish(spec)
}

/// Largest value accepted for any dimension: far above real models, far below overflow.
const MAX_DIM: usize = 1 << 20;

/// Most layers accepted.
const MAX_LAYERS: usize = 1024;

/// What the Llama family's configs have in common.
struct Common {
    /// What stands before the names of tensors.
    prefix: &'static str,
    config: DecoderConfig,
    layers: usize,
    ffn: usize,
    eps: f32,
    rope: (Vec<f32>, f32),
    tied: bool,
}

impl Common {
    /// Reads the keys that all share; `base` is the family's default `rope_theta`.
    fn read(settings: &Settings<'_>, base: f32) -> Self {
        let hidden = settings.size("hidden_size", MAX_DIM);
        let heads = settings.size("num_attention_heads", MAX_DIM);
        let kv_heads = settings.size_if("num_key_value_heads", MAX_DIM).unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            let message = format!("num_attention_heads {heads} is not a multiple of");
            settings.fault(format!("{message} num_key_value_heads {kv_heads}"));
        }
        let head_dim = settings.size_if("head_dim", MAX_DIM).unwrap_or_else(|| {
            if !hidden.is_multiple_of(heads) {
                let message = format!("hidden_size {hidden} is not a multiple of {heads} heads");
                settings.fault(format!("{message}, and there is no head_dim"));
            }
            (hidden / heads).max(1)
        });
        if heads.checked_mul(head_dim).is_none_or(|width| width > MAX_DIM) {
            settings.fault(format!("{heads} heads of {head_dim} values; at most {MAX_DIM} in all"));
        }
        let context = settings.size_if("max_position_embeddings", MAX_DIM * 16).unwrap_or(2048);
        let config = DecoderConfig {
            hidden,
            heads,
            kv_heads,
            head_dim,
            vocab: settings.size("vocab_size", MAX_DIM),
            context,
            embedding_scale: 1.0,
            attention_scale: 1.0 / (head_dim as f32).sqrt(),
            causal: true,
        };
        Self {
            prefix: "model.",
            layers: settings.size("num_hidden_layers", MAX_LAYERS),
            ffn: settings.size("intermediate_size", MAX_DIM),
            eps: settings.positive("rms_norm_eps", 1e-6),
            rope: super::rope::read(settings, "", head_dim, base, context),
            tied: settings.flag("tie_word_embeddings", false),
            config,
        }
    }

    /// The activation that `key` names, or a fault naming those accepted.
    fn activation(settings: &Settings<'_>, key: &str, default: GateActivation) -> GateActivation {
        const NAMES: [&str; 4] = ["silu", "relu2", "gelu_pytorch_tanh", "gelu_tanh"];
        match settings.choice(key, &NAMES) {
            None => default,
            Some(0) => GateActivation::Silu,
            Some(1) => GateActivation::ReluSquared,
            Some(_) => GateActivation::GeluTanh,
        }
    }

    /// A layer with Llama's names and without what only some have.
    fn layer(&self, index: usize, activation: GateActivation, weights: WeightKind) -> LayerSpec {
        let DecoderConfig { hidden, heads, kv_heads, head_dim, .. } = self.config;
        let prefix = format!("{}layers.{index}", self.prefix);
        let matrix = |name: &str, rows: usize, cols: usize| {
            MatrixSpec::new(format!("{prefix}.{name}_proj"), (rows, cols), weights)
        };
        let norm =
            |name: &str| Some(NormSpec::new(format!("{prefix}.{name}.weight"), hidden, self.eps));
        let (q, kv) = (heads * head_dim, kv_heads * head_dim);
        LayerSpec {
            attention_norm: norm("input_layernorm"),
            query: matrix("self_attn.q", q, hidden),
            key: matrix("self_attn.k", kv, hidden),
            value: matrix("self_attn.v", kv, hidden),
            query_norm: None,
            key_norm: None,
            rope: 0,
            window: None,
            attention_sub_norm: None,
            output: matrix("self_attn.o", hidden, q),
            attention_post_norm: None,
            ffn_norm: norm("post_attention_layernorm"),
            gate: matrix("mlp.gate", self.ffn, hidden),
            up: matrix("mlp.up", self.ffn, hidden),
            activation,
            ffn_sub_norm: None,
            down: matrix("mlp.down", hidden, self.ffn),
            ffn_post_norm: None,
        }
    }

    /// The whole model around its layers.
    fn model(self, architecture: &str, layers: Vec<LayerSpec>) -> DecoderSpec {
        let DecoderConfig { hidden, vocab, .. } = self.config;
        let head = match self.tied {
            true => super::spec::HeadSpec::Tied,
            false => super::spec::HeadSpec::Own(MatrixSpec::new(
                "lm_head".into(),
                (vocab, hidden),
                WeightKind::Plain,
            )),
        };
        DecoderSpec {
            architecture: architecture.into(),
            ropes: vec![self.rope],
            embeddings: format!("{}embed_tokens.weight", self.prefix),
            norm: NormSpec::new(format!("{}norm.weight", self.prefix), hidden, self.eps),
            head: Some(head),
            layers,
            config: self.config,
        }
    }
}
