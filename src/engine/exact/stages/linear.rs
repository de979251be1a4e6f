//! `Linear`, optionally followed by ReLU: the operations that autograd would call, without autograd.

use tch::Tensor;

use super::{BackwardPass, Saved, Stage};
use crate::engine::chain::Chain;
use crate::nn::{LinearOp, Model, ReluOp};

/// The stage: `Linear` with a bias on (N, in_features), optionally followed by ReLU.
#[derive(Debug)]
struct Linear {
    weight: usize,
    bias: usize,
    relu: bool,
}

/// Matches `Linear` with a bias on contiguous (N, in_features), in_features > 1; all operations of [`crate::nn`] return
/// contiguous tensors. With a single input feature, autograd multiplies in another order.
pub fn matches(chain: &Chain) -> Option<(Box<dyn Stage>, usize)> {
    chain.operation::<LinearOp>(0)?;
    let (weight, bias) = (chain.parameter(0, 1)?, chain.parameter(0, 2)?);
    let relu = chain.operation::<ReluOp>(1).is_some();
    let supported = matches!(chain.input_shape(0), [_, features] if *features > 1);
    let stage = Linear { weight, bias, relu };
    supported.then(|| (Box::new(stage) as Box<dyn Stage>, 1 + usize::from(relu)))
}

impl Stage for Linear {
    fn forward(&self, model: &Model, xs: &Tensor, _needs_grad: bool) -> (Tensor, Saved) {
        let parameters = model.parameters();
        let mut output = xs.linear(&parameters[self.weight], Some(&parameters[self.bias]));
        if self.relu {
            output = output.relu_();
        }
        let saved = vec![xs.shallow_clone(), output.shallow_clone()];
        (output, saved)
    }

    fn backward(&self, pass: BackwardPass) -> Option<Tensor> {
        let BackwardPass { model, saved, grad_output, gradients, needs_grad, .. } = pass;
        let [input, output] = &saved[..] else { return None };
        let mut grad = grad_output.shallow_clone();
        if self.relu {
            grad = output.threshold_backward(&grad, 0);
        }
        let [grad_weight, grad_bias] =
            [self.weight, self.bias].map(|i| gradients.views()[i].detach());
        let _ = grad.tr().mm_out(&grad_weight, input);
        let _ = grad.sum_intlist_out(&grad_bias, 0, false, grad.kind());
        needs_grad.then(|| grad.mm(&model.parameters()[self.weight]))
    }
}
