//! LeNet-5's two convolutions with their ReLUs and poolings, forward and backward, with oneDNN's bits.
//!
//! libtorch runs these convolutions on the direct kernels of oneDNN 3.12, which compute each result as one chain of fused
//! multiply-adds. The start of a chain, its order, and its division among threads depend on the CPU, the batch size and
//! the number of threads. The kernels here take that order as an argument. [`probe`] finds it by comparison with
//! libtorch; if no known order gives libtorch's bits, libtorch is used. These kernels are faster because they need no
//! conversions between memory layouts and fewer passes over memory.
//!
//! Only LeNet-5's shapes are supported. The modules, each of which uses only earlier ones: [`shape`], [`order`] and
//! [`layout`]; the kernels [`features`](mod@features), [`grad_input`] and [`grad_weight`];
//! [`backward`]; [`probe`].

use tch::Tensor;

mod backward;
mod features;
mod grad_input;
mod grad_weight;
mod layout;
mod order;
mod probe;
pub(crate) mod shape;

pub use backward::ParameterGradients;
pub use features::Features;
use shape::{C1, C2, H1, K, P2};

/// Computes conv1 → ReLU → pool1 → conv2 → ReLU → pool2 of images (N, 1, 28, 28), float32; `parameters` are weight and
/// bias of conv1, then of conv2.
///
/// # Panics
/// If the shapes are not LeNet-5's.
pub fn features(images: &Tensor, parameters: [&Tensor; 4]) -> Features {
    assert_eq!(images.size()[1..], [1, H1 as i64, H1 as i64], "shape of LeNet-5's images");
    let sizes = [C1 * K * K, C1, C2 * C1 * K * K, C2];
    assert_eq!(parameters.map(Tensor::numel), sizes, "sizes of LeNet-5's parameters");
    match probe::forward(images.size()[0]) {
        Some(bias) => features::direct(images, parameters, bias),
        None => features::with_libtorch(images, parameters),
    }
}

/// The backward pass of [`features()`]: computes the gradients w.r.t. the parameters, given the images
/// (N, 1, 28, 28), their features, `grad_pool2` (N, 16, 5, 5) and the weights of conv1 and conv2.
///
/// # Panics
/// If the shapes are not LeNet-5's.
pub fn gradients(
    images: &Tensor,
    features: &Features,
    grad_pool2: &Tensor,
    weights: [&Tensor; 2],
) -> ParameterGradients {
    let n = images.size()[0] as usize;
    assert_eq!(features.conv1.numel(), n * C1 * H1 * H1, "size of conv1 for these images");
    assert_eq!(grad_pool2.numel(), n * C2 * P2 * P2, "size of grad_pool2 for these images");
    match probe::backward(n as i64) {
        Some(order) => backward::direct(images, features, grad_pool2, weights[1], order),
        None => backward::with_libtorch(images, features, grad_pool2, weights),
    }
}

#[cfg(test)]
mod tests {
    use super::probe::{square, weights};
    use super::*;
    use crate::engine::exact::kernels::noise::{noise, same_bits};
    use crate::libtorch::lanes;

    #[test]
    fn forward_and_backward_have_libtorchs_bits() {
        // oneDNN's kernels for these CPUs have a known order.
        if matches!(lanes(), 8 | 16) && std::env::var_os("ONEDNN_MAX_CPU_ISA").is_none() {
            for n in [26, 64] {
                let is_known = probe::forward(n).is_some() && probe::backward(n).is_some();
                assert!(is_known, "no known order for {n} images");
            }
        }
        tch::no_grad(|| {
            for n in [1, 2, 7, 26, 64, 65] {
                let images = square(n, 1, H1);
                let [w1, w2] = weights();
                let (b1, b2) = (noise(&[C1 as i64]), noise(&[C2 as i64]));
                let parameters = [&w1, &b1, &w2, &b2];
                let expected = features::with_libtorch(&images, parameters);
                let actual = features(&images, parameters);
                assert!(same_bits(&expected.conv1, &actual.conv1), "conv1 of {n} images");
                assert!(same_bits(&expected.pool1, &actual.pool1), "pool1 of {n} images");
                assert!(same_bits(&expected.conv2, &actual.conv2), "conv2 of {n} images");
                assert!(same_bits(&expected.pool2, &actual.pool2), "pool2 of {n} images");
                let grad_pool2 = square(n, C2, P2);
                let expected = backward::with_libtorch(&images, &expected, &grad_pool2, [&w1, &w2]);
                let actual = gradients(&images, &actual, &grad_pool2, [&w1, &w2]);
                let pairs = [(expected.conv1, actual.conv1), (expected.conv2, actual.conv2)];
                for (i, (expected, actual)) in pairs.iter().enumerate() {
                    let all = expected.iter().zip(actual).all(|(e, a)| same_bits(e, a));
                    assert!(all, "gradients of conv{} of {n} images", i + 1);
                }
            }
        });
    }
}
