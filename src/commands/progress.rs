//! Progress on stderr. Training: on a terminal, one bar per epoch below a table of finished epochs; otherwise, one
//! line per epoch. Images: a bar on a terminal.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use stitch::train::{EpochRecord, Event, Progress, TrainConfig};

use super::Console;
use super::terminal::{bar, bar_target, progress_columns};

/// Interval of updates of the bar; an update for each step would cost more than the step.
const INTERVAL: Duration = Duration::from_millis(100);

/// A row of the table: a finished epoch.
struct Row<'a> {
    record: &'a EpochRecord,
    epochs: usize,
    samples: usize,
}

/// A column of the table of epochs.
struct Column {
    header: &'static str,
    /// The cell's text; `None` if the run has no such value, and so the table no such column.
    cell: fn(&Row) -> Option<String>,
}

/// The columns; the last ones are omitted if the terminal is too narrow.
const COLUMNS: [Column; 6] = [
    Column { header: "epoch", cell: |row| Some(row.epoch()) },
    Column { header: "loss", cell: |row| Some(format!("{:.6}", row.record.loss)) },
    Column { header: "val loss", cell: |row| row.record.val_loss.map(|loss| format!("{loss:.6}")) },
    Column {
        header: "val accuracy",
        cell: |row| row.record.val_accuracy.map(|accuracy| format!("{accuracy:.4}")),
    },
    Column { header: "seconds", cell: |row| Some(format!("{:.2}", row.record.seconds)) },
    Column { header: "images/s", cell: |row| Some(format!("{:.0}", row.rate())) },
];

impl Row<'_> {
    /// `3/20`, padded to the same width for every epoch of the run.
    fn epoch(&self) -> String {
        let digits = self.epochs.to_string().len();
        format!("{:>digits$}/{}", self.record.epoch, self.epochs)
    }

    fn rate(&self) -> f64 {
        self.samples as f64 / self.record.seconds
    }

    /// The epoch as a line of text.
    fn line(&self) -> String {
        let EpochRecord { epoch, loss, seconds, val_loss, val_accuracy, .. } = self.record;
        let validation = val_loss.zip(*val_accuracy);
        let validation = validation.map_or(String::new(), |(loss, accuracy)| {
            format!(", validation loss {loss:.6}, accuracy {accuracy:.4}")
        });
        format!(
            "epoch {epoch}/{}: loss {loss:.6}, {seconds:.2} s, {:.0} images/s{validation}",
            self.epochs,
            self.rate()
        )
    }
}

/// The table of epochs, printed line by line.
#[derive(Default)]
struct EpochTable {
    /// The visible columns and their widths, chosen by the first row.
    columns: Vec<(usize, &'static Column)>,
}

impl EpochTable {
    /// The lines that a row adds, on a terminal of `columns` columns; the first row also adds the header.
    fn add(&mut self, row: &Row, columns: usize) -> Vec<String> {
        let mut lines = Vec::new();
        if self.columns.is_empty() {
            let mut free = columns;
            for column in &COLUMNS {
                let Some(cell) = (column.cell)(row) else { continue };
                // Two spaces between columns; later seconds may have one more digit.
                let width = cell.len().max(column.header.len()) + 2;
                if width > free {
                    break;
                }
                free -= width;
                self.columns.push((width, column));
            }
            lines.push(self.line(|column| column.header.into()));
        }
        lines.push(self.line(|column| (column.cell)(row).unwrap_or_default()));
        lines
    }

    fn line(&self, cell: impl Fn(&Column) -> String) -> String {
        let cells = self.columns.iter().map(|(width, column)| format!("{:>width$}", cell(column)));
        cells.collect()
    }
}

/// Shows the events of one training run.
pub struct TrainingProgress {
    console: Console,
    model: String,
    epochs: usize,
    samples: usize,
    bar: Option<Bar>,
}

/// The bar of the epoch in progress.
struct Bar {
    bar: ProgressBar,
    table: EpochTable,
    shown: Option<Instant>,
    /// Time and sample of the epoch from which the speed is measured.
    from: (Instant, usize),
}

impl TrainingProgress {
    /// The progress of `config.epochs` passes over `samples` images that starts at `start`.
    pub fn new(console: Console, config: &TrainConfig, samples: usize, start: &Progress) -> Self {
        let bar = (!console.quiet && stderr().is_terminal()).then(|| Bar {
            bar: ProgressBar::with_draw_target(Some(samples as u64), bar_target()),
            table: EpochTable::default(),
            shown: None,
            from: (Instant::now(), start.steps.saturating_mul(config.batch_size)),
        });
        Self { console, model: config.model.clone(), epochs: config.epochs, samples, bar }
    }

    /// Shows an event.
    pub fn on(&mut self, event: Event) {
        match event {
            Event::Step { epoch, samples, loss, .. } => self.step(epoch, samples, loss),
            Event::Epoch(record) => self.epoch(&record),
        }
    }

    fn epoch(&mut self, record: &EpochRecord) {
        let row = Row { record, epochs: self.epochs, samples: self.samples };
        match &mut self.bar {
            Some(bar) => bar.end_epoch(&self.model, &row),
            None => self.console.note(&format!("{} {}", self.model, row.line())),
        }
    }

    fn step(&mut self, epoch: usize, samples: usize, loss: f64) {
        let Some(bar) = &mut self.bar else { return };
        if bar.shown.is_some_and(|shown| shown.elapsed() < INTERVAL) {
            return;
        }
        let seconds = bar.from.0.elapsed().as_secs_f64();
        let rate = samples.saturating_sub(bar.from.1) as f64 / seconds;
        let (left, later) = (self.samples - samples, self.samples * (self.epochs - epoch));
        let [of_epoch, of_run] = [left, left + later].map(|samples| time(samples as f64 / rate));
        let (name, epochs) = (&self.model, self.epochs);
        // The longest text that leaves space for a bar.
        bar.show(
            samples,
            [
                (
                    format!("{name} epoch {epoch}/{epochs}"),
                    format!("loss {loss:.4}  {rate:.0} images/s  {of_epoch} left, run {of_run}"),
                ),
                (
                    format!("epoch {epoch}/{epochs}"),
                    format!("{loss:.4}  {rate:.0} images/s  {of_epoch} left, run {of_run}"),
                ),
                (format!("{epoch}/{epochs}"), format!("{loss:.4} {rate:.0}/s {of_epoch} left")),
            ],
        );
    }
}

impl Bar {
    /// Adds a row to the table and restarts the bar.
    fn end_epoch(&mut self, model: &str, row: &Row) {
        // 80 if the width is unknown.
        let columns = progress_columns().unwrap_or(80);
        let title = format!("{model}, {} images per epoch", row.samples);
        let title = self.table.columns.is_empty().then_some(title);
        let lines = title.into_iter().chain(self.table.add(row, columns));
        self.bar.suspend(|| lines.for_each(|line| drop(writeln!(stderr(), "{line}"))));
        self.from = (Instant::now(), 0);
        self.shown = None;
    }

    /// Shows the first of `lines` (the texts before and after the bar) that fits.
    fn show(&mut self, position: usize, lines: [(String, String); 3]) {
        const SHORTEST: usize = 6;
        const LONGEST: usize = 30;
        self.shown = Some(Instant::now());
        let columns = progress_columns().unwrap_or(80);
        let bar_width = |(before, after): &(String, String)| {
            columns.saturating_sub(before.len() + after.len() + 2)
        };
        let [.., shortest] = &lines;
        let line = lines.iter().find(|line| bar_width(line) >= SHORTEST).unwrap_or(shortest);
        let (before, after) = line;
        let template = match bar_width(line).min(LONGEST) {
            0..SHORTEST => before.chars().take(columns).collect(),
            width => format!("{before} {{bar:{width}}} {after}"),
        };
        // The texts are part of the style, so that everything is drawn at once.
        let style = ProgressStyle::with_template(&template);
        self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.bar.update(|state| state.set_pos(position as u64));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A duration: `12 s`, `3 min 20 s`, `2 h 5 min`.
fn time(seconds: f64) -> String {
    // The cast saturates: a speed of 0 gives infinity.
    match seconds.round() as u64 {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min {} s", s / 60, s % 60),
        s @ 3600..360_000 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => "days".into(),
    }
}

/// Shows how many images are done, and prints other text above the bar.
pub struct ImagesProgress {
    console: Console,
    bar: Option<ProgressBar>,
}

impl ImagesProgress {
    /// The progress of `total` images.
    pub fn new(console: Console, total: usize) -> Self {
        let template = "{bar:30} {pos} of {len} images  {eta} left";
        let shown = !console.quiet && total > 1 && stderr().is_terminal();
        let bar = shown.then(|| bar(Some(total as u64), template));
        Self { console, bar }
    }

    /// Counts one more image.
    pub fn advance(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Prints results, which end with a line break.
    pub fn print(&self, text: &str) -> Result<()> {
        match text.strip_suffix('\n') {
            Some(lines) => Ok(self.suspend(|| self.console.print(lines))?),
            None => Ok(()),
        }
    }

    /// Prints the error of an image that cannot be read.
    pub fn error(&self, error: &anyhow::Error) {
        self.suspend(|| super::print_error(error));
    }

    /// Prints a note, unless `--quiet`.
    pub fn note(&self, text: &str) {
        self.suspend(|| self.console.note(text));
    }

    fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Drop for ImagesProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
