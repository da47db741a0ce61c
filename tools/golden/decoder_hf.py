# SPDX-License-Identifier: AGPL-3.0-or-later
"""Loads a tiny decoder with transformers, replacing layers where transformers has no class for the architecture."""

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    Gemma3TextModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3Model,
)
from transformers.models.llama.modeling_llama import LlamaRMSNorm


class AbsmeanLinear(nn.Linear):
    """BitLinear as in training: float weights to +-mean|W| or 0, activations to the int8 grid, a float product.

    With `eps`, the input is first normalized by an RMSNorm of the layer's own.
    """

    def __init__(self, cols, rows, eps=None):
        super().__init__(cols, rows, bias=False)
        self.norm = None if eps is None else LlamaRMSNorm(cols, eps=eps)

    def forward(self, x):
        x = x if self.norm is None else self.norm(x)
        scale = 127 / x.abs().amax(-1, keepdim=True).clamp(min=1e-5)
        step = self.weight.abs().mean().clamp(min=1e-5)
        weight = (self.weight * (1 / step)).round().clamp(-1, 1) * step
        return nn.functional.linear((x * scale).round().clamp(-128, 127) / scale, weight)


def replace_linear(layers, eps=None):
    """Every linear layer of the decoder layers becomes an AbsmeanLinear."""
    for name, module in list(layers.named_modules()):
        if isinstance(module, nn.Linear):
            parent = layers.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], AbsmeanLinear(module.in_features, module.out_features, eps))


def add_norm_before(parent, name, linear, eps):
    """Registers `parent.name`, an RMSNorm on the input of `parent.linear`."""
    target = getattr(parent, linear)
    norm = LlamaRMSNorm(target.in_features, eps=eps)
    setattr(parent, name, norm)
    target.register_forward_pre_hook(lambda _module, args: (norm(args[0]),))


def build(case):
    """A model with replaced layers, or None where transformers has the architecture."""
    c = dict(case.config)
    if "weight_bits" in c:
        model = LlamaForCausalLM(LlamaConfig(**c, attn_implementation="eager"))
        replace_linear(model.model.layers)
        for layer in model.model.layers:
            add_norm_before(layer.self_attn, "inner_attn_ln", "o_proj", c["rms_norm_eps"])
            add_norm_before(layer.mlp, "ffn_layernorm", "down_proj", c["rms_norm_eps"])
        return model
    if not case.embedder:
        return None
    kinds = {"qwen3": (Qwen3Model, Qwen3Config), "gemma3_text": (Gemma3TextModel, Gemma3TextConfig)}
    model_class, config_class = kinds[c["model_type"]]
    model = model_class(config_class(**c, attn_implementation="eager"))
    replace_linear(model.layers, c["rms_norm_eps"])
    return model


def load(case, folder):
    """The model in float32, eager attention, eval mode; every tensor of the checkpoint must find its place."""
    model = build(case)
    if model is not None:
        missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
        problems = [m for m in missing if m != "lm_head.weight"] + unexpected
        model.tie_weights()
    else:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
        problems = {k: v for k, v in info.items() if v}
    if problems:
        raise SystemExit(f"{case.name}: {problems}")
    # transformers refuses `model.float()` on quantized models but leaves norms and embeddings of some in bf16.
    return nn.Module.float(model).eval()
