//! `Conv2d`: the operations that autograd would call, without autograd.

use tch::Tensor;

use super::{BackwardPass, Saved, Stage};
use crate::engine::chain::Chain;
use crate::libtorch::convolution_backward;
use crate::nn::{Conv2dOp, Model};

/// The stage; see [`matches()`].
#[derive(Debug)]
struct Conv2d {
    weight: usize,
    bias: usize,
    padding: i64,
}

/// Matches `Conv2d` with a bias, stride 1, the same padding on all sides, no dilation and one group.
pub fn matches(chain: &Chain) -> Option<(Box<dyn Stage>, usize)> {
    let config = chain.operation::<Conv2dOp>(0)?.0;
    let (weight, bias) = (chain.parameter(0, 1)?, chain.parameter(0, 2)?);
    let [padding, columns] = config.padding;
    let supported = (config.stride, config.dilation, config.groups) == ([1, 1], [1, 1], 1);
    let stage = Conv2d { weight, bias, padding };
    (supported && padding == columns).then(|| (Box::new(stage) as Box<dyn Stage>, 1))
}

impl Stage for Conv2d {
    fn forward(&self, model: &Model, xs: &Tensor, _needs_grad: bool) -> (Tensor, Saved) {
        let [weight, bias] = [self.weight, self.bias].map(|i| &model.parameters()[i]);
        let output = xs.conv2d(weight, Some(bias), 1, self.padding, 1, 1);
        (output, vec![xs.shallow_clone()])
    }

    fn backward(&self, pass: BackwardPass) -> Option<Tensor> {
        let BackwardPass { model, saved, grad_output, gradients, needs_grad, .. } = pass;
        let weight = &model.parameters()[self.weight];
        let computed =
            convolution_backward(grad_output, &saved[0], weight, self.padding, needs_grad);
        let written = [(self.weight, computed.grad_weight), (self.bias, computed.grad_bias)];
        for (i, gradient) in written {
            gradients.views()[i].detach().copy_(&gradient);
        }
        needs_grad.then_some(computed.grad_input)
    }
}
