//! What a training writes for TensorBoard, and under which names.

use anyhow::{Result, bail};
use stitch::checkpoint::Events;
use stitch::dataset::classes;
use stitch::evaluate::Evaluation;
use stitch::events::EventLog;
use stitch::formats::tensorboard::Picture;
use stitch::report::figures::{Normalize, confusion_matrix};
use stitch::run_folder::{FolderError, RunFolder};
use stitch::train::{EpochRecord, Event};

/// Where the events of a run begin.
pub enum Beginning<'a> {
    /// With the run.
    Anew,
    /// Where they were at a checkpoint, if that run wrote any.
    At(Option<&'a Events>),
}

/// The events of a run that is to write some.
pub fn open<'a>(folder: &'a RunFolder, beginning: Beginning) -> Result<EventLog<'a>> {
    match beginning {
        Beginning::Anew => Ok(EventLog::begin(folder)?),
        Beginning::At(Some(events)) => Ok(EventLog::resume(folder, events)?),
        Beginning::At(None) => bail!(
            "--tensorboard: the run in {} was begun without it, and its first steps are in no event. \
             Leave --tensorboard away, or give --force to begin anew",
            folder.path().display()
        ),
    }
}

/// Adds what happened: the loss of step `count` of the run, or of an epoch.
pub fn add(log: &mut EventLog, event: Event, count: usize) -> Result<(), FolderError> {
    match event {
        Event::Step { batch_loss, .. } => log.scalar("loss/step", count, batch_loss),
        Event::Epoch(EpochRecord { epoch, loss, validation, .. }) => {
            log.scalar("loss/train", epoch, loss)?;
            if let Some(validation) = validation {
                log.scalar("loss/val", epoch, validation.loss)?;
                log.scalar("accuracy/val", epoch, validation.accuracy)?;
            }
            log.flush()
        }
    }
}

/// Adds what the run came to after its last epoch, and brings all to the disk.
pub fn add_result(
    log: &mut EventLog,
    evaluation: &Evaluation,
    epoch: usize,
) -> Result<(), FolderError> {
    log.scalar("accuracy/test", epoch, evaluation.report.accuracy)?;
    let figure = confusion_matrix(&evaluation.matrix, &classes::NAMES, Normalize::Counts);
    let png = figure.png();
    if let Some(picture) = Picture::of_png(&png) {
        log.image("confusion_matrix", epoch, picture);
    }
    log.sync()
}
