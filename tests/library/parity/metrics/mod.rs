//! Scores and their CSV files, byte for byte those of scikit-learn and pandas.

use std::fs;

use serde_json::Value;
use stitch::dataset::classes::Classes;
use stitch::formats::csv;
use stitch::metrics::ConfusionMatrix;

use super::common;

/// Classes, true and predicted labels; the second differs from the first where the pattern says so.
fn cases() -> Vec<(Classes, Vec<u8>, Vec<u8>)> {
    let labels = |n: u32, step: u32, classes: u32| -> Vec<u8> {
        (0..n)
            .map(|i| (i.wrapping_mul(step).wrapping_mul(2_654_435_761) >> 16) % classes)
            .map(|label| label as u8)
            .collect()
    };
    let of_ten = vec![
        (labels(10_000, 1, 10), labels(10_000, 1, 10)),
        (labels(10_000, 1, 10), labels(10_000, 3, 10)),
        (labels(997, 1, 10), labels(997, 5, 10)),
        // Class 9 is never predicted.
        (labels(500, 1, 10), labels(500, 3, 9)),
        // Class 9 is absent.
        (labels(500, 1, 9), labels(500, 3, 10)),
        // Class 9 is neither.
        (labels(500, 1, 9), labels(500, 3, 9)),
        // One class, one sample.
        (vec![4], vec![4]),
        (vec![4], vec![5]),
    ];
    let of_ten = of_ten.into_iter().map(|(a, b)| (Classes::fashion_mnist(), a, b));
    // NumPy sums in other ways below 8 and above 128.
    let others = [1, 2, 7, 8, 47, 62, 128, 129, 200, 256].map(|classes| {
        let numbers = Classes::numbered(classes as usize);
        (numbers, labels(3_000, 1, classes), labels(3_000, 3, classes))
    });
    of_ten.chain(others).collect()
}

#[test]
fn matrix_report_and_predictions_are_those_of_scikit_learn_and_pandas() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("cases.json");
    fs::write(&input, {
        let lists = cases().into_iter().map(|(classes, a, b)| (classes.names().to_vec(), a, b));
        serde_json::to_string(&lists.collect::<Vec<_>>()).unwrap()
    })
    .unwrap();
    let output =
        common::run_python("library/parity/metrics/reference.py", &[input.to_str().unwrap()]);
    let expected: Vec<Value> = serde_json::from_str(&output).unwrap();
    assert_eq!(expected.len(), cases().len());
    for ((classes, truth, predicted), expected) in cases().iter().zip(&expected) {
        let matrix = ConfusionMatrix::new(classes.len(), truth, predicted);
        let names = classes.names();
        let written = [
            ("confusion_matrix", csv::confusion_matrix(&matrix, names)),
            ("classification_report", csv::classification_report(&matrix.report(), names)),
            ("predictions", csv::predictions(truth, predicted)),
        ];
        for (file, bytes) in written {
            assert_eq!(String::from_utf8(bytes).unwrap(), expected[file], "{file}");
        }
    }
}
