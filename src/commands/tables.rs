//! Tables for people.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use stitch::dataset::classes;
use stitch::metrics::{ClassificationReport, ConfusionMatrix, Scores};

/// A table whose first column is text and whose other columns are numbers.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// The classification report.
pub fn scores(report: &ClassificationReport) -> String {
    let row = |name: &str, scores: &Scores| {
        let Scores { precision, recall, f1, support } = scores;
        let numbers = [precision, recall, f1].map(|number| format!("{number:.4}"));
        [vec![name.to_string()], numbers.to_vec(), vec![support.to_string()]].concat()
    };
    let mut rows: Vec<Vec<String>> =
        classes::NAMES.iter().zip(&report.classes).map(|(name, line)| row(name, line)).collect();
    rows.push(row("macro avg", &report.macro_avg));
    rows.push(row("weighted avg", &report.weighted_avg));
    table(&["class", "precision", "recall", "f1-score", "support"], rows)
}

/// The three most frequent confusions, a line each.
pub fn most_confused(matrix: &ConfusionMatrix) -> String {
    let line = |confusion: &stitch::metrics::Confusion| {
        let [truth, predicted] = [confusion.truth, confusion.predicted].map(|i| classes::NAMES[i]);
        format!("  {truth} taken for {predicted}: {} times", confusion.count)
    };
    let lines: Vec<String> = matrix.most_confused(3).iter().map(line).collect();
    if lines.is_empty() { "  none".into() } else { lines.join("\n") }
}
