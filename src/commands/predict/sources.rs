//! Reads the images in the arguments: files, folders, IDX files of images.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail, ensure};
use stitch::dataset::ImageShape;
use stitch::dataset::idx::ImageReader;
use stitch::dataset::picture::{self, EXTENSIONS, LARGEST_FILE, PictureError, Preprocessing};
use stitch::dataset::source::unpack;
use stitch::tensor_files::TensorFile;

use crate::suggest::hinted;

/// The first bytes of an IDX file of unsigned bytes.
const IDX: &[u8] = &[0, 0, 8];

pub use stitch::dataset::picture::Converted as Image;

/// The name of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub path: PathBuf,
    /// Index in an IDX file.
    pub index: Option<usize>,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.index.map_or(Ok(()), |index| write!(f, "[{index}]"))
    }
}

pub enum ImageSource {
    /// A PNG, JPEG, BMP, GIF or WebP.
    File(PathBuf),
    /// Images of an IDX file.
    Idx {
        path: PathBuf,
        /// The indices, in the order of the flags; all images if none was given.
        indices: Vec<Range<usize>>,
    },
    /// A path that cannot be read, and the error.
    Unreadable(PathBuf, anyhow::Error),
}

/// The sources of `paths`, in that order; `indices` selects the images of IDX files.
///
/// # Errors
/// An index out of range, or without an IDX file.
pub fn find(paths: &[PathBuf], indices: &[Range<usize>]) -> Result<Vec<ImageSource>> {
    let mut sources = Vec::new();
    for path in paths {
        if path.is_dir() {
            match images_in(path) {
                Ok(images) => sources.extend(images.into_iter().map(ImageSource::File)),
                Err(error) => sources.push(ImageSource::Unreadable(path.clone(), error)),
            }
        } else if is_idx(path) {
            sources.push(idx_source(path, indices)?);
        } else {
            sources.push(ImageSource::File(path.clone()));
        }
    }
    let any = sources.iter().any(|source| !matches!(source, ImageSource::File(_)));
    ensure!(any || indices.is_empty(), "--index: requires an IDX file");
    Ok(sources)
}

/// The images in a folder, sorted by name; subfolders are skipped.
fn images_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut images = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        // Hidden files are skipped.
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && path.is_file() && (has_image_extension(&path) || starts_as_image(&path)) {
            images.push(path);
        }
    }
    ensure!(!images.is_empty(), "it contains no image (PNG, JPEG, BMP, GIF or WebP)");
    images.sort();
    Ok(images)
}

fn has_image_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.iter().any(|e| e.eq_ignore_ascii_case(extension)))
}

/// Whether the file starts with the signature of an image format.
pub fn starts_as_image(path: &Path) -> bool {
    start_of(path).is_ok_and(|start| picture::is_picture(&start))
}

/// Whether the file starts with the signature of an IDX file, compressed or not.
fn is_idx(path: &Path) -> bool {
    let mut start = [0; IDX.len()];
    let read = open(path).and_then(|file| Ok(unpack(file)?.0.read_exact(&mut start)?));
    read.is_ok() && start == IDX
}

fn start_of(path: &Path) -> Result<Vec<u8>> {
    let mut start = Vec::new();
    open(path)?.take(16).read_to_end(&mut start)?;
    Ok(start)
}

/// Opens a regular file: a pipe could block, and cannot be read twice.
fn open(path: &Path) -> Result<BufReader<File>> {
    ensure!(fs::metadata(path)?.is_file(), "it is not a regular file");
    Ok(BufReader::new(File::open(path)?))
}

fn idx_source(path: &Path, indices: &[Range<usize>]) -> Result<ImageSource> {
    let count = match open_idx(path) {
        Ok(images) => images.count(),
        Err(error) => return Ok(ImageSource::Unreadable(path.into(), error)),
    };
    if let Some(beyond) = indices.iter().find(|range| range.end > count) {
        let (path, index) = (path.display(), beyond.end - 1);
        bail!("--index {index}: {path} has {count} images, numbered 0 to {}", count - 1);
    }
    // One range of all images.
    let all = || std::iter::once(0..count).collect();
    let indices = if indices.is_empty() { all() } else { indices.to_vec() };
    Ok(ImageSource::Idx { path: path.into(), indices })
}

fn open_idx(path: &Path) -> Result<ImageReader<Box<dyn Read>>> {
    Ok(ImageReader::open(unpack(open(path)?)?.0)?)
}

/// The size of the images of the first IDX file among `paths`.
pub fn idx_shape(paths: &[PathBuf]) -> Option<ImageShape> {
    let first = paths.iter().find(|path| !path.is_dir() && is_idx(path))?;
    open_idx(first).ok().map(|images| images.shape())
}

impl ImageSource {
    /// Number of images.
    pub fn len(&self) -> usize {
        match self {
            ImageSource::Idx { indices, .. } => indices.iter().map(ExactSizeIterator::len).sum(),
            _ => 1,
        }
    }

    /// Passes each image, converted to `shape`, or the error of one that cannot be read, to `add`.
    ///
    /// # Errors
    /// Only those of `add`.
    pub fn read(
        self,
        (shape, preprocessing): (ImageShape, Preprocessing),
        add: &mut dyn FnMut(Name, Result<Image>) -> Result<()>,
    ) -> Result<()> {
        match self {
            ImageSource::File(path) => {
                let image = read_image_file(&path, shape, preprocessing);
                add(Name { path, index: None }, image)
            }
            ImageSource::Unreadable(path, error) => add(Name { path, index: None }, Err(error)),
            ImageSource::Idx { path, indices } => {
                let mut images = None;
                for index in indices.into_iter().flatten() {
                    let pixels = read_image(&path, shape, &mut images, index);
                    let broken = pixels.is_err();
                    let name = Name { path: path.clone(), index: Some(index) };
                    // Images of a data set are not preprocessed.
                    let image = |pixels| Image { pixels, inverted: false, scaled: false };
                    add(name, pixels.map(image))?;
                    if broken {
                        // The images after it cannot be read either.
                        break;
                    }
                }
                Ok(())
            }
        }
    }
}

fn read_image_file(path: &Path, shape: ImageShape, like: Preprocessing) -> Result<Image> {
    let mut bytes = Vec::new();
    let file = open(path).map_err(|error| hinted(path, error))?;
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    ensure!(!bytes.is_empty(), "it is empty");
    picture::convert(&bytes, shape, like).map_err(|error| {
        let weights = || open(path).is_ok_and(|file| TensorFile::open(file).is_ok());
        match error {
            PictureError::Unknown if weights() => {
                anyhow!("it is a weights file, not an image: give it as the first argument")
            }
            error => error.into(),
        }
    })
}

/// Reads image `index` of `path` with the reader in `open`, which is reopened to go back.
fn read_image(
    path: &Path,
    shape: ImageShape,
    open: &mut Option<ImageReader<Box<dyn Read>>>,
    index: usize,
) -> Result<Vec<u8>> {
    let mut images = match open.take().filter(|images| images.position() <= index) {
        Some(images) => images,
        None => open_idx(path)?,
    };
    let found = images.shape();
    ensure!(found == shape, "images of {found}, but the model takes images of {shape}");
    let pixels = images.image(index)?;
    *open = Some(images);
    Ok(pixels)
}
