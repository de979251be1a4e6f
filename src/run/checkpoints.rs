//! When checkpoints are written, and from which of them a run resumes.

use std::io;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use stitch_run::{Checkpoint, CheckpointError, Events};

use super::events::EventLog;
use super::{Event, Note, OnEvent, RunError, checkpoint_files};
use crate::run_folder::{CHECKPOINTS, EVENTS_PART, FolderError, RunConfig, RunFolder, TENSORBOARD};
use crate::train::{self, Progress, TrainState, Trainer};

/// When a checkpoint is written, besides the end of each epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointEvery {
    /// Never, not even at the end of an epoch.
    Never,
    /// After this time.
    Time(Duration),
    /// After so many steps, counted from the beginning of the run.
    Steps(NonZeroU64),
}

impl Default for CheckpointEvery {
    /// Every 30 seconds.
    fn default() -> Self {
        Self::Time(Duration::from_secs(30))
    }
}

/// Writes checkpoints in a thread of its own: the training goes on until the next one is due.
pub struct Writer<'scope> {
    every: CheckpointEvery,
    /// Steps per epoch.
    steps: usize,
    last: Instant,
    to: SyncSender<(usize, Checkpoint)>,
    /// The two checkpoints that take turns: one is filled while the other is written.
    back: Receiver<Checkpoint>,
    thread: ScopedJoinHandle<'scope, Result<(), FolderError>>,
}

impl<'scope> Writer<'scope> {
    /// For a run of this configuration, of `steps` per epoch.
    pub fn new<'a: 'scope>(
        scope: &'scope Scope<'scope, 'a>,
        folder: &'a RunFolder,
        config: RunConfig,
        every: CheckpointEvery,
        steps: usize,
        events: Option<&EventLog>,
    ) -> io::Result<Self> {
        let events = events.map(EventLog::file).transpose()?;
        // Without capacity: sending waits until the one before is written.
        let (to, from) = mpsc::sync_channel::<(usize, Checkpoint)>(0);
        let (give_back, back) = mpsc::sync_channel(2);
        for config in [config.clone(), config] {
            let (progress, state) = (Progress::default(), TrainState::default());
            let empty = Checkpoint { config, progress, state, events: None };
            // The other end is below.
            let _ = give_back.send(empty);
        }
        let write = move || {
            for (step, checkpoint) in from {
                // Its tensors were copied out of a model: shapes and data agree.
                let bytes = checkpoint.write().map_err(|error| {
                    let error = std::io::Error::other(error);
                    FolderError::Write(folder.path().join(CHECKPOINTS), error)
                })?;
                if let Some(events) = &events {
                    folder.sync(events, TENSORBOARD, EVENTS_PART)?;
                }
                checkpoint_files::save(folder, step, &bytes)?;
                // Nobody takes it after the last one.
                let _ = give_back.send(checkpoint);
            }
            Ok(())
        };
        let thread = thread::Builder::new().name("checkpoints".into());
        let thread = thread.spawn_scoped(scope, write)?;
        Ok(Self { every, steps, last: Instant::now(), to, back, thread })
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

    /// Writes a checkpoint; `events` are in their file. `false`: writing has failed, and
    /// [`Writer::finish`] returns the error.
    pub fn write(
        &mut self,
        progress: &Progress,
        trainer: &Trainer,
        events: Option<Events>,
    ) -> bool {
        self.last = Instant::now();
        let Ok(mut checkpoint) = self.back.recv() else { return false };
        // Into memory that exists: new blocks among those that each step allocates and frees would make the heap grow.
        progress.copy_to(&mut checkpoint.progress);
        trainer.copy_state(&mut checkpoint.state);
        checkpoint.events = events;
        self.to.send((progress.count(self.steps), checkpoint)).is_ok()
    }

    /// Waits until everything is flushed to disk.
    pub fn finish(self) -> Result<(), FolderError> {
        drop(self.to);
        // A panic in the thread goes on here.
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// From where a run starts.
pub enum Start {
    /// Its first step.
    FromBeginning,
    /// A checkpoint, and its file.
    From(PathBuf, Box<Checkpoint>),
    /// It is complete.
    Finished,
}

/// Why a run cannot be resumed.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// None of the checkpoints is intact.
    #[error("none of the checkpoints in {} can be read: {error}", .folder.display())]
    NoneIntact {
        /// The run folder.
        folder: PathBuf,
        /// What is wrong with the newest.
        error: CheckpointError,
    },
    /// The run there has other settings, libraries, kernels or data.
    #[error("this is not the run of {place}, which differs in: {}", .differences.join("; "))]
    OtherRun {
        /// The checkpoint, or the finished run.
        place: String,
        /// The differing fields.
        differences: Vec<String>,
    },
    /// A checkpoint that contradicts itself or the data.
    #[error("{}: {error}", .path.display())]
    Checkpoint {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        error: CheckpointError,
    },
    /// The run is finished, and more epochs are asked for.
    #[error(
        "the run in {} is finished with {epochs} epochs and its checkpoints are gone: it cannot be trained for more \
         epochs",
        .folder.display()
    )]
    FinishedWithFewerEpochs {
        /// The run folder.
        folder: PathBuf,
        /// Its epochs.
        epochs: usize,
    },
    /// Files of a run, and no checkpoint.
    #[error("{} holds a part of a run ({file}) and no checkpoint", .folder.display())]
    PartOfARun {
        /// The run folder.
        folder: PathBuf,
        /// A file in it.
        file: &'static str,
    },
    /// A checkpoint that does not fit the model.
    #[error("the checkpoint {}: {}", .0.display(), .1)]
    Restore(PathBuf, Box<dyn std::error::Error + Send + Sync>),
}

/// Where the run that `config` and the number of training images describe is to start.
pub fn start(
    folder: &RunFolder,
    config: &RunConfig,
    images: usize,
    on_event: OnEvent,
) -> Result<Start, RunError> {
    let mut note = |note: &Note| {
        // The training stops at its first step if this asks for it.
        let _ = on_event(Event::Note(note));
    };
    let out = folder.path().to_path_buf();
    let found = checkpoint_files::find(folder);
    for (path, error) in found.damaged {
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
    if let Some(there) = folder.read_config()? {
        refuse_other_run(&there, config, format!("the finished run in {}", out.display()))?;
        let epochs = there.settings.epochs;
        if config.settings.epochs > epochs {
            return Err(ResumeError::FinishedWithFewerEpochs { folder: out, epochs }.into());
        }
        return Ok(Start::Finished);
    }
    if let Some(file) = folder.existing_file() {
        return Err(ResumeError::PartOfARun { folder: out, file }.into());
    }
    note(&Note::NothingToResume(out));
    Ok(Start::FromBeginning)
}

fn refuse_other_run(then: &RunConfig, now: &RunConfig, place: String) -> Result<(), ResumeError> {
    let differences = then.differences(now);
    if differences.is_empty() { Ok(()) } else { Err(ResumeError::OtherRun { place, differences }) }
}
