//! The zip archive of a `.pt` file: one top folder of records, stored not deflated, each aligned
//! to 64 bytes. Also how any zip archive is opened without trusting what it says of itself.
//!
//! Layout after `torch/serialization.py` and `caffe2/serialize/inline_container.cc` of PyTorch
//! 2.13.

use std::io::{Cursor, Read, Seek, SeekFrom, Write};

use zip::read::{ArchiveOffset, Config};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::ReadError;
use super::location::Storage;
use super::stream::unpacked;

/// `kProducedFileFormatVersion`'s lowest value that every version since 1.6 reads.
const VERSION: &[u8] = b"3\n";
/// Bytes that records are aligned to, so that `mmap=True` works.
const ALIGNMENT: u16 = 64;

/// The archive of `records` (name and bytes) in the folder `root`, with the byte order and version
/// that every such archive has. The same records give the same bytes.
pub(super) fn write(root: &str, records: &[(String, &[u8])]) -> Result<Vec<u8>, ReadError> {
    // With room for names and alignment, so that gigabytes are not moved as it grows.
    let bytes: usize = records.iter().map(|(name, bytes)| bytes.len() + 3 * name.len() + 512).sum();
    let mut zip = ZipWriter::new(Cursor::new(Vec::with_capacity(bytes + 1024)));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .with_alignment(ALIGNMENT);
    let all = records.iter().map(|(name, bytes)| (name.as_str(), *bytes));
    for (name, bytes) in all.chain([("byteorder", &b"little"[..]), ("version", VERSION)]) {
        zip.start_file(format!("{root}/{name}"), options).map_err(damaged)?;
        zip.write_all(bytes).map_err(damaged)?;
    }
    Ok(zip.finish().map_err(damaged)?.into_inner())
}

pub(super) fn damaged(error: impl std::fmt::Display) -> ReadError {
    ReadError::Zip(error.to_string())
}

/// Longest pickle of a file that is shorter; the values of one have less room.
const PICKLE: u64 = 16 << 20;
/// Most entries of an archive; torch.save writes one a storage.
const ENTRIES: u64 = 1 << 16;
/// An archive ends with a record of 22 bytes and a comment of up to 65,535. Before them a large
/// one has 20 bytes that tell where another record of 56 bytes lies, which every writer puts right
/// before.
const TAIL: u64 = 22 + 65_535 + 20 + 56;

/// Opens a zip archive that begins where the file does.
///
/// The zip crate makes room for as many entries as the archive says it has: up to 2^64 in a large
/// one, so what such an archive says is looked at first.
pub(super) fn open<R: Read + Seek>(mut reader: R) -> Result<ZipArchive<R>, ReadError> {
    let length = reader.seek(SeekFrom::End(0))?;
    let start = length.saturating_sub(TAIL);
    reader.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    (&mut reader).take(TAIL).read_to_end(&mut tail)?;
    let number = |at: usize| {
        let bytes = tail.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |&bytes| u64::from_le_bytes(bytes))
    };
    for (at, window) in tail.windows(20).enumerate() {
        let ends = tail[at + 20..].starts_with(b"PK\x05\x06");
        if !(ends && window.starts_with(b"PK\x06\x07")) {
            continue;
        }
        let record = at.checked_sub(56).filter(|&record| tail[record..].starts_with(b"PK\x06\x06"));
        let Some(record) = record.filter(|&record| number(at + 8) == start + record as u64) else {
            return Err(damaged("its directory does not lie at the end of the file"));
        };
        let entries = number(record + 32);
        if entries > ENTRIES {
            return Err(damaged(format!("{entries} entries, where up to {ENTRIES} are read")));
        }
    }
    reader.rewind()?;
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    ZipArchive::with_config(config, reader).map_err(|error| match error {
        // It is at the end that an archive says what is in it.
        zip::result::ZipError::InvalidArchive(_) => {
            damaged(format!("the list of what is in it cannot be read; is it cut short? ({error})"))
        }
        error => damaged(error),
    })
}

/// An open archive, with the name of its one top folder.
pub(super) struct Archive<R> {
    zip: ZipArchive<R>,
    root: String,
    /// Of the file, in bytes.
    length: u64,
}

impl<R: Read + Seek> Archive<R> {
    /// Opens an archive that has a `data.pkl` in its top folder.
    pub fn open(mut reader: R) -> Result<Self, ReadError> {
        let length = reader.seek(SeekFrom::End(0))?;
        let zip = open(reader)?;
        let pickle = zip.file_names().flatten().find_map(|name| {
            name.strip_suffix("/data.pkl").filter(|root| !root.contains('/')).map(str::to_owned)
        });
        match pickle {
            Some(root) => Ok(Self { zip, root, length }),
            None => Err(ReadError::NotTensors("the archive holds no data.pkl".into())),
        }
    }

    /// The pickle. Of a deflated one as many bytes are read as the file has, or [`PICKLE`].
    pub fn pickle(&mut self) -> Result<Vec<u8>, ReadError> {
        let bytes = self.read("data.pkl", PICKLE.max(self.length))?;
        bytes.ok_or_else(|| ReadError::NotTensors("the archive holds no data.pkl".into()))
    }

    /// Whether numbers begin with their highest byte. Old archives do not say; their numbers do not.
    pub fn is_big_endian(&mut self) -> Result<bool, ReadError> {
        match self.read("byteorder", 16)?.as_deref() {
            None | Some(b"little") => Ok(false),
            Some(b"big") => Ok(true),
            Some(_) => {
                Err(ReadError::NotTensors("its byte order is neither little nor big".into()))
            }
        }
    }

    /// The content of a record of up to `longest` bytes, if it is there.
    fn read(&mut self, name: &str, longest: u64) -> Result<Option<Vec<u8>>, ReadError> {
        let path = format!("{}/{name}", self.root);
        let Some(index) = self.zip.index_for_name(&path) else { return Ok(None) };
        let storage = self.record(name)?;
        if storage.bytes > longest {
            let error = format!("{path} has {} bytes, where {longest} are read", storage.bytes);
            return Err(ReadError::NotTensors(error));
        }
        // Cannot be more than that: a vector that grows takes up to three times as much.
        let mut bytes = Vec::with_capacity(usize::try_from(storage.bytes).unwrap_or_default());
        let raw = self.zip.by_index_raw(index).map_err(damaged)?;
        unpacked(&storage, raw)
            .read_to_end(&mut bytes)
            .map_err(|e| damaged(format!("{path}: {e}")))?;
        Ok(Some(bytes))
    }

    /// Where a record lies.
    pub fn record(&mut self, name: &str) -> Result<Storage, ReadError> {
        let path = format!("{}/{name}", self.root);
        let index = self.zip.index_for_name(&path);
        let index = index.ok_or_else(|| damaged(format!("{path} is not in it")))?;
        let file = self.zip.by_index_raw(index).map_err(|e| damaged(format!("{path}: {e}")))?;
        let packed = match file.compression() {
            CompressionMethod::Stored => None,
            CompressionMethod::Deflated => Some(file.compressed_size()),
            other => {
                let error = format!("{path} is compressed by {other}, which is not read");
                return Err(ReadError::NotTensors(error));
            }
        };
        let at = file.data_start().ok_or_else(|| damaged(format!("{path} has no place in it")))?;
        // torch.save writes 0 where it was told not to compute it.
        let crc = Some(file.crc32()).filter(|&crc| crc != 0);
        Ok(Storage { packed, crc, ..Storage::plain(at, file.size()) })
    }
}
