// SPDX-License-Identifier: AGPL-3.0-or-later
//! How far two series of numbers rise together: Pearson's and Spearman's coefficients, with a weight for each pair.

/// Pairs of numbers, their order by each side found once.
pub(crate) struct Pairs {
    a: Vec<f64>,
    b: Vec<f64>,
    order_a: Vec<usize>,
    order_b: Vec<usize>,
}

impl Pairs {
    /// Pairs of finite numbers.
    pub(crate) fn new(pairs: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let order = |values: &[f64]| {
            let mut order: Vec<usize> = (0..values.len()).collect();
            order.sort_by(|i, j| values[*i].total_cmp(&values[*j]));
            order
        };
        let (order_a, order_b) = (order(&a), order(&b));
        Self { a, b, order_a, order_b }
    }

    /// Pearson's coefficient; NaN where a side does not vary.
    pub(crate) fn pearson(&self, weights: &[u32]) -> f64 {
        pearson(&self.a, &self.b, weights)
    }

    /// Spearman's: Pearson's of the ranks, equal numbers sharing their mean rank.
    pub(crate) fn spearman(&self, weights: &[u32]) -> f64 {
        let a = ranks(&self.a, &self.order_a, weights);
        let b = ranks(&self.b, &self.order_b, weights);
        pearson(&a, &b, weights)
    }
}

fn pearson(a: &[f64], b: &[f64], weights: &[u32]) -> f64 {
    let weighted = || a.iter().zip(b).zip(weights).map(|((a, b), w)| (*a, *b, f64::from(*w)));
    let (mut all, mut sum_a, mut sum_b) = (0.0, 0.0, 0.0);
    for (a, b, w) in weighted() {
        all += w;
        sum_a += w * a;
        sum_b += w * b;
    }
    let (mean_a, mean_b) = (sum_a / all, sum_b / all);
    let (mut both, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for (a, b, w) in weighted() {
        both += w * (a - mean_a) * (b - mean_b);
        of_a += w * (a - mean_a).powi(2);
        of_b += w * (b - mean_b).powi(2);
    }
    // A side that does not vary may keep a last bit of its mean.
    let still = |squares: f64, mean: f64| squares <= all * (mean * 1e-12).powi(2);
    if still(of_a, mean_a) || still(of_b, mean_b) {
        return f64::NAN;
    }
    (both / (of_a * of_b).sqrt()).clamp(-1.0, 1.0)
}

/// The rank of each number among as many copies of each as its weight says.
fn ranks(values: &[f64], order: &[usize], weights: &[u32]) -> Vec<f64> {
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0.0;
    for equal in order.chunk_by(|i, j| values[*i] == values[*j]) {
        let copies: f64 = equal.iter().map(|i| f64::from(weights[*i])).sum();
        for i in equal {
            ranks[*i] = below + (copies + 1.0) / 2.0;
        }
        below += copies;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn coefficients_are_those_one_computes_by_hand() {
        let pairs = Pairs::new([(1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (4.0, 5.0)]);
        // Deviations -1.5 -0.5 0.5 1.5 and -1.75 0.25 -0.75 2.25: 5.5 / sqrt(5 * 8.75).
        assert!((pairs.pearson(&[1; 4]) - 5.5 / 43.75_f64.sqrt()).abs() < 1e-12);
        // One exchange of neighbours in four ranks.
        assert!((pairs.spearman(&[1; 4]) - 0.8).abs() < 1e-12);
        // Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5).
        let ties = Pairs::new([(0.0, 1.0), (1.0, 2.0), (1.0, 3.0), (2.0, 4.0)]);
        assert!((ties.spearman(&[1; 4]) - 4.5 / 22.5_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn what_does_not_vary_has_no_coefficient() {
        for pairs in [Pairs::new([(0.1, 1.0), (0.1, 2.0), (0.1, 3.0)]), Pairs::new([])] {
            let weights = vec![1; pairs.a.len()];
            assert!(pairs.pearson(&weights).is_nan() && pairs.spearman(&weights).is_nan());
        }
    }

    proptest! {
        #[test]
        fn a_weight_is_so_many_copies(rows in proptest::collection::vec((0u8..6, 0u8..6, 0u32..4), 2..30)) {
            let pair = |(a, b, _): &(u8, u8, u32)| (f64::from(*a), f64::from(*b));
            let weights: Vec<u32> = rows.iter().map(|row| row.2).collect();
            let weighted = Pairs::new(rows.iter().map(pair));
            let copied = rows.iter().flat_map(|row| std::iter::repeat_n(pair(row), row.2 as usize));
            let copied = Pairs::new(copied);
            let ones = vec![1; copied.a.len()];
            for (a, b) in [
                (weighted.pearson(&weights), copied.pearson(&ones)),
                (weighted.spearman(&weights), copied.spearman(&ones)),
            ] {
                prop_assert!((a - b).abs() < 1e-9 || a.is_nan() && b.is_nan(), "{a} {b}");
            }
        }
    }
}
