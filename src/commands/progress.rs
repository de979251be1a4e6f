//! Progress. Of a training: one bar an epoch on a terminal, a plain line an epoch elsewhere; of
//! pictures: a bar on a terminal.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use stitch::models::Architecture;
use stitch::train::{Event, TrainConfig, Validation};

use super::Console;

/// The terminal is told this often; a message for each step would cost more than the step.
const INTERVAL: Duration = Duration::from_millis(100);

/// Shows the events of one training.
pub struct TrainingProgress {
    console: Console,
    architecture: Architecture,
    epochs: usize,
    samples: usize,
    bar: Option<ProgressBar>,
    shown: Instant,
}

impl TrainingProgress {
    /// For `config.epochs` passes over `samples` images.
    pub fn new(
        console: Console,
        architecture: Architecture,
        config: &TrainConfig,
        samples: usize,
    ) -> Self {
        let bar = (!console.quiet && stderr().is_terminal()).then(|| {
            let total = (config.epochs * samples) as u64;
            let style = "{prefix} {bar:30} {percent:>3}%  {msg}  {per_sec}  {eta} left";
            let style = ProgressStyle::with_template(style)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .with_key(
                    "per_sec",
                    |state: &indicatif::ProgressState, w: &mut dyn std::fmt::Write| {
                        let _ = write!(w, "{:.0} images/s", state.per_sec());
                    },
                );
            ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr())
                .with_style(style)
        });
        Self { console, architecture, epochs: config.epochs, samples, bar, shown: Instant::now() }
    }

    /// Shows an event.
    pub fn on(&mut self, event: Event) {
        match event {
            Event::Step { epoch, samples, loss, .. } => self.step(epoch, samples, loss),
            Event::Epoch(record) => {
                let rate = self.samples as f64 / record.seconds;
                let mut line = format!(
                    "{} epoch {}/{}: loss {:.6}, {:.2} s, {rate:.0} images/s",
                    self.architecture, record.epoch, self.epochs, record.loss, record.seconds
                );
                if let Some(Validation { loss, accuracy }) = record.validation {
                    line += &format!(", validation loss {loss:.6}, accuracy {accuracy:.4}");
                }
                match &self.bar {
                    Some(bar) => bar.println(line),
                    None => self.console.note(&line),
                }
            }
        }
    }

    fn step(&mut self, epoch: usize, samples: usize, loss: f64) {
        let Some(bar) = &self.bar else { return };
        if self.shown.elapsed() >= INTERVAL {
            self.shown = Instant::now();
            bar.set_prefix(format!("{} epoch {epoch}/{}", self.architecture, self.epochs));
            bar.set_message(format!("loss {loss:.4}"));
            bar.set_position(((epoch - 1) * self.samples + samples) as u64);
        }
    }
}

impl Drop for TrainingProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows how many pictures are done, and lets other text appear around the bar.
pub struct PicturesProgress {
    console: Console,
    bar: Option<ProgressBar>,
}

impl PicturesProgress {
    /// For `total` pictures.
    pub fn new(console: Console, total: usize) -> Self {
        let bar = (!console.quiet && total > 1 && stderr().is_terminal()).then(|| {
            let style =
                ProgressStyle::with_template("{bar:30} {pos} of {len} pictures  {eta} left")
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total as u64).with_style(style)
        });
        Self { console, bar }
    }

    /// One more is read.
    pub fn advance(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Results, which end their own lines.
    pub fn print(&self, text: &str) -> Result<()> {
        match text.strip_suffix('\n') {
            Some(lines) => Ok(self.aside(|| self.console.print(lines))?),
            None => Ok(()),
        }
    }

    /// A picture that cannot be read.
    pub fn error(&self, error: &anyhow::Error) {
        self.aside(|| super::report(error));
    }

    /// Something to know, unless `--quiet`.
    pub fn note(&self, text: &str) {
        self.aside(|| self.console.note(text));
    }

    fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Drop for PicturesProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
