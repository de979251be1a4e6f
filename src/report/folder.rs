//! Reads the folders of runs for their reports.

use std::io;
use std::path::{Path, PathBuf};

use super::{Parity, Run, RunFiles};
use crate::run_folder::{
    CONFIG, CONFUSION_MATRIX, HISTORY, MAX_FILE, METRICS, PARITY, PREDICTIONS, ParityVerdict,
    SAFETENSORS, read_regular,
};
use crate::sha256;

/// A file of a run folder that cannot be read or is invalid.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file cannot be read.
    #[error("{} cannot be read: {error}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {error}", .path.display())]
    Damaged {
        /// The file, or the folder if several files do not belong together.
        path: PathBuf,
        /// What is wrong.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Reads the run in a folder.
///
/// # Errors
/// [`ReadError::Read`] and [`ReadError::Damaged`].
pub fn read(folder: &Path) -> Result<Run, ReadError> {
    let file = |name: &str| read_file(&folder.join(name));
    let files = RunFiles {
        config: file(CONFIG)?,
        history: file(HISTORY)?,
        metrics: file(METRICS)?,
        predictions: file(PREDICTIONS)?,
        confusion_matrix: file(CONFUSION_MATRIX)?,
    };
    Run::read(&files).map_err(|error| damaged(folder, error))
}

/// The verdict of `stitch parity` in a run folder, if it is about the folder's weights.
///
/// # Errors
/// [`ReadError::Read`] and [`ReadError::Damaged`].
pub fn parity(folder: &Path) -> Result<Parity, ReadError> {
    let path = folder.join(PARITY);
    if !path.exists() {
        return Ok(Parity::Unchecked);
    }
    let verdict: ParityVerdict = serde_json::from_slice(&read_file(&path)?)
        .map_err(|error| damaged(&path, format!("not a verdict of stitch parity: {error}")))?;
    match weights_sha256(folder) {
        Ok(sha256) if sha256 == verdict.weights_sha256 => Ok(Parity::Checked(verdict)),
        _ => Ok(Parity::Stale),
    }
}

/// SHA-256 of a run's `weights.safetensors`, in hex.
///
/// # Errors
/// [`ReadError::Read`].
pub fn weights_sha256(folder: &Path) -> Result<String, ReadError> {
    Ok(sha256::of(read_file(&folder.join(SAFETENSORS))?))
}

pub(crate) fn damaged(
    path: &Path,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ReadError {
    ReadError::Damaged { path: path.into(), error: error.into() }
}

/// Reads a regular file of a run.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, ReadError> {
    read_regular(path, MAX_FILE).map_err(|error| ReadError::Read { path: path.into(), error })
}
