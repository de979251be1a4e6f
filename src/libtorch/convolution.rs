//! `torch.ops.aten.convolution_backward` of PyTorch 2.13.

use std::ffi::c_char;
use std::ptr;

use tch::Tensor;
use torch_sys::C_tensor;

use super::result;

unsafe extern "C" {
    /// In `convolution.cpp`.
    fn stitch_convolution_backward(
        gradients: *mut *mut C_tensor,
        grad_output: *const C_tensor,
        input: *const C_tensor,
        weight: *const C_tensor,
        padding: i64,
        needs_grad_input: bool,
    ) -> *mut c_char;
}

/// The gradients that [`convolution_backward`] returns.
#[derive(Debug)]
pub struct ConvolutionGradients {
    /// (N, C, H, W); undefined unless `needs_grad_input`.
    pub grad_input: Tensor,
    /// (O, C, K, K).
    pub grad_weight: Tensor,
    /// (O).
    pub grad_bias: Tensor,
}

/// The backward pass of a convolution with stride 1 and a bias, given `grad_output` (N, O, H', W').
///
/// # Panics
/// With libtorch's message if the shapes do not match.
pub fn convolution_backward(
    grad_output: &Tensor,
    input: &Tensor,
    weight: &Tensor,
    padding: i64,
    needs_grad_input: bool,
) -> ConvolutionGradients {
    let mut gradients = [ptr::null_mut(); 3];
    // SAFETY: a tch tensor holds a pointer to an at::Tensor, which is valid throughout the call. The three results
    // are new tensors that this crate owns. The message was allocated with malloc.
    let [grad_input, grad_weight, grad_bias] = unsafe {
        let result = result(stitch_convolution_backward(
            gradients.as_mut_ptr(),
            grad_output.as_ptr(),
            input.as_ptr(),
            weight.as_ptr(),
            padding,
            needs_grad_input,
        ));
        result.unwrap_or_else(|message| panic!("convolution_backward: {message}"));
        gradients.map(|gradient| Tensor::from_ptr(gradient))
    };
    ConvolutionGradients { grad_input, grad_weight, grad_bias }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn gradients_equal_those_of_autograd() {
        let random = |shape: &[i64]| {
            Tensor::randn(shape, (Kind::Float, Device::Cpu)).set_requires_grad(true)
        };
        for (n, padding) in [(1, 0), (3, 2), (64, 1)] {
            let (xs, weight, bias) =
                (random(&[n, 6, 14, 14]), random(&[16, 6, 5, 5]), random(&[16]));
            let ys = xs.conv2d(&weight, Some(&bias), 1, padding, 1, 1);
            let grad_output = random(&ys.size()).detach();
            let loss = (&ys * &grad_output).sum(Kind::Float);
            let expected = Tensor::run_backward(&[loss], &[&xs, &weight, &bias], false, false);
            let actual =
                tch::no_grad(|| convolution_backward(&grad_output, &xs, &weight, padding, true));
            for (expected, actual) in
                expected.iter().zip([actual.grad_input, actual.grad_weight, actual.grad_bias])
            {
                assert!(expected.equal(&actual), "{n} images, padding {padding}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "convolution_backward: ")]
    fn mismatched_shapes_panic_with_libtorchs_message() {
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        convolution_backward(
            &zeros(&[1, 3, 4, 4]),
            &zeros(&[1, 1, 8, 8]),
            &zeros(&[2, 1, 5, 5]),
            0,
            true,
        );
    }
}
