//! Access to libtorch that tch does not offer: tensor memory as slices, libtorch's thread pool and how its threads wait,
//! `convolution_backward`, gradients, TorchScript modules, the state of generators and the CUDA library; and the vector instructions of the CPU.
//!
//! This module depends on no other module of the crate, and contains all `unsafe` code that calls libtorch.

#![allow(unsafe_code)]

mod arithmetic;
mod autograd;
mod capability;
mod convolution;
pub mod cuda;
pub mod generator;
mod parallel;
mod script;
mod simd;
// The feature `tch` of the crate would link `stitch`, which computes nothing, with libtorch.
#[path = "../../crates/tensor-files/src/tensor.rs"]
mod tensor;
pub mod threads;
mod values;
mod versions;
mod waiting;

use std::ffi::{CStr, c_char};

use tensor_files::Dtype;

pub(crate) use arithmetic::add_scaled;
pub(crate) use autograd::{backward, clear_grad, retain_grad};
pub use capability::cpu_capability;
pub(crate) use convolution::convolution_backward;
#[cfg(test)]
pub(crate) use parallel::run_in_turn;
pub(crate) use parallel::{in_parts, is_in_turn, on_one_thread, parallel_for, ranges};
pub(crate) use script::Script;
pub(crate) use simd::{Vectors, dispatch, lanes};
pub(crate) use tensor::copy_bytes;
pub use tensor::{bytes_of, dtype_of};
pub(crate) use values::{filled, values, values_mut};
pub use versions::Versions;
pub(crate) use waiting::adapt as adapt_waiting;

/// Alignment of libtorch's tensors in bytes. MKL picks its code by alignment.
pub(crate) const ALIGNMENT: usize = 64;

/// Converts a device to tch's type.
pub fn device(device: stitch_run::Device) -> tch::Device {
    match device {
        stitch_run::Device::Cpu => tch::Device::Cpu,
        stitch_run::Device::Cuda(number) => tch::Device::Cuda(number),
    }
}

/// The error message of libtorch or the dynamic loader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LibtorchError(String);

/// Converts the result of a binding: null, or an error message.
///
/// SAFETY: `message` is null, or a string that was allocated with malloc and that nobody else frees.
unsafe fn result(message: *mut c_char) -> Result<(), LibtorchError> {
    if message.is_null() {
        return Ok(());
    }
    unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        libc::free(message.cast());
        Err(LibtorchError(text))
    }
}
