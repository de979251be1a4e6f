//! The bytes of a PNG, JPEG, BMP, GIF or WebP file as pixels, the right way up, within a limit of
//! memory.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

/// Longest file that is read.
pub const LARGEST_FILE: u64 = 256 << 20;
/// Most pixels a side.
const LONGEST_SIDE: u32 = 32_768;
/// Most memory for the unpacked pixels: 178 million of 8-bit colour.
const UNPACKED: u64 = 512 << 20;

/// The formats, told by the first bytes of a file.
const FORMATS: [ImageFormat; 5] =
    [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::WebP];

/// Why a picture cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// Of no known format.
    #[error("not a picture that can be read here: PNG, JPEG, BMP, GIF or WebP is wanted")]
    Unknown,
    /// It would take too much memory.
    #[error(
        "too large: at most {LONGEST_SIDE} pixels a side, {} MiB in the file and {} MiB unpacked \
         are read; scale it down",
        LARGEST_FILE >> 20, UNPACKED >> 20
    )]
    TooLarge,
    /// The decoder gave up.
    #[error("a damaged picture, or of a kind that cannot be read here: {0}")]
    Damaged(String),
}

impl From<ImageError> for PictureError {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Limits(_) => Self::TooLarge,
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// Whether a file that begins with `start` is in one of the formats.
pub fn is_picture(start: &[u8]) -> bool {
    format_of(start).is_some()
}

fn format_of(file: &[u8]) -> Option<ImageFormat> {
    image::guess_format(file).ok().filter(|format| FORMATS.contains(format))
}

/// The pixels, turned as the camera noted; of an animation, the first frame.
pub(super) fn decode(file: &[u8]) -> Result<DynamicImage, PictureError> {
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
    // A GIF may say so of itself.
    if decoder.dimensions().0 == 0 || decoder.dimensions().1 == 0 {
        return Err(PictureError::Damaged("it has no pixels".into()));
    }
    // A damaged note of the camera is no reason to refuse the picture.
    let orientation = decoder.orientation().ok();
    let mut image = DynamicImage::from_decoder(decoder)?;
    if let Some(orientation) = orientation {
        image.apply_orientation(orientation);
    }
    Ok(image)
}

/// Whether the file goes on to its end mark. The JPEG decoder would fill up what is missing with
/// grey, without a word.
fn is_whole(format: ImageFormat, file: &[u8]) -> bool {
    const START_OF_SCAN: &[u8] = &[0xff, 0xda];
    const END_OF_IMAGE: &[u8] = &[0xff, 0xd9];
    if format != ImageFormat::Jpeg {
        return true;
    }
    // Behind the last scan: a preview within the file has an end of its own.
    let scan = file.windows(2).rposition(|pair| pair == START_OF_SCAN).unwrap_or(0);
    file[scan..].windows(2).any(|pair| pair == END_OF_IMAGE)
}
