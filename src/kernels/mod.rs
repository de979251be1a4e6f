//! Parts of a step by hand, with the bits of libtorch's own operations: convolutions with what
//! follows them, element-wise operations that libtorch takes several passes over memory for, and
//! what tch does not bind.
//!
//! Everything here works on the CPU, on contiguous tensors. `unsafe` code is for the memory of tensors
//! as slices, and for calls into libtorch.

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
