// SPDX-License-Identifier: AGPL-3.0-or-later
//! Rotary angles as configs describe them, with their scalings for longer contexts.

use bho_engine::decoder::RotaryEmbedding;

use super::settings::Settings;

/// Angles per position and what cosines and sines are multiplied by.
///
/// Reads `rope_parameters` or `rope_scaling` and `rope_theta`; `prefix` is the path of an object of
/// one kind of layer's settings inside `rope_parameters`, or empty.
pub(super) fn read(
    settings: &Settings<'_>,
    prefix: &str,
    head_dim: usize,
    default_base: f32,
    context: usize,
) -> (Vec<f32>, f32) {
    let within = |key: &str| match prefix {
        "" => format!("rope_parameters.{key}"),
        prefix => format!("rope_parameters.{prefix}.{key}"),
    };
    let base = settings
        .positive_if(&within("rope_theta"))
        .unwrap_or_else(|| settings.positive("rope_theta", default_base));
    let factor = settings
        .positive_if(&within("partial_rotary_factor"))
        .unwrap_or_else(|| settings.positive("partial_rotary_factor", 1.0));
    let rotated = (head_dim as f32 * factor) as usize;
    if rotated == 0 || rotated > head_dim || !rotated.is_multiple_of(2) {
        settings.fault(format!(
            "heads of {head_dim} values turn {rotated} of them; accepted: an even number up to that"
        ));
        return (Vec::new(), 1.0);
    }
    let plain = RotaryEmbedding::inv_freq(base, rotated);
    let scaling = if settings.get(&within("rope_type")).is_some() {
        within("")
    } else {
        "rope_scaling.".to_owned()
    };
    let at = |key: &str| format!("{scaling}{key}");
    let kinds = ["default", "linear", "llama3", "yarn", "divisors"];
    let path = ["rope_type", "type"].map(at).into_iter().find(|path| settings.get(path).is_some());
    let kind = path.and_then(|path| settings.choice(&path, &kinds)).map_or("default", |i| kinds[i]);
    let required = |key: &str| {
        settings.positive_if(&at(key)).unwrap_or_else(|| {
            settings.fault(format!("{} is missing; rope type {kind} needs it", at(key)));
            1.0
        })
    };
    match kind {
        "linear" => {
            let factor = required("factor");
            (plain.iter().map(|freq| freq / factor).collect(), 1.0)
        }
        "llama3" => {
            let llama3 = Llama3 {
                factor: required("factor"),
                low: required("low_freq_factor"),
                high: required("high_freq_factor"),
                context: required("original_max_position_embeddings"),
            };
            (plain.iter().map(|&freq| llama3.scaled(freq)).collect(), 1.0)
        }
        "yarn" => {
            let original =
                settings.positive(&at("original_max_position_embeddings"), context as f32);
            let factor = required("factor");
            // They would change the angles: told, not ignored.
            for key in ["mscale", "mscale_all_dim"].map(at) {
                if settings.get(&key).is_some() {
                    settings.fault(format!("{key} is set, which this version does not run"));
                }
            }
            if !settings.flag(&at("truncate"), true) {
                settings.fault(format!("{} is false; accepted: true", at("truncate")));
            }
            let yarn = Yarn {
                factor,
                fast: settings.positive(&at("beta_fast"), 32.0),
                slow: settings.positive(&at("beta_slow"), 1.0),
                original,
                base,
            };
            let scale = settings.positive(&at("attention_factor"), yarn_scale(factor));
            (yarn.scaled(&plain), scale)
        }
        // What a GGUF file has of any scaling: its outcome for each pair.
        "divisors" => {
            let divisors = settings.positives(&at("divisors"), plain.len()).unwrap_or_default();
            (plain.iter().zip(&divisors).map(|(freq, divisor)| freq / divisor).collect(), 1.0)
        }
        _ => (plain, 1.0),
    }
}

/// Llama 3.1's scaling: long wavelengths are stretched, short ones kept, those between mixed.
struct Llama3 {
    factor: f32,
    low: f32,
    high: f32,
    context: f32,
}

impl Llama3 {
    fn scaled(&self, freq: f32) -> f32 {
        let wavelength = 2.0 * std::f32::consts::PI / freq;
        if wavelength > self.context / self.low {
            freq / self.factor
        } else if wavelength < self.context / self.high {
            freq
        } else {
            let smooth = (self.context / wavelength - self.low) / (self.high - self.low);
            (1.0 - smooth) * freq / self.factor + smooth * freq
        }
    }
}

/// YaRN (arXiv:2309.00071, §3.2): a ramp over the pairs between those that turn often and seldom.
struct Yarn {
    factor: f32,
    fast: f32,
    slow: f32,
    original: f32,
    base: f32,
}

impl Yarn {
    /// The pair that turns `turns` times within the original context.
    fn pair(&self, turns: f32, rotated: usize) -> f32 {
        let per_turn = (self.original / (turns * 2.0 * std::f32::consts::PI)).ln();
        rotated as f32 * per_turn / (2.0 * self.base.ln())
    }

    fn scaled(&self, plain: &[f32]) -> Vec<f32> {
        let rotated = 2 * plain.len();
        let low = self.pair(self.fast, rotated).floor().max(0.0);
        let high = self.pair(self.slow, rotated).ceil().min(rotated as f32 - 1.0);
        let width = if high > low { high - low } else { 0.001 };
        let mix = |(i, freq): (usize, &f32)| {
            let ramp = ((i as f32 - low) / width).clamp(0.0, 1.0);
            freq / self.factor * ramp + freq * (1.0 - ramp)
        };
        plain.iter().enumerate().map(mix).collect()
    }
}

/// What YaRN multiplies cosines and sines by (§3.4).
fn yarn_scale(factor: f32) -> f32 {
    if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scaled(scaling: &serde_json::Value) -> Result<Vec<f32>, String> {
        let config = json!({ "rope_theta": 10_000.0, "rope_scaling": scaling });
        let settings = Settings::new("c", &config);
        let (freq, _) = read(&settings, "", 8, 1.0, 64);
        settings.finish(freq).map_err(|e| e.to_string())
    }

    #[test]
    fn divisors_apply_to_each_pair_and_what_is_not_run_is_told() {
        let plain = RotaryEmbedding::inv_freq(10_000.0, 8);
        let found =
            scaled(&json!({ "rope_type": "divisors", "divisors": [1, 2, 4.0, 8] })).unwrap();
        assert_eq!(found, [plain[0], plain[1] / 2.0, plain[2] / 4.0, plain[3] / 8.0]);
        let wrong = scaled(&json!({ "rope_type": "divisors", "divisors": [1, 0] })).unwrap_err();
        assert!(wrong.contains("accepted: 4 numbers above 0"), "{wrong}");
        let yarn = json!({ "rope_type": "yarn", "factor": 4, "mscale": 1, "truncate": false });
        let wrong = scaled(&yarn).unwrap_err();
        assert!(wrong.contains("mscale is set") && wrong.contains("truncate is false"), "{wrong}");
    }
}
