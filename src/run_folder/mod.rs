//! The run folder: its files, what the two JSON files hold, and how files come to be in it.
//!
//! Every file is written to a temporary name and renamed, so it is whole or not there, after a power
//! cut too. `config.json` is written last: a folder that has it holds a complete run. As long as a
//! process has the folder, it holds a lock on it that ends with the process.

mod claim;
mod disk;
mod names;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use claim::{
    existing_file, holds_checkpoints, lock, refuse_others, remove, remove_temporary_files,
};
use disk::{WRITING, make_folder, make_folders, parent_of, sync_folder};
pub use disk::{wait_for_writes, write_whole};
use names::all_files;
pub use names::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
pub use stitch_run::{
    Average, DataConfig, Metrics, ParityVerdict, RunConfig, RunConfigError, TrainingMetrics,
    ValidationMetrics, peak_rss_bytes,
};

/// Why a run folder cannot be used; each names the folder, or the file in it.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It holds a run already, with this file.
    #[error("{} holds another run ({})", .0.display(), .1)]
    Occupied(PathBuf, &'static str),
    /// It holds an interrupted run.
    #[error("{} holds an interrupted run ({CHECKPOINTS})", .0.display())]
    Interrupted(PathBuf),
    /// Another process has it.
    #[error("{} is in use: another process is writing a run there", .0.display())]
    Locked(PathBuf),
    /// A JSON file of the run in it is damaged.
    #[error("{} cannot be read: {}", .0.display(), .1)]
    Config(PathBuf, String),
    /// It is no longer the folder that was claimed.
    #[error("{}: the folder was removed or replaced while the run went on", .0.display())]
    Gone(PathBuf),
    /// A file in it cannot be removed.
    #[error("{} cannot be removed: {}", .0.display(), .1)]
    Remove(PathBuf, io::Error),
    /// It holds a training run, and an evaluation would be mixed with it.
    #[error("{} holds a training run: an evaluation is never written into one", .0.display())]
    HoldsTraining(PathBuf),
    /// It cannot be made or written.
    #[error("{} cannot be written: {}", .0.display(), .1)]
    NotWritable(PathBuf, io::Error),
    /// A file in it cannot be written.
    #[error("{} cannot be written: {}", .0.display(), .1)]
    Write(PathBuf, io::Error),
}

/// What is to become of a run that a folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// There must be none.
    New,
    /// It is replaced.
    Replace,
    /// It is looked at, and continued.
    Resume,
}

/// A folder that a run may be written to. What writes and removes fails with [`FolderError::Write`] or
/// [`FolderError::Remove`], and with [`FolderError::Gone`]; what reads with [`FolderError::Config`].
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The lock on the folder, which ends with this handle and so with the process.
    lock: Option<File>,
}

impl RunFolder {
    /// Makes sure, before the work starts, that `path` can be written, that no other process has it,
    /// and that it holds no other run, or what `claim` allows. Nothing in it is changed yet, except
    /// that temporary files are removed which a process left that was killed.
    pub fn claim(path: &Path, claim: Claim) -> Result<Self, FolderError> {
        let path = path.to_path_buf();
        let not_writable = |error| FolderError::NotWritable(path.clone(), error);
        make_folders(&path).map_err(not_writable)?;
        let lock = lock(&path)?;
        tempfile::tempfile_in(&path).map_err(not_writable)?;
        // Without a lock another process may be writing them.
        if lock.is_some() {
            let below = [CHECKPOINTS, TENSORBOARD, "trace"].map(|folder| path.join(folder));
            for folder in below.iter().chain([&path]) {
                remove_temporary_files(folder)?;
            }
        }
        refuse_others(&path, claim)?;
        Ok(Self { path, lock })
    }

    /// Whether [`RunFolder::claim`] would succeed; makes and changes nothing.
    ///
    /// # Errors
    /// Those of [`RunFolder::claim`].
    pub fn check_claim(path: &Path, claim: Claim) -> Result<(), FolderError> {
        let not_writable = |error| FolderError::NotWritable(path.into(), error);
        let mut there = path;
        while !there.as_os_str().is_empty() && fs::symlink_metadata(there).is_err() {
            there = parent_of(there);
            if there == Path::new(".") {
                break;
            }
        }
        let folder = fs::read_dir(there).map(drop);
        folder.and_then(|()| tempfile::tempfile_in(there).map(drop)).map_err(not_writable)?;
        if there == path {
            drop(lock(path)?);
        }
        refuse_others(path, claim)
    }

    /// As [`RunFolder::claim`], for an evaluation, which never replaces a training run.
    ///
    /// # Errors
    /// Those of [`RunFolder::claim`], and [`FolderError::HoldsTraining`].
    pub fn claim_for_evaluation(path: &Path, claim: Claim) -> Result<Self, FolderError> {
        let training = || path.join(CONFIG).exists() || holds_checkpoints(path);
        let holds_training = || FolderError::HoldsTraining(path.into());
        if training() {
            return Err(holds_training());
        }
        let folder = Self::claim(path, claim)?;
        // Once more, since another process may have had the folder in between.
        if training() { Err(holds_training()) } else { Ok(folder) }
    }

    /// The configuration of the complete run that it holds.
    pub fn read_config(&self) -> Result<Option<RunConfig>, FolderError> {
        self.read_with(CONFIG, RunConfig::read)
    }

    /// A JSON file of the run, if it is there.
    pub fn read_json<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>, FolderError> {
        self.read_with(file, |bytes| serde_json::from_slice(bytes))
    }

    fn read_with<T, E: std::fmt::Display>(
        &self,
        file: &str,
        parse: impl Fn(&[u8]) -> Result<T, E>,
    ) -> Result<Option<T>, FolderError> {
        let path = self.path.join(file);
        let unreadable = |what: String| FolderError::Config(path.clone(), what);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(error.to_string())),
            Ok(bytes) => parse(&bytes).map(Some).map_err(|error| unreadable(error.to_string())),
        }
    }

    /// A file of a run that it holds.
    pub fn existing_file(&self) -> Option<&'static str> {
        existing_file(&self.path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes an earlier run, `config.json` first, so that no mixture of two runs looks complete.
    pub fn clear(&self) -> Result<(), FolderError> {
        self.check()?;
        for file in all_files().rev() {
            self.remove(&self.path.join(file))?;
        }
        // Only when nothing of the user's own is in it.
        let _ = fs::remove_dir(self.path.join("trace"));
        let _ = fs::remove_dir(self.path.join(TENSORBOARD));
        Ok(())
    }

    /// Removes a file in the folder, if it is there.
    pub fn remove(&self, path: &Path) -> Result<(), FolderError> {
        self.check()?;
        remove(path)
    }

    /// Whether it is still the folder that was claimed.
    fn check(&self) -> Result<(), FolderError> {
        #[cfg(unix)]
        if let Some(lock) = &self.lock {
            use std::os::unix::fs::MetadataExt;
            let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
            let now = fs::metadata(&self.path).map(place).ok();
            if now.is_none() || now != lock.metadata().map(place).ok() {
                return Err(FolderError::Gone(self.path.clone()));
            }
        }
        Ok(())
    }

    /// Writes `file` whole or not at all.
    pub fn write(&self, file: &str, bytes: &[u8]) -> Result<(), FolderError> {
        self.check()?;
        let path = self.path.join(file);
        write_whole(&path, bytes).map_err(|error| FolderError::Write(path, error))
    }

    /// Writes `file` in the subfolder `below`, whole or not at all.
    pub fn write_below(&self, below: &str, file: &str, bytes: &[u8]) -> Result<(), FolderError> {
        self.check()?;
        let folder = self.path.join(below);
        let path = folder.join(file);
        make_folder(&folder)
            .and_then(|()| write_whole(&path, bytes))
            .map_err(|error| FolderError::Write(path, error))
    }

    /// Opens `file` in the subfolder `below`, to write on at its end.
    pub fn open_to_append(&self, below: &str, file: &str) -> Result<File, FolderError> {
        self.check()?;
        let path = self.path.join(below).join(file);
        let opened = File::options().append(true).open(&path);
        opened.map_err(|error| FolderError::Write(path, error))
    }

    /// Adds `bytes` at the end of a file that [`RunFolder::open_to_append`] gave.
    pub fn append(
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

    /// Brings such a file to the disk.
    pub fn sync(&self, of: &File, below: &str, file: &str) -> Result<(), FolderError> {
        let path = || self.path.join(below).join(file);
        of.sync_all().map_err(|error| FolderError::Write(path(), error))
    }

    /// Gives the file `from` in the subfolder `below` the name `to`, on the disk too.
    pub fn rename_below(&self, below: &str, from: &str, to: &str) -> Result<(), FolderError> {
        self.check()?;
        let folder = self.path.join(below);
        let path = folder.join(to);
        fs::rename(folder.join(from), &path)
            .and_then(|()| sync_folder(&folder))
            .map_err(|error| FolderError::Write(path, error))
    }

    /// Removes the events of a run in progress, and their folder if nothing else is in it.
    pub fn discard_events(&self) -> Result<(), FolderError> {
        let folder = self.path.join(TENSORBOARD);
        self.remove(&folder.join(EVENTS_PART))?;
        let _ = fs::remove_dir(folder);
        Ok(())
    }

    /// Writes `value` as indented JSON.
    pub fn write_json(&self, file: &str, value: &impl Serialize) -> Result<(), FolderError> {
        let json = serde_json::to_string_pretty(value)
            .map_err(|error| FolderError::Write(self.path.join(file), error.into()))?;
        self.write(file, format!("{json}\n").as_bytes())
    }
}
