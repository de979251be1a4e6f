//! Batch norm (optional), ReLU and pooling over windows of 2x2, in as few passes over memory as possible.

use tch::{Kind, Tensor};

use super::{BackwardPass, Saved, Stage};
use crate::engine::chain::{BatchNorm, Chain, Pool};
use crate::engine::exact::kernels::batch_norm::{self, Order};
use crate::engine::exact::kernels::relu_pool::{self, Affine};
use crate::libtorch::{values, values_mut};
use crate::nn::{Model, ReluOp};

/// The stage; see [`matches()`].
#[derive(Debug)]
struct NormReluPool {
    norm: Option<Norm>,
    pool: Pool,
    /// Height and width of the input.
    size: [usize; 2],
}

/// A batch norm, and how libtorch computes it.
#[derive(Debug)]
struct Norm {
    layer: BatchNorm,
    order: Order,
}

/// Matches `BatchNorm2d` with parameters and running statistics, if there is one; then ReLU; then `max_pool2d(2)` or
/// `avg_pool2d(2)`, on float32 (N, C, H, W).
pub fn matches(chain: &Chain) -> Option<(Box<dyn Stage>, usize)> {
    let norm = match chain.batch_norm2d(0) {
        Some(layer) => Some(Norm { layer, order: batch_norm::order()? }),
        None => None,
    };
    let first = usize::from(norm.is_some());
    chain.operation::<ReluOp>(first)?;
    let pool = chain.pool2d(first + 1)?;
    let [_, _, height, width] = *chain.input_shape(0) else { return None };
    let stage = NormReluPool { norm, pool, size: [height, width].map(|size| size as usize) };
    (chain.kind() == Kind::Float).then(|| (Box::new(stage) as Box<dyn Stage>, first + 2))
}

impl Norm {
    /// Updates the buffers; returns `[mean, 1 / sqrt(variance + eps)]` of each channel of the batch.
    fn update(&self, model: &Model, xs: &Tensor) -> Vec<[f32; 2]> {
        let [mut mean, mut variance, batches] =
            self.layer.buffers.map(|i| model.buffers()[i].shallow_clone());
        let batches = batches.shallow_clone().g_add_scalar_(1);
        let momentum =
            self.layer.config.momentum.unwrap_or_else(|| 1.0 / batches.double_value(&[]));
        let statistics = batch_norm::statistics(xs);
        let count = xs.numel() / statistics.len();
        let running = values_mut(&mut mean).iter_mut().zip(values_mut(&mut variance));
        for (statistics, (mean, variance)) in statistics.iter().zip(running) {
            statistics.update(count, momentum, mean, variance);
        }
        statistics.iter().map(|it| [it.mean, it.invstd(count, self.layer.config.eps)]).collect()
    }

    fn affine(&self, model: &Model, moments: impl Iterator<Item = [f32; 2]>) -> Affine {
        let parameters = self.layer.parameters.map(|i| values(&model.parameters()[i]));
        batch_norm::affine(moments, parameters, self.order.rounding())
    }
}

impl Stage for NormReluPool {
    fn has_parameters(&self) -> bool {
        self.norm.is_some()
    }

    fn forward(&self, model: &Model, xs: &Tensor, _needs_grad: bool) -> (Tensor, Saved) {
        let xs = xs.contiguous();
        let Some(norm) = &self.norm else {
            let (pooled, masks) = relu_pool::forward(&xs, None, self.pool);
            return (pooled, vec![masks]);
        };
        let moments = norm.update(model, &xs);
        let affine = norm.affine(model, moments.iter().copied());
        let (pooled, masks) = relu_pool::forward(&xs, Some(&affine), self.pool);
        (pooled, vec![masks, xs, Tensor::from_slice(moments.as_flattened())])
    }

    fn evaluate(&self, model: &Model, xs: &Tensor) -> Tensor {
        let affine = self.norm.as_ref().map(|norm| {
            let [mean, variance, _] = norm.layer.buffers.map(|i| &model.buffers()[i]);
            let running = [mean, variance].map(values);
            norm.affine(model, batch_norm::running_moments(running, norm.layer.config.eps))
        });
        relu_pool::forward(&xs.contiguous(), affine.as_ref(), self.pool).0
    }

    fn backward(&self, pass: BackwardPass) -> Option<Tensor> {
        let BackwardPass { model, saved, grad_output, gradients, needs_grad, .. } = pass;
        let grad_output = grad_output.contiguous();
        let (Some(norm), [masks, xs, moments]) = (&self.norm, &saved[..]) else {
            return needs_grad
                .then(|| relu_pool::backward(&grad_output, &saved[0], self.size, self.pool));
        };
        let [weight, _] = norm.layer.parameters.map(|i| values(&model.parameters()[i]));
        let (moments, _) = values::<f32>(moments).as_chunks::<2>();
        let pooled = (&grad_output, masks, self.pool);
        let computed = batch_norm::backward(pooled, xs, (moments, weight), norm.order, needs_grad);
        for (i, gradient) in norm.layer.parameters.into_iter().zip([computed.weight, computed.bias])
        {
            values_mut(&mut gradients.views()[i].detach()).copy_from_slice(&gradient);
        }
        computed.input
    }
}
