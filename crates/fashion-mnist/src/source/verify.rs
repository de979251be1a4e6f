//! Reads the files, decompressing `.gz`, and computes the SHA-256 sums of their contents on the way.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::{Content, FileOrigin, Found, Half, OFFICIAL, OfficialFile, Origin};
use crate::idx::{self, IdxError};
use crate::{Dataset, PIXELS, Split};

/// A file of the data set that cannot be used. Each message starts with its path.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The path is a folder, a pipe or a device: what it is, with an article.
    #[error("{} is {}, where an IDX file or its .gz is expected", .0.display(), .1)]
    NotAFile(PathBuf, &'static str),
    /// The file cannot be opened.
    #[error("{} cannot be opened: {}", .0.display(), .1)]
    Open(PathBuf, io::Error),
    /// The gzip data are damaged.
    #[error("{} is a broken gzip file ({}): fetch it again", .0.display(), .1)]
    Gzip(PathBuf, io::Error),
    /// The content is not the IDX file that is expected.
    #[error("{}: {}", .0.display(), .1)]
    Idx(PathBuf, IdxError),
    /// The numbers of images and labels differ.
    #[error("{} holds {images} images but {} holds {labels} labels: their numbers must be equal", .images_path.display(), .labels_path.display())]
    Counts {
        /// Path of the file of images.
        images_path: PathBuf,
        /// Number of images.
        images: usize,
        /// Path of the file of labels.
        labels_path: PathBuf,
        /// Number of labels.
        labels: usize,
    },
}

/// Reads the four files of a data set.
///
/// # Errors
/// [`FileError`] of the first file that cannot be used.
pub fn load(found: Found) -> Result<Dataset, FileError> {
    let (train, mut files) = load_half(&found, Half::Train)?;
    let (test, test_files) = load_half(&found, Half::Test)?;
    files.extend(test_files);
    Ok(Dataset { train, validation: None, test, origin: Origin { found, files } })
}

/// Reads the two files of the test half.
///
/// # Errors
/// [`FileError`] of the first file that cannot be used.
pub fn load_test(found: Found) -> Result<(Split, Origin), FileError> {
    let (test, files) = load_half(&found, Half::Test)?;
    Ok((test, Origin { found, files }))
}

fn load_half(found: &Found, half: Half) -> Result<(Split, Vec<FileOrigin>), FileError> {
    let mut split = Split { images: Bytes::new(), labels: Vec::new() };
    let mut files = Vec::new();
    for (file, path) in OFFICIAL.iter().zip(&found.paths).filter(|(file, _)| file.half == half) {
        let (bytes, origin) = load_file(file, path)?;
        match file.content {
            Content::Images => split.images = bytes.into(),
            Content::Labels => split.labels = bytes,
        }
        files.push(origin);
    }
    let (images, labels) = (split.images.len() / PIXELS, split.labels.len());
    if images != labels {
        let [images_path, labels_path] = [0, 1].map(|i| files[i].path.clone());
        return Err(FileError::Counts { images_path, images, labels_path, labels });
    }
    Ok((split, files))
}

/// Reads one file: the bytes after its header (pixels or labels), and how it compares with the official file. A name
/// that ends with `.gz` is decompressed.
///
/// # Errors
/// See [`FileError`].
pub fn load_file(file: &OfficialFile, path: &Path) -> Result<(Vec<u8>, FileOrigin), FileError> {
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    let reader = BufReader::with_capacity(1 << 16, open(path)?);
    let mut from = Hashing { hash: Sha256::new(), from: unpack(reader, packed) };
    let read = match file.content {
        Content::Images => idx::read_images(&mut from),
        Content::Labels => idx::read_labels(&mut from),
    };
    let bytes = read.map_err(|error| match error {
        IdxError::Io(error) if packed => FileError::Gzip(path.into(), error),
        error => FileError::Idx(path.into(), error),
    })?;
    let count = match file.content {
        Content::Images => bytes.len() / PIXELS,
        Content::Labels => bytes.len(),
    };
    let sha256 = HEXLOWER.encode(&from.hash.finalize());
    let official = sha256 == file.sha256;
    Ok((bytes, FileOrigin { name: file.name, path: path.into(), count, sha256, official }))
}

/// Opens a regular file. The type is checked first: on Unix, opening a folder succeeds and reading it fails;
/// opening a pipe blocks until there is a writer.
fn open(path: &Path) -> Result<File, FileError> {
    let open = |error| FileError::Open(path.into(), error);
    let kind = fs::metadata(path).map_err(open)?;
    if !kind.is_file() {
        let found = if kind.is_dir() { "a folder" } else { "not a regular file" };
        return Err(FileError::NotAFile(path.into(), found));
    }
    File::open(path).map_err(open)
}

fn unpack<'a>(from: impl Read + 'a, packed: bool) -> Box<dyn Read + 'a> {
    if packed { Box::new(MultiGzDecoder::new(from)) } else { Box::new(from) }
}

/// Computes the SHA-256 sum of what is read through it.
struct Hashing<R> {
    hash: Sha256,
    from: R,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.hash.update(&into[..read]);
        Ok(read)
    }
}
