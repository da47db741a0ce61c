// SPDX-License-Identifier: AGPL-3.0-or-later
//! Activation functions by their names in `config.json`.

use bho_kernels::Kernels;

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `gelu`: with the error function.
    Gelu,
    /// `gelu_new`, `gelu_pytorch_tanh`: by the tanh approximation.
    GeluTanh,
    /// `relu`.
    Relu,
}

impl Activation {
    /// Names this version knows, for messages.
    pub const NAMES: &'static str = "gelu, gelu_new, gelu_pytorch_tanh, relu";

    /// The function `config.json` calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "gelu" => Some(Self::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Some(Self::GeluTanh),
            "relu" => Some(Self::Relu),
            _ => None,
        }
    }

    /// Applies it to every value in place.
    pub fn apply(self, kernels: &dyn Kernels, x: &mut [f32]) {
        match self {
            Self::Gelu => kernels.gelu_erf(x),
            Self::GeluTanh => kernels.gelu_tanh(x),
            Self::Relu => kernels.relu(x),
        }
    }
}
