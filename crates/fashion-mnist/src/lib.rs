#![doc = include_str!("../README.md")]

pub mod classes;
pub mod idx;
#[cfg(feature = "import")]
pub mod import;
#[cfg(feature = "picture")]
pub mod picture;
#[cfg(target_os = "linux")]
pub mod shared;
pub mod source;

use std::fmt;

use bytes::Bytes;
use classes::Classes;

/// Height and width of Fashion-MNIST's images in pixels.
pub const SIDE: usize = 28;
/// Bytes of one image of Fashion-MNIST, one per pixel, row-major: 784.
pub const PIXELS: usize = SIDE * SIDE;
/// Number of classes of Fashion-MNIST; labels are 0 to 9.
pub const CLASSES: usize = 10;

/// The size of the images of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageShape {
    /// 1 for grey images, 3 for red, green and blue.
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
}

impl ImageShape {
    /// The grey images of 28x28 pixels of Fashion-MNIST.
    pub const FASHION_MNIST: Self = Self { channels: 1, height: SIDE, width: SIDE };

    /// Bytes of an image, one per pixel and channel.
    pub fn bytes(self) -> usize {
        self.channels * self.height * self.width
    }

    /// Channels, height and width, as in a tensor (C, H, W).
    pub fn sizes(self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }
}

impl fmt::Display for ImageShape {
    /// `28x28 pixels` (height x width), `32x32 pixels in 3 channels`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{} pixels", self.height, self.width)?;
        if self.channels == 1 { Ok(()) } else { write!(f, " in {} channels", self.channels) }
    }
}

/// Images with their labels, such as the training or the test half of the data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// `len() * shape.bytes()` bytes, image after image, each channel after channel and row-major; 0 is black, 255 white.
    pub images: Bytes,
    /// One label per image.
    pub labels: Vec<u8>,
    /// The size of each image.
    pub shape: ImageShape,
    /// The names of the classes.
    pub classes: Classes,
}

impl Split {
    /// Images of Fashion-MNIST's size and classes: `labels.len() * PIXELS` bytes, and labels 0 to 9.
    pub fn new(images: impl Into<Bytes>, labels: Vec<u8>) -> Self {
        let (shape, classes) = (ImageShape::FASHION_MNIST, Classes::fashion_mnist());
        Self { images: images.into(), labels, shape, classes }
    }

    /// The bytes of image `index`.
    ///
    /// # Panics
    /// If `index` is not below `len()`.
    pub fn image(&self, index: usize) -> &[u8] {
        &self.images[index * self.shape.bytes()..][..self.shape.bytes()]
    }

    /// The first `n` images: all, if there are fewer.
    pub fn first(&self, n: usize) -> Self {
        let n = n.min(self.len());
        let (images, labels) =
            (self.images.slice(..n * self.shape.bytes()), self.labels[..n].to_vec());
        Self { images, labels, ..self.clone() }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images. A split that was read from files has some: empty files are refused.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Removes the last `n` images and returns them: all, if there are fewer.
    fn split_off_last(&mut self, n: usize) -> Self {
        let left = self.len().saturating_sub(n);
        let images = self.images.split_off(left * self.shape.bytes());
        let (labels, classes) = (self.labels.split_off(left), self.classes.clone());
        Self { images, labels, shape: self.shape, classes }
    }

    /// Copies the pixels and labels of the images `indices`, in that order, into the two buffers, which are
    /// cleared first.
    ///
    /// # Panics
    /// When an index is not below `len()`.
    pub fn gather(&self, indices: &[u32], pixels: &mut Vec<u8>, labels: &mut Vec<u8>) {
        pixels.clear();
        labels.clear();
        for &i in indices {
            pixels.extend_from_slice(self.image(i as usize));
            labels.push(self.labels[i as usize]);
        }
    }
}

/// The training and the test half, and the files that they were read from.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Training images: 60,000 in the official files, without those that are held out.
    pub train: Split,
    /// Images held out for validation ([`Dataset::hold_out`]): the last of the training images.
    pub validation: Option<Split>,
    /// Test images: 10,000 in the official files.
    pub test: Split,
    /// The folder and the SHA-256 sum of each file.
    pub origin: source::Origin,
}

/// [`Dataset::hold_out`] would leave no training image.
#[derive(Debug, thiserror::Error)]
#[error(
    "{asked} of {images} training images cannot be held out: at least one must be left to train on"
)]
pub struct HoldOutError {
    /// Number of images to hold out.
    pub asked: usize,
    /// Number of training images.
    pub images: usize,
}

impl Dataset {
    /// Moves the last `n` training images to `validation`; images that were held out before are training images again.
    ///
    /// # Errors
    /// [`HoldOutError`] when no training image would be left.
    pub fn hold_out(&mut self, n: usize) -> Result<(), HoldOutError> {
        let images = self.train.len() + self.validation.as_ref().map_or(0, Split::len);
        if n >= images {
            return Err(HoldOutError { asked: n, images });
        }
        if let Some(before) = self.validation.take() {
            self.train.images = [&self.train.images[..], &before.images].concat().into();
            self.train.labels.extend(before.labels);
        }
        self.validation = (n > 0).then(|| self.train.split_off_last(n));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_held_out_once_whatever_was_held_out_before() {
        let labels: Vec<u8> = (0..10).collect();
        let images: Vec<u8> = labels.iter().flat_map(|&label| [label; PIXELS]).collect();
        let train = Split::new(images, labels);
        let (directory, paths) = Default::default();
        let found = source::Found { directory, rule: "test", paths };
        let origin = source::Origin { found, files: Vec::new() };
        let whole = Dataset { test: train.clone(), train, validation: None, origin };
        let mut dataset = whole.clone();
        for (n, left) in [(3, 7), (5, 5), (0, 10)] {
            dataset.hold_out(n).unwrap();
            assert_eq!((dataset.train.len(), dataset.validation.is_some()), (left, n > 0));
        }
        assert_eq!(dataset.train, whole.train);
        assert!(dataset.hold_out(10).is_err());
    }
}
