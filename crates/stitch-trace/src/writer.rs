//! Writing a trace during a run.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use tensor_files::Dtype;

use crate::digest::{Digest, Hashes, StatisticsTally};
use crate::record::End;
use crate::{ELEMENTS, FORMAT, Header, Place, RECORDS, Record, VERSION, WriteError};

/// Length in bytes up to which elements are kept unless [`Writer::keep_up_to`] is called.
const KEPT_BYTES: usize = 1 << 20;

/// Writes a trace. Each record is written and flushed when it is made; [`Writer::finish`] adds the end marker,
/// without which a trace counts as truncated.
#[derive(Debug)]
pub struct Writer<R: Write, E: Write> {
    records: R,
    elements: E,
    keys: HashSet<String>,
    offset: u64,
    keep: usize,
    class: Option<String>,
    /// Whether a write has failed: what was written by it is unknown, so nothing can be added.
    broken: bool,
}

impl Writer<File, File> {
    /// Starts a trace in `folder`, which is created if necessary; an existing trace is replaced. `model`
    /// is free text.
    ///
    /// # Errors
    /// [`WriteError::Io`] when the folder or a file cannot be created or written.
    pub fn create(folder: &Path, model: &str) -> Result<Self, WriteError> {
        let named = |path: &Path, error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        };
        fs::create_dir_all(folder).map_err(|error| named(folder, error))?;
        let create = |name| {
            let path = folder.join(name);
            File::create(&path).map_err(|error| named(&path, error))
        };
        // In this order, so that no reader takes old records with new elements.
        let records = create(RECORDS)?;
        Self::new(records, create(ELEMENTS)?, model)
    }
}

impl<R: Write, E: Write> Writer<R, E> {
    /// Starts a trace that is written to `records` (`trace.jsonl`) and `elements` (`trace.bin`).
    ///
    /// # Errors
    /// [`WriteError::Io`] when the header cannot be written.
    pub fn new(mut records: R, elements: E, model: &str) -> Result<Self, WriteError> {
        records.write_all(header(model).as_bytes())?;
        records.flush()?;
        let keys = HashSet::new();
        Ok(Self {
            records,
            elements,
            keys,
            offset: 0,
            keep: KEPT_BYTES,
            class: None,
            broken: false,
        })
    }

    /// Sets the length in bytes up to which the elements of a tensor are kept (default: 1 MiB). Of larger
    /// tensors only the SHA-256 sums and [`Statistics`](crate::Statistics) are. Applies to the tensors that are recorded afterwards.
    pub fn keep_up_to(&mut self, bytes: usize) {
        self.keep = bytes;
    }

    /// Sets the class of the module whose tensors are recorded next, such as `Conv2d`; `None` for those of no module.
    pub fn set_class(&mut self, class: Option<&str>) {
        self.class = class.map(str::to_owned);
    }

    /// Records a tensor. `bytes` are its elements, row-major, little-endian; `stage` is one of
    /// [`stage`](crate::stage) or any other text.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn record(
        &mut self,
        stage: &str,
        name: &str,
        place: Place,
        dtype: Dtype,
        shape: &[usize],
        bytes: &[u8],
    ) -> Result<(), WriteError> {
        self.record_parts(stage, name, place, dtype, shape, [bytes])
    }

    /// Records a tensor whose elements come in parts, each of whole elements, so that a large tensor need
    /// not be in memory at once. Its elements are kept if all parts together are short enough.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn record_parts<B: AsRef<[u8]>>(
        &mut self,
        stage: &str,
        name: &str,
        Place { epoch, step }: Place,
        dtype: Dtype,
        shape: &[usize],
        parts: impl IntoIterator<Item = B>,
    ) -> Result<(), WriteError> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed").into());
        }
        let mut record = Record {
            stage: stage.to_owned(),
            name: name.to_owned(),
            class: self.class.clone(),
            epoch,
            step,
            dtype: dtype.name().to_owned(),
            shape: shape.to_vec(),
            sha256: String::new(),
            blocks: None,
            nan: None,
            statistics: None,
            offset: None,
        };
        let key = record.key();
        if self.keys.contains(&key) {
            return Err(WriteError::Duplicate(key));
        }
        let expected = record.elements().and_then(|count| count.checked_mul(dtype.size()));
        let kept = expected.filter(|&bytes| bytes <= self.keep);
        record.offset = kept.map(|_| self.offset);
        let written = self.elements(&key, dtype, parts, kept)?;
        if Some(written.bytes) != expected {
            let (bytes, shape) = (written.bytes, shape.to_vec());
            return Err(WriteError::Size { key, bytes, dtype, shape });
        }
        Hashes { sha256: record.sha256, blocks: record.blocks } = written.digest.finish();
        record.statistics = written.statistics.map(|tally| tally.finish());
        record.nan = dtype.is_float().then_some(written.nan);
        self.keys.insert(key);
        let line = self.line(&record);
        self.checked(line)
    }

    /// Records a tensor of libtorch, of any dtype, device and memory layout.
    ///
    /// # Errors
    /// See [`WriteError`].
    #[cfg(feature = "tch")]
    pub fn record_tensor(
        &mut self,
        stage: &str,
        name: &str,
        place: Place,
        tensor: &tch::Tensor,
    ) -> Result<(), WriteError> {
        let dtype = tensor_files::dtype_of(tensor.kind());
        let shape: Vec<usize> = tensor.size().iter().map(|&n| n as usize).collect();
        self.record(stage, name, place, dtype, &shape, &tensor_files::bytes_of(tensor))
    }

    /// Hashes and counts the elements of a tensor, and writes up to `kept` bytes of them, if they are to be kept.
    fn elements<B: AsRef<[u8]>>(
        &mut self,
        key: &str,
        dtype: Dtype,
        parts: impl IntoIterator<Item = B>,
        kept: Option<usize>,
    ) -> Result<Written, WriteError> {
        let statistics = (kept.is_none() && !dtype.is_complex()).then(StatisticsTally::new);
        let mut written = Written { digest: Digest::default(), statistics, nan: 0, bytes: 0 };
        for part in parts {
            let part = part.as_ref();
            if !part.len().is_multiple_of(dtype.size()) {
                return Err(WriteError::Part { key: key.to_owned(), bytes: part.len() });
            }
            written.digest.update(part);
            if let Some(statistics) = &mut written.statistics {
                statistics.add(dtype, part);
            }
            written.nan += dtype.count_nan(part);
            written.bytes += part.len();
            if kept.is_some_and(|kept| written.bytes <= kept) {
                let part_written = self.elements.write_all(part);
                self.checked(part_written)?;
                self.offset += part.len() as u64;
            }
        }
        if kept.is_some() {
            let flushed = self.elements.flush();
            self.checked(flushed)?;
        }
        Ok(written)
    }

    /// Adds the end marker and returns both writers.
    ///
    /// # Errors
    /// [`WriteError::Io`] when the end marker cannot be written, or an earlier write failed.
    pub fn finish(mut self) -> Result<(R, E), WriteError> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed").into());
        }
        self.line(&End { end: FORMAT.into(), records: self.keys.len() })?;
        Ok((self.records, self.elements))
    }

    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.records.write_all(text(line).as_bytes())?;
        self.records.flush()
    }

    /// Notes whether a write has failed.
    fn checked(&mut self, written: io::Result<()>) -> Result<(), WriteError> {
        self.broken |= written.is_err();
        Ok(written?)
    }
}

/// What was computed of the elements of a tensor while they were written.
struct Written {
    digest: Digest,
    /// Of elements that are not kept.
    statistics: Option<StatisticsTally>,
    /// Number of NaN.
    nan: usize,
    /// Number of bytes, kept or not.
    bytes: usize,
}

/// The first line of `trace.jsonl`.
fn header(model: &str) -> String {
    text(&Header { format: FORMAT.into(), version: VERSION, model: model.into() })
}

/// A value as a line of JSON.
fn text(line: &impl Serialize) -> String {
    // Strings, numbers and lists of them always serialize.
    serde_json::to_string(line).unwrap_or_default() + "\n"
}
