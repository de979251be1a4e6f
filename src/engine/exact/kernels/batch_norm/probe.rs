//! Finds how libtorch computes batch norm, by comparison of bits.

use std::sync::OnceLock;

use tch::{Kind, Tensor};

use super::{Order, affine, backward, running_moments, statistics};
use crate::engine::chain::Pool;
use crate::engine::exact::kernels::noise::{noise, same_bits};
use crate::engine::exact::kernels::relu_pool;
use crate::libtorch::values;

const EPS: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;
/// Shapes whose planes have whole vectors only, vectors and a rest (twice), and less than a vector.
const SHAPES: [[i64; 4]; 4] = [[3, 9, 8, 8], [2, 40, 14, 14], [5, 20, 7, 7], [4, 17, 2, 2]];

/// How libtorch computes batch norm in this process; `None` if no known order gives its bits. Cached.
pub fn order() -> Option<Order> {
    static FOUND: OnceLock<Option<Order>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let reference = SHAPES.map(Reference::new);
        let is_libtorchs = |order: &Order| reference.iter().all(|it| it.has_bits_of(*order));
        [Order::Vectors, Order::Scalars].into_iter().find(is_libtorchs)
    })
}

/// Noise, and what libtorch computes from it.
struct Reference {
    xs: Tensor,
    parameters: [Tensor; 2],
    running: [Tensor; 2],
    grad_output: Tensor,
    expected: Vec<Tensor>,
}

impl Reference {
    fn new(shape: [i64; 4]) -> Self {
        let [n, c, h, w] = shape;
        let leaf = |tensor: Tensor| tensor.set_requires_grad(true);
        let xs = leaf(noise(&shape));
        // Noise depends on the number of elements only.
        let noise_of = |salt| noise(&[c + salt]).narrow(0, salt, c).contiguous();
        let parameters = [leaf(noise_of(1)), leaf(noise_of(2))];
        let running = [noise_of(3), noise_of(4).abs()];
        let updated = running.each_ref().map(Tensor::copy);
        let batch_norm = |running: &[Tensor; 2], train| {
            let [weight, bias] = parameters.each_ref().map(Some);
            let [mean, variance] = running.each_ref().map(Some);
            xs.batch_norm(weight, bias, mean, variance, train, MOMENTUM, EPS, true)
        };
        let pool = |ys: Tensor| ys.relu().max_pool2d(2, 2, 0, 1, false);
        let grad_output = noise(&[n, c, h / 2, w / 2]);
        let expected = tch::with_grad(|| {
            let pooled = pool(batch_norm(&updated, true));
            let loss = (&pooled * &grad_output).sum(Kind::Float);
            let leaves = [&xs, &parameters[0], &parameters[1]];
            let gradients = Tensor::run_backward(&[loss], &leaves, false, false);
            let [mean, variance] = updated;
            let evaluated = pool(batch_norm(&running, false)).detach();
            [pooled.detach(), mean, variance, evaluated].into_iter().chain(gradients).collect()
        });
        Self { xs: xs.detach(), parameters, running, grad_output, expected }
    }

    fn has_bits_of(&self, order: Order) -> bool {
        let actual = tch::no_grad(|| self.compute(order));
        self.expected.iter().zip(&actual).all(|(expected, actual)| same_bits(expected, actual))
    }

    /// What `expected` has, computed by the kernels.
    fn compute(&self, order: Order) -> Vec<Tensor> {
        let xs = &self.xs;
        let [weight, bias] = self.parameters.each_ref().map(values::<f32>);
        let count = xs.numel() / weight.len();
        let statistics = statistics(xs);
        let moments: Vec<_> =
            statistics.iter().map(|it| [it.mean, it.invstd(count, EPS)]).collect();
        let forward = |moments: &[[f32; 2]]| {
            let affine = affine(moments.iter().copied(), [weight, bias], order.rounding());
            relu_pool::forward(xs, Some(&affine), Pool::Max)
        };
        let (pooled, masks) = forward(&moments);
        let [mut mean, mut variance] = self.running.each_ref().map(|it| values::<f32>(it).to_vec());
        let running: Vec<_> = running_moments([&mean, &variance], EPS).collect();
        let (evaluated, _) = forward(&running);
        for ((it, mean), variance) in statistics.iter().zip(&mut mean).zip(&mut variance) {
            it.update(count, MOMENTUM, mean, variance);
        }
        let gradient = (&self.grad_output, &masks, Pool::Max);
        let gradients = backward(gradient, xs, (&moments, weight), order, true);
        let [mean, variance, weight, bias] =
            [mean, variance, gradients.weight, gradients.bias].map(|it| Tensor::from_slice(&it));
        let input = gradients.input.expect("the gradient w.r.t. the input was requested");
        vec![pooled, mean, variance, evaluated, input, weight, bias]
    }
}
