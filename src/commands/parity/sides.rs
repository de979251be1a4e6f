//! Opens the two sides of a comparison.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use stitch::parity::run::{self, Run, RunError};
use stitch::run_folder;
use stitch_parity::{Item, Side, SideError, stage};
use stitch_trace as trace;
use tensor_files::ReadError;

use crate::cli::ParityArgs;
use crate::commands::Console;
use crate::suggest::hinted;

/// Opens both sides. The traces of run folders are compared only if both have one. If one side is a single file or a
/// trace, only tensors that it can contain are compared.
pub fn open(args: &ParityArgs, console: Console) -> Result<(Run, Run)> {
    let paths = [&args.reference, &args.candidate].map(|path| run::without_wrapper(path));
    let traced = paths.each_ref().map(|path| run::has_trace(path));
    let folders = paths.iter().all(|path| path.is_dir());
    if let Some(key) = args.key.as_ref().filter(|_| folders) {
        return Err(no_such_key(key));
    }
    if folders && paths.iter().any(|path| is_bare_trace(path)) {
        return Ok((open_trace(&paths[0])?, open_trace(&paths[1])?));
    }
    if traced[0] != traced[1] && folders {
        let only = if traced[0] { "REFERENCE" } else { "CANDIDATE" };
        console.note(&format!(
            "note: only {only} has a trace: comparing the files of the runs. \
             With --trace on both sides the first divergence is found within the run"
        ));
    }
    let (with_trace, key) = (traced[0] && traced[1], args.key.as_deref());
    let (mut reference, one_uses_key) = open_side(&paths[0], with_trace, key)?;
    let (mut candidate, other_uses_key) = open_side(&paths[1], with_trace, key)?;
    if let Some(key) = key.filter(|_| !one_uses_key && !other_uses_key) {
        return Err(no_such_key(key));
    }
    leave_out_unrecorded(&reference.side, &mut candidate.side);
    leave_out_unrecorded(&candidate.side, &mut reference.side);
    if args.reference.is_file() {
        keep_comparable(&reference.side, &mut candidate.side)?;
    }
    if args.candidate.is_file() {
        keep_comparable(&candidate.side, &mut reference.side)?;
    }
    Ok((reference, candidate))
}

fn no_such_key(key: &str) -> anyhow::Error {
    anyhow!("--key {key}: neither side is a checkpoint with a dict of tensors under this key")
}

/// Whether `path` is the folder of a trace, not a run folder that contains one.
fn is_bare_trace(path: &Path) -> bool {
    path.join(trace::RECORDS).exists()
}

/// Opens a trace, or only the trace of a run folder.
fn open_trace(path: &Path) -> Result<Run> {
    if !run::has_trace(path) {
        bail!(
            "{} has no trace to compare with that of the other side: run it with --trace",
            path.display()
        );
    }
    let bare = is_bare_trace(path);
    let folder = if bare { path.to_owned() } else { path.join(trace::FOLDER) };
    Ok(run::open(&folder, true, None)?)
}

/// Opens one side; also returns whether it may use `key`.
fn open_side(path: &Path, with_trace: bool, key: Option<&str>) -> Result<(Run, bool)> {
    let opened = match run::open(path, with_trace, key) {
        // This side has no keys, so --key is for the other side.
        Err(RunError::Side(SideError::Tensors {
            error: ReadError::NoSuchKey { keys, .. },
            ..
        })) if keys.is_empty() => run::open(path, with_trace, None).map(|run| (run, false)),
        // Tables have no keys either.
        opened => {
            let is_table = path.extension().is_some_and(|extension| extension == "csv");
            opened.map(|run| (run, path.is_file() && !is_table))
        }
    };
    let part = path.join(run_folder::TRACE_PART);
    opened.map_err(|error| match error {
        RunError::Unknown(_) if is_interrupted(path) => {
            let compare = match part.join(trace::RECORDS).exists() {
                true => format!(", or compare its truncated trace, {}", part.display()),
                false => String::new(),
            };
            anyhow!(
                "{}: folder of an interrupted run, which has no results yet: resume it first (the command that began it, \
                 with --resume){compare}",
                path.display()
            )
        }
        RunError::Side(SideError::Tensors { error: ReadError::Ambiguous { .. }, .. }) => {
            anyhow!("{error}. Choose with --key NAME")
        }
        error => hinted(path, error),
    })
}

/// Whether a folder has the checkpoints or the truncated trace of a run that did not end.
fn is_interrupted(path: &Path) -> bool {
    let part = path.join(run_folder::TRACE_PART);
    path.join(run_folder::CHECKPOINTS).is_dir() || part.join(trace::RECORDS).exists()
}

/// Removes the learning rates of `other` if `side` is a run of a version that did not record them.
fn leave_out_unrecorded(side: &Side, other: &mut Side) {
    let of_lr = |item: &Item| item.key.stage == stage::LR;
    if side.items.iter().any(of_lr) || !other.items.iter().any(of_lr) {
        return;
    }
    other.items.retain(|item| !of_lr(item));
    other.left_out.push("lr in history.csv, which the other side does not have".into());
}

/// Removes the tensors of `other` that the single file or trace `file` cannot contain.
fn keep_comparable(file: &Side, other: &mut Side) -> Result<()> {
    let mut stages: Vec<&str> = file.items.iter().map(|item| item.key.stage.as_str()).collect();
    if stages.is_empty() {
        // Only a file of tensors may be empty.
        stages.push(stage::FINAL);
    }
    // One of the three weights files in a run folder is enough.
    let compared_files =
        [run_folder::SAFETENSORS, run_folder::PREDICTIONS, run_folder::CONFUSION_MATRIX];
    let had = other.items.len();
    other.items.retain_mut(|item| {
        let known = item.key.file.take().is_none_or(|file| compared_files.contains(&&*file));
        let in_file = match item.key.stage.as_str() {
            stage::DATA => file.items.iter().any(|other| other.key == item.key),
            stage => stages.contains(&stage),
        };
        known && in_file
    });
    let left = had - other.items.len();
    if left > 0 {
        let path = file.path.display();
        other.left_out.push(format!("{left} of its {had} tensors, which {path} does not contain"));
    }
    if had > 0 && other.items.is_empty() && !file.items.is_empty() {
        bail!(
            "{} and {} have no tensor in common: nothing can be compared",
            file.path.display(),
            other.path.display()
        );
    }
    Ok(())
}
