//! Errors of reading the sides of a comparison.

use std::io;
use std::path::PathBuf;

use stitch_trace::TraceError;
use tensor_files::{Dtype, ReadError};

use crate::verify::Bits;

/// A side of a comparison that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SideError {
    /// A file cannot be opened or read.
    #[error("{} cannot be read: {error}", .path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        error: io::Error,
    },
    /// A file of tensors is invalid, or which of its tensors to read is ambiguous.
    #[error("{}: {}", .path.display(), chain(.error))]
    Tensors {
        /// Path of the file.
        path: PathBuf,
        /// Error of the reader.
        error: ReadError,
    },
    /// A trace cannot be read, or its files contradict each other.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The elements of a tensor cannot be read; the message names file and tensor.
    #[error("{0}")]
    Stream(#[from] io::Error),
    /// The elements of a tensor do not have the SHA-256 or the number of NaN that their trace records.
    #[error(
        "{}: the elements of {key} contradict their record: they have {found}, the record says {recorded}; the \
         trace was changed or damaged after the run, or its recorder is wrong",
        .path.display()
    )]
    Contradiction {
        /// Path of the file of elements.
        path: PathBuf,
        /// The record's key; see [`stitch_trace::Record::key`].
        key: String,
        /// Computed from the elements.
        found: Box<Bits>,
        /// As recorded.
        recorded: Box<Bits>,
    },
    /// A side has two tensors with one key, of which only one would be compared.
    #[error("{}: {tensor} is there twice", .path.display())]
    Duplicate {
        /// Path of the side.
        path: PathBuf,
        /// The tensor, in words.
        tensor: String,
    },
    /// The number of bytes of a tensor from memory does not fit its dtype and shape.
    #[error("{name}: {bytes} bytes do not fit {dtype} {shape:?}")]
    Size {
        /// Name of the tensor.
        name: String,
        /// Number of bytes.
        bytes: usize,
        /// Dtype of the tensor.
        dtype: Dtype,
        /// Shape of the tensor.
        shape: Vec<usize>,
    },
}

/// An error and its sources in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}
