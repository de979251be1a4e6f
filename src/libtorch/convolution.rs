//! `torch.ops.aten.convolution_backward` of PyTorch 2.13.

use std::ffi::{CStr, c_char};
use std::ptr;

use tch::Tensor;
use torch_sys::C_tensor;

unsafe extern "C" {
    /// In `convolution.cpp`.
    fn stitch_convolution_backward(
        gradients: *mut *mut C_tensor,
        output_gradient: *const C_tensor,
        input: *const C_tensor,
        weight: *const C_tensor,
        padding: i64,
        input_wanted: bool,
    ) -> *mut c_char;
}

/// Gradients of a convolution.
#[derive(Debug)]
pub struct ConvolutionGradients {
    /// By the input (N, C, H, W); undefined when it was not asked for.
    pub input: Tensor,
    /// By the weight (O, C, K, K).
    pub weight: Tensor,
    /// By the bias (O).
    pub bias: Tensor,
}

/// The gradients of a convolution of stride 1 with a bias, by the gradient of its output.
///
/// # Panics
/// With libtorch's message, when the shapes do not fit each other.
pub fn convolution_backward(
    output_gradient: &Tensor,
    input: &Tensor,
    weight: &Tensor,
    padding: i64,
    input_wanted: bool,
) -> ConvolutionGradients {
    let mut gradients = [ptr::null_mut(); 3];
    // SAFETY: tch's tensors are pointers to at::Tensor, which live through the call; the three
    // results are new ones, and belong to us. The message is one of malloc's.
    let [input, weight, bias] = unsafe {
        let message = stitch_convolution_backward(
            gradients.as_mut_ptr(),
            output_gradient.as_ptr(),
            input.as_ptr(),
            weight.as_ptr(),
            padding,
            input_wanted,
        );
        if !message.is_null() {
            let text = CStr::from_ptr(message).to_string_lossy().into_owned();
            libc::free(message.cast());
            panic!("convolution_backward: {text}");
        }
        gradients.map(|gradient| Tensor::from_ptr(gradient))
    };
    ConvolutionGradients { input, weight, bias }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn the_gradients_are_autograds() {
        let random = |shape: &[i64]| {
            Tensor::randn(shape, (Kind::Float, Device::Cpu)).set_requires_grad(true)
        };
        for (n, padding) in [(1, 0), (3, 2), (64, 1)] {
            let (xs, weight, bias) =
                (random(&[n, 6, 14, 14]), random(&[16, 6, 5, 5]), random(&[16]));
            let ys = xs.conv2d(&weight, Some(&bias), 1, padding, 1, 1);
            let gradient = random(&ys.size()).detach();
            let loss = (&ys * &gradient).sum(Kind::Float);
            let expected = Tensor::run_backward(&[loss], &[&xs, &weight, &bias], false, false);
            let actual =
                tch::no_grad(|| convolution_backward(&gradient, &xs, &weight, padding, true));
            for (expected, actual) in
                expected.iter().zip([actual.input, actual.weight, actual.bias])
            {
                assert!(expected.equal(&actual), "{n} images, padding {padding}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "convolution_backward: ")]
    fn shapes_that_do_not_fit_are_libtorchs_error() {
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
