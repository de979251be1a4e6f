//! Reading a trace.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tensor_files::{Dtype, ReadError, TensorFile};

use crate::record::End;
use crate::{ELEMENTS, ELEMENTS_V1, FORMAT, Header, RECORDS, Record, VERSION};

/// A trace that cannot be read, or that contradicts itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// A file cannot be opened or read.
    #[error("{} cannot be read: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// Not the header of a trace.
    #[error(
        "{}: line 1 is not the header of a trace ({{\"format\": \"{FORMAT}\", \"version\": …}})",
        .0.display()
    )]
    Header(PathBuf),
    /// A version that is not read.
    #[error(
        "{}: it is a trace of version {version}, where versions 1 to {VERSION} are read{}",
        .path.display(),
        if *version > VERSION { ": use a newer stitch" } else { "" }
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// A line that is not what it should be.
    #[error("{}: line {line} {what}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// The file of elements contradicts the records.
    #[error("{}: {what}", .path.display())]
    Elements {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The `trace.safetensors` of version 1 is not a file of tensors.
    #[error("{}: {error}", .path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: ReadError,
    },
}

/// The elements of one record, as a stream.
pub type Elements<'a> = Box<dyn Read + 'a>;

/// Where the elements of all records lie.
#[derive(Debug)]
enum Store {
    /// `trace.bin`: raw, at the records' offsets.
    Raw(File),
    /// `trace.safetensors`: the tensor of each record, where there is one.
    Safetensors(Box<TensorFile<BufReader<File>>>, Vec<Option<usize>>),
}

/// A trace that is open for reading.
#[derive(Debug)]
pub struct Trace {
    header: Header,
    records: Vec<Record>,
    complete: bool,
    elements: (PathBuf, Store),
}

impl Trace {
    /// Opens the trace in `folder` and checks that its records and its elements fit each other; the
    /// elements themselves are not read, so the SHA-256 sums are not checked.
    ///
    /// # Errors
    /// See [`TraceError`]. A trace that ends early is no error: see [`Trace::is_complete`].
    pub fn open(folder: &Path) -> Result<Self, TraceError> {
        let path = folder.join(RECORDS);
        let text = open(&path)?;
        let Records { header, records, complete } = parse(text, &path)?;
        let path = folder.join(if header.version == 1 { ELEMENTS_V1 } else { ELEMENTS });
        let store = match header.version {
            1 => safetensors(&path, &records)?,
            _ => raw(&path, &records)?,
        };
        Ok(Self { header, records, complete, elements: (path, store) })
    }

    /// The first line.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// All records, in causal order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Whether the end marker is there: without it the run did not end, or the file was cut. Version 1
    /// has none, and counts as complete.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The file that the elements lie in.
    pub fn elements_path(&self) -> &Path {
        &self.elements.0
    }

    /// Whether the elements of record `i` were kept.
    pub fn has_elements(&self, i: usize) -> bool {
        match &self.elements.1 {
            Store::Raw(_) => self.records[i].offset.is_some(),
            Store::Safetensors(_, places) => places[i].is_some(),
        }
    }

    /// The elements of record `i`, row-major, little-endian; `None` where only the SHA-256 was kept.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn elements(&mut self, i: usize) -> Result<Option<Elements<'_>>, TraceError> {
        let Self { records, elements: (path, store), .. } = self;
        let read = match store {
            Store::Safetensors(file, places) => match places[i] {
                None => return Ok(None),
                Some(place) => {
                    let tensors = |error| TraceError::Tensors { path: path.clone(), error };
                    return file.stream(place).map(Some).map_err(tensors);
                }
            },
            Store::Raw(file) => {
                let (Some(offset), Some(length)) = (records[i].offset, length_of(&records[i]))
                else {
                    return Ok(None);
                };
                file.seek(SeekFrom::Start(offset)).map(|_| file.take(length))
            }
        };
        match read {
            Ok(part) => Ok(Some(Box::new(BufReader::new(part)))),
            Err(error) => Err(TraceError::Io { path: path.clone(), error }),
        }
    }
}

/// Bytes of the elements of a record, if its type is known.
fn length_of(record: &Record) -> Option<u64> {
    let size = Dtype::from_name(&record.dtype)?.size();
    u64::try_from(record.checked_len()?.checked_mul(size)?).ok()
}

fn open(path: &Path) -> Result<BufReader<File>, TraceError> {
    File::open(path)
        .map(BufReader::new)
        .map_err(|error| TraceError::Io { path: path.into(), error })
}

/// The file of elements of version 2, whose size the records' offsets fit.
fn raw(path: &Path, records: &[Record]) -> Result<Store, TraceError> {
    let file = open(path)?.into_inner();
    let length =
        file.metadata().map_err(|error| TraceError::Io { path: path.into(), error })?.len();
    let mut kept: Vec<(u64, u64, &Record)> = Vec::new();
    for record in records {
        let Some(offset) = record.offset else { continue };
        let wrong = |what: String| {
            let what = format!("{} {what}", record.key());
            TraceError::Elements { path: path.into(), what }
        };
        let Some(bytes) = length_of(record) else {
            let (dtype, shape) = (&record.dtype, &record.shape);
            return Err(wrong(format!("has an unknown size: its type is {dtype:?} {shape:?}")));
        };
        let end = offset.checked_add(bytes).filter(|&end| end <= length);
        let beyond = || wrong(format!("lies beyond the end of the file ({length} bytes)"));
        kept.push((offset, end.ok_or_else(beyond)?, record));
    }
    kept.sort_by_key(|&(offset, end, _)| (offset, end));
    if let Some(pair) = kept.windows(2).find(|pair| pair[1].0 < pair[0].1) {
        let what = format!("{} and {} overlap", pair[0].2.key(), pair[1].2.key());
        return Err(TraceError::Elements { path: path.into(), what });
    }
    Ok(Store::Raw(file))
}

/// The file of elements of version 1, in which every tensor must have a record.
fn safetensors(path: &Path, records: &[Record]) -> Result<Store, TraceError> {
    let file = TensorFile::open(open(path)?)
        .map_err(|error| TraceError::Tensors { path: path.into(), error })?;
    let wrong = |what| TraceError::Elements { path: path.into(), what };
    let mut places: HashMap<&str, usize> =
        (0..).zip(file.specs()).map(|(i, spec)| (spec.name.as_str(), i)).collect();
    let mut of_records = Vec::with_capacity(records.len());
    for record in records {
        let place = places.remove(record.key().as_str());
        if let Some(spec) = place.map(|place| &file.specs()[place])
            && (spec.dtype.name() != record.dtype || spec.shape != record.shape)
        {
            return Err(wrong(format!(
                "{} is {} {:?} there, but {} {:?} in {RECORDS}",
                record.key(),
                spec.dtype,
                spec.shape,
                record.dtype,
                record.shape,
            )));
        }
        of_records.push(place);
    }
    if let Some(name) = places.keys().min() {
        return Err(wrong(format!("the tensor {name} has no record in {RECORDS}")));
    }
    Ok(Store::Safetensors(Box::new(file), of_records))
}

/// What `trace.jsonl` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    /// The first line.
    pub header: Header,
    /// The lines of tensors.
    pub records: Vec<Record>,
    /// See [`Trace::is_complete`].
    pub complete: bool,
}

/// Parses `trace.jsonl`; `path` is for errors.
///
/// # Errors
/// See [`TraceError`].
pub fn parse(text: impl BufRead, path: &Path) -> Result<Records, TraceError> {
    let mut lines = text.split(b'\n');
    let io = |error| TraceError::Io { path: path.into(), error };
    let header = lines.next().transpose().map_err(io)?;
    let header = header.and_then(|line| serde_json::from_slice::<Header>(&line).ok());
    let header = header.filter(|header| header.format == FORMAT);
    let header = header.ok_or_else(|| TraceError::Header(path.into()))?;
    if !(1..=VERSION).contains(&header.version) {
        return Err(TraceError::Version { path: path.into(), version: header.version });
    }
    let mut parsed = Records { complete: header.version == 1, header, records: Vec::new() };
    let mut keys = HashSet::new();
    let mut lines = (2..).zip(lines).peekable();
    while let Some((line, bytes)) = lines.next() {
        let wrong = |what: String| TraceError::Line { path: path.into(), line, what };
        match line_of(&bytes.map_err(io)?, parsed.header.version) {
            Ok(Line::Record(record)) => {
                if !keys.insert(record.key()) {
                    return Err(wrong(format!("records {} twice", record.key())));
                }
                parsed.records.push(record);
            }
            Ok(Line::End(end)) => {
                if end.records != parsed.records.len() {
                    let found = parsed.records.len();
                    let what = format!("counts {} records, but {found} are there", end.records);
                    return Err(wrong(what));
                }
                if let Some((line, _)) = lines.next() {
                    let what = "is behind the end marker".into();
                    return Err(TraceError::Line { path: path.into(), line, what });
                }
                parsed.complete = true;
            }
            // The line that was being written when the run ended.
            Err(Wrong { cut: true, .. }) if lines.peek().is_none() && parsed.header.version > 1 => {
            }
            Err(Wrong { what, .. }) => return Err(wrong(what)),
        }
    }
    Ok(parsed)
}

/// A line but the first.
enum Line {
    Record(Record),
    End(End),
}

/// A line that cannot be read.
struct Wrong {
    what: String,
    /// Whether it ends before its JSON does.
    cut: bool,
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self { what, cut: false }
    }
}

fn line_of(bytes: &[u8], version: u32) -> Result<Line, Wrong> {
    let not = |error: serde_json::Error| Wrong {
        what: format!("is not a record of a trace: {error}"),
        cut: error.is_eof(),
    };
    // Not by way of a `Value`, which takes the last of two equal fields.
    if version > 1
        && let Ok(end) = serde_json::from_slice::<End>(bytes)
    {
        return match end.end == FORMAT {
            true => Ok(Line::End(end)),
            false => Err(format!("is not an end marker ({{\"end\": \"{FORMAT}\", …}})").into()),
        };
    }
    let record: Record = serde_json::from_slice(bytes).map_err(not)?;
    if record.checked_len().is_none() {
        return Err(format!("has the shape {:?}, which no tensor has", record.shape).into());
    }
    let is_hash = record.sha256.len() == 64
        && record.sha256.bytes().all(|x| x.is_ascii_digit() || (b'a'..=b'f').contains(&x));
    match is_hash {
        true => Ok(Line::Record(record)),
        false => Err(format!(
            "has the sha256 {:?}, where 64 lower-case hexadecimal digits are expected",
            record.sha256
        )
        .into()),
    }
}
