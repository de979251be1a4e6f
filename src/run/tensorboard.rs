//! Adds the results of a run to its TensorBoard events.

use stitch_run::Checkpoint;

use super::events::{EventLog, EventsError};
use crate::evaluate::Evaluation;
use crate::formats::tensorboard::Picture;
use crate::report::figures::{Normalize, confusion_matrix};
use crate::run_folder::{FolderError, RunFolder};
use crate::train::{EpochRecord, Event};

/// Creates the events file, or resumes it from a checkpoint.
pub fn open<'a>(
    folder: &'a RunFolder,
    checkpoint: Option<&Checkpoint>,
) -> Result<EventLog<'a>, EventsError> {
    match checkpoint.map(|checkpoint| &checkpoint.events) {
        None => Ok(EventLog::create(folder)?),
        Some(Some(events)) => EventLog::resume(folder, events),
        Some(None) => Err(EventsError::None(folder.path().display().to_string())),
    }
}

/// Adds the loss of a step (step `count` of the run) or the losses and accuracy of an epoch.
pub fn add(log: &mut EventLog, event: Event, count: usize) -> Result<(), FolderError> {
    match event {
        Event::Step { batch_loss, lr, .. } => {
            log.scalar("loss/step", count, batch_loss)?;
            log.scalar("lr", count, lr)
        }
        Event::Epoch(EpochRecord { epoch, loss, val_loss, val_accuracy, .. }) => {
            log.scalar("loss/train", epoch, loss)?;
            for (tag, value) in [("loss/val", val_loss), ("accuracy/val", val_accuracy)] {
                value.map_or(Ok(()), |value| log.scalar(tag, epoch, value))?;
            }
            log.flush()
        }
    }
}

/// Adds the test accuracy and the confusion matrix after the last epoch, and flushes the file to disk.
pub fn add_result(
    log: &mut EventLog,
    evaluation: &Evaluation,
    epoch: usize,
) -> Result<(), FolderError> {
    log.scalar("accuracy/test", epoch, evaluation.report.accuracy)?;
    let figure = confusion_matrix(&evaluation.matrix, &evaluation.classes, Normalize::Counts);
    let png = figure.png();
    if let Some(picture) = Picture::from_png(&png) {
        log.image("confusion_matrix", epoch, picture);
    }
    log.sync()
}
