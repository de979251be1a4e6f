//! The zip archive of a `.pt` file: records in one top folder, without compression, each aligned to 64 bytes. Opening an
//! archive checks its directory first.
//!
//! Layout after `torch/serialization.py` and `caffe2/serialize/inline_container.cc` of PyTorch
//! 2.13.

use std::collections::HashSet;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};

use zip::read::{ArchiveOffset, Config};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::location::Storage;
use super::stream::unpacked;
use super::{ReadError, directory};

/// `kProducedFileFormatVersion`'s lowest value that every version since 1.6 reads.
const VERSION: &[u8] = b"3\n";
/// Alignment of records in bytes, for `mmap=True`.
const ALIGNMENT: u16 = 64;

/// Builds an archive of `records` (name and bytes) in the folder `root`, with the records `byteorder` and `version`. The
/// same records give the same bytes.
pub(super) fn write(root: &str, records: &[(String, &[u8])]) -> Result<Vec<u8>, ReadError> {
    // Large enough for names and alignment, so that gigabytes are not reallocated.
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

/// Longest pickle that is read, in bytes; the size of the file, if that is more.
const PICKLE: u64 = 16 << 20;

/// Opens a zip archive that starts at the start of the file and is not ambiguous. The zip crate allocates memory for as
/// many entries as the archive claims, so the directory is checked first.
pub(super) fn open<R: Read + Seek>(mut reader: R) -> Result<ZipArchive<R>, ReadError> {
    let entries = directory::check(&mut reader)?;
    reader.rewind()?;
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let zip = ZipArchive::with_config(config, reader).map_err(damaged)?;
    match zip.len() == entries {
        true => Ok(zip),
        false => Err(damaged("two of its entries have the same name")),
    }
}

/// An open archive of a `.pt` file.
pub(super) struct Archive<R> {
    zip: ZipArchive<R>,
    root: String,
    /// Length of the file in bytes.
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
        let Some(root) = pickle else {
            return Err(ReadError::NotTensors("the archive holds no data.pkl".into()));
        };
        check_names(&zip, &root)?;
        Ok(Self { zip, root, length })
    }

    /// Reads the record `data.pkl`.
    pub fn pickle(&mut self) -> Result<Vec<u8>, ReadError> {
        let bytes = self.read("data.pkl", PICKLE.max(self.length))?;
        bytes.ok_or_else(|| ReadError::NotTensors("the archive holds no data.pkl".into()))
    }

    /// Whether numbers are big-endian. Old archives have no record `byteorder` and are little-endian.
    pub fn is_big_endian(&mut self) -> Result<bool, ReadError> {
        match self.read("byteorder", 16)?.as_deref() {
            None | Some(b"little") => Ok(false),
            Some(b"big") => Ok(true),
            Some(_) => {
                Err(ReadError::Unsupported("its byte order is neither little nor big".into()))
            }
        }
    }

    /// The names of the records without the folder.
    pub fn names(&self) -> Vec<String> {
        let names = self.zip.file_names().flatten();
        let inside = |name: &str| Some(name.strip_prefix(&self.root)?.strip_prefix('/')?.into());
        names.filter_map(|name| inside(&name)).collect()
    }

    /// Reads a record of up to `longest` bytes; `None` if there is none.
    pub fn read(&mut self, name: &str, longest: u64) -> Result<Option<Vec<u8>>, ReadError> {
        let path = format!("{}/{name}", self.root);
        let Some(index) = self.zip.index_for_name(&path) else { return Ok(None) };
        let storage = self.record(name)?;
        if storage.bytes > longest {
            let error = format!("{path} has {} bytes, where {longest} are read", storage.bytes);
            return Err(ReadError::Unsupported(error));
        }
        // The exact capacity: a growing vector takes up to three times as much.
        let mut bytes = Vec::with_capacity(usize::try_from(storage.bytes).unwrap_or_default());
        let raw = self.zip.by_index_raw(index).map_err(damaged)?;
        unpacked(&storage, raw)
            .read_to_end(&mut bytes)
            .map_err(|e| damaged(format!("{path}: {e}")))?;
        Ok(Some(bytes))
    }

    /// Locates a record.
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
                return Err(ReadError::Unsupported(error));
            }
        };
        let at = file.data_start().ok_or_else(|| damaged(format!("{path} has no data")))?;
        // torch.save writes 0 if it does not compute checksums.
        let crc = Some(file.crc32()).filter(|&crc| crc != 0);
        Ok(Storage { packed, crc, ..Storage::plain(at, file.size()) })
    }
}

/// Refuses an archive with a second top folder, since PyTorch uses the folder of the first entry, or with two names that
/// differ in case only, since PyTorch does not distinguish them.
fn check_names<R: Read + Seek>(zip: &ZipArchive<R>, root: &str) -> Result<(), ReadError> {
    let mut names = HashSet::new();
    for name in zip.file_names() {
        let name = name.map_err(damaged)?;
        let inside = name.strip_prefix(root).is_some_and(|name| name.starts_with('/'));
        if !inside {
            let error = format!("{name:?} lies outside its folder {root:?}");
            return Err(damaged(error));
        }
        if !names.insert(name.to_ascii_lowercase()) {
            return Err(damaged(format!("{name:?} is in it twice, in upper and lower case")));
        }
    }
    Ok(())
}
