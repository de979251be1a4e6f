//! `torch.get_rng_state` and `torch.set_rng_state` of PyTorch 2.13, and a draw from the global generator.

use std::ffi::c_char;
use std::ptr;

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use super::{LibtorchError, result};

unsafe extern "C" {
    /// In `generator.cpp`.
    fn stitch_generator_state(gpu: i64, state: *mut *mut C_tensor) -> *mut c_char;

    /// In `generator.cpp`.
    fn stitch_set_generator_state(gpu: i64, state: *const C_tensor) -> *mut c_char;
}

/// The state of the global generator of a device, uint8.
///
/// # Errors
/// libtorch's message.
pub fn state(device: Device) -> Result<Tensor, LibtorchError> {
    let mut state = ptr::null_mut();
    // SAFETY: the new tensor belongs to us, and is there when there is no message.
    unsafe {
        result(stitch_generator_state(gpu(device), &mut state))?;
        Ok(Tensor::from_ptr(state))
    }
}

/// Sets the state of the global generator of a device to what [`state`] gave.
///
/// # Errors
/// libtorch's message, for a tensor that is no state; then nothing is changed.
pub fn set_state(device: Device, state: &Tensor) -> Result<(), LibtorchError> {
    // SAFETY: the tensor lives through the call.
    unsafe { result(stitch_set_generator_state(gpu(device), state.as_ptr())) }
}

/// `torch.empty((), dtype=torch.int64).random_()`: an integer in `0..=i64::MAX`, drawn from the global
/// generator of the CPU.
pub fn random() -> i64 {
    Tensor::empty([] as [i64; 0], (Kind::Int64, Device::Cpu)).random_().int64_value(&[])
}

fn gpu(device: Device) -> i64 {
    match device {
        Device::Cuda(number) => number as i64,
        _ => -1,
    }
}
