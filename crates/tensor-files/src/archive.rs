//! The zip archive of a `.pt` file: one top folder of records, stored not deflated, each aligned
//! to 64 bytes. Also how any zip archive is opened without trusting what it says of itself.
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
/// Opens a zip archive that begins where the file does, and that no two readers can take for different
/// ones. The zip crate makes room for as many entries as the archive says it has, so what it says is
/// checked first.
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
        let Some(root) = pickle else {
            return Err(ReadError::NotTensors("the archive holds no data.pkl".into()));
        };
        check_names(&zip, &root)?;
        Ok(Self { zip, root, length })
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
                Err(ReadError::Unsupported("its byte order is neither little nor big".into()))
            }
        }
    }

    /// The names of its records, without the folder.
    pub fn names(&self) -> Vec<String> {
        let names = self.zip.file_names().flatten();
        let inside = |name: &str| Some(name.strip_prefix(&self.root)?.strip_prefix('/')?.into());
        names.filter_map(|name| inside(&name)).collect()
    }

    /// The content of a record of up to `longest` bytes, if it is there.
    pub fn read(&mut self, name: &str, longest: u64) -> Result<Option<Vec<u8>>, ReadError> {
        let path = format!("{}/{name}", self.root);
        let Some(index) = self.zip.index_for_name(&path) else { return Ok(None) };
        let storage = self.record(name)?;
        if storage.bytes > longest {
            let error = format!("{path} has {} bytes, where {longest} are read", storage.bytes);
            return Err(ReadError::Unsupported(error));
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
                return Err(ReadError::Unsupported(error));
            }
        };
        let at = file.data_start().ok_or_else(|| damaged(format!("{path} has no place in it")))?;
        // torch.save writes 0 where it was told not to compute it.
        let crc = Some(file.crc32()).filter(|&crc| crc != 0);
        Ok(Storage { packed, crc, ..Storage::plain(at, file.size()) })
    }
}

/// Refuses an archive with a second top folder: PyTorch takes the folder of the first entry. It also
/// takes names that differ in their case for the same.
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
