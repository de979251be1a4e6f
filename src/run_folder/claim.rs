//! Claims run folders: locks, checks for existing runs, removal of stale temporary files.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::disk::TEMPORARY;
use super::names::{CHECKPOINTS, FILES, all_files};
use super::{Claim, FolderError};

/// Whether the folder contains an interrupted run.
pub(super) fn has_checkpoints(folder: &Path) -> bool {
    fs::read_dir(folder.join(CHECKPOINTS)).is_ok_and(|mut files| files.next().is_some())
}

/// Locks a folder; `None` where folders cannot be locked (some network file systems, systems other than Unix).
pub(super) fn lock(folder: &Path) -> Result<Option<File>, FolderError> {
    if cfg!(not(unix)) {
        return Ok(None);
    }
    let path = folder.to_path_buf();
    let file = match File::open(folder) {
        Ok(file) => file,
        Err(error) => return Err(FolderError::NotWritable(path, error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Err(FolderError::Locked(path)),
        Err(fs::TryLockError::Error(_)) => Ok(None),
    }
}

/// A file of a run in the folder, if there is one.
pub(super) fn existing_file(folder: &Path) -> Option<&'static str> {
    FILES.into_iter().chain(all_files()).find(|file| folder.join(file).exists())
}

/// Refuses a folder that contains a run, unless `claim` allows it.
pub(super) fn refuse_existing(folder: &Path, claim: Claim) -> Result<(), FolderError> {
    let path = || folder.to_path_buf();
    match claim {
        Claim::New if has_checkpoints(folder) => Err(FolderError::Interrupted(path())),
        Claim::New => {
            existing_file(folder).map_or(Ok(()), |file| Err(FolderError::Occupied(path(), file)))
        }
        Claim::Replace | Claim::Resume => Ok(()),
    }
}

/// Removes a file if it exists.
pub(super) fn remove(path: &Path) -> Result<(), FolderError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FolderError::Remove(path.into(), error))
        }
        _ => Ok(()),
    }
}

/// Removes temporary files of killed processes. The folder must be locked, so that no other process is writing.
pub(super) fn remove_temporary_files(folder: &Path) -> Result<(), FolderError> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        let temporary = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        if temporary && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}
