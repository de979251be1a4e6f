//! The errors of an import. Messages say what was found and what is expected; what to do with the command line is added by
//! its program.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use crate::ImageShape;
use crate::classes::{ClassesError, MOST_CLASSES};

/// An image that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The path of the file; for one with many images, also which image it is, from 0.
    pub file: String,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.reason)
    }
}

/// A data set that cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file or folder cannot be read.
    #[error("{} cannot be read: {}", .0.display(), .1)]
    Read(PathBuf, io::Error),
    /// A file or folder cannot be written.
    #[error("{} cannot be written: {}", .0.display(), .1)]
    Write(PathBuf, io::Error),
    /// A file or a place in it is not what is expected: the place, and the reason.
    #[error("{0}: {1}")]
    Content(String, String),
    /// Images cannot be read, and were not to be left out.
    #[error("{} of the images cannot be read", .0.len())]
    Unreadable(Vec<Unreadable>),
    /// Two images differ in size: the first image, and the first that differs.
    #[error("images must have one size, but {first} has {first_size} and {other} has {other_size}")]
    Sizes {
        /// Place of the first image.
        first: String,
        /// Its height and width.
        first_size: Size,
        /// Place of the image of another size.
        other: String,
        /// Its height and width.
        other_size: Size,
    },
    /// The number of pixels is not that of a square image, or of the expected size: the place, the number, and what is
    /// expected.
    #[error("{0} has {1} pixel columns, where {2}")]
    Pixels(String, usize, String),
    /// There is no test half, or none with labels: where, and which of it.
    #[error("{0} has no {1}")]
    NoTest(String, &'static str),
    /// There is a test half, although training images were to become it.
    #[error("{0} has a test half: no training images can be taken for it")]
    HasTest(String),
    /// There are class folders without a test half.
    #[error("{} has class folders, but there is no test half (a folder `test`, `val` or `valid` beside a folder `train`)", .0.display())]
    NoTestFolder(PathBuf),
    /// As many images were asked for the test half as there are, or more.
    #[error(
        "{asked} of {images} training images cannot become the test half: at least one must be left to train on"
    )]
    TestLast {
        /// Number of images asked for.
        asked: usize,
        /// Number of training images.
        images: usize,
    },
    /// The column of the labels is not known: the file, and the columns that it may be.
    #[error("{0}: {1}")]
    LabelColumn(String, String),
    /// A label is not one of the numbers that labels can be: the place, and the label.
    #[error("{0}: the label is {1}: integers from 0 to {last} are expected", last = MOST_CLASSES - 1)]
    Label(String, String),
    /// The names of the classes cannot be used: where they are, and why.
    #[error("class names of {0}: {1}")]
    Classes(String, ClassesError),
    /// The images would take too much memory: the half's bytes.
    #[error("the images take more than {} GiB of memory per half: import fewer, or smaller ones", .0 >> 30)]
    TooLarge(u64),
    /// The folder to write to is not empty.
    #[error("{} is not empty", .0.display())]
    Occupied(PathBuf),
    /// The folder to write to has a file of a data set that would not be replaced: the folder, and the file.
    #[error("{} contains {}, which belongs to another data set", .0.display(), .1)]
    Foreign(PathBuf, String),
}

impl ImportError {
    /// The error about the file or folder `path`.
    pub(super) fn at(path: &Path, reason: impl Into<String>) -> Self {
        Self::Content(path.display().to_string(), reason.into())
    }
}

/// Height and width of an image, displayed as `28x28`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub usize, pub usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(height, width) = *self;
        ImageShape { channels: 1, height, width }.fmt(f)
    }
}
