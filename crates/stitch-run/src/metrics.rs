//! Accuracy, confusion matrix and classification report, bit-identical to `sklearn.metrics` (1.9) with
//! `labels=range(10)` and `zero_division=0`.

use fashion_mnist::CLASSES;

/// Counts of (true class, predicted class), as `sklearn.metrics.confusion_matrix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfusionMatrix {
    /// `counts[true][predicted]`.
    pub counts: [[u64; CLASSES]; CLASSES],
}

/// A row of the classification report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// Share of the predictions of the class that are correct; 0 without predictions.
    pub precision: f64,
    /// Share of the samples of the class that are predicted correctly; 0 without samples.
    pub recall: f64,
    /// Harmonic mean of precision and recall; 0 without samples and predictions.
    pub f1: f64,
    /// Number of true samples.
    pub support: u64,
}

/// The classification report, as `sklearn.metrics.classification_report`.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassificationReport {
    /// One row per class, in label order.
    pub classes: [Scores; CLASSES],
    /// Correct predictions over all predictions.
    pub accuracy: f64,
    /// Unweighted mean over the classes.
    pub macro_avg: Scores,
    /// Mean over the classes, weighted by support.
    pub weighted_avg: Scores,
}

/// A confusion: a true class, and another class that is predicted for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confusion {
    /// The true class, 0 to 9.
    pub truth: usize,
    /// The predicted class, 0 to 9.
    pub predicted: usize,
    /// Number of samples.
    pub count: u64,
}

impl ConfusionMatrix {
    /// Counts pairs of labels; both slices must have the same length and values 0 to 9.
    pub fn new(truth: &[u8], predicted: &[u8]) -> Self {
        let mut counts = [[0; CLASSES]; CLASSES];
        for (&t, &p) in truth.iter().zip(predicted) {
            counts[usize::from(t)][usize::from(p)] += 1;
        }
        Self { counts }
    }

    /// Number of samples.
    pub fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// Number of correct predictions.
    pub fn correct(&self) -> u64 {
        (0..CLASSES).map(|class| self.counts[class][class]).sum()
    }

    /// Precision, recall and F1 for each class, and their averages.
    pub fn report(&self) -> ClassificationReport {
        let classes: [Scores; CLASSES] = std::array::from_fn(|class| {
            let hits = self.counts[class][class];
            let support: u64 = self.counts[class].iter().sum();
            let predicted: u64 = self.counts.iter().map(|row| row[class]).sum();
            Scores {
                precision: ratio(hits as f64, predicted as f64),
                recall: ratio(hits as f64, support as f64),
                f1: ratio(2.0 * hits as f64, (support + predicted) as f64),
                support,
            }
        });
        let total = self.total() as f64;
        let supports = classes.map(|scores| scores.support as f64);
        ClassificationReport {
            accuracy: ratio(self.correct() as f64, total),
            macro_avg: average(&classes, |values| numpy_sum(&values) / CLASSES as f64),
            weighted_avg: average(&classes, |values| {
                let weighted = std::array::from_fn(|class| values[class] * supports[class]);
                ratio(numpy_sum(&weighted), total)
            }),
            classes,
        }
    }

    /// The `n` most frequent confusions, most frequent first; ties in label order.
    pub fn most_confused(&self, n: usize) -> Vec<Confusion> {
        let mut pairs: Vec<Confusion> = (0..CLASSES * CLASSES)
            .map(|i| (i / CLASSES, i % CLASSES))
            .map(|(truth, predicted)| Confusion {
                truth,
                predicted,
                count: self.counts[truth][predicted],
            })
            .filter(|pair| pair.truth != pair.predicted && pair.count > 0)
            .collect();
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.count));
        pairs.truncate(n);
        pairs
    }
}

/// The means of the scores over the classes, computed by `mean`; the support is the sum.
fn average(classes: &[Scores; CLASSES], mean: impl Fn([f64; CLASSES]) -> f64) -> Scores {
    Scores {
        precision: mean(classes.map(|scores| scores.precision)),
        recall: mean(classes.map(|scores| scores.recall)),
        f1: mean(classes.map(|scores| scores.f1)),
        support: classes.iter().map(|scores| scores.support).sum(),
    }
}

/// The quotient; 0 if the denominator is 0 (`zero_division=0`).
fn ratio(numerator: f64, denominator: f64) -> f64 {
    if denominator == 0.0 { 0.0 } else { numerator / denominator }
}

/// The sum in the order of `numpy.sum` of ten float64: eight partial sums added in pairs, then the rest.
fn numpy_sum(values: &[f64; CLASSES]) -> f64 {
    let [a, b, c, d, e, f, g, h, i, j] = *values;
    ((a + b) + (c + d)) + ((e + f) + (g + h)) + i + j
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confusions_are_ranked_by_count_then_by_label() {
        let matrix = ConfusionMatrix::new(&[0, 0, 0, 1, 2, 2, 3], &[1, 1, 0, 1, 3, 3, 2]);
        let pair = |truth, predicted, count| Confusion { truth, predicted, count };
        assert_eq!(matrix.most_confused(2), [pair(0, 1, 2), pair(2, 3, 2)]);
        assert_eq!(matrix.most_confused(9).len(), 3);
    }

    #[test]
    fn scores_without_samples_are_zero() {
        let report = ConfusionMatrix::new(&[], &[]).report();
        assert_eq!((report.accuracy, report.macro_avg.f1), (0.0, 0.0));
    }
}
