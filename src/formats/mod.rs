//! File formats that are only written (ONNX, TensorBoard), and the tables of a run folder. These modules convert
//! between values and bytes; they open no files and do not depend on tch. The crate [`tensor_files`] reads and writes
//! files of tensors.

pub mod onnx;
#[cfg(feature = "libtorch")]
pub(crate) mod tensorboard;

pub use stitch_run::csv;
