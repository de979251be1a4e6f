//! Files of tensors: what is written is read back, and what PyTorch writes is read.

#[path = "../common/mod.rs"]
mod common;

mod python;
mod pytorch;
mod round_trip;
