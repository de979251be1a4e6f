//! Formats that are only written, and the tables of a run folder: bytes in, bytes out. Nothing here
//! opens a file, knows tch, or prints. Files of tensors are the crate [`tensor_files`]'s affair.

pub mod onnx;
pub mod tensorboard;

pub use stitch_run::csv;
