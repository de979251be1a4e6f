//! ReLU and average pooling over windows of 2x2 in one pass over memory.

use tch::{Kind, Tensor};

use super::{BackwardPass, Saved, Stage};
use crate::engine::chain::Chain;
use crate::engine::exact::kernels::pool;
use crate::nn::{AvgPool2dOp, Model, ReluOp};

#[derive(Debug)]
struct ReluAvgPool2d;

/// Matches ReLU and then `avg_pool2d(2)` on float32 (N, C, H, W) with even H and W.
pub fn matches(chain: &Chain) -> Option<(Box<dyn Stage>, usize)> {
    chain.operation::<ReluOp>(0)?;
    let pools_by_two = chain.operation::<AvgPool2dOp>(1)?.is_default(2);
    let even = matches!(chain.input_shape(0), [_, _, h, w] if h % 2 == 0 && w % 2 == 0);
    let supported = pools_by_two && even && chain.kind() == Kind::Float;
    supported.then(|| (Box::new(ReluAvgPool2d) as Box<dyn Stage>, 2))
}

impl Stage for ReluAvgPool2d {
    fn has_parameters(&self) -> bool {
        false
    }

    fn forward(&self, _model: &Model, xs: &Tensor, _needs_grad: bool) -> (Tensor, Saved) {
        let xs = xs.contiguous();
        (pool::relu_avg_pool2d(&xs), vec![xs])
    }

    fn backward(&self, pass: BackwardPass) -> Option<Tensor> {
        let BackwardPass { saved, grad_output, needs_grad, .. } = pass;
        needs_grad.then(|| pool::relu_avg_pool2d_backward(&grad_output.contiguous(), &saved[0]))
    }
}
