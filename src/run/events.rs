//! Writes the TensorBoard events of a run to a file in its folder.
//!
//! Records are appended to a file with a temporary name, which is renamed when the run is complete. A checkpoint
//! contains the length of the file, and a resumed run continues from there, so that its file equals that of an
//! uninterrupted run, apart from times.

use std::fs::{self, File};
use std::io::{self, Read};
use std::time::{Duration, Instant, SystemTime};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use stitch_run::Events;

use crate::formats::tensorboard::{self, Moment, Picture};
use crate::run_folder::{EVENTS, EVENTS_PART, FolderError, RunFolder, TENSORBOARD};
use crate::sha256;

/// Interval of writes to the file.
const INTERVAL: Duration = Duration::from_secs(1);

/// Why the events of an interrupted run cannot be resumed.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// The file does not match the checkpoint.
    #[error("the TensorBoard events in {0} do not match the checkpoint")]
    Others(String),
    /// The run was started without events.
    #[error(
        "the run in {0} was started without TensorBoard events: those of the first steps are missing"
    )]
    None(String),
    /// The events cannot be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// The events file of a run in progress. Writes fail with [`FolderError::Write`] or [`FolderError::Gone`].
#[derive(Debug)]
pub struct EventLog<'a> {
    folder: &'a RunFolder,
    file: File,
    /// Records that are not written yet.
    pending: Vec<u8>,
    /// Length of the file.
    length: u64,
    hash: Sha256,
    flushed: Instant,
}

impl<'a> EventLog<'a> {
    /// Creates a file.
    pub fn create(folder: &'a RunFolder) -> Result<Self, FolderError> {
        Self::with_content(folder, &tensorboard::file_version(now()))
    }

    /// Resumes the file from its position at a checkpoint.
    pub fn resume(folder: &'a RunFolder, position: &Events) -> Result<Self, EventsError> {
        let path = folder.path().join(TENSORBOARD);
        // It has the final name if the run was killed while its last files were written.
        let content = [EVENTS_PART, EVENTS].iter().find_map(|name| {
            let path = path.join(name);
            // Opening a pipe would block.
            let regular = fs::metadata(&path).is_ok_and(|metadata| metadata.is_file());
            let mut bytes = Vec::new();
            let file = regular.then(|| File::open(path).ok()).flatten()?;
            file.take(position.length).read_to_end(&mut bytes).ok()?;
            (sha256::of(&bytes) == position.sha256).then_some(bytes)
        });
        let others = || EventsError::Others(folder.path().display().to_string());
        Ok(Self::with_content(folder, &content.ok_or_else(others)?)?)
    }

    fn with_content(folder: &'a RunFolder, content: &[u8]) -> Result<Self, FolderError> {
        folder.write_below(TENSORBOARD, EVENTS_PART, content)?;
        let file = folder.open_to_append(TENSORBOARD, EVENTS_PART)?;
        Ok(Self {
            folder,
            file,
            pending: Vec::new(),
            length: content.len() as u64,
            hash: Sha256::new_with_prefix(content),
            flushed: Instant::now(),
        })
    }

    /// Adds a scalar. Pending records are written at most once per second.
    pub fn scalar(&mut self, tag: &str, step: usize, value: f64) -> Result<(), FolderError> {
        self.pending.extend(tensorboard::scalar(moment(step), tag, value));
        if self.flushed.elapsed() >= INTERVAL { self.flush() } else { Ok(()) }
    }

    /// Adds an image.
    pub fn image(&mut self, tag: &str, step: usize, picture: Picture) {
        self.pending.extend(tensorboard::image(moment(step), tag, picture));
    }

    /// Writes all pending records to the file.
    pub fn flush(&mut self) -> Result<(), FolderError> {
        self.flushed = Instant::now();
        if self.pending.is_empty() {
            return Ok(());
        }
        self.folder.append(&self.file, TENSORBOARD, EVENTS_PART, &self.pending)?;
        self.hash.update(&self.pending);
        self.length += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// The position for a checkpoint. The file must be flushed to disk before the checkpoint.
    pub fn position(&self) -> Events {
        Events { length: self.length, sha256: HEXLOWER.encode(&self.hash.clone().finalize()) }
    }

    /// A second handle of the file, to flush it to disk.
    pub fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Flushes everything to disk.
    pub fn sync(&mut self) -> Result<(), FolderError> {
        self.flush()?;
        self.folder.sync(&self.file, TENSORBOARD, EVENTS_PART)
    }

    /// Renames the file to its final name; it must be flushed to disk.
    pub fn finish(self) -> Result<(), FolderError> {
        self.folder.rename_below(TENSORBOARD, EVENTS_PART, EVENTS)
    }
}

fn moment(step: usize) -> Moment {
    Moment { wall_time: now(), step: step as i64 }
}

/// The time in seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}
