//! `Tensor.backward(gradient, inputs=…)` and `tensor.grad = None` of PyTorch 2.13.

use std::ffi::c_char;

use tch::Tensor;
use torch_sys::C_tensor;

use super::result;

unsafe extern "C" {
    /// In `autograd.cpp`.
    fn stitch_backward(
        output: *const C_tensor,
        gradient: *const C_tensor,
        inputs: *const *const C_tensor,
        count: usize,
    ) -> *mut c_char;

    /// In `autograd.cpp`.
    fn stitch_clear_grad(tensor: *const C_tensor);
}

/// Adds to `grad` of each of `inputs`, which are leaves, given the gradient w.r.t. `output`.
///
/// # Panics
/// With libtorch's message, when the shapes do not fit or `output` does not depend on the inputs.
pub fn backward(output: &Tensor, gradient: &Tensor, inputs: &[&Tensor]) {
    let inputs: Vec<*const C_tensor> = inputs.iter().map(|x| x.as_ptr()).collect();
    // SAFETY: tch's tensors are pointers to at::Tensor, which live through the call; the message is
    // allocated with malloc and belongs to us.
    let done = unsafe {
        let (output, gradient) = (output.as_ptr(), gradient.as_ptr());
        result(stitch_backward(output, gradient, inputs.as_ptr(), inputs.len()))
    };
    done.unwrap_or_else(|message| panic!("backward: {message}"));
}

/// `tensor.grad = None`, as `zero_grad()` of an optimizer does: a gradient that is then assigned keeps
/// its bits, the sign of a zero included.
pub fn clear_grad(tensor: &Tensor) {
    // SAFETY: the tensor lives through the call.
    unsafe { stitch_clear_grad(tensor.as_ptr()) }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn a_gradient_can_be_given_and_cleared() {
        let xs = Tensor::ones([3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let gradient = Tensor::from_slice(&[1f32, -0.0, 3.0]);
        backward(&(&xs * 2.0), &gradient, &[&xs]);
        assert_eq!(Vec::<f32>::try_from(xs.grad()).unwrap(), [2.0, -0.0, 6.0]);
        clear_grad(&xs);
        assert!(!xs.grad().defined());
    }
}
