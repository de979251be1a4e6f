//! `Tensor.add_(other, alpha=…)` of PyTorch 2.13, whose `alpha` tch does not bind.

use std::ffi::c_char;

use tch::{Kind, Tensor};
use torch_sys::C_tensor;

use super::result;

unsafe extern "C" {
    /// In `arithmetic.cpp`.
    fn stitch_add_scaled(
        tensor: *const C_tensor,
        other: *const C_tensor,
        alpha: f64,
    ) -> *mut c_char;
}

/// `tensor.add_(other, alpha=alpha)`: a fused multiply-add on CPUs that have one, so that
/// `tensor += other * alpha` has other bits. A factor beyond the range of float32 is an infinity for a float32 tensor, where
/// PyTorch raises an error: the training then diverges.
///
/// # Panics
/// With libtorch's message, when the shapes or types do not fit, or `tensor` is a leaf that requires a gradient
/// outside of [`tch::no_grad`].
pub fn add_scaled(tensor: &mut Tensor, other: &Tensor, alpha: f64) {
    let alpha = match tensor.kind() {
        Kind::Float if alpha.abs() > f32::MAX.into() => alpha.signum() * f64::INFINITY,
        _ => alpha,
    };
    // SAFETY: tch's tensors are pointers to at::Tensor, which live through the call; the message is
    // allocated with malloc and belongs to us.
    let done = unsafe { result(stitch_add_scaled(tensor.as_ptr(), other.as_ptr(), alpha)) };
    done.unwrap_or_else(|message| panic!("add_: {message}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_is_applied() {
        let mut tensor = Tensor::from_slice(&[1f32, 2.0, 3.0]);
        add_scaled(&mut tensor, &Tensor::from_slice(&[4f32, 0.5, -1.0]), -0.5);
        assert_eq!(Vec::<f32>::try_from(&tensor).unwrap(), [-1.0, 1.75, 3.5]);
        add_scaled(&mut tensor, &Tensor::from_slice(&[4f32, 0.5, -1.0]), -1e39);
        let infinity = f32::INFINITY;
        assert_eq!(Vec::<f32>::try_from(tensor).unwrap(), [-infinity, -infinity, infinity]);
    }
}
