// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho quantize` against PyTorch, and against plain loops.

use std::path::PathBuf;

use bho_engine::CancelToken;
use bho_models::decoder::{DecoderOptions, WeightFormat, load_decoder};
use bho_models::{ConvertOptions, ConvertReport, ModelError, Weights, convert};
use bho_tests::{Reference, golden, max_difference};
use tempfile::TempDir;

struct Quantized {
    _dir: TempDir,
    path: PathBuf,
    weights: Weights,
    report: ConvertReport,
}

fn quantize(case: &str, weights: WeightFormat) -> Result<Quantized, ModelError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let decoder = DecoderOptions { weights, floats_only: true, ..DecoderOptions::default() };
    let options = ConvertOptions { decoder, ..ConvertOptions::default() };
    let source = golden(&format!("decoder/{case}"));
    let report = convert(&source, &path, &options, &CancelToken::new(), &mut |_| {})?;
    let weights = Weights::open(&path)?;
    Ok(Quantized { _dir: dir, path, weights, report })
}

impl Quantized {
    /// Codes of a layer, row-major, as docs/formats.md places them in tiles.
    fn codes(&self, layer: &str, rows: usize, cols: usize) -> Vec<i8> {
        let bytes = self.weights.bytes(&format!("{layer}.ternary")).unwrap();
        let (tiles, across) = (bytes.as_bytes(), cols.div_ceil(16));
        let code = |row: usize, col: usize| {
            let tile = (row / 16 * across + col / 16) * 64;
            let (plane, lane) = (col % 16 / 4, col % 4);
            let byte = tiles[tile + 4 * (row % 16) + lane];
            (byte >> (2 * plane) & 3) as i8 - 1
        };
        (0..rows * cols).map(|i| code(i / cols, i % cols)).collect()
    }

    fn scales(&self, layer: &str, rows: usize) -> Vec<f32> {
        self.weights.floats(&format!("{layer}.scale"), &[rows]).unwrap()
    }

    /// Relative error, largest error, share of zeros and cosine, as reported.
    fn errors(&self, layer: &str) -> [f64; 4] {
        let name = format!("{layer}.ternary");
        let tensor = self.report.tensors.iter().find(|tensor| tensor.name == name).unwrap();
        [tensor.rms_error, tensor.max_error, tensor.zeros.unwrap(), tensor.cosine.unwrap()]
    }
}

const LAYERS: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

#[test]
fn codes_scales_and_errors_are_those_of_pytorch() {
    for case in ["llama_f32", "llama_bias"] {
        let file = golden(&format!("quantize/{case}.safetensors"));
        let (reference, shapes) = (Reference::open(&file), Weights::open(&file).unwrap());
        for (kind, format) in
            [("tensor", WeightFormat::Ternary), ("row", WeightFormat::TernaryRows)]
        {
            let found = quantize(case, format).unwrap();
            for layer in LAYERS.map(|layer| format!("model.layers.0.{layer}")) {
                let name = format!("{kind}.{layer}.codes");
                let &[rows, cols] = &shapes.tensor(&name).unwrap().shape[..] else { panic!() };
                let bytes = shapes.bytes(&name).unwrap();
                let codes: Vec<i8> = bytes.as_bytes().iter().map(|&b| b as i8).collect();
                assert!(found.codes(&layer, rows, cols) == codes, "{case}: {name}");
                let expected = reference.floats(&format!("{kind}.{layer}.scales")).unwrap();
                for (row, scale) in found.scales(&layer, rows).into_iter().enumerate() {
                    let expected = expected[row % expected.len()];
                    assert!((scale / expected - 1.0).abs() < 1e-6, "{scale} {expected}");
                }
                let expected = reference.floats(&format!("{kind}.{layer}.errors")).unwrap();
                let errors = found.errors(&layer).map(|error| error as f32);
                assert!(max_difference(&errors, &expected) < 1e-5, "{errors:?} {expected:?}");
            }
            load_decoder(&found.path).unwrap();
        }
    }
}

#[test]
fn errors_are_those_of_plain_loops() {
    let source = Weights::open(&golden("decoder/llama_bf16/model.safetensors")).unwrap();
    let found = quantize("llama_bf16", WeightFormat::TernaryRows).unwrap();
    let mut seen = 0;
    for layer in (0..2).flat_map(|i| LAYERS.map(|layer| format!("model.layers.{i}.{layer}"))) {
        let name = format!("{layer}.weight");
        let shape = source.tensor(&name).unwrap().shape.clone();
        let (rows, cols) = (shape[0], shape[1]);
        let values = source.floats(&name, &shape).unwrap();
        let (codes, scales) = (found.codes(&layer, rows, cols), found.scales(&layer, rows));
        let (mut error, mut norm, mut back_norm, mut dot) = (0.0, 0.0, 0.0, 0.0);
        let (mut largest, mut zeros) = (0f64, 0);
        for row in 0..rows {
            let mean = values[row * cols..][..cols].iter().map(|v| f64::from(v.abs())).sum::<f64>()
                / cols as f64;
            assert!((f64::from(scales[row]) / mean - 1.0).abs() < 1e-6);
            for col in 0..cols {
                let (value, code) = (f64::from(values[row * cols + col]), codes[row * cols + col]);
                // Beyond half the mean a weight is no longer 0.
                let expected = if value.abs() / mean < 0.5 { 0.0 } else { value.signum() };
                assert!(f64::from(code) == expected || (value.abs() / mean - 0.5).abs() < 1e-6);
                let back = f64::from(scales[row]) * f64::from(code);
                error += (value - back).powi(2);
                norm += value * value;
                back_norm += back * back;
                dot += value * back;
                largest = largest.max((value - back).abs());
                zeros += u32::from(code == 0);
            }
        }
        let expected = [
            (error / norm).sqrt(),
            largest,
            f64::from(zeros) / (rows * cols) as f64,
            dot / (norm * back_norm).sqrt(),
        ];
        for (found, expected) in found.errors(&layer).into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{layer}: {found} {expected}");
        }
        seen += 1;
    }
    assert_eq!(seen, 14);
}

#[test]
fn int8_costs_little_and_what_is_ternary_stays() {
    let found = quantize("llama_bf16", WeightFormat::Int8).unwrap();
    let int8 = found.report.tensors.iter().filter(|tensor| tensor.name.ends_with(".int8"));
    let worst = int8.map(|tensor| tensor.rms_error).fold(0.0, f64::max);
    assert!(worst > 1e-4 && worst < 0.02, "{worst}");
    // Rows of three values keep them, whatever is asked for.
    for format in [WeightFormat::Ternary, WeightFormat::TernaryRows, WeightFormat::Int8] {
        let found = quantize("trilm", format).unwrap();
        assert!(LAYERS.iter().all(|layer| {
            let [error, largest, zeros, cosine] = found.errors(&format!("model.layers.0.{layer}"));
            error == 0.0 && largest == 0.0 && zeros > 0.1 && cosine > 0.999_999
        }));
    }
    let error = quantize("bitnet_packed", WeightFormat::Ternary).map(drop).unwrap_err().to_string();
    assert!(error.contains("is ternary already"), "{error}");
}
