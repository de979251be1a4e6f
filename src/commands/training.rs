//! Calls [`stitch::run::run`] with progress, notes and signals.

use std::env;
use std::ops::ControlFlow;

use anyhow::Result;
use stitch::dataset::Dataset;
use stitch::run::{self, Event, Note, Options, RunError, Trained};
use stitch::run_folder::RunFolder;
use stitch::train::TrainConfig;

use super::Console;
use super::progress::TrainingProgress;
use super::shell::quoted;
use super::signals::{self, Interrupted};

/// Performs a complete run. Ctrl-C and SIGTERM stop it after a checkpoint.
pub fn run(
    folder: &RunFolder,
    config: &TrainConfig,
    options: &Options,
    dataset: &Dataset,
    console: Console,
) -> Result<Trained> {
    signals::stop_training();
    let mut progress = None;
    let mut on_event = |event: Event| {
        match event {
            Event::Started { progress: start, images } => {
                progress = Some(TrainingProgress::new(console, config, images, start));
            }
            Event::Train(event) => progress.iter_mut().for_each(|progress| progress.on(event)),
            Event::Note(note) => {
                // Clear the bar first.
                progress = None;
                console.note(&message(note, config));
            }
        }
        match signals::received() {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    };
    let trained = run::run(folder, config, options, dataset, &mut on_event);
    drop(progress);
    trained.map_err(|error| match error {
        RunError::Stopped { resumable: true, .. } => {
            let command = repeated_command();
            Interrupted::new(format!("{error}. To resume: {command} --resume")).into()
        }
        RunError::Stopped { .. } => Interrupted::new(error.to_string()).into(),
        error => error.into(),
    })
}

/// The text of a note, with the model's name where needed.
fn message(note: &Note, config: &TrainConfig) -> String {
    let (text, model) = (note.to_string(), &config.model);
    match note {
        Note::DamagedCheckpoint(..) => format!("warning: {text}"),
        Note::TracedWithoutCheckpoints | Note::TruncatedTrace(_) => format!("note: {text}"),
        Note::OutOfPatience { .. } => format!("{model}: {text} (--patience)"),
        _ => format!("{model}: {text}"),
    }
}

/// The command line of this process, quoted for a shell, without `--force` and `--resume`.
pub fn repeated_command() -> String {
    let arguments =
        env::args_os().filter(|argument| argument != "--force" && argument != "--resume");
    let words: Vec<String> = arguments.map(|argument| quoted(&argument)).collect();
    words.join(" ")
}
