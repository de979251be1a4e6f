//! Compares the predictions of two runs on the same test images.

use crate::metrics::ConfusionMatrix;

/// The images that exactly one of two runs classifies correctly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Disagreement {
    /// Number of images that only the first run classifies correctly.
    pub first: u64,
    /// Number of images that only the second run classifies correctly.
    pub second: u64,
    /// p-value of McNemar's exact test (two-sided, binomial).
    pub p: f64,
}

/// Compares the predictions of two runs; all three slices have the same length.
pub fn disagreement(truth: &[u8], first: &[u8], second: &[u8]) -> Disagreement {
    let (mut only_first, mut only_second) = (0, 0);
    for ((truth, first), second) in truth.iter().zip(first).zip(second) {
        only_first += u64::from(first == truth && second != truth);
        only_second += u64::from(second == truth && first != truth);
    }
    Disagreement { first: only_first, second: only_second, p: mcnemar(only_first, only_second) }
}

/// p-value of the two-sided binomial test of `a` of `a + b` at 0.5, as `scipy.stats.binomtest(a, a + b)`.
fn mcnemar(a: u64, b: u64) -> f64 {
    let n = a + b;
    // The logarithm of binomial(n, k) / 2^n, updated from k to k + 1.
    let mut log = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=a.min(b) {
        tail += log.exp();
        log += ((n - k) as f64).ln() - ((k + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

/// Recall of each class in `second` minus that in `first`, which have the same classes.
pub fn recall_gains(first: &ConfusionMatrix, second: &ConfusionMatrix) -> Vec<f64> {
    let [first, second] = [first, second].map(|matrix| matrix.report().classes);
    first.iter().zip(&second).map(|(first, second)| second.recall - first.recall).collect()
}

#[cfg(test)]
mod tests {
    use super::{disagreement, mcnemar};

    #[test]
    fn mcnemar_is_scipys_binomial_test() {
        let scipy = [(0, 0, 1.0), (5, 0, 0.0625), (1, 9, 0.021484375), (7, 7, 1.0)];
        scipy.into_iter().for_each(|(a, b, p)| assert!((mcnemar(a, b) - p).abs() < 1e-12));
        assert!((mcnemar(652, 712) - 0.11011731).abs() < 1e-6, "{}", mcnemar(652, 712));
        assert_eq!(mcnemar(0, 10_000), 0.0);
    }

    #[test]
    fn images_that_exactly_one_classifies_correctly_are_counted() {
        let counted = disagreement(&[0, 1, 2, 3], &[0, 1, 0, 0], &[0, 2, 2, 1]);
        assert_eq!((counted.first, counted.second), (1, 1));
    }
}
