//! Trains the model of a run, with checkpoints and events.

use std::ops::ControlFlow;
use std::thread;

use super::checkpoints::Writer;
use super::events::EventLog;
use super::{CheckpointEvery, Event, Note, OnEvent, RunError, clear_checkpoints, tensorboard};
use crate::dataset::Dataset;
use crate::models::ModelEntry;
use crate::run_folder::{RunConfig, RunFolder};
use crate::train::{self, History, Progress, Tracer, TrainError, Trainer};

/// The folder, settings and data of a training run.
pub struct Job<'a> {
    pub folder: &'a RunFolder,
    pub config: &'a RunConfig,
    pub every: CheckpointEvery,
    pub dataset: &'a Dataset,
}

/// Trains the model, starting at `start`.
pub fn fit(
    job: &Job,
    trainer: &mut Trainer,
    start: Progress,
    tracer: Option<&mut dyn Tracer>,
    mut log: Option<&mut EventLog>,
    on_event: OnEvent,
) -> Result<History, RunError> {
    let (train, settings) = (&job.dataset.train, &job.config.settings);
    let from_beginning = start == Progress::default();
    let steps = train::steps(settings, train);
    let mut unwritten = None;
    let images = train.len().min(steps.saturating_mul(settings.batch_size));
    let _ = on_event(Event::Started { progress: &start, images });
    let (trained, written) = thread::scope(|scope| -> Result<_, RunError> {
        let mut writer = match job.every {
            CheckpointEvery::Never => None,
            every => {
                let config = job.config.clone();
                Some(Writer::new(scope, job.folder, config, every, steps, log.as_deref())?)
            }
        };
        let mut on_step = |event, progress: &Progress, trainer: &Trainer| {
            let stop = on_event(Event::Train(event)).is_break();
            let mut writer = writer.as_mut();
            let due = writer.as_mut().is_some_and(|writer| stop || writer.is_due(event, progress));
            let logged = log.as_mut().map(|log| {
                tensorboard::add(log, event, progress.count(steps))?;
                if due { log.flush() } else { Ok(()) }
            });
            if let Some(Err(error)) = logged {
                unwritten = Some(error);
                return ControlFlow::Break(());
            }
            let events = || log.as_ref().map(|log| log.position());
            let written =
                !due || writer.is_none_or(|writer| writer.write(progress, trainer, events()));
            if stop || !written { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let validation = job.dataset.validation.as_ref();
        let trained = train::fit(trainer, settings, train, validation, start, &mut on_step, tracer);
        Ok((trained, writer.map(Writer::finish)))
    })?;
    let resumable = written.transpose().map_err(RunError::Unwritten)?.is_some();
    if let Some(error) = unwritten {
        return Err(RunError::Unwritten(error));
    }
    trained.or_else(|error| match error {
        TrainError::Stopped { epoch, step } => {
            if !resumable && from_beginning {
                job.folder.discard_events()?;
            }
            let resumable = resumable || !from_beginning;
            Err(RunError::Stopped { epoch, step, resumable })
        }
        error => {
            // A resumed run would fail again.
            clear_checkpoints(job.folder)?;
            Err(error.into())
        }
    })
}

/// Reports that training stopped early.
pub fn note_early_end(
    model: &'static ModelEntry,
    history: &History,
    patience: Option<usize>,
    on_event: OnEvent,
) {
    if history.converged {
        let _ = on_event(Event::Note(&Note::Converged(model)));
    }
    if let (true, Some(best), Some(patience)) = (history.out_of_patience, &history.best, patience) {
        let best = best.epoch.epoch;
        let _ = on_event(Event::Note(&Note::OutOfPatience { patience, best }));
    }
}
