//! What the user named as pictures: files, folders of them, IDX files of 28x28 images.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail, ensure};
use flate2::read::MultiGzDecoder;
use stitch::dataset::PIXELS;
use stitch::dataset::idx::ImageReader;
use stitch::dataset::picture::{self, EXTENSIONS, LARGEST_FILE, PictureError};
use stitch::tensor_files::TensorFile;

use crate::suggest::hinted;

/// An IDX file of unsigned bytes begins so; what follows says of what.
const IDX: &[u8] = &[0, 0, 8];
const GZIP: &[u8] = &[0x1f, 0x8b];

/// A picture as the model takes it.
pub use stitch::dataset::picture::Converted as Picture;

/// What a picture is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The file.
    pub path: PathBuf,
    /// Its place in an IDX file.
    pub index: Option<usize>,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.index.map_or(Ok(()), |index| write!(f, "[{index}]"))
    }
}

/// Where pictures come from.
pub enum ImageSource {
    /// One picture.
    File(PathBuf),
    /// Images of an IDX file.
    Idx {
        /// The file.
        path: PathBuf,
        /// The images, in the order asked for; all of them if none was.
        indices: Vec<Range<usize>>,
    },
    /// What cannot be read, and why.
    Unreadable(PathBuf, anyhow::Error),
}

/// The sources that `paths` name, in that order; `indices` says which images of IDX files.
///
/// # Errors
/// An index that is not there, or without an IDX file.
pub fn find(paths: &[PathBuf], indices: &[Range<usize>]) -> Result<Vec<ImageSource>> {
    let mut sources = Vec::new();
    for path in paths {
        if path.is_dir() {
            match pictures_in(path) {
                Ok(pictures) => sources.extend(pictures.into_iter().map(ImageSource::File)),
                Err(error) => sources.push(ImageSource::Unreadable(path.clone(), error)),
            }
        } else if is_idx(path) {
            sources.push(idx_source(path, indices)?);
        } else {
            sources.push(ImageSource::File(path.clone()));
        }
    }
    let any = sources.iter().any(|source| !matches!(source, ImageSource::File(_)));
    ensure!(any || indices.is_empty(), "--index: it is for IDX files, and none is named");
    Ok(sources)
}

/// The pictures in a folder, sorted by name; not those in folders below it.
fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut pictures = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        // A hidden file is not meant, even if it is a picture.
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && path.is_file() && (is_named_as_picture(&path) || starts_as_picture(&path)) {
            pictures.push(path);
        }
    }
    ensure!(!pictures.is_empty(), "it holds no picture (PNG, JPEG, BMP, GIF or WebP)");
    pictures.sort();
    Ok(pictures)
}

fn is_named_as_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.iter().any(|e| e.eq_ignore_ascii_case(extension)))
}

/// Whether the file begins as a picture does.
pub fn starts_as_picture(path: &Path) -> bool {
    start_of(path).is_ok_and(|start| picture::is_picture(&start))
}

/// Whether the file begins as an IDX file does, packed or not.
fn is_idx(path: &Path) -> bool {
    let Ok(start) = start_of(path) else { return false };
    if !start.starts_with(GZIP) {
        return start.starts_with(IDX);
    }
    let mut unpacked = [0; IDX.len()];
    let read = open(path).and_then(|file| Ok(MultiGzDecoder::new(file).read_exact(&mut unpacked)?));
    read.is_ok() && unpacked == IDX
}

fn start_of(path: &Path) -> Result<Vec<u8>> {
    let mut start = Vec::new();
    open(path)?.take(16).read_to_end(&mut start)?;
    Ok(start)
}

/// Opens a plain file: a pipe could block, and could not be read twice.
fn open(path: &Path) -> Result<BufReader<File>> {
    ensure!(fs::metadata(path)?.is_file(), "it is not a plain file");
    Ok(BufReader::new(File::open(path)?))
}

fn idx_source(path: &Path, indices: &[Range<usize>]) -> Result<ImageSource> {
    let count = match open_idx(path) {
        Ok(images) => images.count(),
        Err(error) => return Ok(ImageSource::Unreadable(path.into(), error)),
    };
    if let Some(beyond) = indices.iter().find(|range| range.end > count) {
        let (path, asked) = (path.display(), beyond.end - 1);
        bail!("--index {asked}: {path} holds {count} images, numbered 0 to {}", count - 1);
    }
    // One range that is all of them.
    let all = || std::iter::once(0..count).collect();
    let indices = if indices.is_empty() { all() } else { indices.to_vec() };
    Ok(ImageSource::Idx { path: path.into(), indices })
}

fn open_idx(path: &Path) -> Result<ImageReader<Box<dyn Read>>> {
    let mut start = [0; GZIP.len()];
    open(path)?.read_exact(&mut start)?;
    let file = open(path)?;
    let from: Box<dyn Read> =
        if start == GZIP { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(ImageReader::open(from)?)
}

impl ImageSource {
    /// Number of pictures.
    pub fn len(&self) -> usize {
        match self {
            ImageSource::Idx { indices, .. } => indices.iter().map(ExactSizeIterator::len).sum(),
            _ => 1,
        }
    }

    /// Hands each picture, or why it cannot be read, to `take`.
    ///
    /// # Errors
    /// Those of `take` alone.
    pub fn read(
        self,
        invert: bool,
        take: &mut dyn FnMut(Name, Result<Picture>) -> Result<()>,
    ) -> Result<()> {
        match self {
            ImageSource::File(path) => {
                let picture = read_picture(&path, invert);
                take(Name { path, index: None }, picture)
            }
            ImageSource::Unreadable(path, error) => take(Name { path, index: None }, Err(error)),
            ImageSource::Idx { path, indices } => {
                let mut images = None;
                for index in indices.into_iter().flatten() {
                    let pixels = read_image(&path, &mut images, index);
                    let broken = pixels.is_err();
                    let name = Name { path: path.clone(), index: Some(index) };
                    // The pixels of a data set are taken as they are.
                    take(name, pixels.map(|pixels| Picture { pixels, inverted: false }))?;
                    if broken {
                        // Nor can what follows be read.
                        break;
                    }
                }
                Ok(())
            }
        }
    }
}

fn read_picture(path: &Path, invert: bool) -> Result<Picture> {
    let mut bytes = Vec::new();
    let file = open(path).map_err(|error| hinted(path, error))?;
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    ensure!(!bytes.is_empty(), "it is empty");
    picture::convert(&bytes, invert).map_err(|error| {
        let weights = || open(path).is_ok_and(|file| TensorFile::open(file).is_ok());
        match error {
            PictureError::Unknown if weights() => {
                anyhow!("it holds weights, not a picture; one weights file may come first")
            }
            error => error.into(),
        }
    })
}

/// Image `index` of `path`, through `open`, which is opened anew to go back.
fn read_image(
    path: &Path,
    open: &mut Option<ImageReader<Box<dyn Read>>>,
    index: usize,
) -> Result<[u8; PIXELS]> {
    let mut images = match open.take().filter(|images| images.position() <= index) {
        Some(images) => images,
        None => open_idx(path)?,
    };
    let pixels = images.image(index)?;
    *open = Some(images);
    Ok(pixels)
}
