//! TensorBoard's event files: TFRecords of protobuf messages. Written, never read.
//!
//! A record is whole by itself (its length and its bytes have a CRC each), so a file that grows by whole
//! records can be read at any moment. Times are an argument: everything else follows from the run.

mod proto;

use crc::{CRC_32_ISCSI, Crc};
use prost::Message;

use proto::{Event, Image, Summary, SummaryValue, Value, What};

/// CRC-32C.
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// What is added to a CRC so that one of data with CRCs in them is no trivial one
/// (`tensorflow/core/lib/hash/crc32c.h`, `kMaskDelta`).
const MASK_DELTA: u32 = 0xa282_ead8;

/// When something happened: seconds since 1970, and the place on the horizontal axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Seconds since 1970.
    pub wall_time: f64,
    /// The step, or the epoch.
    pub step: i64,
}

/// A picture as a PNG file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Picture<'a> {
    /// The file.
    pub png: &'a [u8],
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Channels: 1 grey, 2 with alpha, 3 RGB, 4 RGBA.
    pub channels: u8,
}

impl<'a> Picture<'a> {
    /// Of a PNG file, whose header gives its size; `None` of anything else.
    pub fn of_png(png: &'a [u8]) -> Option<Self> {
        let header = png.strip_prefix(b"\x89PNG\r\n\x1a\n")?.get(8..18)?;
        let (width, rest) = header.split_first_chunk()?;
        let (height, rest) = rest.split_first_chunk()?;
        // Grey, RGB, palette, grey with alpha, RGBA.
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

/// The first record of a file.
pub fn file_version(wall_time: f64) -> Vec<u8> {
    record(Moment { wall_time, step: 0 }, What::FileVersion("brain.Event:2".into()))
}

/// A record of a number under a name. The format has float32.
pub fn scalar(moment: Moment, tag: &str, value: f64) -> Vec<u8> {
    record(moment, summary(tag, Value::Simple(value as f32)))
}

/// A record of a picture under a name.
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

/// Length, its CRC, the message, its CRC; all little-endian.
fn record(Moment { wall_time, step }: Moment, what: What) -> Vec<u8> {
    let message = Event { wall_time, step, what: Some(what) }.encode_to_vec();
    let length = (message.len() as u64).to_le_bytes();
    let parts: [&[u8]; 4] = [&length, &masked_crc(&length), &message, &masked_crc(&message)];
    parts.concat()
}

fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    CRC.checksum(bytes).rotate_right(15).wrapping_add(MASK_DELTA).to_le_bytes()
}
