//! Writes a trace during a run.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tensor_files::Dtype;

use crate::record::End;
use crate::{ELEMENTS, FORMAT, Header, Place, RECORDS, Record, VERSION};

/// Elements of larger tensors are not kept unless [`Writer::keep_up_to`] says so.
const KEPT_BYTES: usize = 1 << 20;

/// Writes a trace. Each record reaches the writers as it is made; [`Writer::finish`] adds the end marker,
/// without which a trace counts as truncated.
#[derive(Debug)]
pub struct Writer<R: Write, E: Write> {
    records: R,
    elements: E,
    keys: HashSet<String>,
    offset: u64,
    keep: usize,
    /// A write has failed: what was written since is unknown, so nothing more is.
    broken: bool,
}

impl Writer<File, File> {
    /// Starts a trace in `folder`, which is created if necessary; an existing trace is replaced. `model`
    /// is free text.
    ///
    /// # Errors
    /// When the folder or a file cannot be created or written.
    pub fn create(folder: &Path, model: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        // First, so that no reader takes old records with new elements.
        let records = File::create(folder.join(RECORDS))?;
        Self::new(records, File::create(folder.join(ELEMENTS))?, model)
    }
}

impl Writer<Vec<u8>, Vec<u8>> {
    /// Starts a trace in memory.
    pub fn in_memory(model: &str) -> Self {
        Self::behind_header(header(model).into_bytes(), Vec::new())
    }
}

impl<R: Write, E: Write> Writer<R, E> {
    /// Starts a trace that is written to `records` (`trace.jsonl`) and `elements` (`trace.bin`).
    ///
    /// # Errors
    /// When the header cannot be written.
    pub fn new(mut records: R, elements: E, model: &str) -> io::Result<Self> {
        records.write_all(header(model).as_bytes())?;
        records.flush()?;
        Ok(Self::behind_header(records, elements))
    }

    fn behind_header(records: R, elements: E) -> Self {
        Self { records, elements, keys: HashSet::new(), offset: 0, keep: KEPT_BYTES, broken: false }
    }

    /// From now on keeps the elements of tensors of at most `bytes` bytes (1 MiB unless set), and only the
    /// SHA-256 of larger ones.
    pub fn keep_up_to(&mut self, bytes: usize) {
        self.keep = bytes;
    }

    /// Records a tensor: `bytes` are its elements, row-major, little-endian.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] when the number of bytes does not fit dtype and shape, or when a
    /// tensor of this stage, place and name was recorded before; otherwise when it cannot be written.
    pub fn record(
        &mut self,
        stage: &str,
        name: &str,
        place: Place,
        dtype: Dtype,
        shape: &[usize],
        bytes: &[u8],
    ) -> io::Result<()> {
        self.record_parts(stage, name, place, dtype, shape, [bytes])
    }

    /// As [`Writer::record`], with the elements in parts of whole elements, so that a large tensor need
    /// not be in memory at once. It is kept as a whole or not at all, as its size in bytes says.
    ///
    /// # Errors
    /// As [`Writer::record`].
    pub fn record_parts<B: AsRef<[u8]>>(
        &mut self,
        stage: &str,
        name: &str,
        Place { epoch, step }: Place,
        dtype: Dtype,
        shape: &[usize],
        parts: impl IntoIterator<Item = B>,
    ) -> io::Result<()> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
        let (stage, name, shape) = (stage.to_owned(), name.to_owned(), shape.to_vec());
        let (dtype_name, sha256) = (dtype.name().to_owned(), String::new());
        let mut record = Record {
            stage,
            name,
            epoch,
            step,
            dtype: dtype_name,
            shape,
            sha256,
            nan: None,
            offset: None,
        };
        if self.broken {
            return Err(io::Error::other("the trace could not be written before"));
        }
        let key = record.key();
        let expected = record.checked_len().and_then(|count| count.checked_mul(dtype.size()));
        if self.keys.contains(&key) {
            return Err(invalid(format!("{key} was recorded before")));
        }
        let kept = expected.is_some_and(|bytes| bytes <= self.keep);
        let start = self.offset;
        let (mut hash, mut nan, mut found) = (Sha256::new(), 0, 0usize);
        for part in parts {
            let part = part.as_ref();
            if !part.len().is_multiple_of(dtype.size()) {
                let what = format!("{key}: a part of {} bytes ends within an element", part.len());
                return Err(invalid(what));
            }
            hash.update(part);
            nan += dtype.count_nan(part);
            found += part.len();
            if kept && Some(found) <= expected {
                let written = self.elements.write_all(part);
                self.broken = written.is_err();
                written?;
                self.offset += part.len() as u64;
            }
        }
        if Some(found) != expected {
            let (dtype, shape) = (&record.dtype, &record.shape);
            return Err(invalid(format!("{key}: {found} bytes do not fit {dtype} {shape:?}")));
        }
        record.sha256 = HEXLOWER.encode(&hash.finalize());
        record.nan = dtype.is_float().then_some(nan);
        if kept {
            self.elements.flush()?;
            record.offset = Some(start);
        }
        self.keys.insert(key);
        let written = self.line(&record);
        self.broken = written.is_err();
        written
    }

    /// Adds the end marker and returns both writers.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<(R, E)> {
        self.line(&End { end: FORMAT.into(), records: self.keys.len() })?;
        Ok((self.records, self.elements))
    }

    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.records.write_all(text(line).as_bytes())?;
        self.records.flush()
    }
}

/// The first line.
fn header(model: &str) -> String {
    text(&Header { format: FORMAT.into(), version: VERSION, model: model.into() })
}

/// A value as a line of JSON.
fn text(line: &impl Serialize) -> String {
    // Strings, numbers and lists of them always serialize.
    serde_json::to_string(line).unwrap_or_default() + "\n"
}
