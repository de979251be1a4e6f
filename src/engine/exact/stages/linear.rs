//! `Linear`, optionally followed by ReLU: the operations that autograd would call, without autograd.

use tch::Tensor;

use super::{BackwardPass, Saved, Stage};
use crate::engine::chain::Chain;
use crate::engine::exact::kernels::one_thread::{self, OneThread};
use crate::nn::{LinearOp, Model, ReluOp};

/// MKL gives a thread a multiple of this many rows of the weight's gradient, as seen on AMD CPUs.
const ROWS: usize = 8;

/// The stage: `Linear` with a bias on (N, in_features), optionally followed by ReLU.
#[derive(Debug)]
struct Linear {
    weight: usize,
    bias: usize,
    relu: bool,
    /// Of the forward pass.
    forward: OneThread<()>,
    /// Of the backward pass: the number of rows of the weight's gradient that are computed at a time.
    backward: OneThread<i64>,
}

/// Matches `Linear` with a bias on contiguous (N, in_features), in_features > 1; all operations of [`crate::nn`] return
/// contiguous tensors. With a single input feature, autograd multiplies in another order.
pub fn matches(chain: &Chain) -> Option<(Box<dyn Stage>, usize)> {
    chain.operation::<LinearOp>(0)?;
    let (weight, bias) = (chain.parameter(0, 1)?, chain.parameter(0, 2)?);
    let relu = chain.operation::<ReluOp>(1).is_some();
    let supported = matches!(chain.input_shape(0), [_, features] if *features > 1);
    let (forward, backward) = (OneThread::new(), OneThread::new());
    let stage = Linear { weight, bias, relu, forward, backward };
    supported.then(|| (Box::new(stage) as Box<dyn Stage>, 1 + usize::from(relu)))
}

impl Linear {
    fn output(&self, [xs, weight, bias]: [&Tensor; 3]) -> Tensor {
        let mut output = xs.linear(weight, Some(bias));
        if self.relu { output.relu_() } else { output }
    }
}

impl Stage for Linear {
    fn forward(&self, model: &Model, xs: &Tensor, _needs_grad: bool) -> (Tensor, Saved) {
        let [weight, bias] = [self.weight, self.bias].map(|i| &model.parameters()[i]);
        let inputs = [xs, weight, bias];
        let found = self.forward.find(inputs, &[()], |inputs, ()| vec![self.output(inputs)]);
        let output = one_thread::run(found, (), |()| self.output(inputs));
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
        let inputs = [&grad, input, &model.parameters()[self.weight]];
        let rows = grad.size()[1];
        let half = (rows as usize / 2).max(1).next_multiple_of(ROWS) as i64;
        let found = self.backward.find(inputs, &[rows, half], |inputs, rows| {
            let weight = inputs[2].empty_like();
            let bias = weight.new_empty(weight.size()[0], (weight.kind(), weight.device()));
            let grad_input = write_gradients(inputs, [&weight, &bias], rows, needs_grad);
            [weight, bias].into_iter().chain(grad_input).collect()
        });
        let to = [self.weight, self.bias].map(|i| gradients.views()[i].detach());
        one_thread::run(found, rows, |rows| {
            write_gradients(inputs, to.each_ref(), rows, needs_grad)
        })
    }
}

/// Writes the gradients w.r.t. weight and bias, the former `rows` rows at a time; returns `grad_input` if it is needed.
fn write_gradients(
    [grad, input, weight]: [&Tensor; 3],
    [grad_weight, grad_bias]: [&Tensor; 2],
    rows: i64,
    needs_grad: bool,
) -> Option<Tensor> {
    if rows == grad.size()[1] {
        let _ = grad.tr().mm_out(grad_weight, input);
    } else {
        for (grad, to) in grad.split(rows, 1).iter().zip(grad_weight.split(rows, 0)) {
            let _ = grad.tr().mm_out(&to, input);
        }
    }
    let _ = grad.sum_intlist_out(grad_bias, 0, false, grad.kind());
    needs_grad.then(|| grad.mm(weight))
}
