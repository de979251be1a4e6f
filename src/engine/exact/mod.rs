//! The exact engine: every result has the bits that libtorch computes.

pub mod kernels;
