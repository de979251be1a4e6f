//! Parts of a step by hand, with the bits of libtorch's own operations: those that tch does not
//! bind, and element-wise ones that libtorch takes several passes over memory for.
//!
//! Everything here works on the CPU, on contiguous tensors. The one home of `unsafe` code: memory
//! of tensors as slices, and calls into libtorch.

#![allow(unsafe_code)]

pub mod adam;
mod convolution;
pub mod direct;
mod lanes;
mod noise;
mod parallel;
mod pool;
mod values;

pub use lanes::lanes;
pub use parallel::in_parts;
pub use values::{filled, values, values_mut};
