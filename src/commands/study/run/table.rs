//! Progress of a study: on a terminal, one line per running row and a bar for all rows; otherwise one line per
//! finished row.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use stitch::study::results::Record;

use crate::commands::study::counted;
use crate::commands::terminal::progress_columns;
use crate::commands::{Console, documents};

/// Columns of a terminal of unknown width.
const DEFAULT_COLUMNS: usize = 80;
/// Columns before the name of a running row.
const RUNNING: usize = 16;
/// Interval of updates of the running rows' times.
const TICK: Duration = Duration::from_millis(500);

/// Shows running rows, counts of done and failed rows, and the time left.
pub struct Table {
    console: Console,
    bars: Option<Bars>,
    total: usize,
    done: usize,
    failed: usize,
    /// Rows that had a result before.
    before: usize,
    /// The message about the first row whose process was killed in every attempt, and the number of such rows.
    given_up: Option<(String, usize)>,
}

/// The message about a killed process.
fn killed(row: usize, id: &str, status: ExitStatus) -> String {
    format!("row {row}, {id}: its process was killed ({status})")
}

struct Bars {
    columns: usize,
    all: MultiProgress,
    total: ProgressBar,
    running: BTreeMap<usize, ProgressBar>,
}

impl Table {
    /// The progress of `missing` rows, of a study in which `done` and `failed` rows have results already.
    pub fn new(console: Console, missing: usize, done: usize, failed: usize, jobs: usize) -> Self {
        let total = missing + done + failed;
        console.note(&format!(
            "{}: {done} already done, {failed} already failed, {missing} to do, {jobs} at a time",
            counted(total)
        ));
        let on_terminal = !console.quiet && stderr().is_terminal() && missing > 0;
        let bars = on_terminal.then(|| {
            let columns = progress_columns().unwrap_or(DEFAULT_COLUMNS);
            // The text beside the bar has up to 45 columns.
            let bar = columns.saturating_sub(45).clamp(5, 30);
            let style = format!("{{bar:{bar}}} {{pos}} of {{len}} runs{{msg}}");
            let style = ProgressStyle::with_template(&style)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            // Not `bar_target`: several bars need full lines.
            let all = MultiProgress::new();
            let total = all.add(ProgressBar::new(missing as u64).with_style(style));
            total.enable_steady_tick(TICK);
            Bars { columns, all, total, running: BTreeMap::new() }
        });
        Self { console, bars, total, done, failed, before: done + failed, given_up: None }
    }

    /// Shows a row as running.
    pub fn start(&mut self, row: usize, id: &str) {
        let Some(bars) = &mut self.bars else { return };
        let style = ProgressStyle::with_template("  running {elapsed:>4}  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::new_spinner().with_style(style);
        let bar = bars.all.insert_before(&bars.total, bar);
        let (long, short) = (format!("row {row}, {id}"), format!("row {row}"));
        bar.set_message(if RUNNING + long.len() <= bars.columns { long } else { short });
        bar.enable_steady_tick(TICK);
        bars.running.insert(row, bar);
    }

    /// Shows the result of a row.
    pub fn end(&mut self, row: usize, record: &Record) {
        let result = match (record.outcome.test_accuracy, &record.outcome.error) {
            (Some(accuracy), _) => {
                self.done += 1;
                let seconds = record.outcome.train_seconds.unwrap_or_default();
                format!("test accuracy {accuracy:.4}, {seconds:.1} s")
            }
            (None, error) => {
                self.failed += 1;
                format!("FAILED: {}", error.as_deref().unwrap_or_default())
            }
        };
        let count = self.done + self.failed;
        let line = format!("{count}/{}: row {row}, {}: {result}", self.total, record.id);
        self.print(row, &line);
        if let Some(bars) = &mut self.bars {
            bars.total.set_position((count - self.before) as u64);
            let left = HumanDuration(bars.total.eta());
            bars.total.set_message(format!(", {} failed, {left:#} left", self.failed));
        }
    }

    /// Shows that a row's process was killed and will run again.
    pub fn retry(&mut self, row: usize, id: &str, status: ExitStatus) {
        self.print(row, &format!("warning: {}; it will run again", killed(row, id, status)));
    }

    /// Shows that a row's process was killed in every attempt.
    pub fn give_up(&mut self, row: usize, id: &str, status: ExitStatus) {
        let message = killed(row, id, status);
        self.print(row, &format!("warning: {message}; it has no result"));
        self.given_up.get_or_insert((message, 0)).1 += 1;
    }

    /// The error about rows without a result because their processes were killed in every attempt.
    pub fn given_up(&self) -> Option<String> {
        let (message, rows) = self.given_up.as_ref()?;
        let others = match rows - 1 {
            0 => String::new(),
            1 => ", as was that of another row".into(),
            n => format!(", as were those of {n} other rows"),
        };
        Some(format!(
            "{message} in every attempt{others}. If memory is short, reduce --jobs. Repeat the command to run the \
             rows without a result"
        ))
    }

    /// Prints a line about a row and removes it from the running rows.
    fn print(&mut self, row: usize, line: &str) {
        let Some(bars) = &mut self.bars else { return self.console.note(line) };
        if let Some(bar) = bars.running.remove(&row) {
            bar.finish_and_clear();
        }
        bars.all.suspend(|| self.console.note(line));
    }

    /// Removes the bars.
    pub fn finish(&mut self) {
        if let Some(bars) = self.bars.take() {
            bars.running.values().for_each(ProgressBar::finish_and_clear);
            bars.total.finish_and_clear();
        }
    }

    /// Number of failed rows.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// The summary of the study.
    pub fn summary(&self, study: &Path) -> String {
        let Self { total, done, failed, .. } = self;
        format!("{}: {done} done, {failed} failed, in {}", counted(*total), study.display())
    }

    /// The summary as a JSON document.
    pub fn document(&self, study: &Path) -> documents::Studied {
        let Self { total, done, failed, .. } = *self;
        documents::Studied { study: study.display().to_string(), runs: total, done, failed }
    }
}
