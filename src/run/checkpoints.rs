//! Writes checkpoints during a run, and selects the one to resume from.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Instant;

use stitch_run::{Checkpoint, CheckpointError, CheckpointEvery, Events, counted};

use super::events::EventLog;
use super::{Event, Note, OnEvent, RunError, checkpoint_files};
use crate::run_folder::{CHECKPOINTS, EVENTS_PART, FolderError, RunConfig, RunFolder, TENSORBOARD};
use crate::train::{self, Progress, TrainState, Trainer};

/// Writes checkpoints in a separate thread while training continues.
pub struct Writer<'scope> {
    every: CheckpointEvery,
    /// Steps per epoch.
    steps: usize,
    last: Instant,
    to: SyncSender<(usize, Checkpoint)>,
    /// Returns buffers: there are two, and one is filled while the other is written.
    buffers: Receiver<Checkpoint>,
    thread: ScopedJoinHandle<'scope, Result<(), FolderError>>,
}

impl<'scope> Writer<'scope> {
    /// Starts the thread, for a run with `steps` steps per epoch.
    pub fn new<'a: 'scope>(
        scope: &'scope Scope<'scope, 'a>,
        folder: &'a RunFolder,
        config: RunConfig,
        every: CheckpointEvery,
        steps: usize,
        events: Option<&EventLog>,
    ) -> io::Result<Self> {
        let events = events.map(EventLog::file).transpose()?;
        // Without capacity: sending waits until the previous checkpoint is written.
        let (to, from) = mpsc::sync_channel::<(usize, Checkpoint)>(0);
        let (free, buffers) = mpsc::sync_channel(2);
        for config in [config.clone(), config] {
            let (progress, state) = (Progress::default(), TrainState::default());
            let empty = Checkpoint { config, progress, state, events: None };
            // Cannot fail: the receiver exists.
            let _ = free.send(empty);
        }
        let write = move || {
            for (step, checkpoint) in from {
                // Cannot fail for tensors copied from a model.
                let bytes = checkpoint.write().map_err(|error| {
                    let error = std::io::Error::other(error);
                    FolderError::Write(folder.path().join(CHECKPOINTS), error)
                })?;
                if let Some(events) = &events {
                    folder.sync(events, TENSORBOARD, EVENTS_PART)?;
                }
                checkpoint_files::save(folder, step, &bytes)?;
                // Fails only after the last checkpoint.
                let _ = free.send(checkpoint);
            }
            Ok(())
        };
        let thread = thread::Builder::new().name("checkpoints".into());
        let thread = thread.spawn_scoped(scope, write)?;
        Ok(Self { every, steps, last: Instant::now(), to, buffers, thread })
    }

    /// Whether a checkpoint is due.
    pub fn is_due(&self, event: train::Event, progress: &Progress) -> bool {
        match (event, self.every) {
            (train::Event::Epoch(_), _) => true,
            (train::Event::Step { .. }, CheckpointEvery::Steps(n)) => {
                (progress.count(self.steps) as u64).is_multiple_of(n.get())
            }
            (train::Event::Step { .. }, CheckpointEvery::Time(time)) => self.last.elapsed() >= time,
            (train::Event::Step { .. }, CheckpointEvery::Never) => false,
        }
    }

    /// Starts writing a checkpoint; `events` is the position in the events file. Returns `false` if writing has failed;
    /// [`Writer::finish`] then returns the error.
    pub fn write(
        &mut self,
        progress: &Progress,
        trainer: &Trainer,
        events: Option<Events>,
    ) -> bool {
        self.last = Instant::now();
        let Ok(mut checkpoint) = self.buffers.recv() else { return false };
        // Reuses memory: new blocks between those that each step allocates and frees would fragment the heap.
        progress.copy_to(&mut checkpoint.progress);
        trainer.copy_state(&mut checkpoint.state);
        checkpoint.events = events;
        self.to.send((progress.count(self.steps), checkpoint)).is_ok()
    }

    /// Waits until everything is flushed to disk.
    pub fn finish(self) -> Result<(), FolderError> {
        drop(self.to);
        // Propagates a panic of the thread.
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Where a run starts.
pub enum Start {
    /// At the first step.
    FromBeginning,
    /// At a checkpoint, with its path.
    From(PathBuf, Box<Checkpoint>),
    /// Nowhere: the run is complete.
    Finished,
}

/// Why a run cannot be resumed.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// None of the checkpoints is intact.
    #[error("none of the checkpoints in {} can be read: {error}", .folder.display())]
    NoneIntact {
        /// Path of the run folder.
        folder: PathBuf,
        /// The error of the newest one.
        error: CheckpointError,
    },
    /// The existing run has other settings, libraries, kernels or data.
    #[error("this run does not match {place}: {}", .differences.join("; "))]
    OtherRun {
        /// Which checkpoint it is, or that it is the finished run, as in the message.
        place: String,
        /// One phrase per field that differs, with both values.
        differences: Vec<String>,
    },
    /// The contents of a checkpoint contradict each other or the data set.
    #[error("{}: {error}", .path.display())]
    Checkpoint {
        /// Path of the checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        error: CheckpointError,
    },
    /// The run is finished with fewer epochs than requested.
    #[error(
        "the run in {} is finished after {} and its checkpoints were removed: it cannot be trained for more epochs",
        .folder.display(), counted(*.epochs, "epoch")
    )]
    FinishedWithFewerEpochs {
        /// Path of the run folder.
        folder: PathBuf,
        /// Number of epochs of the finished run.
        epochs: usize,
    },
    /// The folder contains files of a run, but no checkpoint.
    #[error("{} contains an incomplete run ({file}) without a checkpoint", .folder.display())]
    NoCheckpoint {
        /// Path of the run folder.
        folder: PathBuf,
        /// Name of a file of the run in that folder.
        file: &'static str,
    },
    /// A checkpoint that does not fit the model.
    #[error("the checkpoint {}: {}", .0.display(), .1)]
    Restore(PathBuf, Box<dyn std::error::Error + Send + Sync>),
}

/// Decides where the run of `config` with `images` training images starts.
pub fn start(
    folder: &RunFolder,
    config: &RunConfig,
    images: usize,
    on_event: OnEvent,
) -> Result<Start, RunError> {
    let mut note = |note: &Note| {
        // A request to stop is repeated at the first step.
        let _ = on_event(Event::Note(note));
    };
    let out = folder.path().to_path_buf();
    let found = checkpoint_files::find(folder);
    for (path, error) in found.damaged {
        if matches!(error, CheckpointError::Contradictory(_)) {
            // Its checksum is right: it was edited, and an older one may have been, too.
            return Err(ResumeError::Checkpoint { path, error }.into());
        }
        if found.newest.is_none() {
            return Err(ResumeError::NoneIntact { folder: out, error }.into());
        }
        note(&Note::DamagedCheckpoint(path, error));
    }
    if let Some((path, checkpoint)) = found.newest {
        refuse_other_run(&checkpoint.config, config, path.display().to_string())?;
        checkpoint_files::check(&path, &checkpoint, images)
            .map_err(|error| ResumeError::Checkpoint { path: path.clone(), error })?;
        let (epochs, steps) = (checkpoint.progress.epochs.len(), checkpoint.progress.steps);
        note(&Note::Resumed { path: path.clone(), epochs, steps });
        return Ok(Start::From(path, Box::new(checkpoint)));
    }
    if let Some(finished) = folder.read_config()? {
        refuse_other_run(&finished, config, format!("the finished run in {}", out.display()))?;
        let epochs = finished.settings.epochs;
        if config.settings.epochs > epochs {
            return Err(ResumeError::FinishedWithFewerEpochs { folder: out, epochs }.into());
        }
        return Ok(Start::Finished);
    }
    if let Some(file) = folder.existing_file() {
        return Err(ResumeError::NoCheckpoint { folder: out, file }.into());
    }
    note(&Note::NothingToResume(out));
    Ok(Start::FromBeginning)
}

fn refuse_other_run(then: &RunConfig, now: &RunConfig, place: String) -> Result<(), ResumeError> {
    let differences = then.resume_differences(now);
    if differences.is_empty() { Ok(()) } else { Err(ResumeError::OtherRun { place, differences }) }
}
