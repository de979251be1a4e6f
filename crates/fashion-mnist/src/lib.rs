#![doc = include_str!("../README.md")]

pub mod classes;
pub mod idx;
#[cfg(feature = "picture")]
pub mod picture;
#[cfg(target_os = "linux")]
pub mod shared;
pub mod source;

use bytes::Bytes;

/// Height and width of every image in pixels.
pub const SIDE: usize = 28;
/// Bytes of one image, one per pixel, row-major: 784.
pub const PIXELS: usize = SIDE * SIDE;
/// Number of classes; labels are 0 to 9.
pub const CLASSES: usize = 10;

/// Images with their labels, such as the training or the test half of the data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// `len() * PIXELS` bytes, image after image, each row-major; 0 is black (the background), 255 white.
    pub images: Bytes,
    /// One label, 0 to 9, per image.
    pub labels: Vec<u8>,
}

impl Split {
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
        Self { images: self.images.split_off(left * PIXELS), labels: self.labels.split_off(left) }
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
            let i = i as usize;
            pixels.extend_from_slice(&self.images[i * PIXELS..(i + 1) * PIXELS]);
            labels.push(self.labels[i]);
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
        let images = labels.iter().flat_map(|&label| [label; PIXELS]).collect::<Vec<_>>().into();
        let train = Split { images, labels };
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
