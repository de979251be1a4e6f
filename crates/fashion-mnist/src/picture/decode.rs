//! Decodes PNG, JPEG, BMP, GIF and WebP files, within a limit of memory, and applies their EXIF orientation.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

/// Size of the largest file that is decoded, in bytes.
pub const LARGEST_FILE: u64 = 256 << 20;
/// Largest width and height in pixels.
const LONGEST_SIDE: u32 = 32_768;
/// Most bytes of decoded pixels: 178 million pixels of 8-bit RGB.
const UNPACKED: u64 = 512 << 20;

/// The supported formats, recognized by the first bytes of a file.
const FORMATS: [ImageFormat; 5] =
    [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::WebP];

/// An image that cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The format is not one of the supported ones.
    #[error("not an image that can be read: PNG, JPEG, BMP, GIF or WebP is expected")]
    Unknown,
    /// The file or its pixels would take too much memory.
    #[error(
        "too large: at most {LONGEST_SIDE} pixels per side, {} MiB of file and {} MiB of pixels \
         are read; scale it down",
        LARGEST_FILE >> 20, UNPACKED >> 20
    )]
    TooLarge,
    /// The file is damaged, or its variant of the format is not supported: the decoder's message.
    #[error("a damaged image, or of a kind that is not supported: {0}")]
    Damaged(String),
    /// A grey image of more than 8 bits per pixel, where others are converted to bytes.
    #[error("a grey image of more than 8 bits per pixel: save it with 8")]
    Deep,
}

impl From<ImageError> for PictureError {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Limits(_) => Self::TooLarge,
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// Whether a file that starts with the bytes `start` is of a supported format. 12 bytes are enough.
pub fn is_picture(start: &[u8]) -> bool {
    format_of(start).is_some()
}

fn format_of(file: &[u8]) -> Option<ImageFormat> {
    image::guess_format(file).ok().filter(|format| FORMATS.contains(format))
}

/// Decodes the pixels, of an animation those of the first frame; with `oriented`, applies the EXIF orientation.
pub(super) fn decode(file: &[u8], oriented: bool) -> Result<DynamicImage, PictureError> {
    let format = format_of(file).ok_or(PictureError::Unknown)?;
    if file.len() as u64 > LARGEST_FILE {
        return Err(PictureError::TooLarge);
    }
    if !is_whole(format, file) {
        return Err(PictureError::Damaged("it ends too early".into()));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST_SIDE);
    limits.max_image_height = Some(LONGEST_SIDE);
    limits.max_alloc = Some(UNPACKED);
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    if decoder.total_bytes() > UNPACKED {
        return Err(PictureError::TooLarge);
    }
    // A GIF may have such a header.
    if decoder.dimensions().0 == 0 || decoder.dimensions().1 == 0 {
        return Err(PictureError::Damaged("it has no pixels".into()));
    }
    // Damaged EXIF data are no reason to refuse the image.
    let orientation = decoder.orientation().ok().filter(|_| oriented);
    let mut image = DynamicImage::from_decoder(decoder)?;
    if let Some(orientation) = orientation {
        image.apply_orientation(orientation);
    }
    Ok(image)
}

/// Whether the file has its end marker. The JPEG decoder fills what is missing with grey and reports no error.
fn is_whole(format: ImageFormat, file: &[u8]) -> bool {
    const START_OF_SCAN: &[u8] = &[0xff, 0xda];
    const END_OF_IMAGE: &[u8] = &[0xff, 0xd9];
    if format != ImageFormat::Jpeg {
        return true;
    }
    // After the last scan: an embedded preview has an end marker of its own.
    let scan = file.windows(2).rposition(|pair| pair == START_OF_SCAN).unwrap_or(0);
    file[scan..].windows(2).any(|pair| pair == END_OF_IMAGE)
}
