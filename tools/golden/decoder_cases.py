# SPDX-License-Identifier: AGPL-3.0-or-later
"""The tiny decoders: their config.json and their random tensors, in the layout of the public checkpoints."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch

BITNET = {"quant_method": "bitnet"}
AUTO_OFFLINE = {"linear_class": "autobitlinear", **BITNET, "quantization_mode": "offline"}
AUTO_ONLINE = {"linear_class": "autobitlinear", **BITNET, "quantization_mode": "online"}


def seed_of(name):
    """A 64-bit seed from a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


@dataclass
class Case:
    """One model: what config.json says, and how tensors are stored."""

    name: str
    config: dict
    dtype: torch.dtype = torch.bfloat16
    shards: int = 1
    # TriLM: blocks of rows (columns in o_proj and down_proj) with a scale of their own.
    blocks: int = 0
    # Part of every tensor's stream: another draw of the same model.
    seed: int = 0

    @property
    def embedder(self):
        return self.config["model_type"] in ("qwen3", "gemma3_text")


def config(arch, kind, vocab, hidden, ffn, layers, heads, kv, act, eps, tie, dtype, **more):
    """A config.json in the key order transformers 4 writes: sorted."""
    c = {
        "architectures": [arch], "model_type": kind, "vocab_size": vocab, "hidden_size": hidden,
        "intermediate_size": ffn, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv, "hidden_act": act, "rms_norm_eps": eps, "tie_word_embeddings": tie,
        "torch_dtype": dtype, "initializer_range": 0.02, "use_cache": True, "max_position_embeddings": 128,
        "bos_token_id": 1, "eos_token_id": 2, **more,
    }
    if not act:
        del c["hidden_act"]
    return dict(sorted(c.items()))


def llama(vocab, hidden, ffn, layers, heads, kv, tie=False, dtype="bfloat16", eps=1e-5, **more):
    base = {"attention_bias": False, "mlp_bias": False, "rope_theta": 10000.0, "rope_scaling": None}
    return config("LlamaForCausalLM", "llama", vocab, hidden, ffn, layers, heads, kv, "silu", eps, tie, dtype,
                  **{**base, **more})


def bitnet(vocab, hidden, ffn, layers, heads, kv, quant):
    return config("BitNetForCausalLM", "bitnet", vocab, hidden, ffn, layers, heads, kv, "relu2", 1e-5, True,
                  "bfloat16", rope_theta=500000.0, quantization_config=quant)


LLAMA3 = {"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
          "original_max_position_embeddings": 64, "rope_type": "llama3"}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32}

CASES = [
    Case("bitnet_packed", bitnet(163, 80, 216, 3, 5, 1, AUTO_OFFLINE)),
    Case("bitnet_online", bitnet(161, 72, 100, 2, 3, 1, AUTO_ONLINE)),
    Case("llama_bitlinear", llama(167, 96, 200, 2, 6, 2, rope_theta=500000.0, rope_scaling=LLAMA3,
                                  quantization_config={"modules_to_not_convert": None, **BITNET}), shards=2),
    Case("llama_autobitlinear", llama(160, 72, 148, 3, 9, 3, head_dim=16, rope_theta=1000042.0, eps=1e-6,
                                      quantization_config=AUTO_OFFLINE)),
    Case("llama_autobitlinear_online", llama(161, 64, 100, 2, 2, 1, tie=True, rope_theta=500000.0,
                                             quantization_config=AUTO_ONLINE)),
    Case("llama_falcon_e", llama(169, 80, 180, 2, 5, 1, rope_theta=1000042.0, eps=1e-6, quantization_config={
        **AUTO_OFFLINE, "modules_to_not_convert": ["lm_head"], "rms_norm_eps": 1e-6, "use_rms_norm": True})),
    Case("llama_f32", llama(193, 48, 76, 2, 3, 1, tie=True, dtype="float32", rope_theta=100000.0), torch.float32),
    Case("llama_bf16", llama(163, 72, 84, 2, 9, 3, tie=True, head_dim=16, rope_theta=100000.0)),
    Case("llama_bias", llama(164, 48, 100, 2, 3, 3, attention_bias=True, mlp_bias=True,
                             rope_scaling={"rope_type": "linear", "factor": 2.5})),
    # Keys as transformers 5 writes them: rope_parameters for rope_theta and rope_scaling, dtype for torch_dtype.
    Case("llama_yarn_f16", {
        **{k: v for k, v in llama(165, 80, 76, 2, 5, 1).items()
           if k not in ("rope_theta", "rope_scaling", "torch_dtype")},
        "rope_parameters": YARN, "dtype": "float16"}, torch.float16),
    Case("bitnet_b1_58", config(
        "BitnetForCausalLM", "llama", 162, 80, 76, 2, 5, 5, "silu", 1e-5, True, "float16", attention_bias=False,
        rope_theta=10000.0, rope_scaling=None, pretraining_tp=1, weight_bits=1, input_bits=8), torch.float16),
    Case("trilm", llama(160, 48, 84, 2, 3, 3, dtype="float16", pretraining_model_parallel=1), torch.float16, blocks=1),
    Case("trilm_blocks", llama(168, 72, 96, 2, 3, 3, dtype="float16", pretraining_model_parallel=3), torch.float16,
         blocks=3),
    # Two query heads read each key/value head: the same two that a part of o_proj's columns reads.
    Case("trilm_gqa", llama(160, 48, 84, 2, 6, 3, dtype="float16", pretraining_model_parallel=3), torch.float16,
         blocks=3),
    # Here three read each, and parts are of two.
    Case("trilm_gqa_apart", llama(163, 48, 84, 2, 6, 2, dtype="float16", head_dim=12, pretraining_model_parallel=3),
         torch.float16, blocks=3),
    Case("embedding_qwen3", config(
        "Qwen3Model", "qwen3", 163, 64, 100, 2, 3, 1, "silu", 1e-6, True, "bfloat16", head_dim=32, attention_bias=False,
        rope_theta=1000000.0, rope_scaling=None, sliding_window=None, use_sliding_window=False)),
    # head_dim, 1 / query_pre_attn_scalar and hidden_size / heads all differ, and the window is shorter than most texts.
    Case("embedding_gemma3", config(
        "Gemma3TextModel", "gemma3_text", 161, 80, 52, 3, 5, 1, "", 1e-6, True, "bfloat16", head_dim=24,
        attention_bias=False, rope_theta=1000000.0, rope_local_base_freq=10000.0, rope_scaling=None,
        hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=20, sliding_window=8,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        attn_logit_softcapping=None, final_logit_softcapping=None, use_bidirectional_attention=False)),
]


class Tensors:
    """Draws the tensors of one case. Every tensor has its own stream, so that order does not matter."""

    def __init__(self, case):
        self.case, self.c, self.out = case, case.config, {}
        self.prefix = "" if case.embedder else "model."

    def rng(self, name):
        return np.random.Generator(np.random.PCG64(seed_of(f"{self.case.name}/{self.case.seed}/{name}")))

    def put(self, name, array, dtype=None):
        self.out[name] = torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(dtype or self.case.dtype)

    def norm(self, name, size, gain=1.0):
        gemma = self.c["model_type"] == "gemma3_text" and "proj" not in name
        draw = self.rng(name).uniform(0.5, 1.5, size) * gain
        self.put(name + ".weight", draw - 1 if gemma else draw)

    def ternary(self, name, rows, cols):
        return self.rng(name).choice((-1, 0, 1), (rows, cols), p=(0.35, 0.31, 0.34))

    def linear(self, name, cols, rows, gain, bias=False):
        """A projection [rows, cols] that makes outputs of size about `gain` from inputs of size 1."""
        quant = self.c.get("quantization_config") or {}
        rng = self.rng(name + ".scale")
        step = gain / np.sqrt(0.69 * cols) * rng.uniform(0.8, 1.25)
        if self.case.blocks:
            axis = 1 if name.endswith(("o_proj", "down_proj")) else 0
            count = (rows, cols)[axis]
            assert count % self.case.blocks == 0, name
            scales = np.repeat(step * rng.uniform(0.7, 1.4, self.case.blocks), count // self.case.blocks)
            self.put(name + ".weight", self.ternary(name, rows, cols) * np.expand_dims(scales, 1 - axis))
        elif quant and quant.get("quantization_mode", "offline") == "offline":
            codes = (self.ternary(name, rows, cols) + 1).reshape(4, rows // 4, cols).astype(np.uint8)
            packed = codes[0] | codes[1] << 2 | codes[2] << 4 | codes[3] << 6
            self.out[name + ".weight"] = torch.from_numpy(packed)
            divides = quant.get("linear_class", "bitlinear") == "bitlinear"
            self.put(name + ".weight_scale", [1 / step if divides else step])
        else:
            self.put(name + ".weight", self.rng(name).standard_normal((rows, cols)) * gain / np.sqrt(cols))
        if quant.get("use_rms_norm"):
            self.norm(name + ".rms_norm", cols)
        if self.case.embedder:
            self.norm(name + ".norm", cols)
        if bias:
            self.put(name + ".bias", self.rng(name + ".bias").standard_normal(rows) * 0.3)

    def layer(self, p):
        c, kind = self.c, self.c["model_type"]
        hidden, ffn = c["hidden_size"], c["intermediate_size"]
        d = c.get("head_dim") or hidden // c["num_attention_heads"]
        q, kv = c["num_attention_heads"] * d, c["num_key_value_heads"] * d
        attn, mlp = p + "self_attn.", p + "mlp."
        self.norm(p + "input_layernorm", hidden)
        self.norm(p + "post_attention_layernorm", hidden)
        if kind == "gemma3_text":
            self.norm(p + "pre_feedforward_layernorm", hidden)
            self.norm(p + "post_feedforward_layernorm", hidden)
        if self.case.embedder:
            self.norm(attn + "q_norm", d, 1.5)
            self.norm(attn + "k_norm", d, 1.5)
        if kind == "bitnet":
            self.norm(attn + "attn_sub_norm", q)
            self.norm(mlp + "ffn_sub_norm", ffn)
        if "weight_bits" in c:
            self.norm(attn + "inner_attn_ln", q)
            self.norm(mlp + "ffn_layernorm", ffn)
        bias = c.get("attention_bias", False)
        for name, rows, gain in (("q_proj", q, 1.6), ("k_proj", kv, 1.6), ("v_proj", kv, 1.0)):
            self.linear(attn + name, hidden, rows, gain, bias)
        self.linear(attn + "o_proj", q, hidden, 1.0, bias)
        bias = c.get("mlp_bias", False)
        self.linear(mlp + "gate_proj", hidden, ffn, 1.3, bias)
        self.linear(mlp + "up_proj", hidden, ffn, 1.0, bias)
        self.linear(mlp + "down_proj", ffn, hidden, 1.0, bias)

    def draw(self):
        """All tensors by name, sorted.

        Embeddings are small (0.05) against what layers add, and the final norm's gain (8) makes logits of size 4:
        else a tied head would repeat the last token for ever.
        """
        c = self.c
        shape = (c["vocab_size"], c["hidden_size"])
        self.put(self.prefix + "embed_tokens.weight", self.rng("embed").standard_normal(shape) * 0.05)
        for i in range(c["num_hidden_layers"]):
            self.layer(f"{self.prefix}layers.{i}.")
        self.norm(self.prefix + "norm", shape[1], 8.0 if c["tie_word_embeddings"] and not self.case.embedder else 1.0)
        if not c["tie_word_embeddings"]:
            self.put("lm_head.weight", self.rng("lm_head").standard_normal(shape) * 0.4)
        return dict(sorted(self.out.items()))
