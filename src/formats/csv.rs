//! The CSV files of a run folder, byte for byte as pandas 3 writes them with `to_csv`.

use crate::dataset::CLASSES;
use crate::metrics::{ClassificationReport, ConfusionMatrix, Scores};

/// `epoch,loss,seconds`, one line an epoch, numbered from 1.
pub fn history(epochs: impl Iterator<Item = (usize, f64, f64)>) -> Vec<u8> {
    let rows =
        epochs.map(|(epoch, loss, seconds)| vec![epoch.to_string(), float(loss), float(seconds)]);
    table(&["epoch", "loss", "seconds"], rows)
}

/// `index,y_true,y_pred`, one line a test image, numbered from 0.
pub fn predictions(truth: &[u8], predicted: &[u8]) -> Vec<u8> {
    let rows = truth.iter().zip(predicted).enumerate();
    let rows = rows.map(|(i, (t, p))| vec![i.to_string(), t.to_string(), p.to_string()]);
    table(&["index", "y_true", "y_pred"], rows)
}

/// `pd.DataFrame(confusion_matrix(y, p), index=names, columns=names).to_csv()`: rows true, columns
/// predicted.
pub fn confusion_matrix(matrix: &ConfusionMatrix, names: &[&str; CLASSES]) -> Vec<u8> {
    let header: Vec<&str> = [""].into_iter().chain(*names).collect();
    let rows = names.iter().zip(&matrix.counts).map(|(name, counts)| {
        [name.to_string()].into_iter().chain(counts.iter().map(u64::to_string)).collect()
    });
    table(&header, rows)
}

/// `pd.DataFrame(classification_report(..., output_dict=True)).T.to_csv()`: the classes, then
/// `accuracy` (the one number in every column, as pandas spreads it), `macro avg`, `weighted avg`.
pub fn classification_report(report: &ClassificationReport, names: &[&str; CLASSES]) -> Vec<u8> {
    let line = |name: &str, scores: &Scores| {
        let support = scores.support as f64;
        let numbers = [scores.precision, scores.recall, scores.f1, support];
        [name.to_string()].into_iter().chain(numbers.map(float)).collect::<Vec<_>>()
    };
    let mut rows: Vec<Vec<String>> =
        names.iter().zip(&report.classes).map(|(name, scores)| line(name, scores)).collect();
    let accuracy = [report.accuracy; 4].map(float);
    rows.push(["accuracy".to_string()].into_iter().chain(accuracy).collect());
    rows.push(line("macro avg", &report.macro_avg));
    rows.push(line("weighted avg", &report.weighted_avg));
    table(&["", "precision", "recall", "f1-score", "support"], rows.into_iter())
}

fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Vec<u8> {
    let mut writer =
        csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(Vec::new());
    // Writing into memory fails only for rows of unequal length, which the callers do not make.
    writer.write_record(header).expect("a header is a record");
    rows.for_each(|row| writer.write_record(row).expect("every row has the header's length"));
    writer.into_inner().expect("a Vec takes every byte")
}

/// Python's `repr(float)`: the shortest digits that read back to the same float64, with an
/// exponent below 1e-4 and from 1e16 on.
pub fn float(value: f64) -> String {
    if !value.is_finite() {
        let name = if value.is_nan() { "nan" } else { "inf" };
        return if value == f64::NEG_INFINITY { "-inf".into() } else { name.into() };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>().unwrap_or(0) {
        exponent @ -4..16 => {
            let plain = value.to_string();
            debug_assert!(exponent < 16);
            if plain.contains('.') { plain } else { plain + ".0" }
        }
        exponent => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::float;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1000.0, "1000.0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e-4, "0.0001"),
            (9.9e-5, "9.9e-05"),
            (1e16, "1e+16"),
            (9007199254740993.0, "9007199254740992.0"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (value, python) in cases {
            assert_eq!(float(value), python);
        }
    }
}
