//! The CSV files of a run folder, byte for byte as pandas 3 writes them with `to_csv`.

use fashion_mnist::CLASSES;

use crate::metrics::{ClassificationReport, ConfusionMatrix, Scores};

/// `epoch,loss,seconds`, one line an epoch, numbered from 1.
pub fn history(epochs: impl Iterator<Item = (usize, f64, f64)>) -> Vec<u8> {
    let rows =
        epochs.map(|(epoch, loss, seconds)| vec![epoch.to_string(), float(loss), float(seconds)]);
    table(&["epoch", "loss", "seconds"], rows)
}

/// The same with `val_loss,val_accuracy`, of runs that hold images out.
pub fn validated_history(epochs: impl Iterator<Item = (usize, [f64; 4])>) -> Vec<u8> {
    let row = |(epoch, numbers): (usize, [f64; 4])| {
        [epoch.to_string()].into_iter().chain(numbers.map(float)).collect()
    };
    table(&["epoch", "loss", "seconds", "val_loss", "val_accuracy"], epochs.map(row))
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

/// A writer of lines as pandas ends them, into memory.
pub fn table_writer() -> csv::Writer<Vec<u8>> {
    csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(Vec::new())
}

fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Vec<u8> {
    let mut writer = table_writer();
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

/// A table that can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Table {
    /// `predictions.csv`.
    Predictions {
        /// True labels.
        truth: Vec<i64>,
        /// Predicted labels.
        predicted: Vec<i64>,
    },
    /// `confusion_matrix.csv`.
    ConfusionMatrix {
        /// Names of the classes.
        classes: Vec<String>,
        /// Row-major (true, predicted).
        counts: Vec<i64>,
    },
}

/// Reads a CSV file of predictions or a confusion matrix, told apart by its header.
///
/// # Errors
/// A sentence that says what is wrong, and where.
pub fn read_table(bytes: &[u8]) -> Result<Table, String> {
    let (header, rows) = records(bytes)?;
    if header == ["index", "y_true", "y_pred"] {
        for (line, row) in (2..).zip(&rows) {
            if integer(&row[0], line)? != line as i64 - 2 {
                return Err(format!(
                    "line {line}: index {:?} where {} is wanted",
                    row[0],
                    line - 2
                ));
            }
        }
        let column = |i: usize| {
            let cells = (2..).zip(&rows);
            cells.map(|(line, row)| integer(&row[i], line)).collect::<Result<Vec<_>, _>>()
        };
        return Ok(Table::Predictions { truth: column(1)?, predicted: column(2)? });
    }
    let classes = header.len().saturating_sub(1);
    if !header.first().is_some_and(String::is_empty) || rows.len() != classes || classes == 0 {
        return Err(
            "neither predictions (index,y_true,y_pred) nor a confusion matrix (class names \
                    on both sides)"
                .into(),
        );
    }
    let mut counts = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        if row[0] != header[i + 1] {
            return Err(format!(
                "line {}: {:?} where {:?} is wanted",
                i + 2,
                row[0],
                header[i + 1]
            ));
        }
        for cell in &row[1..] {
            counts.push(integer(cell, i + 2)?);
        }
    }
    Ok(Table::ConfusionMatrix { classes: header[1..].to_vec(), counts })
}

/// Reads `history.csv`: epoch and loss of each line.
///
/// # Errors
/// A sentence that says what is wrong, and where.
pub fn read_history(bytes: &[u8]) -> Result<Vec<(usize, f64)>, String> {
    let (header, rows) = records(bytes)?;
    if header.len() < 2 || header[..2] != ["epoch", "loss"] {
        return Err("not a history (epoch,loss,seconds)".into());
    }
    let line = |(line, row): (usize, &Vec<String>)| {
        let epoch = integer(&row[0], line)?;
        let epoch = usize::try_from(epoch).map_err(|_| format!("line {line}: epoch {epoch}"))?;
        let loss = row[1].parse().map_err(|_| format!("line {line}: {:?} is no number", row[1]))?;
        Ok((epoch, loss))
    };
    (2..).zip(&rows).map(line).collect()
}

/// Reads a table of numbers: each column's name, and its numbers. All columns have one length.
///
/// # Errors
/// A sentence that says what is wrong, and where.
pub fn read_columns(bytes: &[u8]) -> Result<Vec<(String, Vec<f64>)>, String> {
    let (header, rows) = records(bytes)?;
    let mut columns: Vec<(String, Vec<f64>)> =
        header.into_iter().map(|name| (name, Vec::new())).collect();
    for (line, row) in (2..).zip(&rows) {
        for ((name, column), cell) in columns.iter_mut().zip(row) {
            let number = cell.parse();
            column.push(number.map_err(|_| format!("line {line}: {name} {cell:?} is no number"))?);
        }
    }
    Ok(columns)
}

/// Reads `classification_report.csv`: the names of its lines, and their numbers row by row.
///
/// # Errors
/// A sentence that says what is wrong, and where.
pub fn read_report(bytes: &[u8]) -> Result<(Vec<String>, Vec<f64>), String> {
    let (header, rows) = records(bytes)?;
    if header != ["", "precision", "recall", "f1-score", "support"] {
        return Err("not a classification report (precision,recall,f1-score,support)".into());
    }
    let mut numbers = Vec::new();
    for (line, row) in (2..).zip(&rows) {
        for cell in &row[1..] {
            let number = cell.parse().map_err(|_| format!("line {line}: {cell:?} is no number"))?;
            numbers.push(number);
        }
    }
    Ok((rows.into_iter().map(|mut row| row.swap_remove(0)).collect(), numbers))
}

/// Header and rows; every row has the header's length.
fn records(bytes: &[u8]) -> Result<(Vec<String>, Vec<Vec<String>>), String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes);
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        rows.push(record.iter().map(str::to_owned).collect::<Vec<_>>());
    }
    if rows.is_empty() {
        return Err("it is empty".into());
    }
    let header = rows.remove(0);
    Ok((header, rows))
}

fn integer(cell: &str, line: usize) -> Result<i64, String> {
    cell.parse().map_err(|_| format!("line {line}: {cell:?} is no integer"))
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
