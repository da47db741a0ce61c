// SPDX-License-Identifier: AGPL-3.0-or-later
//! Tensors that are missing, of another type, or full of values that no model has.

use crate::file::{File, MODELS, PAIR, Tensor, converted, small};
use crate::{refused, survives};

const DTYPES: [(&str, usize); 12] = [
    ("F64", 8),
    ("F32", 4),
    ("F16", 2),
    ("BF16", 2),
    ("F8_E4M3", 1),
    ("I64", 8),
    ("I32", 4),
    ("I16", 2),
    ("I8", 1),
    ("U8", 1),
    ("U32", 4),
    ("BOOL", 1),
];

fn elements(tensor: &Tensor) -> usize {
    tensor.shape.iter().product()
}

/// Every tensor of a file.
fn all(file: &File) -> impl Iterator<Item = (&File, usize)> {
    (0..file.tensors.len()).map(move |i| (file, i))
}

#[test]
fn each_missing_tensor_is_named() {
    for case in MODELS {
        let file = converted(case);
        for (i, tensor) in file.tensors.iter().enumerate() {
            // Without its first table, the checkpoint's prefix cannot be told either.
            let name = tensor.name.trim_start_matches("bert.");
            refused(&file.clone().with(|f| drop(f.tensors.remove(i))), &[name]);
        }
    }
}

#[test]
fn each_tensor_of_another_type_is_named_or_read_as_what_it_is() {
    for (file, i) in [small(), converted(PAIR)].iter().flat_map(all) {
        let tensor = &file.tensors[i];
        for (dtype, size) in DTYPES.iter().filter(|(d, _)| *d != tensor.dtype) {
            let bytes = file.clone().with(|f| {
                f.tensors[i].dtype = (*dtype).into();
                f.tensors[i].data = vec![0; elements(tensor) * size];
            });
            // Vectors, scales and tables may be any float; packed matrices are bytes.
            if matches!(*dtype, "F32" | "F16" | "BF16") && tensor.dtype != "U8" {
                assert!(survives(&bytes), "{} as {dtype}", tensor.name);
            } else {
                refused(&bytes, &[&tensor.name]);
            }
        }
    }
}

#[test]
fn each_tensor_of_another_shape_is_named() {
    for (file, i) in [small(), converted(PAIR)].iter().flat_map(all) {
        let tensor = &file.tensors[i];
        let mut wrong = vec![vec![elements(tensor), 1], [&tensor.shape[..], &[1]].concat()];
        wrong.push(vec![0]);
        let mut longer = tensor.shape.clone();
        longer[0] += 1;
        wrong.push(longer);
        let mut turned = tensor.shape.clone();
        turned.reverse();
        if turned != tensor.shape {
            wrong.push(turned);
        }
        let size = tensor.data.len() / elements(tensor);
        for shape in wrong {
            let bytes = file.clone().with(|f| {
                f.tensors[i].data = vec![1; shape.iter().product::<usize>() * size];
                f.tensors[i].shape = shape;
            });
            refused(&bytes, &[&tensor.name]);
        }
    }
}

#[test]
fn values_that_are_not_finite_are_named() {
    for case in MODELS {
        let file = converted(case);
        for (i, tensor) in file.tensors.iter().enumerate().filter(|(_, t)| t.dtype == "F32") {
            for value in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let bytes = file.clone().with(|f| put(f, i, elements(tensor) - 1, value));
                refused(&bytes, &[&tensor.name, "not finite"]);
            }
        }
    }
}

#[test]
fn absurd_but_finite_values_run_without_a_panic() {
    for case in MODELS {
        let file = converted(case);
        for value in [f32::MAX, f32::MIN, 1e30, 1e-45, 0.0, -0.0, -1.0] {
            for (i, tensor) in file.tensors.iter().enumerate().filter(|(_, t)| t.dtype == "F32") {
                let bytes = file.clone().with(|f| {
                    (0..elements(tensor)).for_each(|e| put(f, i, e, value));
                });
                assert!(survives(&bytes), "{case} {} all {value}", tensor.name);
            }
            // Everything at once.
            let bytes = file.clone().with(|f| {
                for i in 0..f.tensors.len() {
                    let tensor = f.tensors[i].clone();
                    if tensor.dtype == "F32" {
                        (0..elements(&tensor)).for_each(|e| put(f, i, e, value));
                    } else {
                        // Codes 3 are refused.
                        let ternary = tensor.name.ends_with(".ternary");
                        f.tensors[i].data.fill(if ternary { 0b10_10_10_10 } else { 255 });
                    }
                }
            });
            assert!(survives(&bytes), "{case} all {value}");
        }
    }
}

#[test]
fn tensors_nobody_asked_for_do_no_harm() {
    let extra = |name: &str, shape: Vec<usize>| Tensor {
        name: name.into(),
        dtype: "F32".into(),
        data: vec![0; shape.iter().product::<usize>() * 4],
        shape,
    };
    assert!(survives(&small().with(|f| f.tensors.push(extra("other", vec![3])))));
    assert!(survives(&small().with(|f| f.tensors.push(extra("", vec![0])))));
    assert!(survives(&small().with(|f| f.tensors.push(extra("a\0\n\u{1b}[31m", vec![0])))));
    // A second trunk: whichever prefix is taken, the tensors behind it must all be there.
    let name = "a.embeddings.word_embeddings.weight";
    let shape = vec![101, 36];
    refused(&small().with(|f| f.tensors.push(extra(name, shape))), &["tensor", "a."]);
}

fn put(file: &mut File, tensor: usize, element: usize, value: f32) {
    file.tensors[tensor].data[element * 4..][..4].copy_from_slice(&value.to_le_bytes());
}
