//! Saves and finds checkpoint files, from which an interrupted run resumes bit-identical to an uninterrupted one.
//!
//! They are `checkpoints/NNNNNNNN.safetensors` in the run folder, named by the number of steps. The last two are kept
//! until the run is complete.

use std::fs;
use std::path::{Path, PathBuf};

use stitch_run::{Checkpoint, CheckpointError};

use crate::run_folder::{CHECKPOINTS, FolderError, RunFolder, read_regular};

/// Number of checkpoints to keep.
const KEPT: usize = 2;
/// Maximum size in bytes of a checkpoint, which usually has a megabyte and 16 bytes per epoch.
const MAX_CHECKPOINT: u64 = 1 << 28;

/// Writes the checkpoint after `step` steps, and removes all but the last two. Checkpoints of later steps are removed
/// too: they are damaged, or the run would have resumed from them.
///
/// # Errors
/// See [`FolderError`].
pub fn save(folder: &RunFolder, step: usize, checkpoint: &[u8]) -> Result<(), FolderError> {
    folder.write_below(CHECKPOINTS, &format!("{step:08}.safetensors"), checkpoint)?;
    let all = list(folder.path());
    let (beyond, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|(at, _)| *at > step);
    for (_, path) in beyond.iter().chain(kept.iter().skip(KEPT)) {
        folder.remove(path)?;
    }
    Ok(())
}

/// The checkpoints in the folder of an interrupted run.
#[derive(Debug, Default)]
pub struct Found {
    /// Path and contents of the newest intact checkpoint; `None` if there is none.
    pub newest: Option<(PathBuf, Checkpoint)>,
    /// Newer checkpoints that are damaged.
    pub damaged: Vec<(PathBuf, CheckpointError)>,
}

/// Finds the newest intact checkpoint.
pub fn find(folder: &RunFolder) -> Found {
    let mut found = Found::default();
    for (_, path) in list(folder.path()) {
        match read(&path) {
            Ok(checkpoint) => {
                found.newest = Some((path, checkpoint));
                break;
            }
            Err(error) => found.damaged.push((path, error)),
        }
    }
    found
}

/// Checks that the progress in a checkpoint is consistent with its settings, the number of training images and its
/// file name.
///
/// # Errors
/// [`CheckpointError::Contradictory`].
pub fn check(path: &Path, checkpoint: &Checkpoint, images: usize) -> Result<(), CheckpointError> {
    stitch_run::checkpoint::check_progress(checkpoint, images)?;
    let (named, updates) = (step(path), checkpoint.state.updates);
    if named.is_none_or(|named| named as u64 != updates) {
        let what = format!("it has {updates} steps, but its file name gives another number");
        return Err(CheckpointError::Contradictory(what));
    }
    Ok(())
}

/// The number of steps in the name of a checkpoint.
fn step(path: &Path) -> Option<usize> {
    let name = path.file_name()?.to_str()?.strip_suffix(".safetensors")?;
    name.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.parse().ok())?
}

/// Removes all checkpoints and the events of a run in progress, and their folders if they are then empty.
///
/// # Errors
/// [`FolderError::Remove`].
pub fn clear(folder: &RunFolder) -> Result<(), FolderError> {
    list(folder.path()).iter().try_for_each(|(_, path)| folder.remove(path))?;
    let _ = fs::remove_dir(folder.path().join(CHECKPOINTS));
    folder.discard_events()
}

fn read(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let bytes = read_regular(path, MAX_CHECKPOINT);
    Checkpoint::read(&bytes.map_err(|error| CheckpointError::Tensors(error.into()))?)
}

/// The checkpoints in a folder with their steps, newest first. Only regular files, since opening a pipe would block.
fn list(folder: &Path) -> Vec<(usize, PathBuf)> {
    let entries = fs::read_dir(folder.join(CHECKPOINTS)).into_iter().flatten().flatten();
    let plain = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let mut all: Vec<_> =
        plain.filter_map(|entry| Some((step(&entry.path())?, entry.path()))).collect();
    all.sort_by(|a, b| b.cmp(a));
    all
}
