// SPDX-License-Identifier: AGPL-3.0-or-later
//! Packed weights and products with them, on every backend this machine can run: exact for weights
//! of any shape, the same floats everywhere, and neither a panic nor a read past the end for bytes
//! and shapes that no packer made.
#![no_main]

use bho_fuzz::{Fill, Floats, Hostile, bits, print_backends};
use bho_kernels::{
    DenseTernaryMatrix, DenseTernaryView, Dequant, Int8Matrix, Int8View, KernelError, Kernels,
    MAX_DIM, QuantRows, RowsView, TernaryMatrix, TernaryView, available, oracle,
};
use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Input {
    /// Weights packed here.
    Packed { shape: Shape, weights: Fill, x: Fill },
    /// Packed bytes from anywhere.
    Bytes { shape: Shape, bytes: Fill, x: Fill },
    /// Sums scaled to floats, with zero points; each array is as much too long as given.
    Linear { shape: Shape, weights: Fill, x: Floats, arrays: [Floats; 2], extra: [Option<bool>; 4] },
    /// Views of buffers that need not fit.
    Views { rows: Hostile, cols: Hostile, len: u16, off_by: Option<i8> },
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    rows: usize,
    cols: usize,
    tokens: usize,
}

impl<'a> Arbitrary<'a> for Shape {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self {
            rows: u.int_in_range(1..=80)?,
            cols: u.int_in_range(1..=700)?,
            tokens: u.int_in_range(0..=20)?,
        })
    }
}

fuzz_target!(init: print_backends(), |input: Input| {
    match input {
        Input::Packed { shape, weights, x } => packed(shape, &weights, &x),
        Input::Bytes { shape, bytes, x } => any_bytes(shape, &bytes, &x),
        Input::Linear { shape, weights, x, arrays, extra } => {
            linear(shape, &weights, &x, &arrays, extra);
        }
        Input::Views { rows, cols, len, off_by } => views(rows.0, cols.0, len, off_by),
    }
});

fn packed(shape: Shape, weights: &Fill, x: &Fill) {
    let Shape { rows, cols, tokens } = shape;
    let x = x.int8(tokens * cols);

    let w = weights.trits(rows * cols);
    let matrix = TernaryMatrix::pack(rows, cols, &w).unwrap();
    assert_eq!(matrix.view().unpack(), w);
    assert_eq!(matrix.view().check_codes(), Ok(()));
    // In a buffer that ends where the weights do: AddressSanitizer sees a read behind it.
    let bytes = matrix.as_bytes().to_vec().into_boxed_slice();
    ternary_is_exact(shape, TernaryView::new(rows, cols, &bytes).unwrap(), &w, &x);

    let dense = DenseTernaryMatrix::from_ternary(matrix.view()).unwrap();
    assert_eq!(dense.view().unpack(), w);
    assert_eq!(dense.view().to_ternary(), matrix);
    let bytes = dense.as_bytes().to_vec().into_boxed_slice();
    dense_is_exact(shape, DenseTernaryView::new(rows, cols, &bytes).unwrap(), &w, &x);

    let w = weights.int8(rows * cols);
    let matrix = Int8Matrix::pack(rows, cols, &w).unwrap();
    assert_eq!(matrix.view().unpack(), w);
    let sums: Vec<i32> =
        w.chunks_exact(cols).map(|row| row.iter().copied().map(i32::from).sum()).collect();
    assert_eq!(matrix.view().row_sums(), sums);
    let bytes = matrix.as_bytes().to_vec().into_boxed_slice();
    int8_is_exact(shape, Int8View::new(rows, cols, &bytes).unwrap(), &w, &x);
}

fn any_bytes(shape: Shape, bytes: &Fill, x: &Fill) {
    let Shape { rows, cols, tokens } = shape;
    let x = x.int8(tokens * cols);

    let packed = bytes.bytes(TernaryView::packed_len(rows, cols).unwrap()).into_boxed_slice();
    let view = TernaryView::new(rows, cols, &packed).unwrap();
    let code_3 = packed.iter().position(|byte| (0..4).any(|i| byte >> (2 * i) & 3 == 3));
    assert_eq!(
        view.check_codes(),
        code_3.map_or(Ok(()), |offset| Err(KernelError::Code { offset }))
    );
    let w = view.unpack();
    assert!(w.iter().all(|w| (-1..=2).contains(w)));
    if code_3.is_none() {
        ternary_is_exact(shape, view, &w, &x);
    } else {
        let x = QuantRows::from_int8(&x, cols).unwrap();
        for k in available() {
            k.ternary_gemm(view, x.view(), &mut vec![0; tokens * rows]).unwrap();
        }
    }

    let packed = bytes.bytes(DenseTernaryView::packed_len(rows, cols).unwrap()).into_boxed_slice();
    let view = DenseTernaryView::new(rows, cols, &packed).unwrap();
    dense_is_exact(shape, view, &view.unpack(), &x);

    let packed = bytes.bytes(Int8View::packed_len(rows, cols).unwrap()).into_boxed_slice();
    let view = Int8View::new(rows, cols, &packed).unwrap();
    // What pads the last block may hold anything here, which is not in the weights.
    assert_eq!(view.row_sums().len(), rows);
    int8_is_exact(shape, view, &view.unpack(), &x);
}

fn ternary_is_exact(shape: Shape, view: TernaryView<'_>, w: &[i8], x: &[i8]) {
    is_exact("ternary", shape, w, x, |k, x, y| k.ternary_gemm(view, x, y).map(drop));
}

fn dense_is_exact(shape: Shape, view: DenseTernaryView<'_>, w: &[i8], x: &[i8]) {
    is_exact("dense", shape, w, x, |k, x, y| k.ternary_dense_gemm(view, x, y).map(drop));
}

fn int8_is_exact(shape: Shape, view: Int8View<'_>, w: &[i8], x: &[i8]) {
    is_exact("int8", shape, w, x, |k, x, y| k.int8_gemm(view, x, y).map(drop));
}

fn is_exact(
    what: &str,
    Shape { rows, cols, tokens }: Shape,
    w: &[i8],
    x: &[i8],
    gemm: impl Fn(&dyn Kernels, RowsView<'_>, &mut [i32]) -> Result<(), KernelError>,
) {
    let expected = oracle::matmul_int(w, x, rows, cols);
    let x = QuantRows::from_int8(x, cols).unwrap();
    for k in available() {
        let mut y = vec![i32::MIN; tokens * rows];
        gemm(k, x.view(), &mut y).unwrap();
        let same = y.iter().map(|&v| i64::from(v)).eq(expected.iter().copied());
        assert!(same, "{what} of {}, {rows}x{cols}, {tokens} tokens", k.name());
    }
}

fn linear(
    Shape { rows, cols, tokens }: Shape,
    weights: &Fill,
    x: &Floats,
    [scales, bias]: &[Floats; 2],
    extra: [Option<bool>; 4],
) {
    // None: absent where that is allowed; true: one too many.
    let [one_scale, one_sum, one_bias, one_output] =
        extra.map(|extra| extra.map(|extra| rows + usize::from(extra)));
    let ternary = TernaryMatrix::pack(rows, cols, &weights.trits(rows * cols)).unwrap();
    let dense = DenseTernaryMatrix::from_ternary(ternary.view()).unwrap();
    let int8 = Int8Matrix::pack(rows, cols, &weights.int8(rows * cols)).unwrap();
    let scales = scales.take(one_scale.unwrap_or(rows));
    let bias = one_bias.map(|n| bias.take(n));
    let mut row_sums = int8.view().row_sums();
    row_sums.resize(one_sum.unwrap_or(0), 0);
    let row_sums = one_sum.map(|_| &*row_sums);
    let dequant = Dequant { row_scales: &scales, row_sums, bias: bias.as_deref() };
    let outputs = tokens * rows + one_output.map_or(0, |n| n - rows);
    let x = x.take(tokens * cols);
    let mut first = None;
    for k in available() {
        let mut quant = QuantRows::new();
        let x = quant.quantize_range(k, &x, cols).unwrap();
        let fits = outputs == tokens * rows
            && scales.len() == rows
            && row_sums.map_or(!x.has_zeros(), |sums| sums.len() == rows)
            && bias.as_ref().is_none_or(|bias| bias.len() == rows);
        let mut y = [(); 3].map(|()| vec![0f32; outputs]);
        let done = [
            k.ternary_linear(ternary.view(), x, dequant, &mut y[0]).map(drop),
            k.int8_linear(int8.view(), x, dequant, &mut y[1]).map(drop),
            k.ternary_dense_linear(dense.view(), x, dequant, &mut y[2]).map(drop),
        ];
        assert!(done.iter().all(|done| done.is_ok() == fits), "{done:?}");
        assert_eq!(bits(&y[0]), bits(&y[2]), "the dense format: {}", k.name());
        let found = (done, y.map(|y| bits(&y)));
        assert_eq!(*first.get_or_insert_with(|| found.clone()), found, "{}", k.name());
    }
}

fn views(rows: usize, cols: usize, len: u16, off_by: Option<i8>) {
    let max = |max_cols| rows.wrapping_sub(1) < MAX_DIM && cols.wrapping_sub(1) < max_cols;
    for (inputs, max_cols) in [(16, MAX_DIM), (20, MAX_DIM), (4, Int8View::MAX_COLS)] {
        let tiles = rows.div_ceil(16) as u128 * cols.div_ceil(inputs) as u128;
        let needed = tiles.saturating_mul(64);
        let len = match off_by {
            Some(off_by) if needed < 1 << 20 => {
                (needed as usize).saturating_add_signed(off_by.into())
            }
            _ => len.into(),
        };
        let fits = max(max_cols) && needed == len as u128;
        let bytes = vec![0; len];
        let viewed = match inputs {
            16 => TernaryView::new(rows, cols, &bytes).is_ok(),
            20 => DenseTernaryView::new(rows, cols, &bytes).is_ok(),
            _ => Int8View::new(rows, cols, &bytes).is_ok(),
        };
        assert_eq!(viewed, fits, "{inputs}");
        let weights = vec![0; len];
        let fits = max(max_cols) && rows as u128 * cols as u128 == len as u128;
        let packed = match inputs {
            16 => TernaryMatrix::pack(rows, cols, &weights).is_ok(),
            20 => DenseTernaryMatrix::pack(rows, cols, &weights).is_ok(),
            _ => Int8Matrix::pack(rows, cols, &weights).is_ok(),
        };
        assert_eq!(packed, fits, "{inputs}");
    }
}
