// SPDX-License-Identifier: AGPL-3.0-or-later
//! Which backends this run covers: the rest of the suite takes what it finds.

use bho_kernels::{QuantRows, TernaryMatrix, available};

/// `BHO_EXPECT_BACKENDS=scalar,avx2` makes a run fail that finds others; without it they are only
/// listed.
#[test]
fn the_backends_are_those_expected() {
    let names: Vec<_> = available().iter().map(|k| k.name()).collect();
    let names = names.join(",");
    println!("backends: {names}");
    if let Ok(expected) = std::env::var("BHO_EXPECT_BACKENDS") {
        assert_eq!(names, expected, "backends of this machine, slowest first");
    }
}

#[test]
fn every_backend_does_the_work_of_many_tokens_itself() {
    let w = TernaryMatrix::pack(1, 3, &[1, 0, -1]).unwrap();
    for k in available() {
        let ran = [1, 40].map(|tokens| {
            let x = QuantRows::from_int8(&[5, 6, 7].repeat(tokens), 3).unwrap();
            let mut y = vec![0; tokens];
            let ran = k.ternary_gemm(w.view(), x.view(), &mut y).unwrap();
            assert_eq!(y, vec![-2; tokens]);
            ran
        });
        println!("{}: {}, {}", k.name(), ran[0], ran[1]);
        assert_eq!(ran[1].isa, k.name());
    }
}
