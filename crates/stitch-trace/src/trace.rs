//! Reading a trace.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use tensor_files::{Dtype, TensorFile};

use crate::record::End;
use crate::{
    BLOCK, ELEMENTS, ELEMENTS_V1, ElementsError, FORMAT, Hashes, Header, LineError, RECORDS,
    Record, TraceError, VERSION,
};

/// The open file of elements.
#[derive(Debug)]
enum Store {
    /// `trace.bin`: raw bytes, at the records' offsets.
    Raw(File),
    /// `trace.safetensors`, and for each record the position of its tensor, if it has one.
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
    /// Opens the trace in `folder` and checks that the records fit the file of elements. The elements are not
    /// read, so the SHA-256 sums are not checked; `stitch_parity` does.
    ///
    /// # Errors
    /// See [`TraceError`]. A truncated trace is not an error: see [`Trace::is_complete`].
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

    /// The first line of `trace.jsonl`: format, version and model.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// All records in the order in which they were recorded.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Whether the trace has its end marker. Without it, the run did not end or the file was truncated.
    /// Version 1 has no end marker and counts as complete.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Path of the file of elements: `trace.bin`, or `trace.safetensors` in version 1.
    pub fn elements_path(&self) -> &Path {
        &self.elements.0
    }

    /// Whether the elements of record `i` were kept, not only their SHA-256.
    ///
    /// # Panics
    /// If there is no record `i`.
    pub fn has_elements(&self, i: usize) -> bool {
        match &self.elements.1 {
            Store::Raw(_) => self.records[i].offset.is_some(),
            Store::Safetensors(_, places) => places[i].is_some(),
        }
    }

    /// The elements of record `i` as a stream of bytes, row-major, little-endian; `None` where only the SHA-256
    /// was kept.
    ///
    /// # Errors
    /// [`TraceError::Io`] or [`TraceError::Tensors`] when the file cannot be read.
    ///
    /// # Panics
    /// If there is no record `i`.
    pub fn elements(&mut self, i: usize) -> Result<Option<Box<dyn Read + '_>>, TraceError> {
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

/// Length of the elements of a record in bytes; `None` if its dtype is unknown.
fn length_of(record: &Record) -> Option<u64> {
    let size = Dtype::from_name(&record.dtype)?.size();
    u64::try_from(record.elements()?.checked_mul(size)?).ok()
}

/// Opens a regular file: a pipe would wait for its writer, and a device may have no end.
fn open(path: &Path) -> Result<BufReader<File>, TraceError> {
    let io = |error| TraceError::Io { path: path.into(), error };
    match fs::metadata(path).map_err(io)?.is_file() {
        true => File::open(path).map(BufReader::new).map_err(io),
        false => Err(TraceError::NotRegular(path.into())),
    }
}

/// Opens the file of elements of version 2; the records' offsets must lie in it and not overlap.
fn raw(path: &Path, records: &[Record]) -> Result<Store, TraceError> {
    let file = open(path)?.into_inner();
    let length =
        file.metadata().map_err(|error| TraceError::Io { path: path.into(), error })?.len();
    let contradiction = |error| TraceError::Elements { path: path.into(), error };
    let mut kept: Vec<(u64, u64, &Record)> = Vec::new();
    for record in records {
        let Some(offset) = record.offset else { continue };
        let key = record.key();
        let Some(bytes) = length_of(record) else {
            let (dtype, shape) = (record.dtype.clone(), record.shape.clone());
            return Err(contradiction(ElementsError::Dtype { key, dtype, shape }));
        };
        let end = offset.checked_add(bytes).filter(|&end| end <= length);
        let end = end.ok_or_else(|| contradiction(ElementsError::BeyondEnd { key, length }))?;
        kept.push((offset, end, record));
    }
    kept.sort_by_key(|&(offset, end, _)| (offset, end));
    if let Some(pair) = kept.windows(2).find(|pair| pair[1].0 < pair[0].1) {
        return Err(contradiction(ElementsError::Overlap(pair[0].2.key(), pair[1].2.key())));
    }
    Ok(Store::Raw(file))
}

/// Opens the file of elements of version 1; every tensor in it must have a record.
fn safetensors(path: &Path, records: &[Record]) -> Result<Store, TraceError> {
    let file = TensorFile::open(open(path)?)
        .map_err(|error| TraceError::Tensors { path: path.into(), error })?;
    let contradiction = |error| TraceError::Elements { path: path.into(), error };
    let mut places: HashMap<&str, usize> =
        (0..).zip(file.specs()).map(|(i, spec)| (spec.name.as_str(), i)).collect();
    let mut of_records = Vec::with_capacity(records.len());
    for record in records {
        let place = places.remove(record.key().as_str());
        if let Some(spec) = place.map(|place| &file.specs()[place])
            && (spec.dtype.name() != record.dtype || spec.shape != record.shape)
        {
            return Err(contradiction(ElementsError::Tensor {
                key: record.key(),
                tensor: format!("{} {:?}", spec.dtype, spec.shape),
                record: format!("{} {:?}", record.dtype, record.shape),
            }));
        }
        of_records.push(place);
    }
    if let Some(&name) = places.keys().min() {
        return Err(contradiction(ElementsError::NoRecord(name.into())));
    }
    Ok(Store::Safetensors(Box::new(file), of_records))
}

/// The contents of `trace.jsonl`.
#[derive(Debug, Clone, PartialEq)]
pub struct Records {
    /// Format, version and model, from the first line.
    pub header: Header,
    /// One record per tensor, in the order in which they were recorded.
    pub records: Vec<Record>,
    /// Whether the end marker is there; see [`Trace::is_complete`].
    pub complete: bool,
}

/// Parses the text of a `trace.jsonl`; `path` is for error messages. A last line that was cut is left out.
///
/// # Errors
/// See [`TraceError`].
pub fn parse(text: impl BufRead, path: &Path) -> Result<Records, TraceError> {
    let mut lines = Lines(text);
    let io = |error| TraceError::Io { path: path.into(), error };
    let header = lines.next().transpose().map_err(io)?.flatten();
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
        let invalid = |line, error| TraceError::Line { path: path.into(), line, error };
        let bytes = bytes.map_err(io)?.ok_or_else(|| invalid(line, LineError::TooLong))?;
        match line_of(&bytes, parsed.header.version) {
            Ok(Line::Record(record)) => {
                let key = record.key();
                if keys.contains(&key) {
                    return Err(invalid(line, LineError::Duplicate(key)));
                }
                keys.insert(key);
                parsed.records.push(*record);
            }
            Ok(Line::End(End { records: expected, .. })) => {
                let found = parsed.records.len();
                if expected != found {
                    return Err(invalid(line, LineError::Count { expected, found }));
                }
                if let Some((line, _)) = lines.next() {
                    return Err(invalid(line, LineError::AfterEnd));
                }
                parsed.complete = true;
            }
            // The line that was being written when the run ended.
            Err(error) if error.is_cut() && lines.peek().is_none() && parsed.header.version > 1 => {
            }
            Err(error) => return Err(invalid(line, error)),
        }
    }
    Ok(parsed)
}

/// Longest line of `trace.jsonl` that is read, in bytes without the line feed: that of a tensor of some 900 GB. A record has
/// 67 bytes per MiB of its tensor.
pub const LONGEST_LINE: u64 = 64 << 20;

/// The lines of a text without their line feeds; `None` for one that is longer than [`LONGEST_LINE`].
struct Lines<R>(R);

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<Option<Vec<u8>>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        match (&mut self.0).take(LONGEST_LINE + 1).read_until(b'\n', &mut line) {
            Err(error) => Some(Err(error)),
            Ok(0) => None,
            Ok(_) => {
                line.pop_if(|last| *last == b'\n');
                Some(Ok(Some(line).filter(|line| line.len() as u64 <= LONGEST_LINE)))
            }
        }
    }
}

/// Any line except the first.
enum Line {
    Record(Box<Record>),
    End(End),
}

fn line_of(bytes: &[u8], version: u32) -> Result<Line, LineError> {
    // Not through a `Value`, which keeps the last of two fields of one name.
    if version > 1
        && let Ok(end) = serde_json::from_slice::<End>(bytes)
    {
        return if end.end == FORMAT { Ok(Line::End(end)) } else { Err(LineError::End) };
    }
    let record: Record = serde_json::from_slice(bytes).map_err(LineError::Json)?;
    if record.elements().is_none() {
        return Err(LineError::Shape(record.shape));
    }
    if record.nan > record.elements() {
        return Err(LineError::Nan(record.nan.unwrap_or(0)));
    }
    let hashes = || [&record.sha256].into_iter().chain(record.blocks.iter().flatten());
    if let Some(wrong) = hashes().find(|hash| hash_of(hash).is_none()) {
        return Err(LineError::Sha256(wrong.clone()));
    }
    if let Some(blocks) = &record.blocks {
        let hashes: Vec<[u8; 32]> = blocks.iter().filter_map(|hash| hash_of(hash)).collect();
        let expected = length_of(&record).map(|bytes| bytes.div_ceil(BLOCK as u64));
        let fits = expected.is_none_or(|expected| expected == blocks.len() as u64);
        if blocks.len() < 2 || !fits || Hashes::of_blocks(&hashes).sha256 != record.sha256 {
            return Err(LineError::Blocks(blocks.len()));
        }
    }
    Ok(Line::Record(record.into()))
}

/// The bytes of a SHA-256 in lower-case hexadecimal digits.
fn hash_of(text: &str) -> Option<[u8; 32]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}
