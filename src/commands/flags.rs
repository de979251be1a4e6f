//! Error messages for the command line: the library's errors with the flag concerned and what to do.

use anyhow::{Error, anyhow};
use stitch::dataset::source::FetchError;
#[cfg(feature = "libtorch")]
use stitch::run::{EventsError, ResumeError, RunError};
use stitch::run_folder::FolderError;
use stitch::train::SettingError;
#[cfg(feature = "libtorch")]
use stitch::train::TrainError;

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
    #[cfg(feature = "libtorch")]
    if let Some(message) = of_run(error) {
        return message;
    }
    let (flag, advice) = match (error.downcast_ref::<FolderError>(), error.downcast_ref()) {
        (Some(folder), _) => of_folder(folder),
        (None, Some(FetchError::Write(..)) | None) => ("", ""),
        (None, Some(_)) => ("", ". Give another server with --mirror"),
    };
    format!("{flag}{error:#}{advice}")
}

/// The message of the error of a run; `None` for other errors.
#[cfg(feature = "libtorch")]
fn of_run(error: &Error) -> Option<String> {
    let (flag, advice) = match error.downcast_ref() {
        Some(RunError::Folder(folder) | RunError::Events(EventsError::Folder(folder))) => {
            of_folder(folder)
        }
        Some(RunError::Resume(error)) => of_resume(error),
        Some(RunError::Events(_)) => (
            "--tensorboard: ",
            ". Omit --tensorboard to resume without them, or give --force to start over",
        ),
        _ if diverged(error) => ("", " (--lr)"),
        Some(RunError::HoldOut(error)) => {
            return Some(format!("--val is {}: {error}", error.asked));
        }
        Some(RunError::Threads(_)) => ("--threads: ", ""),
        Some(RunError::Init { .. }) => ("--init: ", ""),
        Some(RunError::Train(TrainError::NoStep(..))) => ("--drop-last: ", ""),
        _ => return None,
    };
    Some(format!("{flag}{error:#}{advice}"))
}

/// Whether training diverged.
#[cfg(feature = "libtorch")]
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

/// Whether training diverged: nothing is trained without libtorch.
#[cfg(not(feature = "libtorch"))]
pub fn diverged(_error: &Error) -> bool {
    false
}

/// The failure of a training.
#[cfg(feature = "libtorch")]
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

#[cfg(feature = "libtorch")]
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
