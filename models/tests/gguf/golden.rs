// SPDX-License-Identifier: AGPL-3.0-or-later
//! Files written by the `gguf` package, and the values it finds in them
//! (`tools/golden/make_gguf_goldens.py`).

use std::path::{Path, PathBuf};

use bho_kernels::I2sLayout;
use bho_models::gguf::{GgufFile, GgufValue, GgufValueType};

use crate::build::parse;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/gguf").join(name)
}

fn values(name: &str) -> Vec<f32> {
    let bytes = std::fs::read(golden(name)).unwrap();
    bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

/// All rows of a tensor, one at a time.
fn decode(file: &GgufFile, name: &str) -> Vec<f32> {
    let tensor = file.tensor(name).unwrap();
    let mut out = vec![f32::NAN; tensor.elements()];
    for (row, out) in out.chunks_exact_mut(tensor.cols()).enumerate() {
        file.rows_f32(name, row..row + 1, out).unwrap();
    }
    out
}

#[test]
fn every_type_has_the_values_of_the_gguf_package() {
    let file = GgufFile::open(&golden("types.gguf")).unwrap();
    assert_eq!(file.version(), 3);
    let expected = values("types.f32");
    let mut rest = &expected[..];
    // In the order of the file, which is that of the values.
    let names = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0"]
        .map(|name| format!("quantized.{name}"));
    let random = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
        .map(|name| format!("random.{name}"));
    let others = ["three_dims", "vector"].map(str::to_owned);
    let names: Vec<String> = names.into_iter().chain(random).chain(others).collect();
    assert_eq!(names.len(), file.tensors().len());
    for name in names {
        let tensor = file.tensor(&name).unwrap();
        let (expected, more) = rest.split_at(tensor.elements());
        rest = more;
        let got = decode(&file, &name);
        let ternary = file.ternary(&name).unwrap().is_some();
        for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
            // A ternary zero has no sign here; anything else is the same bits.
            let same = got.to_bits() == expected.to_bits() || ternary && got == expected;
            assert!(same, "{name} {i}: {got:e}, expected {expected:e}");
        }
        let mut all = vec![0.0; tensor.elements()];
        file.rows_f32(&name, 0..tensor.rows(), &mut all).unwrap();
        assert_eq!(all, got, "{name}");
        if let Some((_, kind)) = name.split_once('.') {
            assert_eq!((tensor.kind.name(), &tensor.shape[..]), (kind, &[3, 256][..]));
        }
    }
    assert!(rest.is_empty());
    let shape = |name: &str| file.tensor(name).unwrap().shape.clone();
    assert_eq!((shape("three_dims"), shape("vector")), (vec![2, 3, 5], vec![7]));
    assert_eq!(
        (file.tensor("three_dims").unwrap().rows(), file.tensor("vector").unwrap().rows()),
        (6, 1)
    );
    assert_eq!(file.floats("vector", &[7]).unwrap(), expected[expected.len() - 7..]);
}

#[test]
fn both_layouts_of_i2_s_are_read_as_the_caller_says() {
    let file = GgufFile::open(&golden("i2_s.gguf")).unwrap();
    let arm = file.clone().with_i2s_layout(I2sLayout::Arm);
    let expected = values("i2_s.f32");
    assert_eq!(decode(&file, "x86"), expected[..3 * 256]);
    assert_eq!(decode(&arm, "arm"), expected[3 * 256..]);
    // The same bytes, another order.
    assert_ne!(decode(&arm, "x86"), expected[..3 * 256]);
    let error = file.rows_f32("arm", 0..1, &mut [0.0; 192]).unwrap_err().to_string();
    assert!(error.contains("192 columns; a multiple of 128 is needed"), "{error}");
    assert_eq!(file.tensor("x86").unwrap().bytes(), 3 * 256 / 4 + 32);
    let imported = file.ternary("x86").unwrap().unwrap().import().unwrap();
    let scale = imported.row_scales[0];
    let weights = imported.weights.view().unpack();
    let floats: Vec<f32> = weights.into_iter().map(|w| scale * f32::from(w)).collect();
    assert_eq!(floats, expected[..3 * 256]);
}

#[test]
fn every_value_type_is_read_and_the_second_version_reads_the_same() {
    let bytes = std::fs::read(golden("types.gguf")).unwrap();
    let mut second = bytes.clone();
    second[4] = 2;
    for file in [parse(bytes).unwrap(), parse(second).unwrap()] {
        let uint = |key: &str| file.uint(key).unwrap();
        assert_eq!(uint("is.u8"), Some(200));
        assert_eq!(uint("is.u16"), Some(60_000));
        assert_eq!(uint("is.u32"), Some(4_000_000_000));
        assert_eq!(uint("is.u64"), Some(u64::MAX));
        assert_eq!(file.value("is.i8"), Some(GgufValue::Int(-100)));
        assert_eq!(file.value("is.i16"), Some(GgufValue::Int(-30_000)));
        assert_eq!(file.value("is.i32"), Some(GgufValue::Int(-2_000_000_000)));
        assert_eq!(file.value("is.i64"), Some(GgufValue::Int(i64::MIN)));
        assert_eq!(file.float("is.f32").unwrap(), Some(0.1));
        assert_eq!(file.value("is.f64"), Some(GgufValue::Float(0.1)));
        assert_eq!(file.bool("is.bool").unwrap(), Some(true));
        assert_eq!(file.str("is.string").unwrap(), Some("zwölf Boxkämpfer 🥊"));
        assert_eq!(file.str("is.nothing").unwrap(), None);
        let array = |key: &str| file.array(key).unwrap().unwrap();
        let strings: Vec<_> = array("is.strings").iter().collect();
        assert_eq!(strings, ["", "a", "é"].map(GgufValue::Str));
        let ints: Vec<_> = array("is.ints").iter().collect();
        assert_eq!(ints, [1, -2, 3].map(GgufValue::Int));
        let floats: Vec<_> = array("is.floats").iter().collect();
        assert_eq!(floats, [0.5, -0.25].map(GgufValue::Float));
        assert_eq!(array("is.bools").kind(), GgufValueType::Bool);
        let inner: Vec<Vec<_>> = array("is.nested")
            .iter()
            .map(|value| match value {
                GgufValue::Array(array) => array.iter().collect(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(inner, [[1, 2].map(GgufValue::Int).to_vec(), vec![GgufValue::Int(3)]]);
        let error = file.uint("is.i8").unwrap_err().to_string();
        let expected = "test.gguf: metadata is.i8: expected an integer that is not negative, found integer -100";
        assert_eq!(error, expected);
    }
}
