//! What is shown of a study that runs: on a terminal a line for each running row and a bar over all;
//! elsewhere a line for each row that has ended.

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

/// Columns of a terminal that does not know them.
const WIDE: usize = 80;
/// Columns before what is said of a running row.
const RUNNING: usize = 16;
/// How often the seconds of running rows are drawn again.
const TICK: Duration = Duration::from_millis(500);

/// Running, done, failed, and time left.
pub struct Table {
    console: Console,
    bars: Option<Bars>,
    total: usize,
    done: usize,
    failed: usize,
    before: usize,
    /// Of the first row whose process was killed each time; how many there are.
    given_up: Option<(String, usize)>,
}

/// How the process of a row ended, in words.
fn was_killed(row: usize, id: &str, status: ExitStatus) -> String {
    format!("row {row}, {id}: its process was killed ({status})")
}

struct Bars {
    columns: usize,
    all: MultiProgress,
    total: ProgressBar,
    running: BTreeMap<usize, ProgressBar>,
}

impl Table {
    /// Of `missing` rows, where `done` and `failed` have results already.
    pub fn new(console: Console, missing: usize, done: usize, failed: usize, jobs: usize) -> Self {
        let total = missing + done + failed;
        console.note(&format!(
            "{}: {done} done before, {failed} failed before, {missing} to do, {jobs} at a time",
            counted(total)
        ));
        let on_terminal = !console.quiet && stderr().is_terminal() && missing > 0;
        let bars = on_terminal.then(|| {
            let columns = progress_columns().unwrap_or(WIDE);
            // What stands beside the bar may become so long.
            let bar = columns.saturating_sub(45).clamp(5, 30);
            let style = format!("{{bar:{bar}}} {{pos}} of {{len}} runs{{msg}}");
            let style = ProgressStyle::with_template(&style)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            // Not `bar_target`: several bars need lines that are filled to the end.
            let all = MultiProgress::new();
            let total = all.add(ProgressBar::new(missing as u64).with_style(style));
            total.enable_steady_tick(TICK);
            Bars { columns, all, total, running: BTreeMap::new() }
        });
        Self { console, bars, total, done, failed, before: done + failed, given_up: None }
    }

    /// A process works on this row.
    pub fn begun(&mut self, row: usize, id: &str) {
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

    /// It has a result.
    pub fn ended(&mut self, row: usize, record: &Record) {
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
        self.say_of(row, &line);
        if let Some(bars) = &mut self.bars {
            bars.total.set_position((count - self.before) as u64);
            let left = HumanDuration(bars.total.eta());
            bars.total.set_message(format!(", {} failed, {left:#} left", self.failed));
        }
    }

    /// Its process was killed, and it is run again.
    pub fn killed(&mut self, row: usize, id: &str, status: ExitStatus) {
        self.say_of(row, &format!("warning: {}; it is run again", was_killed(row, id, status)));
    }

    /// Its process was killed each time.
    pub fn give_up(&mut self, row: usize, id: &str, status: ExitStatus) {
        let sentence = was_killed(row, id, status);
        self.say_of(row, &format!("warning: {sentence}; it has no result"));
        self.given_up.get_or_insert((sentence, 0)).1 += 1;
    }

    /// The error of rows that have no result because their processes were killed each time.
    pub fn given_up(&self) -> Option<String> {
        let (sentence, rows) = self.given_up.as_ref()?;
        let others = match rows - 1 {
            0 => String::new(),
            1 => ", and that of another row too".into(),
            n => format!(", and those of {n} other rows too"),
        };
        Some(format!(
            "{sentence} each time{others}. Where memory is short, give fewer --jobs. The same command runs what \
             has no result"
        ))
    }

    /// A line about a row that runs no more.
    fn say_of(&mut self, row: usize, line: &str) {
        let Some(bars) = &mut self.bars else { return self.console.note(line) };
        if let Some(bar) = bars.running.remove(&row) {
            bar.finish_and_clear();
        }
        bars.all.suspend(|| self.console.note(line));
    }

    /// Nothing runs any more.
    pub fn finish(&mut self) {
        if let Some(bars) = self.bars.take() {
            bars.running.values().for_each(ProgressBar::finish_and_clear);
            bars.total.finish_and_clear();
        }
    }

    /// Rows without an accuracy.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// What the study has come to.
    pub fn summary(&self, study: &Path) -> String {
        let Self { total, done, failed, .. } = self;
        format!("{}: {done} done, {failed} failed, in {}", counted(*total), study.display())
    }

    /// The same for programs.
    pub fn document(&self, study: &Path) -> documents::Studied {
        let Self { total, done, failed, .. } = *self;
        documents::Studied { study: study.display().to_string(), runs: total, done, failed }
    }
}
