//! `Tensor.backward(gradient, inputs=…)` and `tensor.grad = None` of PyTorch 2.13.

use std::ffi::c_char;

use tch::Tensor;
use torch_sys::C_tensor;

use super::{LibtorchError, result};

unsafe extern "C" {
    /// In `autograd.cpp`.
    fn stitch_backward(
        output: *const C_tensor,
        gradient: *const C_tensor,
        inputs: *const *const C_tensor,
        count: usize,
    ) -> *mut c_char;

    /// In `autograd.cpp`.
    fn stitch_retain_grad(tensor: *const C_tensor);

    /// In `autograd.cpp`.
    fn stitch_clear_grad(tensor: *const C_tensor);
}

/// `output.backward(gradient, inputs=inputs)`: adds the gradients w.r.t. `inputs`, which are leaves, to their `grad`,
/// given the gradient w.r.t. `output`.
///
/// # Errors
/// libtorch's message if the shapes do not match or `output` does not depend on the inputs.
pub fn backward(
    output: &Tensor,
    gradient: &Tensor,
    inputs: &[&Tensor],
) -> Result<(), LibtorchError> {
    let inputs: Vec<*const C_tensor> = inputs.iter().map(|x| x.as_ptr()).collect();
    // SAFETY: a tch tensor holds a pointer to an at::Tensor, which is valid throughout the call. The message was
    // allocated with malloc, and this crate frees it.
    unsafe {
        let (output, gradient) = (output.as_ptr(), gradient.as_ptr());
        result(stitch_backward(output, gradient, inputs.as_ptr(), inputs.len()))
    }
}

/// `tensor.retain_grad()`: the backward pass keeps the gradient w.r.t. a tensor that is no leaf. Does nothing for one without
/// a gradient.
pub fn retain_grad(tensor: &Tensor) {
    if tensor.requires_grad() {
        // SAFETY: the tensor is valid throughout the call.
        unsafe { stitch_retain_grad(tensor.as_ptr()) }
    }
}

/// `tensor.grad = None`, as in an optimizer's `zero_grad()`. Unlike a sum with 0, the next gradient then keeps all its
/// bits, including the sign of a zero.
pub fn clear_grad(tensor: &Tensor) {
    // SAFETY: the tensor is valid throughout the call.
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
        backward(&(&xs * 2.0), &gradient, &[&xs]).unwrap();
        assert_eq!(Vec::<f32>::try_from(xs.grad()).unwrap(), [2.0, -0.0, 6.0]);
        clear_grad(&xs);
        assert!(!xs.grad().defined());
    }
}
