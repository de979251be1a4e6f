//! The IDX format of MNIST: a magic number, big-endian sizes, then raw bytes.
//!
//! Everything is checked: a file that is too short, too long or of another type is an [`IdxError`]. The readers
//! take any [`Read`]; opening files and decompression are the caller's ([`crate::source`] does both).

use std::io::{self, Read};

use super::{CLASSES, PIXELS, SIDE};

/// Magic number of a file of images: unsigned bytes (08), three dimensions (03).
pub const IMAGES_MAGIC: u32 = 0x0000_0803;
/// Magic number of a file of labels: unsigned bytes (08), one dimension (01).
pub const LABELS_MAGIC: u32 = 0x0000_0801;

/// An IDX file that cannot be used. The caller adds the path.
#[derive(Debug, thiserror::Error)]
pub enum IdxError {
    /// Reading failed: a disk error, or a broken gzip stream.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file ends inside its header, which has so many bytes.
    #[error("truncated: it ends inside the {0}-byte header")]
    Header(usize),
    /// The first four bytes are those of another file type.
    #[error("wrong magic number 0x{found:08x}: an IDX file of {what} starts with 0x{expected:08x}")]
    Magic {
        /// `images` or `labels`.
        what: &'static str,
        /// Magic number of the file.
        found: u32,
        /// Magic number of such a file.
        expected: u32,
    },
    /// The images are not 28 by 28 pixels.
    #[error("images of {rows}x{columns} pixels, where {SIDE}x{SIDE} are expected")]
    Size {
        /// Rows in the header.
        rows: u32,
        /// Columns in the header.
        columns: u32,
    },
    /// The header says that there are none: `images` or `labels`.
    #[error("it holds no {0}")]
    Empty(&'static str),
    /// Fewer bytes than the header says.
    #[error("truncated: the header promises {expected} bytes of {what}, the file holds {found}")]
    Truncated {
        /// `images` or `labels`.
        what: &'static str,
        /// Bytes after the header, according to it.
        expected: u64,
        /// Bytes after the header.
        found: u64,
    },
    /// More bytes than the header says.
    #[error(
        "trailing bytes: the file goes on after the {expected} bytes of {what} that its header promises"
    )]
    Trailing {
        /// `images` or `labels`.
        what: &'static str,
        /// Bytes after the header, according to it.
        expected: u64,
    },
    /// A label above 9.
    #[error("label {label} at index {index}: labels are 0 to {}", CLASSES - 1)]
    Label {
        /// Position of the label, from 0.
        index: usize,
        /// Value of the label.
        label: u8,
    },
}

/// Reads a file of 28x28 images: `count * PIXELS` bytes, image after image, each row-major.
///
/// # Errors
/// See [`IdxError`]. Memory is bounded by the length of the file, whatever its header says.
pub fn read_images(mut from: impl Read) -> Result<Vec<u8>, IdxError> {
    let count = images_header(&mut from)?;
    body(from, "images", count as u64 * PIXELS as u64)
}

/// Reads the header of a file of 28x28 images and returns their number.
fn images_header(from: &mut impl Read) -> Result<usize, IdxError> {
    let [magic, count, rows, columns] = header::<4>(from)?;
    check_magic("images", magic, IMAGES_MAGIC)?;
    if (rows, columns) != (SIDE as u32, SIDE as u32) {
        return Err(IdxError::Size { rows, columns });
    }
    Ok(count as usize)
}

/// Reads a file of 28x28 images one image at a time, in order.
#[derive(Debug)]
pub struct ImageReader<R> {
    from: R,
    count: usize,
    next: usize,
}

impl<R: Read> ImageReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// See [`IdxError`].
    pub fn open(mut from: R) -> Result<Self, IdxError> {
        match images_header(&mut from)? {
            0 => Err(IdxError::Empty("images")),
            count => Ok(Self { from, count, next: 0 }),
        }
    }

    /// The number of images in the file, according to its header.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The index of the next image, from 0.
    pub fn position(&self) -> usize {
        self.next
    }

    /// Reads image `index`, row-major; those before it are skipped. `index` must be at least
    /// [`ImageReader::position`].
    ///
    /// # Errors
    /// [`IdxError::Truncated`] when the file ends before it does, [`IdxError::Io`].
    pub fn image(&mut self, index: usize) -> Result<[u8; PIXELS], IdxError> {
        let expected = self.count as u64 * PIXELS as u64;
        let start = (self.next * PIXELS) as u64;
        let skip = (index.saturating_sub(self.next) * PIXELS) as u64;
        let skipped = io::copy(&mut (&mut self.from).take(skip), &mut io::sink())?;
        let mut pixels = Vec::with_capacity(PIXELS);
        (&mut self.from).take(PIXELS as u64).read_to_end(&mut pixels)?;
        self.next = index + 1;
        pixels.try_into().map_err(|short: Vec<u8>| IdxError::Truncated {
            what: "images",
            expected,
            found: start + skipped + short.len() as u64,
        })
    }
}

/// Reads a file of labels: one byte, 0 to 9, per label.
///
/// # Errors
/// See [`IdxError`].
pub fn read_labels(mut from: impl Read) -> Result<Vec<u8>, IdxError> {
    let [magic, count] = header::<2>(&mut from)?;
    check_magic("labels", magic, LABELS_MAGIC)?;
    let labels = body(from, "labels", u64::from(count))?;
    match labels.iter().position(|&label| usize::from(label) >= CLASSES) {
        Some(index) => Err(IdxError::Label { index, label: labels[index] }),
        None => Ok(labels),
    }
}

/// Reads `N` big-endian 32-bit numbers.
fn header<const N: usize>(from: &mut impl Read) -> Result<[u32; N], IdxError> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        let mut bytes = [0; 4];
        from.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => IdxError::Header(4 * N),
            _ => IdxError::Io(error),
        })?;
        *number = u32::from_be_bytes(bytes);
    }
    Ok(numbers)
}

fn check_magic(what: &'static str, found: u32, expected: u32) -> Result<(), IdxError> {
    if found == expected { Ok(()) } else { Err(IdxError::Magic { what, found, expected }) }
}

/// Most bytes that are allocated because the header says so. The training images need less, so their vector is
/// never reallocated, which would take twice the memory for a moment.
const RESERVED: u64 = 64 << 20;

/// Reads exactly `expected` bytes and then the end of the file.
fn body(from: impl Read, what: &'static str, expected: u64) -> Result<Vec<u8>, IdxError> {
    if expected == 0 {
        return Err(IdxError::Empty(what));
    }
    // One byte more, so that trailing bytes are noticed without reading them all.
    let mut bytes = Vec::with_capacity((expected + 1).min(RESERVED) as usize);
    from.take(expected + 1).read_to_end(&mut bytes)?;
    let found = bytes.len() as u64;
    match found.cmp(&expected) {
        std::cmp::Ordering::Less => Err(IdxError::Truncated { what, expected, found }),
        std::cmp::Ordering::Greater => Err(IdxError::Trailing { what, expected }),
        std::cmp::Ordering::Equal => {
            bytes.shrink_to_fit();
            Ok(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels_file(labels: &[u8]) -> Vec<u8> {
        let mut file = LABELS_MAGIC.to_be_bytes().to_vec();
        file.extend((labels.len() as u32).to_be_bytes());
        file.extend(labels);
        file
    }

    fn images_file(pixels: &[u8]) -> Vec<u8> {
        let mut file = IMAGES_MAGIC.to_be_bytes().to_vec();
        for number in [pixels.len() / PIXELS, SIDE, SIDE] {
            file.extend((number as u32).to_be_bytes());
        }
        file.extend(pixels);
        file
    }

    proptest! {
        #[test]
        fn any_labels_written_are_read_back(labels in prop::collection::vec(0u8..10, 1..200)) {
            prop_assert_eq!(read_labels(&labels_file(&labels)[..]).unwrap(), labels);
        }

        #[test]
        fn any_images_written_are_read_back(count in 1usize..5, seed in any::<u8>()) {
            let pixels: Vec<u8> =
                (0..count * PIXELS).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect();
            prop_assert_eq!(&read_images(&images_file(&pixels)[..]).unwrap(), &pixels);
            for index in 0..count {
                let image = ImageReader::open(&images_file(&pixels)[..]).unwrap().image(index).unwrap();
                prop_assert_eq!(&image[..], &pixels[index * PIXELS..(index + 1) * PIXELS]);
            }
        }

        #[test]
        fn any_shortened_file_is_refused(count in 1usize..4, cut in 1usize..5000) {
            let file = images_file(&vec![7; count * PIXELS]);
            let short = &file[..file.len().saturating_sub(cut)];
            let error = read_images(short).unwrap_err();
            let refused = matches!(error, IdxError::Header { .. } | IdxError::Truncated { .. });
            prop_assert!(refused, "{}", error);
        }

        #[test]
        fn any_lengthened_file_is_refused(extra in prop::collection::vec(any::<u8>(), 1..50)) {
            let mut file = labels_file(&[1, 2, 3]);
            file.extend(extra);
            let refused = matches!(read_labels(&file[..]), Err(IdxError::Trailing { .. }));
            prop_assert!(refused);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            // Also after a good magic number, where the sizes are arbitrary.
            let with = |magic: u32| [&magic.to_be_bytes()[..], &bytes].concat();
            let _ = read_images(&bytes[..]);
            let _ = read_labels(&bytes[..]);
            let _ = read_images(&with(IMAGES_MAGIC)[..]);
            if let Ok(labels) = read_labels(&with(LABELS_MAGIC)[..]) {
                prop_assert!(labels.iter().all(|&label| label < 10));
                prop_assert_eq!(labels.len(), bytes.len() - 4);
            }
        }
    }

    #[test]
    fn a_label_above_nine_is_named_with_its_index() {
        let error = read_labels(&labels_file(&[0, 9, 10])[..]).unwrap_err();
        assert_eq!(error.to_string(), "label 10 at index 2: labels are 0 to 9");
    }

    #[test]
    fn images_of_another_size_are_named() {
        let mut file = images_file(&[0; PIXELS]);
        file[11] = 32;
        let error = read_images(&file[..]).unwrap_err();
        assert_eq!(error.to_string(), "images of 32x28 pixels, where 28x28 are expected");
    }

    #[test]
    fn a_header_that_promises_four_billion_images_allocates_no_more_than_the_file() {
        let mut file = images_file(&[0; PIXELS]);
        file[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(matches!(read_images(&file[..]), Err(IdxError::Truncated { found: 784, .. })));
    }
}
