//! The zip archive of a `.pt` file: one top folder of records, stored not deflated, each aligned
//! to 64 bytes.
//!
//! Layout after `torch/serialization.py` and `caffe2/serialize/inline_container.cc` of PyTorch
//! 2.13.

use std::io::{Cursor, Read, Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::ReadError;

/// `kProducedFileFormatVersion`'s lowest value that every version since 1.6 reads.
const VERSION: &[u8] = b"3\n";
/// Bytes that records are aligned to, so that `mmap=True` works.
const ALIGNMENT: u16 = 64;

/// The archive of `records` (name and bytes) in the folder `root`, with the byte order and version
/// that every such archive has. The same records give the same bytes.
pub(super) fn write(root: &str, records: &[(String, &[u8])]) -> Result<Vec<u8>, ReadError> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
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

fn damaged(error: impl std::fmt::Display) -> ReadError {
    ReadError::Zip(error.to_string())
}

/// Where a record lies in the file.
pub(super) struct Record {
    /// First byte.
    pub at: u64,
    /// Number of bytes.
    pub bytes: u64,
    /// CRC-32 of them.
    pub crc: u32,
}

/// An open archive, with the name of its one top folder.
pub(super) struct Archive<R> {
    zip: ZipArchive<R>,
    root: String,
}

impl<R: Read + Seek> Archive<R> {
    /// Opens an archive that has a `data.pkl` in its top folder.
    pub fn open(reader: R) -> Result<Self, ReadError> {
        let zip = ZipArchive::new(reader).map_err(damaged)?;
        let pickle = zip.file_names().flatten().find_map(|name| {
            name.strip_suffix("/data.pkl").filter(|root| !root.contains('/')).map(str::to_owned)
        });
        match pickle {
            Some(root) => Ok(Self { zip, root }),
            None => Err(ReadError::NotTensors("the archive holds no data.pkl".into())),
        }
    }

    /// The pickle, which must be stored: so it is never larger than the file.
    pub fn pickle(&mut self) -> Result<Vec<u8>, ReadError> {
        self.record("data.pkl")?;
        let mut file = self.zip.by_name(&format!("{}/data.pkl", self.root)).map_err(damaged)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(damaged)?;
        Ok(bytes)
    }

    /// Refuses an archive of a big-endian machine. Old archives do not say; they are little-endian.
    pub fn check_byte_order(&mut self) -> Result<(), ReadError> {
        let Ok(mut file) = self.zip.by_name(&format!("{}/byteorder", self.root)) else {
            return Ok(());
        };
        let mut order = Vec::new();
        (&mut file).take(16).read_to_end(&mut order).map_err(damaged)?;
        if order != b"little" {
            return Err(ReadError::NotTensors("its byte order is not little-endian".into()));
        }
        Ok(())
    }

    /// A record, which must be stored.
    pub fn record(&mut self, name: &str) -> Result<Record, ReadError> {
        let path = format!("{}/{name}", self.root);
        let file = self.zip.by_name(&path).map_err(|e| damaged(format!("{path}: {e}")))?;
        if file.compression() != CompressionMethod::Stored {
            return Err(damaged(format!("{path} is compressed, which torch.save never does")));
        }
        match file.data_start() {
            Some(at) => Ok(Record { at, bytes: file.size(), crc: file.crc32() }),
            None => Err(damaged(format!("{path} has no place in it"))),
        }
    }
}
