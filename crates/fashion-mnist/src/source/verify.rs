//! Reads the files, decompressing gzip data whatever their name is, and computes the SHA-256 sums of their contents on the
//! way.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::{Content, FileOrigin, Found, Half, Identity, OFFICIAL, OfficialFile, Origin};
use crate::classes::{Classes, ClassesError, MOST_CLASSES};
use crate::idx::{self, IdxError};
use crate::{Dataset, ImageShape, Split};

/// The file of class names beside the files of a data set, one per line.
pub const CLASSES_FILE: &str = "classes.txt";

/// The first bytes of gzip data.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The most times that a file may be packed.
const PACKED: usize = 2;

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
    /// The file of class names cannot be used.
    #[error("{}: {}", .0.display(), .1)]
    Classes(PathBuf, ClassesError),
    /// The training and the test images differ in size.
    #[error("{} holds images of {train}, {} of {test}: they must be of the same size", .train_path.display(), .test_path.display())]
    Shapes {
        /// Path of the training images.
        train_path: PathBuf,
        /// Size of the training images.
        train: ImageShape,
        /// Path of the test images.
        test_path: PathBuf,
        /// Size of the test images.
        test: ImageShape,
    },
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

/// Reads the four files of a data set, and the names of its classes: those in [`CLASSES_FILE`], those of Fashion-MNIST if
/// at least one file is an official one, else numbers.
///
/// # Errors
/// [`FileError`] of the first file that cannot be used.
pub fn load(found: Found) -> Result<Dataset, FileError> {
    let (mut train, mut files) = load_half(&found, Half::Train)?;
    let (mut test, test_files) = load_half(&found, Half::Test)?;
    if train.shape != test.shape {
        let [train_path, test_path] = [&files[0], &test_files[0]].map(|file| file.path.clone());
        let (train, test) = (train.shape, test.shape);
        return Err(FileError::Shapes { train_path, train, test_path, test });
    }
    files.extend(test_files);
    let origin = Origin { found, files };
    train.classes = classes(&origin, train.labels.iter().chain(&test.labels))?;
    test.classes = train.classes.clone();
    Ok(Dataset { train, validation: None, test, origin })
}

/// Reads the two files of the test half, and the names of the classes ([`load`]).
///
/// # Errors
/// [`FileError`] of the first file that cannot be used.
pub fn load_test(found: Found) -> Result<(Split, Origin), FileError> {
    let (mut test, files) = load_half(&found, Half::Test)?;
    let origin = Origin { found, files };
    test.classes = classes(&origin, test.labels.iter())?;
    Ok((test, origin))
}

/// The names of the classes of these labels.
fn classes<'a>(
    origin: &Origin,
    labels: impl Iterator<Item = &'a u8> + Clone,
) -> Result<Classes, FileError> {
    /// More than names take.
    const LONGEST: u64 = MOST_CLASSES as u64 * 1024;
    let path = origin.found.directory.join(CLASSES_FILE);
    let count = labels.clone().max().map_or(1, |&label| usize::from(label) + 1);
    if path.exists() {
        let mut bytes = Vec::new();
        let read = open(&path)?.take(LONGEST).read_to_end(&mut bytes);
        read.map_err(|error| FileError::Open(path.clone(), error))?;
        let names = Classes::read(&bytes).and_then(|names| names.of_labels(labels.copied()));
        return names.map_err(|error| FileError::Classes(path, error));
    }
    Ok(match origin.identity() {
        Identity::Another => Classes::numbered(count),
        Identity::Official | Identity::Mixed => Classes::fashion_mnist().at_least(count),
    })
}

fn load_half(found: &Found, half: Half) -> Result<(Split, Vec<FileOrigin>), FileError> {
    let mut split = Split::new(Bytes::new(), Vec::new());
    let mut files = Vec::new();
    for (file, path) in OFFICIAL.iter().zip(&found.paths).filter(|(file, _)| file.half == half) {
        let (content, origin) = load_file(file, path)?;
        match content {
            FileContent::Images(bytes, shape) => {
                (split.images, split.shape) = (bytes.into(), shape)
            }
            FileContent::Labels(bytes) => split.labels = bytes,
        }
        files.push(origin);
    }
    let (images, labels) = (split.images.len() / split.shape.bytes(), split.labels.len());
    if images != labels {
        let [images_path, labels_path] = [0, 1].map(|i| files[i].path.clone());
        return Err(FileError::Counts { images_path, images, labels_path, labels });
    }
    Ok((split, files))
}

/// The content of a file after its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// The pixels of all images, and the size of each ([`Split::images`]).
    Images(Vec<u8>, ImageShape),
    /// The labels.
    Labels(Vec<u8>),
}

/// Reads one file: its content, and how it compares with the official file. Gzip data are decompressed.
///
/// # Errors
/// See [`FileError`].
pub fn load_file(file: &OfficialFile, path: &Path) -> Result<(FileContent, FileOrigin), FileError> {
    let reader = BufReader::with_capacity(1 << 16, open(path)?);
    let broken = |error| FileError::Gzip(path.into(), error);
    let (unpacked, packed) = unpack(reader).map_err(broken)?;
    let mut from = Hashing { hash: Sha256::new(), from: unpacked };
    let read = match file.content {
        Content::Images => {
            idx::read_images(&mut from).map(|(bytes, shape)| FileContent::Images(bytes, shape))
        }
        Content::Labels => idx::read_labels(&mut from).map(FileContent::Labels),
    };
    let content = read.map_err(|error| match error {
        IdxError::Io(error) if packed => broken(error),
        error => FileError::Idx(path.into(), error),
    })?;
    let count = match &content {
        FileContent::Images(bytes, shape) => bytes.len() / shape.bytes(),
        FileContent::Labels(bytes) => bytes.len(),
    };
    let sha256 = HEXLOWER.encode(&from.hash.finalize());
    let official = sha256 == file.sha256;
    Ok((content, FileOrigin { name: file.name, path: path.into(), count, sha256, official }))
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

/// Decompresses gzip data, also if they were packed twice; returns whether they were packed.
///
/// # Errors
/// That of reading the first bytes.
pub fn unpack<'a>(from: impl Read + 'a) -> io::Result<(Box<dyn Read + 'a>, bool)> {
    let mut from: Box<dyn Read + 'a> = Box::new(from);
    for packed in 0..=PACKED {
        let mut start = Vec::new();
        (&mut from).take(GZIP.len() as u64).read_to_end(&mut start)?;
        let is_packed = start == GZIP;
        from = Box::new(io::Cursor::new(start).chain(from));
        if !is_packed {
            return Ok((from, packed > 0));
        }
        // Buffered, since the decoder reads single bytes of the header.
        from = Box::new(MultiGzDecoder::new(BufReader::new(from)));
    }
    Ok((from, true))
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
