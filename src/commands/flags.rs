//! The command line's terms for the library's errors: the flag that an error is about, and what to do.

use anyhow::{Error, anyhow};
use stitch::run::{EventsError, ResumeError, RunError};
use stitch::run_folder::FolderError;
use stitch::train::{SettingError, TrainError};

/// The error of a setting that a flag gave.
pub fn of_setting(error: &SettingError) -> Error {
    let flag = format!("--{}", error.name().replace('_', "-"));
    match error {
        SettingError::Wrong { found, expected, .. } => {
            anyhow!("{flag} is {found}: it must be {expected}")
        }
        other => anyhow!("{flag}: {other}"),
    }
}

/// The sentence for the user.
pub fn sentence(error: &Error) -> String {
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
            ". Leave --tensorboard away to continue without them, or give --force to start over",
        ),
        _ if diverged(error) => ("", " (--lr)"),
        (_, Some(RunError::HoldOut(_))) => ("--val: ", ""),
        (_, Some(RunError::Threads(_))) => ("--threads: ", ""),
        _ => ("", ""),
    };
    format!("{flag}{error:#}{advice}")
}

/// Whether the training diverged.
pub fn diverged(error: &Error) -> bool {
    let error = error.downcast_ref::<TrainError>();
    error.is_some_and(|error| {
        matches!(
            error,
            TrainError::Diverged { .. }
                | TrainError::ValidationDiverged { .. }
                | TrainError::NotFinite { .. }
        )
    })
}

fn of_folder(error: &FolderError) -> (&'static str, &'static str) {
    match error {
        FolderError::Occupied(..) => ("--out ", ". Give another folder, or --force to replace it"),
        FolderError::Interrupted(_) => {
            ("--out ", ". Give --resume to continue it, --force to start over, or another folder")
        }
        FolderError::Locked(_) => ("--out ", ". Wait for it, or give another folder"),
        FolderError::HoldsTraining(_) => ("--out ", ", --force or not. Give another folder"),
        FolderError::NotWritable(..) => ("--out ", ". Give another folder"),
        _ => ("", ""),
    }
}

fn of_resume(error: &ResumeError) -> (&'static str, &'static str) {
    let advice = match error {
        ResumeError::NoneIntact { .. } | ResumeError::PartOfARun { .. } => {
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
