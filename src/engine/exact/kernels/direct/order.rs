//! In which order libtorch adds up, found out by asking it.
//!
//! For each batch size and number of threads, once a process: libtorch computes on numbers without a
//! pattern, and the first order that gives its bits is the one. Another order would differ in the last
//! bits of some hundreds of the results.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Mutex;

use tch::{Kind, Tensor};

use super::backward::{self, ByFeatures};
use super::features;
use super::shape::{C1, C2, H1, H2, K, P1, P2, PADDING};
use crate::engine::exact::kernels::noise::noise;
use crate::engine::exact::kernels::pool::relu_avg_pool2d_backward;
use crate::libtorch::convolution_backward;
use crate::libtorch::lanes;
use crate::libtorch::values;

/// Where the bias enters the chain of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bias {
    /// It begins with the bias.
    First,
    /// The bias is added to its end.
    Last,
}

/// The order of the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backward {
    /// Filters that the chain of a gradient by conv2's input goes through together.
    pub block: usize,
    /// Of the gradients by conv1's parameters.
    pub conv1: Split,
    /// Of the gradients by conv2's parameters.
    pub conv2: Split,
}

/// How the rows of a batch's images are split into runs of almost the same length, the longer ones
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// Number of runs.
    parts: usize,
    /// Whether a run may begin within an image.
    within_images: bool,
}

impl Split {
    /// The runs over `n` images of `height` rows each.
    pub fn runs(self, n: usize, height: usize) -> Vec<Range<usize>> {
        let (count, rows) = if self.within_images { (n * height, 1) } else { (n, height) };
        let (length, longer) = (count / self.parts, count % self.parts);
        let start = |i: usize| i * length + i.min(longer);
        (0..self.parts).map(|i| start(i) * rows..start(i + 1) * rows).collect()
    }

    /// The ones to try on so many threads over so many rows, the likeliest first.
    fn candidates(threads: usize, rows: usize) -> impl Iterator<Item = Self> {
        let parts = std::iter::once(threads).chain(1..threads.min(rows));
        parts.flat_map(|parts| [true, false].map(|within_images| Self { parts, within_images }))
    }
}

/// The order of the forward pass of `n` images; `None` when it is not known.
pub fn forward(n: i64) -> Option<Bias> {
    static FOUND: Mutex<Option<Found<Bias>>> = Mutex::new(None);
    remembered(&FOUND, n, find_forward)
}

/// The order of the backward pass of `n` images; `None` when it is not known.
pub fn backward(n: i64) -> Option<Backward> {
    static FOUND: Mutex<Option<Found<Backward>>> = Mutex::new(None);
    remembered(&FOUND, n, find_backward)
}

/// By number of images and of threads.
type Found<T> = HashMap<(i64, i32), Option<T>>;

fn remembered<T: Copy>(
    found: &Mutex<Option<Found<T>>>,
    n: i64,
    find: impl Fn(i64) -> Option<T>,
) -> Option<T> {
    // A panic while it was held left nothing half done.
    let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let found = found.get_or_insert_default();
    *found.entry((n, tch::get_num_threads())).or_insert_with(|| {
        // The kernels' tiles are made for vectors of these lengths.
        if matches!(lanes(), 8 | 16) { tch::no_grad(|| find(n)) } else { None }
    })
}

fn find_forward(n: i64) -> Option<Bias> {
    let images = square(n, 1, H1);
    let [w1, w2] = weights();
    let (b1, b2) = (noise(&[C1 as i64]), noise(&[C2 as i64]));
    let parameters = [&w1, &b1, &w2, &b2];
    let expected = features::by_libtorch(&images, parameters);
    [Bias::Last, Bias::First].into_iter().find(|&bias| {
        let actual = features::by_hand(&images, parameters, bias);
        same(&expected.conv1, &actual.conv1) && same(&expected.conv2, &actual.conv2)
    })
}

fn find_backward(n: i64) -> Option<Backward> {
    let images = square(n, 1, H1);
    let [conv1, pool1] = [square(n, C1, H1), square(n, C1, P1)];
    let [conv2, by_pool2] = [square(n, C2, H2), square(n, C2, P2)];
    let weights = weights();
    let by_conv2 = relu_avg_pool2d_backward(&by_pool2, &conv2);
    let second = convolution_backward(&by_conv2, &pool1, &weights[1], 0, true);
    let by_features = |block: usize| {
        let conv2 = features::together(&conv2);
        ByFeatures::new(values(&conv2), values(&by_pool2), values(&weights[1]), block)
    };
    let (block, by_features) = ([C2, C2 / 2].into_iter())
        .map(|block| (block, by_features(block)))
        .find(|(_, by_features)| same(&second.grad_input, &by_features.pool1))?;
    let threads = tch::get_num_threads() as usize;
    let conv2 = Split::candidates(threads, n as usize * H2).find(|&split| {
        let [weight, bias] = backward::filters2(values(&pool1), by_features.rows(), split);
        same(&second.grad_weight, &weight) && same(&second.grad_bias, &bias)
    })?;
    let by_conv1 = relu_avg_pool2d_backward(&second.grad_input, &conv1);
    let first = convolution_backward(&by_conv1, &images, &weights[0], PADDING as i64, false);
    drop((by_features, by_conv2, pool1));
    let conv1 = Split::candidates(threads, n as usize * H1).find(|&split| {
        let by_pool1 = values(&second.grad_input);
        let [weight, bias] = backward::filters1(values(&images), values(&conv1), by_pool1, split);
        same(&first.grad_weight, &weight) && same(&first.grad_bias, &bias)
    })?;
    Some(Backward { block, conv1, conv2 })
}

/// Noise (N, C, H, H).
fn square(n: i64, c: usize, h: usize) -> Tensor {
    noise(&[n, c as i64, h as i64, h as i64])
}

/// Of conv1 and conv2.
fn weights() -> [Tensor; 2] {
    [(C1, 1), (C2, C1)].map(|(o, c)| noise(&[o as i64, c as i64, K as i64, K as i64]))
}

/// Whether all bits are equal.
fn same(expected: &Tensor, actual: &Tensor) -> bool {
    debug_assert_eq!((expected.kind(), expected.size()), (Kind::Float, actual.size()));
    let [expected, actual] = [expected, actual].map(values::<f32>);
    expected.iter().zip(actual).all(|(expected, actual)| expected.to_bits() == actual.to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forth_and_back_the_bits_are_libtorchs() {
        // Where oneDNN has the kernels that the orders are known of.
        if matches!(lanes(), 8 | 16) && std::env::var_os("ONEDNN_MAX_CPU_ISA").is_none() {
            assert!(forward(64).is_some() && backward(64).is_some(), "no order is known");
        }
        tch::no_grad(|| {
            for n in [1, 2, 7, 64, 65] {
                let images = square(n, 1, H1);
                let [w1, w2] = weights();
                let (b1, b2) = (noise(&[C1 as i64]), noise(&[C2 as i64]));
                let parameters = [&w1, &b1, &w2, &b2];
                let expected = features::by_libtorch(&images, parameters);
                let actual = features::features(&images, parameters);
                assert!(same(&expected.conv1, &actual.conv1), "conv1 of {n} images");
                assert!(same(&expected.pool1, &actual.pool1), "pool1 of {n} images");
                assert!(same(&expected.conv2, &actual.conv2), "conv2 of {n} images");
                assert!(same(&expected.pool2, &actual.pool2), "pool2 of {n} images");
                let by_pool2 = square(n, C2, P2);
                let expected = backward::by_libtorch(&images, &expected, &by_pool2, [&w1, &w2]);
                let actual = backward::gradients(&images, &actual, &by_pool2, [&w1, &w2]);
                let pairs = [(expected.conv1, actual.conv1), (expected.conv2, actual.conv2)];
                for (i, (expected, actual)) in pairs.iter().enumerate() {
                    let all = expected.iter().zip(actual).all(|(e, a)| same(e, a));
                    assert!(all, "gradients of conv{} of {n} images", i + 1);
                }
            }
        });
    }

    #[test]
    fn the_orders_to_choose_from_give_different_bits() {
        let images = square(64, 1, H1);
        let [w1, w2] = weights();
        let (b1, b2) = (noise(&[C1 as i64]), noise(&[C2 as i64]));
        let [first, last] = [Bias::First, Bias::Last]
            .map(|bias| features::by_hand(&images, [&w1, &b1, &w2, &b2], bias));
        assert!(!same(&first.conv1, &last.conv1) && !same(&first.conv2, &last.conv2));
        let (by_pool1, by_pool2) = (square(64, C1, P1), square(64, C2, P2));
        let [whole, half] = [C2, C2 / 2].map(|block| {
            ByFeatures::new(values(&last.conv2), values(&by_pool2), values(&w2), block)
        });
        assert!(!same(&whole.pool1, &half.pool1));
        let split = |parts| Split { parts, within_images: true };
        let (images, conv1) = (values(&images), values(&last.conv1));
        let [one, two] =
            [1, 2].map(|n| backward::filters1(images, conv1, values(&by_pool1), split(n)));
        assert!(!same(&one[0], &two[0]) && !same(&one[1], &two[1]));
        let pool1 = values(&last.pool1);
        let [one, two] = [1, 2].map(|n| backward::filters2(pool1, whole.rows(), split(n)));
        assert!(!same(&one[0], &two[0]) && !same(&one[1], &two[1]));
    }

    #[test]
    fn runs_are_of_almost_one_length_and_in_order() {
        let runs = |parts, within_images| Split { parts, within_images }.runs(3, 10);
        assert_eq!(runs(1, false), vec![Range { start: 0, end: 30 }]);
        assert_eq!(runs(2, true), [0..15, 15..30]);
        assert_eq!(runs(2, false), [0..20, 20..30]);
        assert_eq!(runs(4, false), [0..10, 10..20, 20..30, 30..30]);
    }
}
