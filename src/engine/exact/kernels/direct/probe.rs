//! Finds the order in which libtorch sums, by comparison of bits.
//!
//! Once per batch size, number of threads and process, libtorch and the kernels of this module compute the features and
//! gradients of the same noise. The first known order that gives libtorch's bits is used. A wrong order changes the last
//! bits of hundreds of elements, so it cannot match by chance.

use tch::Tensor;

use super::backward::{self, FeatureGradients};
use super::features;
use super::layout::nchw_to_nhwc;
use super::order::{Backward, Bias, RowPartition};
use super::shape::{C1, C2, H1, H2, K, P1, P2, PADDING};
use crate::engine::exact::kernels::cache::Cache;
use crate::engine::exact::kernels::noise::{noise, same_bits};
use crate::engine::exact::kernels::pool::relu_avg_pool2d_backward;
use crate::libtorch::{convolution_backward, lanes, values};

/// The order of the forward pass of `n` images; `None` if no known order gives libtorch's bits.
pub fn forward(n: i64) -> Option<Bias> {
    static FOUND: Found<Bias> = Cache::new();
    FOUND.get((n, tch::get_num_threads()), || supported(n, find_forward))
}

/// The order of the backward pass of `n` images; `None` if no known order gives libtorch's bits.
pub fn backward(n: i64) -> Option<Backward> {
    static FOUND: Found<Backward> = Cache::new();
    FOUND.get((n, tch::get_num_threads()), || supported(n, find_backward))
}

/// The known orders by number of images and number of threads.
type Found<T> = Cache<(i64, i32), Option<T>>;

fn supported<T>(n: i64, find: impl Fn(i64) -> Option<T>) -> Option<T> {
    // The kernels' tiles support only these vector lengths.
    if matches!(lanes(), 8 | 16) { tch::no_grad(|| find(n)) } else { None }
}

fn find_forward(n: i64) -> Option<Bias> {
    let images = square(n, 1, H1);
    let [w1, w2] = weights();
    let (b1, b2) = (noise(&[C1 as i64]), noise(&[C2 as i64]));
    let parameters = [&w1, &b1, &w2, &b2];
    let expected = features::with_libtorch(&images, parameters);
    [Bias::Last, Bias::First].into_iter().find(|&bias| {
        let actual = features::direct(&images, parameters, bias);
        same_bits(&expected.conv1, &actual.conv1) && same_bits(&expected.conv2, &actual.conv2)
    })
}

fn find_backward(n: i64) -> Option<Backward> {
    let images = square(n, 1, H1);
    let [conv1, pool1] = [square(n, C1, H1), square(n, C1, P1)];
    let [conv2, grad_pool2] = [square(n, C2, H2), square(n, C2, P2)];
    let weights = weights();
    let grad_conv2 = relu_avg_pool2d_backward(&grad_pool2, &conv2);
    let expected2 = convolution_backward(&grad_conv2, &pool1, &weights[1], 0, true);
    let feature_gradients = |block: usize| {
        let conv2 = nchw_to_nhwc(&conv2);
        FeatureGradients::new(values(&conv2), values(&grad_pool2), values(&weights[1]), block)
    };
    let (block, feature_gradients) = ([C2, C2 / 2].into_iter())
        .map(|block| (block, feature_gradients(block)))
        .find(|(_, actual)| same_bits(&expected2.grad_input, &actual.grad_pool1))?;
    let threads = tch::get_num_threads() as usize;
    let conv2 = RowPartition::candidates(threads, n as usize * H2).find(|&partition| {
        let rows = feature_gradients.grad_conv2_rows();
        let [weight, bias] = backward::conv2_gradients(values(&pool1), rows, partition);
        same_bits(&expected2.grad_weight, &weight) && same_bits(&expected2.grad_bias, &bias)
    })?;
    let grad_conv1 = relu_avg_pool2d_backward(&expected2.grad_input, &conv1);
    let expected1 = convolution_backward(&grad_conv1, &images, &weights[0], PADDING as i64, false);
    drop((feature_gradients, grad_conv2, pool1));
    let conv1 = RowPartition::candidates(threads, n as usize * H1).find(|&partition| {
        let [images, conv1] = [&images, &conv1].map(values);
        let grad_pool1 = values(&expected2.grad_input);
        let [weight, bias] = backward::conv1_gradients(images, conv1, grad_pool1, partition);
        same_bits(&expected1.grad_weight, &weight) && same_bits(&expected1.grad_bias, &bias)
    })?;
    Some(Backward { block, conv1, conv2 })
}

/// Noise (N, C, H, H).
pub(super) fn square(n: i64, c: usize, h: usize) -> Tensor {
    noise(&[n, c as i64, h as i64, h as i64])
}

/// Noise in the shapes of the weights of conv1 and conv2.
pub(super) fn weights() -> [Tensor; 2] {
    [(C1, 1), (C2, C1)].map(|(o, c)| noise(&[o as i64, c as i64, K as i64, K as i64]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidate_orders_give_different_bits() {
        let images = square(64, 1, H1);
        let [w1, w2] = weights();
        let (b1, b2) = (noise(&[C1 as i64]), noise(&[C2 as i64]));
        let [first, last] = [Bias::First, Bias::Last]
            .map(|bias| features::direct(&images, [&w1, &b1, &w2, &b2], bias));
        assert!(!same_bits(&first.conv1, &last.conv1) && !same_bits(&first.conv2, &last.conv2));
        let (grad_pool1, grad_pool2) = (square(64, C1, P1), square(64, C2, P2));
        let [whole, half] = [C2, C2 / 2].map(|block| {
            FeatureGradients::new(values(&last.conv2), values(&grad_pool2), values(&w2), block)
        });
        assert!(!same_bits(&whole.grad_pool1, &half.grad_pool1));
        let partition = |count| RowPartition { count, within_images: true };
        let (images, conv1) = (values(&images), values(&last.conv1));
        let [one, two] = [1, 2].map(|count| {
            backward::conv1_gradients(images, conv1, values(&grad_pool1), partition(count))
        });
        assert!(!same_bits(&one[0], &two[0]) && !same_bits(&one[1], &two[1]));
        let (pool1, rows) = (values(&last.pool1), whole.grad_conv2_rows());
        let [one, two] =
            [1, 2].map(|count| backward::conv2_gradients(pool1, rows, partition(count)));
        assert!(!same_bits(&one[0], &two[0]) && !same_bits(&one[1], &two[1]));
    }
}
