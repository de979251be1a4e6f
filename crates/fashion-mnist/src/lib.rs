#![doc = include_str!("../README.md")]

pub mod classes;
pub mod idx;
#[cfg(feature = "picture")]
pub mod picture;
#[cfg(target_os = "linux")]
pub mod shared;
pub mod source;

use bytes::Bytes;

/// Rows and columns of every image.
pub const SIDE: usize = 28;
/// Bytes of one image, row by row: 784.
pub const PIXELS: usize = SIDE * SIDE;
/// Number of classes; labels are 0 to 9.
pub const CLASSES: usize = 10;

/// Images with their labels: the training or the test half of the data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// `len() * PIXELS` bytes, image after image, row-major; 0 is the black ground, 255 white.
    pub images: Bytes,
    /// One label, 0 to 9, per image.
    pub labels: Vec<u8>,
}

impl Split {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image. The readers refuse empty files, so a loaded split is not empty.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Takes off the last `n` images: all, if there are fewer.
    pub fn split_off_last(&mut self, n: usize) -> Self {
        let left = self.len().saturating_sub(n);
        Self { images: self.images.split_off(left * PIXELS), labels: self.labels.split_off(left) }
    }

    /// The pixels and labels of the images `indices`, in that order, appended to the two buffers
    /// after clearing them. An index must be below `len()`.
    pub fn gather(&self, indices: &[u32], pixels: &mut Vec<u8>, labels: &mut Vec<u8>) {
        pixels.clear();
        labels.clear();
        for &i in indices {
            let i = i as usize;
            pixels.extend_from_slice(&self.images[i * PIXELS..(i + 1) * PIXELS]);
            labels.push(self.labels[i]);
        }
    }
}

/// Both halves and where they came from.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// What is learned from: 60,000 images in the official files, less those that are held out.
    pub train: Split,
    /// The last of the training images, if some are held out.
    pub validation: Option<Split>,
    /// 10,000 images in the official files.
    pub test: Split,
    /// The folder, and the SHA-256 of each file.
    pub origin: source::Origin,
}

/// More images to hold out than can be.
#[derive(Debug, thiserror::Error)]
#[error("--val is {asked}: of {images} training images it must leave at least one to learn from")]
pub struct HoldOutError {
    /// Images to hold out.
    pub asked: usize,
    /// Training images.
    pub images: usize,
}

impl Dataset {
    /// Holds out the last `n` training images: `train` is then what it would be if the files ended
    /// before them.
    ///
    /// # Errors
    /// When none would be left.
    pub fn hold_out(&mut self, n: usize) -> Result<(), HoldOutError> {
        let images = self.train.len();
        if n >= images {
            return Err(HoldOutError { asked: n, images });
        }
        self.validation = Some(self.train.split_off_last(n));
        Ok(())
    }
}
