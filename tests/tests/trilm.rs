// SPDX-License-Identifier: AGPL-3.0-or-later
//! Ternary weights with a scale a column: which of them the layer before takes over, and that the two
//! together stay what they were.

use std::collections::BTreeMap;

use bho_engine::CancelToken;
use bho_kernels::TernaryView;
use bho_models::decoder::{DecoderOptions, WeightFormat, load_decoder};
use bho_models::{ConvertOptions, ModelError, TensorReport, Weights, convert};
use bho_tests::golden;
use proptest::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A checkpoint in memory.
#[derive(Clone)]
struct Checkpoint {
    config: Value,
    tensors: BTreeMap<String, Matrix>,
}

#[derive(Debug, Clone)]
struct Matrix {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Matrix {
    fn cols(&self) -> usize {
        self.shape[1]
    }

    fn get(&self, row: usize, col: usize) -> f32 {
        self.values[row * self.cols() + col]
    }

    /// Multiplies each column by what `factor` says of it.
    fn scale_columns(&mut self, factor: impl Fn(usize) -> f32) {
        let cols = self.cols();
        self.values.iter_mut().enumerate().for_each(|(i, v)| *v *= factor(i % cols));
    }

    /// The largest of each row's values.
    fn steps(&self) -> Vec<f32> {
        let rows = self.values.chunks_exact(self.cols());
        rows.map(|row| row.iter().fold(0.0, |step, v| v.abs().max(step))).collect()
    }
}

impl Checkpoint {
    fn open(case: &str) -> Self {
        let folder = golden(&format!("decoder/{case}"));
        let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
        let file = Weights::open(&folder.join("model.safetensors")).unwrap();
        let tensors = file.tensors().iter().map(|(name, tensor)| {
            let shape = tensor.shape.clone();
            let values = file.floats(name, &shape).unwrap();
            (name.clone(), Matrix { shape, values })
        });
        Self { config: serde_json::from_str(&config).unwrap(), tensors: tensors.collect() }
    }

    fn get(&mut self, name: &str) -> &mut Matrix {
        self.tensors.get_mut(&format!("model.layers.0.{name}.weight")).unwrap()
    }

    fn convert(&self, decoder: DecoderOptions) -> Result<Converted, ModelError> {
        let dir = tempfile::tempdir().unwrap();
        let views = self.tensors.iter().map(|(name, matrix)| {
            let bytes: Vec<u8> = matrix.values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (name.as_str(), matrix.shape.clone(), bytes)
        });
        let views: Vec<_> = views.collect();
        let views = views.iter().map(|(name, shape, bytes)| {
            (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        std::fs::write(dir.path().join("model.safetensors"), serialize(views, None).unwrap())
            .unwrap();
        std::fs::write(dir.path().join("config.json"), self.config.to_string()).unwrap();
        let path = dir.path().join("out.safetensors");
        let options = ConvertOptions { decoder, ..ConvertOptions::default() };
        let report = convert(dir.path(), &path, &options, &CancelToken::new(), &mut |_| {});
        assert_eq!(report.is_ok(), path.exists());
        let report = report?;
        load_decoder(&path).unwrap();
        Ok(Converted { weights: Weights::open(&path)?, report: report.tensors, _dir: dir })
    }
}

struct Converted {
    weights: Weights,
    report: Vec<TensorReport>,
    _dir: TempDir,
}

impl Converted {
    /// What a layer is stored as.
    fn kind(&self, layer: &str) -> &str {
        let start = format!("model.layers.0.{layer}.");
        let kinds = self.weights.tensors().keys().filter_map(|name| name.strip_prefix(&start));
        let kinds: Vec<_> = kinds.filter(|kind| !["scale", "bias"].contains(kind)).collect();
        assert_eq!(kinds.len(), 1, "{layer}: {kinds:?}");
        kinds[0]
    }

    fn kinds(&self, layers: [&str; 2]) -> [&str; 2] {
        layers.map(|layer| self.kind(layer))
    }

    fn scales(&self, layer: &str, rows: usize) -> Vec<f32> {
        self.weights.floats(&format!("model.layers.0.{layer}.scale"), &[rows]).unwrap()
    }

    /// The weights that a ternary layer runs with.
    fn matrix(&self, layer: &str, shape: &[usize]) -> Matrix {
        let (rows, cols) = (shape[0], shape[1]);
        let bytes = self.weights.bytes(&format!("model.layers.0.{layer}.ternary")).unwrap();
        let view = TernaryView::new(rows, cols, bytes.as_bytes()).unwrap();
        let scales = self.scales(layer, rows);
        let weight = |i: usize| scales[i / cols] * f32::from(view.get(i / cols, i % cols));
        let values = (0..rows * cols).map(weight).collect();
        Matrix { shape: shape.to_vec(), values }
    }
}

const ATTENTION: [&str; 2] = ["self_attn.v_proj", "self_attn.o_proj"];
const FFN: [&str; 2] = ["mlp.up_proj", "mlp.down_proj"];
const LAYERS: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    ATTENTION[0],
    ATTENTION[1],
    "mlp.gate_proj",
    FFN[0],
    FFN[1],
];

/// That both layers are ternary and each product of two weights on one path through them is what it
/// was, but for rounding. Both are functions of these products alone.
fn assert_same_together(source: &mut Checkpoint, found: &Converted, layers: [&str; 2]) {
    assert_eq!(found.kinds(layers), ["ternary"; 2]);
    let was = layers.map(|layer| source.get(layer).clone());
    let is = [0, 1].map(|i| found.matrix(layers[i], &was[i].shape));
    let size = |key: &str| source.config[key].as_u64().unwrap() as usize;
    let sharing = size("num_attention_heads") / size("num_key_value_heads");
    let heads = size("num_attention_heads");
    let cols = was[1].cols();
    let mut seen = 0;
    for col in 0..cols {
        let row = match layers == ATTENTION {
            true => {
                let dim = cols / heads;
                col / dim / sharing * dim + col % dim
            }
            false => col,
        };
        for out in 0..was[1].shape[0] {
            for input in 0..was[0].cols() {
                let product = |m: &[Matrix; 2]| {
                    f64::from(m[1].get(out, col)) * f64::from(m[0].get(row, input))
                };
                let (was, is) = (product(&was), product(&is));
                assert!((was - is).abs() <= was.abs() * 3e-7, "{layers:?} {col}: {was} {is}");
                seen += usize::from(was != 0.0);
            }
        }
    }
    assert!(seen > 1000, "{seen}");
}

#[test]
fn columns_that_the_layer_before_can_scale_become_ternary() {
    for case in ["trilm_blocks", "trilm_gqa"] {
        let mut source = Checkpoint::open(case);
        for weights in [WeightFormat::Int8, WeightFormat::F32, WeightFormat::Ternary] {
            let found = source.convert(DecoderOptions { weights, ..Default::default() }).unwrap();
            for layer in LAYERS {
                assert_eq!(found.kind(layer), "ternary", "{case} {layer}");
                let name = format!("model.layers.0.{layer}.ternary");
                let report = found.report.iter().find(|tensor| tensor.name == name).unwrap();
                assert!(report.rms_error < 1e-7 && report.cosine.unwrap() > 0.999_999);
                assert!((0.1..0.5).contains(&report.zeros.unwrap()));
            }
            assert_same_together(&mut source, &found, ATTENTION);
            assert_same_together(&mut source, &found, FFN);
        }
        let dense = DecoderOptions { dense: true, ..Default::default() };
        let dense = source.convert(dense).unwrap();
        assert!(LAYERS.iter().all(|layer| dense.kind(layer) == "ternary_dense"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_scales_signs_and_zeros_of_columns_are_kept(
        down in scales(84), value_rows in scales(24), output in scales(48),
    ) {
        let mut source = Checkpoint::open("trilm_gqa");
        source.get(FFN[1]).scale_columns(|col| down[col]);
        // Heads `2k` and `2k + 1`, of eight columns each, read head `k` of the values.
        let of_row = |col: usize| value_rows[col / 8 / 2 * 8 + col % 8];
        let own = |col: usize| output[col].signum() * f32::from(u8::from(output[col] != 0.0));
        source.get(ATTENTION[1]).scale_columns(|col| of_row(col) * own(col));
        let found = source.convert(DecoderOptions::default()).unwrap();
        assert_same_together(&mut source, &found, FFN);
        assert_same_together(&mut source, &found, ATTENTION);
    }
}

/// A scale for each of `cols` columns, not all of them 0.
fn scales(cols: usize) -> impl Strategy<Value = Vec<f32>> {
    let scale = prop::sample::select(vec![1.0, -1.0, 0.25, -0.3, 1e-6, -1e-6, 0.0]);
    prop::collection::vec(scale, cols).prop_map(|mut scales| {
        scales[0] = 1.0;
        scales
    })
}

#[test]
fn one_column_decides_and_one_of_zeros_does_not() {
    let mut source = Checkpoint::open("trilm_gqa");
    // Columns 3 and 11 of o_proj read the same row of v_proj.
    source.get(ATTENTION[1]).scale_columns(|col| if col == 3 { 0.5 } else { 1.0 });
    let found = source.convert(DecoderOptions::default()).unwrap();
    assert_eq!(found.kinds(ATTENTION), ["ternary", "int8"]);
    source.get(ATTENTION[1]).scale_columns(|col| if col == 11 { 0.0 } else { 1.0 });
    let found = source.convert(DecoderOptions::default()).unwrap();
    assert_same_together(&mut source, &found, ATTENTION);
    // A single other value.
    source.get(ATTENTION[1]).values[5] = 0.123;
    let found = source.convert(DecoderOptions::default()).unwrap();
    assert_eq!(found.kinds(ATTENTION), ["ternary", "int8"]);
}

#[test]
fn biases_and_other_weights_before_are_in_the_way() {
    let mut source = Checkpoint::open("trilm_blocks");
    for (key, layers) in [("attention_bias", "self_attn"), ("mlp_bias", "mlp")] {
        source.config[key] = json!(true);
        let matrices = source.tensors.iter().filter(|(name, _)| name.contains(layers));
        let biases = matrices.map(|(name, matrix)| {
            let bias = Matrix { shape: vec![matrix.shape[0]], values: vec![0.5; matrix.shape[0]] };
            (name.replace(".weight", ".bias"), bias)
        });
        let biases: Vec<_> = biases.collect();
        source.tensors.extend(biases);
    }
    let found = source.convert(DecoderOptions::default()).unwrap();
    for layers in [ATTENTION, FFN] {
        assert_eq!(found.kinds(layers), ["ternary", "int8"]);
        let before = source.get(layers[0]).clone();
        assert_eq!(found.scales(layers[0], before.shape[0]), before.steps());
    }
    let mut source = Checkpoint::open("trilm_blocks");
    for layers in [ATTENTION, FFN] {
        source.get(layers[0]).values[0] = 0.123;
    }
    let found = source.convert(DecoderOptions::default()).unwrap();
    assert_eq!(found.kinds(ATTENTION), ["int8"; 2]);
    assert_eq!(found.kinds(FFN), ["int8"; 2]);
}

#[test]
fn a_value_that_is_no_number_is_named() {
    for (layer, bad) in [(ATTENTION[1], f32::NAN), (FFN[1], f32::NEG_INFINITY), (FFN[0], f32::NAN)]
    {
        let mut source = Checkpoint::open("trilm_blocks");
        let matrix = source.get(layer);
        let (row, col) = (matrix.shape[0] - 1, matrix.shape[1] - 1);
        *matrix.values.last_mut().unwrap() = bad;
        let error = source.convert(DecoderOptions::default()).map(drop).unwrap_err().to_string();
        let place = format!("row {row}, column {col} is {bad}");
        assert!(error.contains(&format!("{layer}.weight")) && error.contains(&place), "{error}");
    }
}

#[test]
fn values_that_query_heads_of_different_scales_share_are_left_alone() {
    let mut source = Checkpoint::open("trilm_gqa_apart");
    for (weights, kept) in [(WeightFormat::Int8, "int8"), (WeightFormat::F32, "weight")] {
        let found = source.convert(DecoderOptions { weights, ..Default::default() }).unwrap();
        assert_eq!(found.kinds(ATTENTION), ["ternary", kept]);
        let values = source.get(ATTENTION[0]).clone();
        assert_eq!(found.scales(ATTENTION[0], values.shape[0]), values.steps());
        // Nothing is in the way of the other pair.
        assert_same_together(&mut source, &found, FFN);
    }
}
