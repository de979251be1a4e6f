//! Accuracy, confusion matrix and classification report, bit-identical to `sklearn.metrics` (1.9) with
//! `labels=range(classes)` and `zero_division=0`.

/// Counts of (true class, predicted class), as `sklearn.metrics.confusion_matrix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfusionMatrix {
    /// `counts[true][predicted]`.
    pub counts: Vec<Vec<u64>>,
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
    pub classes: Vec<Scores>,
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
    /// The true class, from 0.
    pub truth: usize,
    /// The predicted class, from 0.
    pub predicted: usize,
    /// Number of samples.
    pub count: u64,
}

impl ConfusionMatrix {
    /// Counts pairs of labels; both slices must have the same length and values below `classes`.
    ///
    /// # Panics
    /// If a label is not below `classes`.
    pub fn new(classes: usize, truth: &[u8], predicted: &[u8]) -> Self {
        let mut counts = vec![vec![0; classes]; classes];
        for (&t, &p) in truth.iter().zip(predicted) {
            counts[usize::from(t)][usize::from(p)] += 1;
        }
        Self { counts }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.counts.len()
    }

    /// Number of samples.
    pub fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// Number of correct predictions.
    pub fn correct(&self) -> u64 {
        self.counts.iter().enumerate().map(|(class, row)| row[class]).sum()
    }

    /// Precision, recall and F1 for each class, and their averages.
    pub fn report(&self) -> ClassificationReport {
        let scores = |class: usize| {
            let hits = self.counts[class][class];
            let support: u64 = self.counts[class].iter().sum();
            let predicted: u64 = self.counts.iter().map(|row| row[class]).sum();
            Scores {
                precision: ratio(hits as f64, predicted as f64),
                recall: ratio(hits as f64, support as f64),
                f1: ratio(2.0 * hits as f64, (support + predicted) as f64),
                support,
            }
        };
        let classes: Vec<Scores> = (0..self.classes()).map(scores).collect();
        let total = self.total() as f64;
        let weighted = |values: &[f64]| -> Vec<f64> {
            let pairs = values.iter().zip(&classes);
            pairs.map(|(value, scores)| value * scores.support as f64).collect()
        };
        let macro_avg = average(&classes, |values| numpy_sum(values) / values.len() as f64);
        let weighted_avg = average(&classes, |values| ratio(numpy_sum(&weighted(values)), total));
        let accuracy = ratio(self.correct() as f64, total);
        ClassificationReport { accuracy, macro_avg, weighted_avg, classes }
    }

    /// The `n` most frequent confusions, most frequent first; ties in label order.
    pub fn most_confused(&self, n: usize) -> Vec<Confusion> {
        let confusion = |(truth, row): (usize, &Vec<u64>)| {
            let row = row.clone().into_iter().enumerate();
            row.map(move |(predicted, count)| Confusion { truth, predicted, count })
        };
        let mut pairs: Vec<Confusion> = (self.counts.iter().enumerate())
            .flat_map(confusion)
            .filter(|pair| pair.truth != pair.predicted && pair.count > 0)
            .collect();
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.count));
        pairs.truncate(n);
        pairs
    }
}

/// The means of the scores over the classes, computed by `mean`; the support is the sum.
fn average(classes: &[Scores], mean: impl Fn(&[f64]) -> f64) -> Scores {
    let of = |value: fn(&Scores) -> f64| mean(&classes.iter().map(value).collect::<Vec<_>>());
    Scores {
        precision: of(|scores| scores.precision),
        recall: of(|scores| scores.recall),
        f1: of(|scores| scores.f1),
        support: classes.iter().map(|scores| scores.support).sum(),
    }
}

/// The quotient; 0 if the denominator is 0 (`zero_division=0`).
fn ratio(numerator: f64, denominator: f64) -> f64 {
    if denominator == 0.0 { 0.0 } else { numerator / denominator }
}

/// The sum in the order of `numpy.sum` (`pairwise_sum` of NumPy 2): of fewer than eight values one after the other, of up
/// to 128 in eight partial sums, of more in two halves.
fn numpy_sum(values: &[f64]) -> f64 {
    /// Most values that are summed without halving.
    const BLOCK: usize = 128;
    if values.len() > BLOCK {
        let half = values.len() / 2;
        let (first, second) = values.split_at(half - half % 8);
        return numpy_sum(first) + numpy_sum(second);
    }
    let (eights, rest) = values.as_chunks::<8>();
    let Some((&first, eights)) = eights.split_first() else { return rest.iter().sum() };
    let add = |sums: [f64; 8], next: &[f64; 8]| std::array::from_fn(|i| sums[i] + next[i]);
    let [a, b, c, d, e, f, g, h] = eights.iter().fold(first, add);
    rest.iter().fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confusions_are_ranked_by_count_then_by_label() {
        let matrix = ConfusionMatrix::new(4, &[0, 0, 0, 1, 2, 2, 3], &[1, 1, 0, 1, 3, 3, 2]);
        let pair = |truth, predicted, count| Confusion { truth, predicted, count };
        assert_eq!(matrix.most_confused(2), [pair(0, 1, 2), pair(2, 3, 2)]);
        assert_eq!(matrix.most_confused(9).len(), 3);
    }

    #[test]
    fn scores_without_samples_are_zero() {
        let report = ConfusionMatrix::new(10, &[], &[]).report();
        assert_eq!((report.accuracy, report.macro_avg.f1), (0.0, 0.0));
    }
}
