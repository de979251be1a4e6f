//! Converts other forms of a data set of images to IDX files: class folders, CSV tables, NumPy's `.npz`, Parquet.
//!
//! [`read`] recognizes the form by the content of the files, and reads all images into memory; [`write()`] writes the files that
//! [`crate::source::load`] reads.

mod detect;
mod error;
mod folders;
mod halves;
mod npz;
mod parquet;
mod table;
mod write;

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

pub use error::{ImportError, Unreadable};
pub use write::{check, write};

use crate::classes::Classes;
use crate::source::Half;
use crate::{ImageShape, picture};
use detect::Source;
use halves::Halves;

/// How images are read.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Height and width that images are scaled to ([`picture::Raster::resize`]); a table's rows must have them. By default,
    /// all images must have one size.
    pub size: Option<(usize, usize)>,
    /// 1 for grey, 3 for red, green and blue ([`picture::Raster::convert`]); by default, grey if every image is.
    pub channels: Option<usize>,
    /// Column of the labels in a table or a Parquet file; by default `label`.
    pub label: Option<String>,
    /// Number of training images, the last, that become the test half of a data set without one. Of class folders, they are the
    /// last of each class, in proportion to its images.
    pub test_last: Option<usize>,
    /// Leave out images that cannot be read.
    pub skip_unreadable: bool,
}

/// The form of a data set that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A folder of images per class, as torchvision's `ImageFolder` reads them.
    ClassFolders,
    /// CSV with a column of labels and one column per pixel.
    Csv,
    /// An `.npz` file with images and labels of both halves, as Keras's.
    Npz,
    /// Parquet with encoded images, as on the Hugging Face hub.
    Parquet,
}

impl Form {
    /// `class folders`, `csv`, `npz` or `parquet`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClassFolders => "class folders",
            Self::Csv => "csv",
            Self::Npz => "npz",
            Self::Parquet => "parquet",
        }
    }
}

/// Images and labels of one half.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportedHalf {
    /// `labels.len() * shape.bytes()` bytes, (N, H, W, C).
    pub pixels: Vec<u8>,
    /// One label per image.
    pub labels: Vec<u8>,
}

/// A data set that was read.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The form that it had.
    pub form: Form,
    /// The training half, then the test half.
    pub halves: [ImportedHalf; 2],
    /// The size of each image.
    pub shape: ImageShape,
    /// The names of the classes, where the data set has some.
    pub classes: Option<Classes>,
    /// Images that were left out ([`Options::skip_unreadable`]).
    pub unreadable: Vec<Unreadable>,
    /// What the caller should know, one sentence per item.
    pub notes: Vec<String>,
}

/// How far [`read`] is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The half that is being read.
    pub half: Half,
    /// Images of the half that were read.
    pub done: usize,
    /// All images of the half, if they are counted.
    pub total: Option<usize>,
}

/// Reads a data set: a folder or a file in one of the forms of [`Form`]. The same files give the same bytes.
///
/// # Errors
/// See [`ImportError`].
pub fn read(
    from: &Path,
    options: &Options,
    report: &mut dyn FnMut(Progress),
) -> Result<Imported, ImportError> {
    let (source, notes) = detect::find(from)?;
    let mut halves = Halves::new(options, notes, report);
    let form = match source {
        Source::Folders { train, test } => {
            folders::read(&train, test.as_deref(), &mut halves).map(|()| Form::ClassFolders)
        }
        Source::Csv { train, test } => {
            table::read(&train, test.as_deref(), &mut halves).map(|()| Form::Csv)
        }
        Source::Npz(path) => npz::read(&path, &mut halves).map(|()| Form::Npz),
        Source::Parquet { train, test } => {
            parquet::read(&train, &test, &mut halves).map(|()| Form::Parquet)
        }
    }?;
    halves.finish(from, form)
}

/// Reads an image file of at most [`picture::LARGEST_FILE`] bytes. Opening a pipe would block.
fn read_picture(path: &Path) -> Result<picture::Raster, String> {
    if !fs::metadata(path).map_err(|error| error.to_string())?.is_file() {
        return Err("it is not a regular file".into());
    }
    let mut bytes = Vec::new();
    // One byte more than is decoded, so that a longer file is refused.
    let read = File::open(path)
        .and_then(|file| file.take(picture::LARGEST_FILE + 1).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    picture::Raster::decode(&bytes).map_err(|error| error.to_string())
}

/// The last part of a path, for messages.
fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
