# SPDX-License-Identifier: AGPL-3.0-or-later
"""A decoder written from docs/architectures.md alone, as a second opinion on transformers.

It reads the same `config.json` and safetensors files, keeps ternary weights and int8 activations as integers,
evaluates everything else in float64, has no KV cache and no batch, and shares no code with transformers.
What it differs by from the stored float32 references is what a correct engine may differ by.
"""

import json
import math
from pathlib import Path

import torch
from safetensors.torch import load_file

F64 = torch.float64


def load_tensors(folder):
    """All tensors of a checkpoint, single file or sharded."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return load_file(folder / "model.safetensors")
    files = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    return {k: v for f in files for k, v in load_file(folder / f).items()}


def unpack(packed):
    """uint8 [out/4, in] to ternary [out, in]: bits 2i..2i+1 of packed row r are row r + i * out/4."""
    return torch.cat([(packed >> (2 * i)) & 3 for i in range(4)]).to(F64) - 1


class Decoder:
    """One checkpoint folder; `logits` and `embedding` take a list of token ids.

    `kv_dtype` rounds keys (rotated) and values to what a cache of that type holds. `margin` is the smallest distance,
    in steps of the int8 grid, of any activation so far from a rounding tie: where it is small, another engine's last
    bit decides between two integers, and the change spreads to every later activation. `weight_margin` is the same for
    weights made ternary here. `int8` quantizes activations also where the architecture does not.
    """

    def __init__(self, folder, kv_dtype=F64, int8=False):
        folder = Path(folder)
        self.kv_dtype, self.int8, self.ready = kv_dtype, int8, {}
        self.margin = self.weight_margin = math.inf
        self.c = json.loads((folder / "config.json").read_text())
        self.t = load_tensors(folder)
        self.prefix = "model." if "model.norm.weight" in self.t else ""
        c = self.c
        self.heads = c["num_attention_heads"]
        self.kv_heads = c.get("num_key_value_heads") or self.heads
        self.head_dim = c.get("head_dim") or c["hidden_size"] // self.heads
        self.eps = c["rms_norm_eps"]
        self.gemma = c["model_type"] == "gemma3_text"
        self.quant = c.get("quantization_config")
        self.absmean = "weight_bits" in c or c["model_type"] in ("qwen3", "gemma3_text")

    def get(self, name):
        """A tensor under the model prefix, float64, or None."""
        t = self.t.get(self.prefix + name)
        return None if t is None else t.to(F64)

    def norm(self, x, name, plus_one=False, eps=None):
        w = self.get(name + ".weight")
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + (eps or self.eps))
        return x * (1 + w if plus_one else w)

    def quantize_rows(self, x):
        """int8 values (as float64) and one scale a row: q = round_half_even(x * 127 / max|x|)."""
        scale = 127.0 / x.abs().amax(-1, keepdim=True).clamp(min=1e-5)
        x = x * scale
        self.margin = min(self.margin, float((x - x.floor() - 0.5).abs().min()))
        return x.round().clamp(-128, 127), scale

    def absmean_ternary(self, w):
        """Ternary values and mean|w|. The mean and the scale are float32, as in training code."""
        inv = 1.0 / w.float().abs().mean().clamp(min=1e-5)
        w = w.float() * inv
        self.weight_margin = min(self.weight_margin, float((w.abs() - 0.5).abs().min()))
        return w.round().clamp(-1, 1).to(F64), 1.0 / inv.to(F64)

    def once(self, name, make):
        """What `make` returns, computed on first use."""
        if name not in self.ready:
            self.ready[name] = make()
        return self.ready[name]

    def linear(self, x, name):
        """One projection: [T, in] to [T, out], whatever its weights are stored as."""
        stored = self.t[f"{self.prefix}{name}.weight"]
        bias = self.get(name + ".bias")
        if self.get(name + ".norm.weight") is not None:
            x = self.norm(x, name + ".norm")
        if self.quant is None and not self.absmean:
            if self.int8:
                x, scale = self.quantize_rows(x)
                x = x / scale
            y = x @ self.once(name, lambda: stored.to(F64)).T
            return y if bias is None else y + bias
        q = self.quant or {}
        if q.get("use_rms_norm"):
            x = self.norm(x, name + ".rms_norm", eps=q["rms_norm_eps"])
        acts, act_scale = self.quantize_rows(x)
        if q.get("quantization_mode") == "online" or self.absmean:
            ternary, scale = self.once(name, lambda: self.absmean_ternary(stored))
            y = acts @ ternary.T / act_scale * scale
            return y if bias is None else y + bias
        ternary, scale = self.once(name, lambda: unpack(stored)), self.get(name + ".weight_scale")
        y = acts @ ternary.T / act_scale
        if q.get("linear_class", "bitlinear") == "bitlinear":
            y = y / scale
            return y if bias is None else y + bias
        return (y if bias is None else y + bias) * scale

    def rope(self, kind):
        """Inverse frequencies [head_dim/2] and the factor on cos and sin."""
        c, d = self.c, self.head_dim
        p = dict(c.get("rope_parameters") or c.get("rope_scaling") or {})
        theta = p.get("rope_theta", c.get("rope_theta", 10000.0))
        if self.gemma and kind == "sliding_attention":
            p, theta = {}, c["rope_local_base_freq"]
        freq = theta ** (-torch.arange(0, d, 2, dtype=F64) / d)
        style = p.get("rope_type", p.get("type", "default"))
        if style == "default":
            return freq, 1.0
        factor = p["factor"]
        if style == "linear":
            return freq / factor, 1.0
        orig = p.get("original_max_position_embeddings", c["max_position_embeddings"])
        if style == "llama3":
            low, high = p["low_freq_factor"], p["high_freq_factor"]
            turns = orig * freq / (2 * math.pi)
            s = ((turns - low) / (high - low)).clamp(0, 1)
            return (1 - s) * freq / factor + s * freq, 1.0
        assert style == "yarn", style

        def dim_of(rotations):
            return d * math.log(orig / (rotations * 2 * math.pi)) / (2 * math.log(theta))

        low = max(math.floor(dim_of(p.get("beta_fast", 32))), 0)
        high = min(math.ceil(dim_of(p.get("beta_slow", 1))), d - 1)
        ramp = ((torch.arange(d // 2, dtype=F64) - low) / max(high - low, 0.001)).clamp(0, 1)
        return freq / factor * ramp + freq * (1 - ramp), 0.1 * math.log(factor) + 1.0

    def attention(self, x, layer, kind):
        n, d = x.shape[0], self.head_dim
        p = f"layers.{layer}.self_attn."

        def split(name, heads):
            return self.linear(x, p + name).view(n, heads, d).transpose(0, 1)

        q, k, v = split("q_proj", self.heads), split("k_proj", self.kv_heads), split("v_proj", self.kv_heads)
        if self.get(p + "q_norm.weight") is not None:
            q = self.norm(q, p + "q_norm", self.gemma)
            k = self.norm(k, p + "k_norm", self.gemma)
        freq, factor = self.rope(kind)
        angle = torch.arange(n, dtype=F64)[:, None] * freq
        cos, sin = angle.cos() * factor, angle.sin() * factor

        def rotate(t):
            a, b = t[..., : d // 2], t[..., d // 2:]
            return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

        q, k, v = rotate(q), rotate(k).to(self.kv_dtype).to(F64), v.to(self.kv_dtype).to(F64)
        scale = self.c.get("query_pre_attn_scalar", d) ** -0.5
        far = torch.arange(n)[:, None] - torch.arange(n)[None]
        hidden = far < 0
        if kind == "sliding_attention":
            hidden |= far >= self.c["sliding_window"]
        out = []
        for h in range(self.heads):
            g = h * self.kv_heads // self.heads
            scores = (q[h] @ k[g].T * scale).masked_fill(hidden, -math.inf)
            out.append(torch.softmax(scores, -1) @ v[g])
        y = torch.cat(out, -1)
        for sub in ("attn_sub_norm", "inner_attn_ln"):
            if self.get(p + sub + ".weight") is not None:
                y = self.norm(y, p + sub)
        return self.linear(y, p + "o_proj")

    def mlp(self, x, layer):
        p = f"layers.{layer}.mlp."
        gate, up = self.linear(x, p + "gate_proj"), self.linear(x, p + "up_proj")
        act = self.c.get("hidden_activation") or self.c["hidden_act"]
        if act == "relu2":
            y = gate.clamp(min=0).square() * up
        elif act == "silu":
            y = gate * torch.sigmoid(gate) * up
        else:
            assert act == "gelu_pytorch_tanh", act
            inner = math.sqrt(2 / math.pi) * (gate + 0.044715 * gate**3)
            y = 0.5 * gate * (1 + torch.tanh(inner)) * up
        for sub in ("ffn_sub_norm", "ffn_layernorm"):
            if self.get(p + sub + ".weight") is not None:
                y = self.norm(y, p + sub)
        return self.linear(y, p + "down_proj")

    def hidden(self, ids):
        """States [T, hidden] before the first layer and after each one, then after the final norm."""
        x = self.get("embed_tokens.weight")[torch.as_tensor(ids)]
        if self.gemma:
            x = x * math.sqrt(self.c["hidden_size"])
        states = [x]
        for i in range(self.c["num_hidden_layers"]):
            p = f"layers.{i}."
            kind = self.c["layer_types"][i] if "layer_types" in self.c else "full_attention"
            y = self.attention(self.norm(x, p + "input_layernorm", self.gemma), i, kind)
            if self.gemma:
                x = x + self.norm(y, p + "post_attention_layernorm", True)
                y = self.mlp(self.norm(x, p + "pre_feedforward_layernorm", True), i)
                x = x + self.norm(y, p + "post_feedforward_layernorm", True)
            else:
                x = x + y
                x = x + self.mlp(self.norm(x, p + "post_attention_layernorm"), i)
            states.append(x)
        return states + [self.norm(x, "norm", self.gemma)]

    def logits(self, ids):
        """[T, vocab]"""
        head = self.t.get("lm_head.weight")
        head = self.get("embed_tokens.weight") if head is None else head.to(F64)
        return self.hidden(ids)[-1] @ head.T

    def embedding(self, ids):
        """[hidden], unit length: the final state of the last token."""
        x = self.hidden(ids)[-1][-1]
        return x / x.norm()
