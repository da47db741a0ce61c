// SPDX-License-Identifier: AGPL-3.0-or-later
//! From logits to text: the sampler chain, UTF-8 across tokens, stop strings and constraints.
//!
//! [`Sampler`] turns the logits of one position into one token. Its steps, in llama.cpp's default
//! order, each in its own file under `filters/`:
//!
//! 1. the [`Constraint`], if any: tokens that the grammar rules out are forbidden;
//! 2. logit bias;
//! 3. penalties: repetition, presence, frequency;
//! 4. top-k, 5. locally typical, 6. top-p, 7. min-p;
//! 8. temperature;
//! 9. the draw, or the argmax at temperature 0.
//!
//! Top-k to min-p thus look at the model's own distribution (biased and penalised), not at one
//! that the temperature has flattened. Every filter keeps at least one token.
//!
//! **Determinism.** Equal logits, history, parameters and seed give equal tokens on every
//! platform: scores are only added, multiplied and compared, exponentials come from `libm` in
//! `f64`, sums run in a fixed order, the generator is [`Rng`], and of equal logits the lowest id
//! comes first.

mod candidates;
mod constraint;
mod error;
mod filters;
mod params;
mod rng;
mod sampler;
mod stop;
mod text_stream;
mod utf8;

pub use constraint::{Constraint, TokenMask};
pub use error::{ParamFault, SamplingError};
pub use params::SamplingParams;
pub use rng::Rng;
pub(crate) use sampler::check_finite;
pub use sampler::{Sampled, Sampler};
pub use stop::StopMatcher;
pub use text_stream::TextStream;
pub use utf8::Utf8Stream;
