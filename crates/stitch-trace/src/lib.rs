#![doc = include_str!("../README.md")]

mod digest;
mod error;
mod record;
pub mod stage;
mod trace;
mod writer;

pub use digest::{BLOCK, Digest, Hashes, Statistics, StatisticsTally, block_hash};
pub use error::{ElementsError, LineError, TraceError, WriteError};
pub use record::{Header, Place, Record};
pub use tensor_files::Dtype;
pub use trace::{LONGEST_LINE, Records, Trace, parse};
pub use writer::Writer;

/// Name of the trace's folder in a run folder.
pub const FOLDER: &str = "trace";
/// Name of the file of records in a trace's folder: JSON lines.
pub const RECORDS: &str = "trace.jsonl";
/// Name of the file of elements in a trace's folder: raw bytes, at the offsets in the records.
pub const ELEMENTS: &str = "trace.bin";
/// Paths of the files in the folder of a run: [`RECORDS`] and [`ELEMENTS`] in [`FOLDER`].
pub const PATHS: [&str; 2] = ["trace/trace.jsonl", "trace/trace.bin"];
/// Path of the elements in version 1 of the format.
pub const ELEMENTS_VERSION_1: &str = "trace/trace.safetensors";
/// Name of the file of elements of a trace of version 1.
const ELEMENTS_V1: &str = "trace.safetensors";
/// The version of the format that is written, and the newest that is read.
const VERSION: u32 = 2;

/// The header's `format`, and the end marker's `end`.
const FORMAT: &str = "stitch-trace";
