//! The effects of the differences on the task, as tables.

use stitch_parity::TaskView;

/// Most rows of a table.
const ROWS: usize = 50;

/// A table with the number of rows that it leaves out.
#[derive(Debug)]
pub struct Table {
    pub caption: String,
    pub header: &'static [&'static str],
    pub rows: Vec<Vec<String>>,
    pub more: usize,
}

impl Table {
    fn new<T>(
        caption: &str,
        header: &'static [&'static str],
        all: &[T],
        row: impl Fn(&T) -> Vec<String>,
    ) -> Option<Self> {
        let shown = &all[..all.len().min(ROWS)];
        (!all.is_empty()).then(|| Self {
            caption: format!("{caption}: {}", all.len()),
            header,
            rows: shown.iter().map(row).collect(),
            more: all.len() - shown.len(),
        })
    }
}

/// The tables of predictions, cells of the confusion matrix, and losses that differ.
pub fn tables(task: &TaskView) -> Vec<Table> {
    let margin = |margins: Option<[f64; 2]>, side: usize| {
        margins.map_or_else(|| "–".into(), |margins| format!("{:.2e}", margins[side]))
    };
    let predictions = Table::new(
        "Predictions that differ",
        &["image", "true class", "expected", "got", "margin expected", "margin got"],
        &task.predictions,
        |it| {
            let truth = it.truth.map_or_else(|| "–".into(), |truth| truth.to_string());
            let classes = [it.expected.to_string(), it.actual.to_string()];
            let margins = [margin(it.margins, 0), margin(it.margins, 1)];
            [&[it.index.to_string(), truth][..], &classes, &margins].concat()
        },
    );
    let cells = Table::new(
        "Cells of the confusion matrix that differ",
        &["true class", "predicted", "expected", "got"],
        &task.cells,
        |it| {
            let place = [it.truth.to_string(), it.predicted.to_string()];
            [place, [it.expected.to_string(), it.actual.to_string()]].concat()
        },
    );
    let losses = Table::new(
        "Losses that differ",
        &["epoch", "expected", "got"],
        &task.losses,
        |(epoch, expected, actual)| {
            vec![epoch.to_string(), expected.to_string(), actual.to_string()]
        },
    );
    [predictions, cells, losses].into_iter().flatten().collect()
}

/// The accuracies, if they or the predictions differ.
pub fn accuracy(task: &TaskView) -> Option<String> {
    let [expected, actual] = task
        .accuracy
        .filter(|[expected, actual]| expected != actual || !task.predictions.is_empty())?;
    Some(format!("Accuracy: expected {expected}, got {actual} ({:+.4}).", actual - expected))
}
