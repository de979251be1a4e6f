//! Errors of reading and of writing a trace.

use std::io;
use std::path::PathBuf;

use tensor_files::{Dtype, ReadError};

use crate::{FORMAT, LONGEST_LINE, RECORDS, VERSION};

/// A trace that cannot be read, or whose files contradict each other.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// A file cannot be opened or read.
    #[error("{} cannot be read: {error}", .path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        error: io::Error,
    },
    /// A file of the trace is a folder, a pipe or a device, which may have no end.
    #[error("{} is not a regular file, as those of a trace are", .0.display())]
    NotRegular(PathBuf),
    /// The first line of this `trace.jsonl` is not a header.
    #[error(
        "{}: line 1 is not the header of a trace ({{\"format\": \"{FORMAT}\", \"version\": …}})",
        .0.display()
    )]
    Header(PathBuf),
    /// The version of the format is not supported.
    #[error(
        "{}: it is a trace of version {version}; this version of stitch reads 1 to {VERSION}{}",
        .path.display(),
        if *version > VERSION { ": use a newer stitch" } else { "" }
    )]
    Version {
        /// Path of `trace.jsonl`.
        path: PathBuf,
        /// Version in its header.
        version: u32,
    },
    /// A line of `trace.jsonl` is invalid.
    #[error("{}: line {line} {error}", .path.display())]
    Line {
        /// Path of `trace.jsonl`.
        path: PathBuf,
        /// Line number, counted from 1.
        line: usize,
        /// Why the line is invalid.
        error: LineError,
    },
    /// The file of elements contradicts `trace.jsonl`.
    #[error("{}: {error}", .path.display())]
    Elements {
        /// Path of the file of elements.
        path: PathBuf,
        /// How they contradict each other.
        error: ElementsError,
    },
    /// The `trace.safetensors` of version 1 cannot be read as safetensors.
    #[error("{}: {error}", .path.display())]
    Tensors {
        /// Path of the file.
        path: PathBuf,
        /// Error of the reader.
        error: ReadError,
    },
}

/// Why a line of `trace.jsonl` is invalid. The message continues "line N …".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// It is not a JSON object with the fields of a [`Record`](crate::Record).
    #[error("is not a record of a trace: {0}")]
    Json(serde_json::Error),
    /// It is longer than [`LONGEST_LINE`].
    #[error("has more than {LONGEST_LINE} bytes, the most that are read")]
    TooLong,
    /// It has the fields of an end marker, but not its value of `end`.
    #[error("is not an end marker ({{\"end\": \"{FORMAT}\", …}})")]
    End,
    /// The number of elements of this shape does not fit a `usize`.
    #[error("has the shape {0:?}: the number of elements overflows")]
    Shape(Vec<usize>),
    /// `sha256` is not 64 lower-case hexadecimal digits.
    #[error("has the sha256 {0:?}, where 64 lower-case hexadecimal digits are expected")]
    Sha256(String),
    /// It counts more NaN than there are elements.
    #[error("counts {0} NaN, more than there are elements")]
    Nan(usize),
    /// `blocks`, of which there are this many, do not fit dtype, shape and `sha256`.
    #[error(
        "has {0} blocks, which do not fit its type, shape and sha256: expected the SHA-256 of each MiB, of two or more, and \
         that of all these sums as sha256"
    )]
    Blocks(usize),
    /// An earlier record has this [`key`](crate::Record::key).
    #[error("records {0} twice")]
    Duplicate(String),
    /// The end marker counts another number of records than there are.
    #[error("is the end marker: expected {expected} records, found {found}")]
    Count {
        /// Number in the end marker.
        expected: usize,
        /// Number of records before it.
        found: usize,
    },
    /// It follows the end marker.
    #[error("follows the end marker")]
    AfterEnd,
}

impl LineError {
    /// Whether the line ends before its JSON does.
    pub(crate) fn is_cut(&self) -> bool {
        matches!(self, Self::Json(error) if error.is_eof())
    }
}

/// How the file of elements contradicts `trace.jsonl`. `key` is that of [`Record::key`](crate::Record::key).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ElementsError {
    /// The length of the elements of a record is unknown, as its dtype is.
    #[error("{key} has an unknown size: its type is {dtype:?} {shape:?}")]
    Dtype {
        /// Key of the record.
        key: String,
        /// Dtype of the record.
        dtype: String,
        /// Shape of the record.
        shape: Vec<usize>,
    },
    /// The elements of a record lie beyond the end of the file.
    #[error("{key} lies beyond the end of the file ({length} bytes)")]
    BeyondEnd {
        /// Key of the record.
        key: String,
        /// Length of the file in bytes.
        length: u64,
    },
    /// The elements of two records, by their keys, overlap.
    #[error("{0} and {1} overlap")]
    Overlap(String, String),
    /// Version 1: a tensor has another dtype or shape than its record.
    #[error("{key} is {tensor} in the file, {record} in {RECORDS}")]
    Tensor {
        /// Key of the record.
        key: String,
        /// Dtype and shape of the tensor: `float32 [2, 3]`.
        tensor: String,
        /// Dtype and shape in the record.
        record: String,
    },
    /// Version 1: the tensor of this name has no record.
    #[error("the tensor {0} has no record in {RECORDS}")]
    NoRecord(String),
}

/// A tensor that cannot be recorded. `key` is that of [`Record::key`](crate::Record::key).
///
/// After [`Io`](Self::Io) the trace cannot be used further; after any other error it is still usable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A tensor with this key was recorded before.
    #[error("{0} was recorded before")]
    Duplicate(String),
    /// The number of bytes does not fit dtype and shape.
    #[error("{key}: {bytes} bytes do not fit {dtype} {shape:?}")]
    Size {
        /// Key of the tensor.
        key: String,
        /// Number of bytes found.
        bytes: usize,
        /// Dtype of the tensor.
        dtype: Dtype,
        /// Shape of the tensor.
        shape: Vec<usize>,
    },
    /// A part of the elements does not end between two elements.
    #[error("{key}: a part of {bytes} bytes ends within an element")]
    Part {
        /// Key of the tensor.
        key: String,
        /// Length of the part in bytes.
        bytes: usize,
    },
    /// A folder or file cannot be created or written, now or when an earlier tensor was recorded.
    #[error("the trace cannot be written: {0}")]
    Io(#[from] io::Error),
}
