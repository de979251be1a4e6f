//! Error messages for the command line: the library's errors with the flag concerned and what to do.

use anyhow::{Error, anyhow};
use stitch::dataset::source::FetchError;
use stitch::run::{EventsError, ResumeError, RunError};
use stitch::run_folder::FolderError;
use stitch::train::{SettingError, TrainError};

/// The flag of a setting.
pub fn flag(setting: &str) -> String {
    format!("--{}", setting.replace('_', "-"))
}

/// The error about a setting that was given as a flag.
pub fn of_setting(error: &SettingError) -> Error {
    let flag = flag(error.name());
    match error {
        SettingError::Wrong { found, expected, .. } => {
            anyhow!("{flag} is {found}: it must be {expected}")
        }
        other => anyhow!("{flag}: {other}"),
    }
}

/// The message of an error.
pub fn message(error: &Error) -> String {
    let run = error.downcast_ref::<RunError>();
    let folder = match run {
        Some(RunError::Folder(folder)) => Some(folder),
        _ => error.downcast_ref::<FolderError>(),
    };
    let (flag, advice) = match (folder, run) {
        (Some(folder), _) => of_folder(folder),
        (_, Some(RunError::Resume(error))) => of_resume(error),
        (_, Some(RunError::Events(EventsError::Folder(folder)))) => of_folder(folder),
        (_, Some(RunError::Events(_))) => (
            "--tensorboard: ",
            ". Omit --tensorboard to resume without them, or give --force to start over",
        ),
        _ if diverged(error) => ("", " (--lr)"),
        (_, Some(RunError::HoldOut(error))) => {
            return format!("--val is {}: {error}", error.asked);
        }
        (_, Some(RunError::Threads(_))) => ("--threads: ", ""),
        (_, Some(RunError::Init { .. })) => ("--init: ", ""),
        (_, Some(RunError::Train(TrainError::NoStep(..)))) => ("--drop-last: ", ""),
        _ => match error.downcast_ref() {
            None | Some(FetchError::Write(..)) => ("", ""),
            Some(_) => ("", ". Give another server with --mirror"),
        },
    };
    format!("{flag}{error:#}{advice}")
}

/// Whether training diverged.
pub fn diverged(error: &Error) -> bool {
    train_error(error).is_some_and(|error| {
        matches!(
            error,
            TrainError::Diverged { .. }
                | TrainError::ValidationDiverged { .. }
                | TrainError::NotFinite { .. }
        )
    })
}

/// The failure of a training.
pub fn train_error(error: &Error) -> Option<&TrainError> {
    match error.downcast_ref() {
        Some(RunError::Train(error)) => Some(error),
        _ => error.downcast_ref(),
    }
}

fn of_folder(error: &FolderError) -> (&'static str, &'static str) {
    match error {
        FolderError::Occupied(..) => ("--out ", ". Give another folder, or --force to replace it"),
        FolderError::Interrupted(_) => {
            ("--out ", ". Give --resume to resume it, --force to start over, or another folder")
        }
        FolderError::Locked(_) => ("--out ", ". Wait until it ends, or give another folder"),
        FolderError::HoldsTraining(_) => ("--out ", ", even with --force. Give another folder"),
        FolderError::NotWritable(..) => ("--out ", ". Give another folder"),
        _ => ("", ""),
    }
}

fn of_resume(error: &ResumeError) -> (&'static str, &'static str) {
    let advice = match error {
        ResumeError::NoneIntact { .. } | ResumeError::NoCheckpoint { .. } => {
            ". Give --force to start over, or another folder"
        }
        ResumeError::OtherRun { .. } => {
            ". Give the same settings, --force to start over, or another folder"
        }
        ResumeError::FinishedWithFewerEpochs { .. } => {
            ". Give --force to train from the beginning, or another folder"
        }
        ResumeError::Checkpoint { .. } | ResumeError::Restore(..) => "",
    };
    ("--resume: ", advice)
}
