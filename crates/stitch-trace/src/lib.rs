#![doc = include_str!("../README.md")]

mod record;
pub mod stage;
mod trace;
mod writer;

pub use record::{Header, Place, Record};
pub use tensor_files::Dtype;
pub use trace::{Elements, Records, Trace, TraceError, parse};
pub use writer::Writer;

/// Name of the folder of a run's trace in its run folder.
pub const FOLDER: &str = "trace";
/// Name of the file of records in a trace's folder.
pub const RECORDS: &str = "trace.jsonl";
/// Name of the file of elements in a trace's folder.
pub const ELEMENTS: &str = "trace.bin";
/// Name of the file of elements of a trace of version 1.
pub const ELEMENTS_V1: &str = "trace.safetensors";
/// The version of the format that is written, and the newest that is read.
pub const VERSION: u32 = 2;

/// The header's `format`, and the end marker's `end`.
const FORMAT: &str = "stitch-trace";
