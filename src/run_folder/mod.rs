//! The run folder: claims it, and reads and writes its files.
//!
//! Every file is written atomically: to a temporary name, flushed to disk, then renamed. `config.json` is written
//! last: a folder with a `config.json` contains a complete run. A claimed folder is locked until the process ends.

mod claim;
mod disk;
mod names;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use claim::{
    existing_file, has_checkpoints, lock, refuse_existing, remove, remove_temporary_files,
};
pub use disk::{MAX_FILE, end_writes, read_regular, write_whole};
use disk::{WRITING, create_folder, create_folders, parent_of, sync_folder};
use names::all_files;
pub use names::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
pub use stitch_run::{
    Average, DataConfig, Metrics, ParityVerdict, RunConfig, RunConfigError, StageVerdict,
    TrainingMetrics, ValidationMetrics, peak_rss_bytes,
};

/// Why a run folder cannot be used; each message contains the path of the folder or file.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It contains a run already, with this file.
    #[error("{} contains another run ({})", .0.display(), .1)]
    Occupied(PathBuf, &'static str),
    /// It contains an interrupted run.
    #[error("{} contains an interrupted run ({CHECKPOINTS})", .0.display())]
    Interrupted(PathBuf),
    /// Another process has locked it.
    #[error("{} is in use: another process is writing a run there", .0.display())]
    Locked(PathBuf),
    /// A JSON file of the run in it is damaged.
    #[error("{} cannot be read: {}", .0.display(), .1)]
    Config(PathBuf, String),
    /// It is no longer the folder that was claimed.
    #[error("{}: the folder was removed or replaced during the run", .0.display())]
    Gone(PathBuf),
    /// A file in it cannot be removed.
    #[error("{} cannot be removed: {}", .0.display(), .1)]
    Remove(PathBuf, io::Error),
    /// It contains a training run, where an evaluation must not be written.
    #[error("{} contains a training run: an evaluation cannot be written there", .0.display())]
    HoldsTraining(PathBuf),
    /// It cannot be created or written.
    #[error("{} cannot be written: {}", .0.display(), .1)]
    NotWritable(PathBuf, io::Error),
    /// A file in it cannot be written.
    #[error("{} cannot be written: {}", .0.display(), .1)]
    Write(PathBuf, io::Error),
}

/// What to do about an existing run in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Refuse the folder.
    New,
    /// Replace the run.
    Replace,
    /// Resume the run.
    Resume,
}

/// A claimed run folder. Writes fail with [`FolderError::Write`], removals with [`FolderError::Remove`], both with
/// [`FolderError::Gone`], and reads with [`FolderError::Config`].
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The lock on the folder, released when the handle is closed, at the latest when the process ends.
    lock: Option<File>,
    /// Whether the claim created it.
    is_new: bool,
}

impl Drop for RunFolder {
    /// Removes a folder that the claim created if nothing was written to it.
    fn drop(&mut self) {
        if self.is_new {
            // Fails if it is not empty.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

impl RunFolder {
    /// Creates and locks the folder `path`. It must be writable, not locked by another process, and not contain another
    /// run unless `claim` allows it. Its content is not changed, except that temporary files of killed processes are
    /// removed.
    pub fn claim(path: &Path, claim: Claim) -> Result<Self, FolderError> {
        let path = path.to_path_buf();
        let not_writable = |error| FolderError::NotWritable(path.clone(), error);
        let is_new = !path.is_dir();
        create_folders(&path).map_err(not_writable)?;
        let lock = lock(&path)?;
        tempfile::tempfile_in(&path).map_err(not_writable)?;
        // Without a lock, another process may be writing them.
        if lock.is_some() {
            let below =
                [CHECKPOINTS, TENSORBOARD, stitch_trace::FOLDER].map(|folder| path.join(folder));
            for folder in below.iter().chain([&path]) {
                remove_temporary_files(folder)?;
            }
        }
        refuse_existing(&path, claim)?;
        Ok(Self { path, lock, is_new })
    }

    /// Checks whether [`RunFolder::claim`] would succeed; creates and changes nothing.
    ///
    /// # Errors
    /// Those of [`RunFolder::claim`].
    pub fn check_claim(path: &Path, claim: Claim) -> Result<(), FolderError> {
        let not_writable = |error| FolderError::NotWritable(path.into(), error);
        let mut existing = path;
        while !existing.as_os_str().is_empty() && fs::symlink_metadata(existing).is_err() {
            existing = parent_of(existing);
            if existing == Path::new(".") {
                break;
            }
        }
        let folder = fs::read_dir(existing).map(drop);
        folder.and_then(|()| tempfile::tempfile_in(existing).map(drop)).map_err(not_writable)?;
        if existing == path {
            drop(lock(path)?);
        }
        refuse_existing(path, claim)
    }

    /// As [`RunFolder::claim`], for an evaluation, which must not replace a training run.
    ///
    /// # Errors
    /// Those of [`RunFolder::claim`], and [`FolderError::HoldsTraining`].
    pub fn claim_for_evaluation(path: &Path, claim: Claim) -> Result<Self, FolderError> {
        let training = || path.join(CONFIG).exists() || has_checkpoints(path);
        let holds_training = || FolderError::HoldsTraining(path.into());
        if training() {
            return Err(holds_training());
        }
        let folder = Self::claim(path, claim)?;
        // Checked again, since another process may have written a run before the folder was locked.
        if training() { Err(holds_training()) } else { Ok(folder) }
    }

    /// The configuration of the complete run in the folder.
    pub fn read_config(&self) -> Result<Option<RunConfig>, FolderError> {
        self.read_with(CONFIG, RunConfig::read)
    }

    /// Reads a JSON file of the run, if it exists.
    pub(crate) fn read_json<T: DeserializeOwned>(
        &self,
        file: &str,
    ) -> Result<Option<T>, FolderError> {
        self.read_with(file, |bytes| serde_json::from_slice(bytes))
    }

    fn read_with<T, E: std::fmt::Display>(
        &self,
        file: &str,
        parse: impl Fn(&[u8]) -> Result<T, E>,
    ) -> Result<Option<T>, FolderError> {
        let path = self.path.join(file);
        let unreadable = |what: String| FolderError::Config(path.clone(), what);
        match read_regular(&path, MAX_FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(error.to_string())),
            Ok(bytes) => parse(&bytes).map(Some).map_err(|error| unreadable(error.to_string())),
        }
    }

    /// A file of a run in the folder, if there is one.
    pub fn existing_file(&self) -> Option<&'static str> {
        existing_file(&self.path)
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes an existing run, `config.json` first, so that a mixture of two runs never looks complete.
    pub fn clear(&self) -> Result<(), FolderError> {
        self.check()?;
        for file in all_files().rev() {
            self.remove(&self.path.join(file))?;
        }
        // Fails if the user has files of their own there.
        let _ = fs::remove_dir(self.path.join(stitch_trace::FOLDER));
        let _ = fs::remove_dir(self.path.join(TENSORBOARD));
        Ok(())
    }

    /// Removes a file in the folder, if it exists.
    pub fn remove(&self, path: &Path) -> Result<(), FolderError> {
        self.check()?;
        remove(path)
    }

    /// Checks that the path is still the folder that was claimed.
    fn check(&self) -> Result<(), FolderError> {
        #[cfg(unix)]
        if let Some(lock) = &self.lock {
            use std::os::unix::fs::MetadataExt;
            let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
            let now = fs::metadata(&self.path).map(id).ok();
            if now.is_none() || now != lock.metadata().map(id).ok() {
                return Err(FolderError::Gone(self.path.clone()));
            }
        }
        Ok(())
    }

    /// Writes `file` atomically.
    pub fn write(&self, file: &str, bytes: &[u8]) -> Result<(), FolderError> {
        self.check()?;
        let path = self.path.join(file);
        write_whole(&path, bytes).map_err(|error| FolderError::Write(path, error))
    }

    /// Writes `file` in the subfolder `below` atomically.
    pub(crate) fn write_below(
        &self,
        below: &str,
        file: &str,
        bytes: &[u8],
    ) -> Result<(), FolderError> {
        self.check()?;
        let folder = self.path.join(below);
        let path = folder.join(file);
        create_folder(&folder)
            .and_then(|()| write_whole(&path, bytes))
            .map_err(|error| FolderError::Write(path, error))
    }

    /// Opens `file` in the subfolder `below` to append to it.
    pub(crate) fn open_to_append(&self, below: &str, file: &str) -> Result<File, FolderError> {
        self.check()?;
        let path = self.path.join(below).join(file);
        let opened = File::options().append(true).open(&path);
        opened.map_err(|error| FolderError::Write(path, error))
    }

    /// Appends `bytes` to a file opened with [`RunFolder::open_to_append`].
    pub(crate) fn append(
        &self,
        mut to: &File,
        below: &str,
        file: &str,
        bytes: &[u8],
    ) -> Result<(), FolderError> {
        self.check()?;
        let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        let path = || self.path.join(below).join(file);
        to.write_all(bytes).map_err(|error| FolderError::Write(path(), error))
    }

    /// Flushes a file opened with [`RunFolder::open_to_append`] to disk (`fsync`).
    pub(crate) fn sync(&self, of: &File, below: &str, file: &str) -> Result<(), FolderError> {
        let path = || self.path.join(below).join(file);
        of.sync_all().map_err(|error| FolderError::Write(path(), error))
    }

    /// Renames the file `from` in the subfolder `below` to `to`, and flushes the rename to disk.
    pub(crate) fn rename_below(
        &self,
        below: &str,
        from: &str,
        to: &str,
    ) -> Result<(), FolderError> {
        self.check()?;
        let folder = self.path.join(below);
        let path = folder.join(to);
        fs::rename(folder.join(from), &path)
            .and_then(|()| sync_folder(&folder))
            .map_err(|error| FolderError::Write(path, error))
    }

    /// Gives the trace of a run in progress, whose files are on disk, its place.
    pub(crate) fn publish_trace(&self) -> Result<(), FolderError> {
        self.check()?;
        let [part, folder] = [TRACE_PART, stitch_trace::FOLDER].map(|name| self.path.join(name));
        create_folder(&folder).map_err(|error| FolderError::Write(folder.clone(), error))?;
        for file in [stitch_trace::RECORDS, stitch_trace::ELEMENTS] {
            let path = folder.join(file);
            fs::rename(part.join(file), &path)
                .and_then(|()| sync_folder(&folder))
                .map_err(|error| FolderError::Write(path, error))?;
        }
        self.discard_trace()
    }

    /// Removes the trace of a run in progress, or of one that did not end.
    pub(crate) fn discard_trace(&self) -> Result<(), FolderError> {
        let part = self.path.join(TRACE_PART);
        for file in [stitch_trace::RECORDS, stitch_trace::ELEMENTS] {
            self.remove(&part.join(file))?;
        }
        // Fails if the user has files of their own there.
        let _ = fs::remove_dir(part);
        Ok(())
    }

    /// Removes the events of a run in progress, and their folder if it is then empty.
    pub(crate) fn discard_events(&self) -> Result<(), FolderError> {
        let folder = self.path.join(TENSORBOARD);
        self.remove(&folder.join(EVENTS_PART))?;
        let _ = fs::remove_dir(folder);
        Ok(())
    }

    /// Writes `value` as indented JSON.
    pub(crate) fn write_json(&self, file: &str, value: &impl Serialize) -> Result<(), FolderError> {
        let json = serde_json::to_string_pretty(value)
            .map_err(|error| FolderError::Write(self.path.join(file), error.into()))?;
        self.write(file, format!("{json}\n").as_bytes())
    }
}
