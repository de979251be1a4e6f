//! The messages of TensorBoard's event files (`tensorboard/compat/proto/event.proto` and `summary.proto`, TensorBoard
//! 2.21) that [`super`] uses, with the fields that it sets.

use prost::{Message, Oneof};

/// `Event`: a record of the file.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    /// Step or epoch, the position on the horizontal axis.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// The content of the record.
    #[prost(oneof = "What", tags = "3, 5")]
    pub what: Option<What>,
}

/// `Event.what`.
#[derive(Clone, PartialEq, Oneof)]
pub enum What {
    /// The first record of a file: the version of the format.
    #[prost(string, tag = "3")]
    FileVersion(String),
    /// Values.
    #[prost(message, tag = "5")]
    Summary(Summary),
}

/// `Summary`: values of one step.
#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    /// One entry per tag.
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<SummaryValue>,
}

/// `Summary.Value`: a value and its name.
#[derive(Clone, PartialEq, Message)]
pub struct SummaryValue {
    /// The name; the part before a slash groups charts.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// A number or an image; `None` in a file that uses another kind.
    #[prost(oneof = "Value", tags = "2, 4")]
    pub value: Option<Value>,
}

/// `Summary.Value.value`.
#[derive(Clone, PartialEq, Oneof)]
pub enum Value {
    /// A number of a line chart, in float32.
    #[prost(float, tag = "2")]
    Simple(f32),
    /// An encoded image, such as a PNG.
    #[prost(message, tag = "4")]
    Image(Image),
}

/// `Summary.Image`.
#[derive(Clone, PartialEq, Message)]
pub struct Image {
    /// Height in pixels.
    #[prost(int32, tag = "1")]
    pub height: i32,
    /// Width in pixels.
    #[prost(int32, tag = "2")]
    pub width: i32,
    /// Number of channels: 1 gray, 2 gray with alpha, 3 RGB, 4 RGBA.
    #[prost(int32, tag = "3")]
    pub colorspace: i32,
    /// Contents of the picture's file, such as a PNG.
    #[prost(bytes = "vec", tag = "4")]
    pub encoded: Vec<u8>,
}
