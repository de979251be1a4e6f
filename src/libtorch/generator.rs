//! `torch.get_rng_state`, `torch.set_rng_state` and `Generator.manual_seed` of PyTorch 2.13, and a draw from the global
//! generator.

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

    /// In `generator.cpp`.
    fn stitch_seed_generator(gpu: i64, seed: u64) -> *mut c_char;
}

/// The state of a device's global generator, uint8.
///
/// # Errors
/// libtorch's message if the device does not exist.
pub fn state(device: Device) -> Result<Tensor, LibtorchError> {
    let mut state = ptr::null_mut();
    // SAFETY: without an error message, `state` points to a new tensor, which this crate owns.
    unsafe {
        result(stitch_generator_state(gpu(device), &mut state))?;
        Ok(Tensor::from_ptr(state))
    }
}

/// Sets the state of a device's global generator to a result of [`state`].
///
/// # Errors
/// libtorch's message if the tensor is not a valid state; the generator is then unchanged.
pub(crate) fn set_state(device: Device, state: &Tensor) -> Result<(), LibtorchError> {
    // SAFETY: the tensor is valid throughout the call.
    unsafe { result(stitch_set_generator_state(gpu(device), state.as_ptr())) }
}

/// Seeds a device's global generator. Unlike `tch::manual_seed`, it leaves the other devices' generators unchanged.
///
/// # Errors
/// libtorch's message if the device does not exist.
pub(crate) fn seed(device: Device, seed: u64) -> Result<(), LibtorchError> {
    // SAFETY: only numbers are passed.
    unsafe { result(stitch_seed_generator(gpu(device), seed)) }
}

/// `torch.empty((), dtype=torch.int64).random_()`: draws an integer in `0..=i64::MAX` from the global generator of the
/// CPU.
pub fn random() -> i64 {
    Tensor::empty([] as [i64; 0], (Kind::Int64, Device::Cpu)).random_().int64_value(&[])
}

/// The number of a GPU; -1 for the CPU.
fn gpu(device: Device) -> i64 {
    match device {
        Device::Cuda(number) => number as i64,
        _ => -1,
    }
}
