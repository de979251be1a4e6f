//! Performs a complete run: training with checkpoints and TensorBoard events, evaluation, and all files of the run
//! folder.
//!
//! [`run`] also resumes an interrupted run. It does not depend on a command line and prints nothing: it reports
//! events to a callback, which may stop the run.

mod checkpoint_files;
mod checkpoints;
mod events;
mod files;
mod finished;
mod network;
mod prepared;
mod tensorboard;
mod training;

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use stitch_run::{Checkpoint, CheckpointError, counted};
use tensor_files::ReadError;

use crate::dataset::{Dataset, HoldOutError};
use crate::evaluate::Evaluation;
use crate::libtorch::threads::ThreadsError;
use crate::models::ModelEntry;
use crate::nn::{ForwardFailed, Model, StateDictError};
use crate::parity::TracedSteps;
use crate::parity::recorder::Recorder;
use crate::report::Section;
use crate::report::figures::Normalize;
use crate::run_folder::{self, FolderError, RunFolder, TrainingMetrics};
use crate::train::{self, Progress, Tracer, TrainConfig, TrainError, Trainer};

pub use checkpoint_files::clear as clear_checkpoints;
pub use checkpoints::ResumeError;
pub use events::EventsError;
pub use files::write_evaluation;
pub use network::NetworkError;
pub use prepared::{FirstStep, Prepared};
pub use stitch_run::CheckpointEvery;

/// The options of a run besides its settings.
#[derive(Debug, Clone)]
pub struct Options {
    /// When checkpoints are written.
    pub checkpoint_every: CheckpointEvery,
    /// Whether to resume the run in the folder.
    pub resume: bool,
    /// The steps of which a trace is recorded; `None`: no trace. A traced run writes no checkpoints and cannot be resumed.
    pub trace: Option<TracedSteps>,
    /// Whether to write events for TensorBoard.
    pub tensorboard: bool,
    /// What the cells of the confusion matrix show; `None`: no figures and no report.
    pub figures: Option<Normalize>,
}

impl Default for Options {
    /// Checkpoints every 30 seconds, nothing else.
    fn default() -> Self {
        Self {
            checkpoint_every: CheckpointEvery::default(),
            resume: false,
            trace: None,
            tensorboard: false,
            figures: None,
        }
    }
}

/// An event of a run in progress.
#[derive(Debug)]
pub enum Event<'a> {
    /// Training starts or resumes.
    Started {
        /// The progress at the start.
        progress: &'a Progress,
        /// Training images per epoch.
        images: usize,
    },
    /// A step or an epoch is done.
    Train(train::Event),
    /// A note for the user.
    Note(&'a Note),
}

/// A note for the user of a run; [`fmt::Display`] gives its text.
#[derive(Debug)]
pub enum Note {
    /// A checkpoint is damaged; an older one is tried.
    DamagedCheckpoint(PathBuf, CheckpointError),
    /// The run resumes from a checkpoint.
    Resumed {
        /// The checkpoint's file.
        path: PathBuf,
        /// Number of finished epochs.
        epochs: usize,
        /// Number of finished steps of the next epoch.
        steps: usize,
    },
    /// There is nothing to resume in the folder: the run starts from the beginning.
    NothingToResume(PathBuf),
    /// The run in the folder is complete: nothing is changed.
    Finished(PathBuf),
    /// The stopping rule of the model's library ended the training.
    Converged(&'static ModelEntry),
    /// The validation loss has not improved for `patience` epochs.
    OutOfPatience {
        /// Epochs without a lower validation loss.
        patience: usize,
        /// Epoch with the lowest validation loss, from 1.
        best: usize,
    },
    /// A traced run writes no checkpoints.
    TracedWithoutCheckpoints,
    /// A traced run did not end: the folder of its trace.
    TruncatedTrace(PathBuf),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DamagedCheckpoint(path, error) => {
                write!(f, "{}: {error}", path.display())
            }
            Self::Resumed { path, epochs, steps } => {
                let path = path.display();
                let (epochs, steps) = (counted(*epochs, "epoch"), counted(*steps, "step"));
                write!(f, "resumed after {epochs} and {steps}, from {path}")
            }
            Self::NothingToResume(folder) => {
                write!(f, "nothing to resume in {}; starting from the beginning", folder.display())
            }
            Self::Finished(folder) => {
                write!(f, "the run in {} is finished already", folder.display())
            }
            Self::Converged(model) => write!(
                f,
                "stopped early: the training loss has not improved by 1e-4 for more than 10 epochs (the rule of {})",
                model.library
            ),
            Self::OutOfPatience { patience, best } => write!(
                f,
                "stopped early: the validation loss has not improved for {patience} epochs since epoch {best}"
            ),
            Self::TracedWithoutCheckpoints => {
                write!(f, "a traced run writes no checkpoints and cannot be resumed")
            }
            Self::TruncatedTrace(folder) => {
                write!(f, "the truncated trace is in {}", folder.display())
            }
        }
    }
}

/// The callback for events; [`ControlFlow::Break`] stops the run after the step in progress and a checkpoint.
pub type OnEvent<'a> = &'a mut dyn FnMut(Event) -> ControlFlow<()>;

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The callback returned `ControlFlow::Break`.
    #[error("training was stopped in epoch {epoch}, step {step}{}", if *.resumable { "" } else { "; no checkpoint was written" })]
    Stopped {
        /// Counted from 1.
        epoch: usize,
        /// Counted from 1 within the epoch.
        step: usize,
        /// Whether there is a checkpoint to resume from.
        resumable: bool,
    },
    /// Both a trace and resuming are requested.
    #[error("a traced run cannot be resumed: its trace would lack the steps before")]
    TracedResume,
    /// Training failed.
    #[error(transparent)]
    Train(TrainError),
    /// The run cannot be resumed.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// The TensorBoard events cannot be resumed or written.
    #[error(transparent)]
    Events(#[from] EventsError),
    /// The run folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file could not be written during training.
    #[error("training was stopped: {0}")]
    Unwritten(FolderError),
    /// OpenMP does not allow the number of threads.
    #[error(transparent)]
    Threads(#[from] ThreadsError),
    /// Too many validation images.
    #[error(transparent)]
    HoldOut(#[from] HoldOutError),
    /// The file with the initial values cannot be used.
    #[error("{file}: {what}")]
    Init {
        /// Its path in the settings.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// A file of the run folder cannot be read or is invalid.
    #[error(transparent)]
    Finished(#[from] crate::report::folder::ReadError),
    /// Tensors whose data does not match their types and shapes.
    #[error(transparent)]
    Tensors(#[from] ReadError),
    /// The best epoch's weights do not match the model.
    #[error(transparent)]
    Weights(#[from] StateDictError),
    /// The TorchScript file of the network cannot be used.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The forward pass of a TorchScript network raised on the test images.
    #[error("the forward pass of the network raised on the test images: {0}")]
    Forward(ForwardFailed),
    /// A tensor cannot be recorded in the trace in this folder.
    #[error("{}: {error}", .folder.display())]
    Trace {
        /// The folder.
        folder: PathBuf,
        /// Why.
        error: stitch_trace::WriteError,
    },
    /// A thread or file handle cannot be created.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl From<TrainError> for RunError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Stopped { epoch, step } => Self::Stopped { epoch, step, resumable: false },
            other => Self::Train(other),
        }
    }
}

/// The result of a run.
pub struct Trained {
    /// Predictions and scores on the test images.
    pub evaluation: Evaluation,
    /// Losses, times, and the validation.
    pub metrics: TrainingMetrics,
    /// The run's section of a report; `None` without figures.
    pub section: Option<Section>,
}

/// Trains, evaluates, and writes the run folder, with `config.json` last: a folder without it does not contain a
/// complete run. The same settings, data, threads, machine and libraries give the same bytes, apart from times.
///
/// ```no_run
/// use std::ops::ControlFlow;
/// use std::path::Path;
///
/// use stitch::dataset::source;
/// use stitch::models;
/// use stitch::run::{Options, run};
/// use stitch::run_folder::{Claim, RunFolder};
///
/// let dataset = source::load(source::find(None)?)?;
/// let folder = RunFolder::claim(Path::new("runs/lenet5"), Claim::New)?;
/// let config = models::named("lenet5")?.config();
/// let mut on_event = |_: stitch::run::Event| ControlFlow::Continue(());
/// let trained = run(&folder, &config, &Options::default(), &dataset, &mut on_event)?;
/// println!("{:.4}", trained.evaluation.report.accuracy);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// See [`RunError`]. The folder then has its previous content, or checkpoints to resume from.
pub fn run(
    folder: &RunFolder,
    config: &TrainConfig,
    options: &Options,
    dataset: &Dataset,
    on_event: OnEvent,
) -> Result<Trained, RunError> {
    if options.resume && options.trace.is_some() {
        return Err(RunError::TracedResume);
    }
    let mut prepared = Prepared::new(config, dataset)?;
    let config = prepared.run_config()?;
    let start = match options.resume {
        true => checkpoints::start(folder, &config, prepared.dataset.train.len(), on_event)?,
        false => {
            clear_checkpoints(folder)?;
            checkpoints::Start::FromBeginning
        }
    };
    let (progress, checkpoint) = match &start {
        checkpoints::Start::FromBeginning => (Progress::default(), None),
        checkpoints::Start::From(path, checkpoint) => {
            let progress = restore(&mut prepared.trainer, checkpoint);
            let progress = progress.map_err(|error| ResumeError::Restore(path.clone(), error))?;
            (progress, Some(&**checkpoint))
        }
        checkpoints::Start::Finished => {
            let done = Note::Finished(folder.path().into());
            let _ = on_event(Event::Note(&done));
            return finished::result(folder, &prepared, options);
        }
    };
    let log = options.tensorboard.then(|| tensorboard::open(folder, checkpoint));
    let mut log = log.transpose()?;
    let Prepared { model: entry, dataset, trainer, .. } = &mut prepared;
    let part = folder.path().join(run_folder::TRACE_PART);
    let recorder = options.trace.clone().map(|steps| {
        let _ = on_event(Event::Note(&Note::TracedWithoutCheckpoints));
        Recorder::create(&part, steps, entry, trainer.model(), [&dataset.train, &dataset.test])
    });
    let unwritten = |error| RunError::Trace { folder: part.clone(), error };
    let mut recorder = recorder.transpose().map_err(unwritten)?;
    let tracer = recorder.as_mut().map(|recorder| recorder as &mut dyn Tracer);
    let is_traced = options.trace.is_some();
    let every = if is_traced { CheckpointEvery::Never } else { options.checkpoint_every };
    let job = training::Job { folder, config: &config, every, dataset };
    let trained = training::fit(&job, trainer, progress, tracer, log.as_mut(), on_event);
    let history = match trained {
        Ok(history) => history,
        Err(error) => {
            if is_traced {
                let _ = on_event(Event::Note(&Note::TruncatedTrace(part.clone())));
            }
            return Err(recorder.and_then(Recorder::into_error).map_or(error, unwritten));
        }
    };
    training::note_early_end(entry, &history, config.settings.patience, on_event);
    let trained = files::Trained {
        config,
        history,
        entry,
        model: prepared.trainer.into_model(),
        log,
        recorder,
    };
    trained.write(folder, &prepared.dataset, options.figures)
}

/// Restores a trainer from a checkpoint, and returns the progress of the run.
fn restore(
    trainer: &mut Trainer,
    checkpoint: &Checkpoint,
) -> Result<Progress, Box<dyn std::error::Error + Send + Sync>> {
    let mut progress = checkpoint.progress.clone();
    if checkpoint.config.settings.val.is_some() && !progress.epochs.is_empty() {
        let (class, graph, kind) =
            (trainer.model().class(), trainer.model().graph(), trainer.model().kind());
        let best = Model::zeros(class, Arc::clone(graph), kind, tch::Device::Cpu);
        let loaded = best.load_state_dict(&progress.best_parameters);
        loaded.map_err(|error| format!("the best epoch's weights: {error}"))?;
        // In the order of the model, not of the checkpoint.
        progress.best_parameters = best.state_dict();
    }
    trainer.restore(&checkpoint.state)?;
    Ok(progress)
}
