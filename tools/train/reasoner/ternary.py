# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ternary linear layers for quantization-aware training, as the engine runs them.

Weights: BitNet b1.58 (Ma et al. 2024, arXiv 2402.17764, section 2): scale = mean |W| of the matrix, or of each row; codes =
W / scale, rounded and clipped to -1, 0, 1. Activations: 8 bits over each token's range. Both go straight through in the
backward pass.
"""

import torch
from torch import nn
from torch.nn import functional

SCALES = ("matrix", "row")


def ternary(weight, scale):
    """The weights [rows, cols] that `bho convert` makes of the latent ones."""
    size = weight.abs()
    size = (size.mean() if scale == "matrix" else size.mean(dim=1, keepdim=True)).clamp(min=1e-8)
    return (weight / size).round().clamp(-1, 1) * size


def int8_range(x):
    """Activations [..., cols] as the engine rounds them: 256 steps from the token's least value to its greatest."""
    low = x.amin(dim=-1, keepdim=True).clamp(max=0)
    step = (x.amax(dim=-1, keepdim=True).clamp(min=0) - low).clamp(min=1e-8) / 255
    return ((x - low) / step).round() * step + low


class BitLinear(nn.Linear):
    """A linear layer whose latent weights are blended into their ternary form: `share` 0 is float, 1 ternary."""

    scale = "matrix"

    def forward(self, x):
        latent = self.weight.detach()
        weight = self.weight + self.share * (ternary(latent, self.scale) - latent)
        x = x + (int8_range(x.detach()) - x.detach())
        return functional.linear(x, weight, self.bias)


def linears(model):
    return [layer for layer in model.modules() if isinstance(layer, BitLinear)]


def to_bitlinear(encoder, scale):
    """Makes each linear layer of a BERT's layers a BitLinear; pooler and classifier stay float."""
    for layer in encoder.modules():
        if type(layer) is nn.Linear:
            layer.__class__ = BitLinear
            layer.scale = scale
            # A tensor: a number would be compiled in, and each new one would compile all anew.
            layer.register_buffer("share", torch.ones((), device=layer.weight.device), persistent=False)
    return encoder


def set_share(model, share):
    for layer in linears(model):
        layer.share.fill_(share)
