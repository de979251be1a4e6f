//! Writes TensorBoard's event files: TFRecords of protobuf messages.
//!
//! Each record has CRCs of its length and its bytes, so a file that grows by complete records can be read at any time.
//! The caller passes the wall time, so the bytes depend only on the arguments.

mod proto;

use crc::{CRC_32_ISCSI, Crc};
use prost::Message;

use proto::{Event, Image, Summary, SummaryValue, Value, What};

/// The CRC-32C algorithm.
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// Constant that masks a CRC, since the CRC of data that contains its own CRC is degenerate (`kMaskDelta` of
/// `tensorflow/core/lib/hash/crc32c.h`).
const MASK_DELTA: u32 = 0xa282_ead8;

/// Time and step of an event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Seconds since 1970.
    pub wall_time: f64,
    /// Step or epoch, the position on the horizontal axis.
    pub step: i64,
}

/// A picture as a PNG file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Picture<'a> {
    /// Contents of the PNG file.
    pub png: &'a [u8],
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Number of channels: 1 gray, 2 gray with alpha, 3 RGB, 4 RGBA.
    pub channels: u8,
}

impl<'a> Picture<'a> {
    /// Reads the size and channels from the header of a PNG file; `None` if `png` is not a PNG file.
    pub fn from_png(png: &'a [u8]) -> Option<Self> {
        let header = png.strip_prefix(b"\x89PNG\r\n\x1a\n")?.get(8..18)?;
        let (width, rest) = header.split_first_chunk()?;
        let (height, rest) = rest.split_first_chunk()?;
        // Color types: 0 gray, 2 RGB, 3 palette, 4 gray with alpha, 6 RGBA.
        let channels = match rest.get(1)? {
            0 => 1,
            2 | 3 => 3,
            4 => 2,
            6 => 4,
            _ => return None,
        };
        let [width, height] = [width, height].map(|bytes| u32::from_be_bytes(*bytes));
        Some(Self { png, width, height, channels })
    }
}

/// Encodes the first record of a file: the version of the format.
pub fn file_version(wall_time: f64) -> Vec<u8> {
    record(Moment { wall_time, step: 0 }, What::FileVersion("brain.Event:2".into()))
}

/// Encodes a scalar with a name. The format stores it in float32.
pub fn scalar(moment: Moment, tag: &str, value: f64) -> Vec<u8> {
    record(moment, summary(tag, Value::Simple(value as f32)))
}

/// Encodes a picture with a name.
pub fn image(moment: Moment, tag: &str, picture: Picture) -> Vec<u8> {
    let Picture { png, width, height, channels } = picture;
    let image = Image {
        height: height.cast_signed(),
        width: width.cast_signed(),
        colorspace: channels.into(),
        encoded: png.to_vec(),
    };
    record(moment, summary(tag, Value::Image(image)))
}

fn summary(tag: &str, value: Value) -> What {
    What::Summary(Summary { value: vec![SummaryValue { tag: tag.into(), value: Some(value) }] })
}

/// Encodes a TFRecord: length, its CRC, message, its CRC; all little-endian.
fn record(Moment { wall_time, step }: Moment, what: What) -> Vec<u8> {
    let message = Event { wall_time, step, what: Some(what) }.encode_to_vec();
    let length = (message.len() as u64).to_le_bytes();
    let parts: [&[u8]; 4] = [&length, &masked_crc(&length), &message, &masked_crc(&message)];
    parts.concat()
}

fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    CRC.checksum(bytes).rotate_right(15).wrapping_add(MASK_DELTA).to_le_bytes()
}
