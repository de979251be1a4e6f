//! Access to libtorch that tch does not offer: tensor memory as slices, libtorch's thread pool,
//! `convolution_backward`, gradients, the state of generators, the CUDA library, and the vector length of the CPU.
//!
//! This is the lowest level of the crate: it depends on no other module of it. All `unsafe` code
//! that touches libtorch is here.

#![allow(unsafe_code)]

mod autograd;
mod capability;
mod convolution;
pub mod cuda;
pub mod generator;
mod lanes;
mod parallel;
pub mod threads;
mod values;

use std::ffi::{CStr, c_char};

pub(crate) use autograd::{backward, clear_grad};
pub use capability::cpu_capability;
pub(crate) use convolution::convolution_backward;
pub(crate) use lanes::lanes;
pub(crate) use parallel::in_parts;
pub(crate) use values::{filled, values, values_mut};

/// A device, as tch calls it.
pub fn device(device: stitch_run::Device) -> tch::Device {
    match device {
        stitch_run::Device::Cpu => tch::Device::Cpu,
        stitch_run::Device::Cuda(number) => tch::Device::Cuda(number),
    }
}

/// The message of a call into libtorch, or of the dynamic loader, that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LibtorchError(String);

/// The outcome of a call of libtorch, by its message.
///
/// SAFETY: `message` is null or a string allocated with malloc, which belongs to us.
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
