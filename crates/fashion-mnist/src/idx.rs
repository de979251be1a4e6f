//! The IDX format of MNIST: a magic number, big-endian sizes, then raw bytes. Images have the dimensions (N, H, W), or
//! (N, H, W, C) with 1 or 3 channels.
//!
//! Everything is checked: a file that is too short, too long or of another type is an [`IdxError`]. The readers
//! take any [`Read`]; opening files and decompression are the caller's ([`crate::source`] does both).

use std::io::{self, Read};

use crate::ImageShape;

/// Magic number of a file of images: unsigned bytes (08), three dimensions (03).
pub const IMAGES_MAGIC: u32 = 0x0000_0803;
/// Magic number of a file of images with channels: unsigned bytes (08), four dimensions (04).
pub const CHANNELS_MAGIC: u32 = 0x0000_0804;
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
    /// The file is of another kind, such as a web page: what it is, with an article.
    #[error("it is {0}, not an IDX file{advice}", advice = advice(.0))]
    Other(&'static str),
    /// The size in the header is not that of an image.
    #[error(
        "images of {height}x{width} pixels in {channels} channels: 1 to {LONGEST_SIDE} pixels per side in 1 or 3 channels \
         are expected"
    )]
    Size {
        /// Rows in the header.
        height: u32,
        /// Columns in the header.
        width: u32,
        /// Channels in the header.
        channels: u32,
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
}

/// The longest side of an image in pixels.
pub const LONGEST_SIDE: u32 = 4096;

/// What to do about a file of another kind.
fn advice(what: &str) -> &'static str {
    match what {
        _ if what.contains("archive") => ": unpack it first",
        _ if what.contains("HDF5") => "",
        _ => ": the download failed",
    }
}

/// The kind of another file that starts with these bytes; four of them tell most kinds.
pub(crate) fn other_kind(start: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 9] = [
        (b"<", "a web page (HTML or XML)"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\xfd7zX", "an XZ archive"),
        (b"BZh", "a BZIP2 archive"),
        (b"7z\xbc\xaf", "a 7z archive"),
        (b"Rar!", "a RAR archive"),
        (b"{", "a JSON document"),
        (b"\x89HDF", "an HDF5 file"),
        (b"version https://git-lfs", "a pointer of Git LFS, without the file that it stands for"),
    ];
    KINDS.iter().find(|(magic, _)| start.starts_with(magic)).map(|&(_, kind)| kind)
}

/// Reads a file of images: `count * shape.bytes()` bytes, image after image, each channel after channel and row-major.
///
/// # Errors
/// See [`IdxError`]. Memory is bounded by the length of the file, whatever its header says.
pub fn read_images(mut from: impl Read) -> Result<(Vec<u8>, ImageShape), IdxError> {
    let (count, shape) = images_header(&mut from)?;
    let mut images = body(from, "images", count as u64 * shape.bytes() as u64)?;
    images.chunks_mut(shape.bytes()).for_each(|image| to_planes(image, shape));
    Ok((images, shape))
}

/// Reads the header of a file of images, and returns their number and size.
fn images_header(from: &mut impl Read) -> Result<(usize, ImageShape), IdxError> {
    let [magic] = header::<1>(from, 16)?;
    let channels = magic == CHANNELS_MAGIC;
    check_magic("images", magic, if channels { CHANNELS_MAGIC } else { IMAGES_MAGIC })?;
    let [count, height, width] = header(from, 16)?;
    let [channels] = if channels { header(from, 20)? } else { [1] };
    let in_range = |side: u32| (1..=LONGEST_SIDE).contains(&side);
    if !(in_range(height) && in_range(width) && [1, 3].contains(&channels)) {
        return Err(IdxError::Size { height, width, channels });
    }
    let [channels, height, width] = [channels, height, width].map(|size| size as usize);
    Ok((count as usize, ImageShape { channels, height, width }))
}

/// Converts an image from (H, W, C) to (C, H, W).
pub(crate) fn to_planes(image: &mut [u8], shape: ImageShape) {
    if shape.channels > 1 {
        let (pixels, place) = (image.to_vec(), shape.height * shape.width);
        for (i, pixel) in pixels.chunks_exact(shape.channels).enumerate() {
            pixel.iter().enumerate().for_each(|(c, &value)| image[c * place + i] = value);
        }
    }
}

/// Reads a file of images one image at a time, in order.
#[derive(Debug)]
pub struct ImageReader<R> {
    from: R,
    count: usize,
    shape: ImageShape,
    next: usize,
}

impl<R: Read> ImageReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// See [`IdxError`].
    pub fn open(mut from: R) -> Result<Self, IdxError> {
        match images_header(&mut from)? {
            (0, _) => Err(IdxError::Empty("images")),
            (count, shape) => Ok(Self { from, count, shape, next: 0 }),
        }
    }

    /// The number of images in the file, according to its header.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The size of the images.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// The index of the next image, from 0.
    pub fn position(&self) -> usize {
        self.next
    }

    /// Reads image `index`, channel after channel and row-major; those before it are skipped. `index` must be at least
    /// [`ImageReader::position`].
    ///
    /// # Errors
    /// [`IdxError::Truncated`] when the file ends before it does, [`IdxError::Io`].
    pub fn image(&mut self, index: usize) -> Result<Vec<u8>, IdxError> {
        let bytes = self.shape.bytes();
        let expected = self.count as u64 * bytes as u64;
        let start = (self.next * bytes) as u64;
        let skip = (index.saturating_sub(self.next) * bytes) as u64;
        let skipped = io::copy(&mut (&mut self.from).take(skip), &mut io::sink())?;
        let mut pixels = Vec::with_capacity(bytes);
        (&mut self.from).take(bytes as u64).read_to_end(&mut pixels)?;
        self.next = index + 1;
        if pixels.len() < bytes {
            let found = start + skipped + pixels.len() as u64;
            return Err(IdxError::Truncated { what: "images", expected, found });
        }
        to_planes(&mut pixels, self.shape);
        Ok(pixels)
    }
}

/// The header of a file of `count` images of this size, whose pixels follow as (H, W, C): [`IMAGES_MAGIC`] for grey ones,
/// [`CHANNELS_MAGIC`] for others.
pub fn images_file_header(count: u32, shape: ImageShape) -> Vec<u8> {
    let [channels, height, width] = shape.sizes().map(|size| size as u32);
    let numbers = match channels {
        1 => vec![IMAGES_MAGIC, count, height, width],
        _ => vec![CHANNELS_MAGIC, count, height, width, channels],
    };
    numbers.into_iter().flat_map(u32::to_be_bytes).collect()
}

/// The header of a file of `count` labels.
pub fn labels_file_header(count: u32) -> Vec<u8> {
    [LABELS_MAGIC, count].map(u32::to_be_bytes).concat()
}

/// Reads a file of labels: one byte per label.
///
/// # Errors
/// See [`IdxError`].
pub fn read_labels(mut from: impl Read) -> Result<Vec<u8>, IdxError> {
    let [magic] = header::<1>(&mut from, 8)?;
    check_magic("labels", magic, LABELS_MAGIC)?;
    let [count] = header(&mut from, 8)?;
    body(from, "labels", u64::from(count))
}

/// Reads `N` big-endian 32-bit numbers of a header of `length` bytes.
fn header<const N: usize>(from: &mut impl Read, length: usize) -> Result<[u32; N], IdxError> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        let mut bytes = [0; 4];
        from.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => IdxError::Header(length),
            _ => IdxError::Io(error),
        })?;
        *number = u32::from_be_bytes(bytes);
    }
    Ok(numbers)
}

fn check_magic(what: &'static str, found: u32, expected: u32) -> Result<(), IdxError> {
    match other_kind(&found.to_be_bytes()) {
        _ if found == expected => Ok(()),
        Some(kind) => Err(IdxError::Other(kind)),
        None => Err(IdxError::Magic { what, found, expected }),
    }
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
    use crate::PIXELS;

    fn labels_file(labels: &[u8]) -> Vec<u8> {
        [&labels_file_header(labels.len() as u32), labels].concat()
    }

    fn images_file(pixels: &[u8]) -> Vec<u8> {
        let count = (pixels.len() / PIXELS) as u32;
        [&images_file_header(count, ImageShape::FASHION_MNIST), pixels].concat()
    }

    proptest! {
        #[test]
        fn any_labels_written_are_read_back(labels in prop::collection::vec(any::<u8>(), 1..200)) {
            prop_assert_eq!(read_labels(&labels_file(&labels)[..]).unwrap(), labels);
        }

        #[test]
        fn any_images_written_are_read_back(count in 1usize..5, seed in any::<u8>()) {
            let pixels: Vec<u8> =
                (0..count * PIXELS).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect();
            let (read, shape) = read_images(&images_file(&pixels)[..]).unwrap();
            prop_assert_eq!((&read, shape), (&pixels, ImageShape::FASHION_MNIST));
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
            let _ = read_images(&with(CHANNELS_MAGIC)[..]);
            if let Ok(labels) = read_labels(&with(LABELS_MAGIC)[..]) {
                prop_assert_eq!(labels.len(), bytes.len() - 4);
            }
        }
    }

    /// An IDX file of these numbers and bytes.
    fn file(numbers: &[u32], bytes: &[u8]) -> Vec<u8> {
        numbers
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .chain(bytes.iter().copied())
            .collect()
    }

    #[test]
    fn images_with_channels_become_planes() {
        let shape = ImageShape { channels: 3, height: 1, width: 2 };
        let file = file(&[CHANNELS_MAGIC, 2, 1, 2, 3], &[1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16]);
        let planes = vec![1, 4, 2, 5, 3, 6, 11, 14, 12, 15, 13, 16];
        assert_eq!(read_images(&file[..]).unwrap(), (planes.clone(), shape));
        assert_eq!(ImageReader::open(&file[..]).unwrap().image(1).unwrap(), planes[6..]);
    }

    #[test]
    fn sizes_that_no_image_has_are_named() {
        for (numbers, size) in [
            (&[IMAGES_MAGIC, 1, 0, 28][..], "0x28 pixels in 1 channels"),
            (&[CHANNELS_MAGIC, 1, 2, 2, 4], "2x2 pixels in 4 channels"),
            (
                &[CHANNELS_MAGIC, 1, u32::MAX, u32::MAX, 3],
                "4294967295x4294967295 pixels in 3 channels",
            ),
        ] {
            let error = read_images(&file(numbers, &[0; 64])[..]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("images of {size}: 1 to 4096")), "{error}");
        }
    }

    #[test]
    fn files_of_another_kind_are_named() {
        for (bytes, said) in [
            (
                &b"<!DOCTYPE html>"[..],
                "it is a web page (HTML or XML), not an IDX file: the download failed",
            ),
            (b"PK\x03\x04....", "it is a ZIP archive, not an IDX file: unpack it first"),
        ] {
            assert_eq!(read_images(bytes).unwrap_err().to_string(), said);
            assert_eq!(read_labels(bytes).unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn a_header_that_promises_four_billion_images_allocates_no_more_than_the_file() {
        let mut file = images_file(&[0; PIXELS]);
        file[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(matches!(read_images(&file[..]), Err(IdxError::Truncated { found: 784, .. })));
    }
}
