//! Parts of a step by hand, with the bits of libtorch's own operations: those that tch does not
//! bind, and element-wise ones that libtorch takes several passes over memory for.
//!
//! Everything here works on the CPU, on contiguous tensors. The one home of `unsafe` code: memory
//! of tensors as slices, and calls into libtorch.

#![allow(unsafe_code)]

mod convolution;
mod parallel;
mod pool;
mod values;

pub use convolution::{ConvolutionGradients, convolution_backward};
pub use parallel::in_parts;
pub use pool::{relu_avg_pool2d, relu_avg_pool2d_backward};
pub use values::{filled, values, values_mut};
