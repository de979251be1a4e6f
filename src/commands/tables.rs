//! The tables of an evaluation.

use stitch::evaluate::Evaluation;
use stitch::metrics::Scores;

use super::terminal::{Screen, table};

/// Precision, recall, F1 and support per class, with their averages, as a table.
pub fn scores(screen: Screen, evaluation: &Evaluation) -> String {
    let Evaluation { report, classes, .. } = evaluation;
    let row = |name: &str, scores: &Scores| {
        let Scores { precision, recall, f1, support } = scores;
        let numbers = [precision, recall, f1].map(|number| format!("{number:.4}"));
        [vec![name.to_string()], numbers.to_vec(), vec![support.to_string()]].concat()
    };
    let mut rows: Vec<Vec<String>> =
        classes.names().iter().zip(&report.classes).map(|(name, line)| row(name, line)).collect();
    rows.push(row("macro avg", &report.macro_avg));
    rows.push(row("weighted avg", &report.weighted_avg));
    table(screen, &["class", "precision", "recall", "f1-score", "support"], rows)
}

/// The three most frequent confusions, one per line.
pub fn most_confused(screen: Screen, evaluation: &Evaluation) -> String {
    let Evaluation { matrix, classes, .. } = evaluation;
    let line = |confusion: &stitch::metrics::Confusion| {
        let [truth, predicted] =
            [confusion.truth, confusion.predicted].map(|i| &classes.names()[i]);
        let (predicted, times) = (format!("{predicted}:"), format!("{} times", confusion.count));
        screen.lines([truth.as_str(), "predicted as", &predicted, &times], "  ")
    };
    let lines: Vec<String> = matrix.most_confused(3).iter().map(line).collect();
    if lines.is_empty() { "  none".into() } else { lines.join("\n") }
}
