//! The TensorBoard events of a run: a file in its folder that grows while the run goes on.
//!
//! Whole records are appended to a file with the name of a run in progress; it is renamed when the run is
//! complete. A checkpoint records the length of the file, and a resumed run continues there: the file is then
//! that of an uninterrupted run, apart from times.

use std::fs::{self, File};
use std::io::{self, Read};
use std::time::{Duration, Instant, SystemTime};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use stitch_run::Events;

use crate::formats::tensorboard::{self, Moment, Picture};
use crate::run_folder::{EVENTS, EVENTS_PART, FolderError, RunFolder, TENSORBOARD};
use crate::sha256;

/// Records are written to the file this often, so that a run can be watched.
const INTERVAL: Duration = Duration::from_secs(1);

/// Why the events of an interrupted run cannot be continued.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// They are not those that the checkpoint describes.
    #[error("the TensorBoard events in {0} are not those of the run up to its checkpoint")]
    Others(String),
    /// The run was started without events.
    #[error(
        "the run in {0} was started without TensorBoard events: those of its first steps are missing"
    )]
    None(String),
    /// They cannot be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// The file of events of a run in progress. What writes fails with [`FolderError::Write`] or
/// [`FolderError::Gone`].
#[derive(Debug)]
pub struct EventLog<'a> {
    folder: &'a RunFolder,
    file: File,
    /// Records that are not in the file yet.
    pending: Vec<u8>,
    /// Of the bytes in the file.
    length: u64,
    hash: Sha256,
    flushed: Instant,
}

impl<'a> EventLog<'a> {
    /// Begins a file.
    pub fn begin(folder: &'a RunFolder) -> Result<Self, FolderError> {
        Self::on_top_of(folder, &tensorboard::file_version(now()))
    }

    /// Continues the file as it was at a checkpoint.
    pub fn resume(folder: &'a RunFolder, then: &Events) -> Result<Self, EventsError> {
        let path = folder.path().join(TENSORBOARD);
        // It already has the name of a complete run's if the run was killed while the last files were written.
        let beginning = [EVENTS_PART, EVENTS].iter().find_map(|name| {
            let path = path.join(name);
            // Opening a pipe would wait.
            let plain = fs::metadata(&path).is_ok_and(|metadata| metadata.is_file());
            let mut bytes = Vec::new();
            let file = plain.then(|| File::open(path).ok()).flatten()?;
            file.take(then.length).read_to_end(&mut bytes).ok()?;
            (sha256::of(&bytes) == then.sha256).then_some(bytes)
        });
        let others = || EventsError::Others(folder.path().display().to_string());
        Ok(Self::on_top_of(folder, &beginning.ok_or_else(others)?)?)
    }

    fn on_top_of(folder: &'a RunFolder, beginning: &[u8]) -> Result<Self, FolderError> {
        folder.write_below(TENSORBOARD, EVENTS_PART, beginning)?;
        let file = folder.open_to_append(TENSORBOARD, EVENTS_PART)?;
        Ok(Self {
            folder,
            file,
            pending: Vec::new(),
            length: beginning.len() as u64,
            hash: Sha256::new_with_prefix(beginning),
            flushed: Instant::now(),
        })
    }

    /// Adds a number. It is in the file within a second, if more are added.
    pub fn scalar(&mut self, tag: &str, step: usize, value: f64) -> Result<(), FolderError> {
        self.pending.extend(tensorboard::scalar(moment(step), tag, value));
        if self.flushed.elapsed() >= INTERVAL { self.flush() } else { Ok(()) }
    }

    /// Adds a picture.
    pub fn image(&mut self, tag: &str, step: usize, picture: Picture) {
        self.pending.extend(tensorboard::image(moment(step), tag, picture));
    }

    /// Adds all records to the file.
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

    /// How far the file is; for a checkpoint, which must be flushed to disk after it.
    pub fn position(&self) -> Events {
        Events { length: self.length, sha256: HEXLOWER.encode(&self.hash.clone().finalize()) }
    }

    /// The file, to flush it to disk.
    ///
    /// # Errors
    /// The system's.
    pub fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Flushes everything to disk.
    pub fn sync(&mut self) -> Result<(), FolderError> {
        self.flush()?;
        self.folder.sync(&self.file, TENSORBOARD, EVENTS_PART)
    }

    /// Gives the file, which is flushed to disk, the name of a complete run's.
    pub fn finish(self) -> Result<(), FolderError> {
        self.folder.rename_below(TENSORBOARD, EVENTS_PART, EVENTS)
    }
}

fn moment(step: usize) -> Moment {
    Moment { wall_time: now(), step: step as i64 }
}

/// Seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}
