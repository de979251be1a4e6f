//! `Linear`, optionally followed by ReLU: the operations that autograd would call, without autograd.

use tch::Tensor;

use super::{BackwardPass, Saved, Stage};
use crate::engine::chain::Chain;
use crate::engine::exact::kernels::one_thread::{self, Probe};
use crate::nn::{LinearOp, Model, ReluOp};

/// MKL gives the first of two threads a multiple of this many rows of `grad_weight`, and the second the rest (observed on an AMD CPU).
const ROWS_MULTIPLE: usize = 8;

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
        static PROBE: Probe<()> = Probe::new();
        let [weight, bias] = [self.weight, self.bias].map(|i| &model.parameters()[i]);
        let linear = |[xs, weight, bias]: [&Tensor; 3]| [xs.linear(weight, Some(bias))];
        let [mut output] = PROBE.compute([xs, weight, bias], linear);
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
        let weight = &model.parameters()[self.weight];
        let to = [self.weight, self.bias].map(|i| gradients.views()[i].detach());
        let (inputs, to) = ([&grad, input, weight], to.each_ref());
        let rows = rows_on_one_thread(inputs);
        one_thread::run(rows, weight.size()[0], |rows| {
            write_gradients(inputs, to, rows, needs_grad)
        })
    }
}

/// The number of rows of `grad_weight` that one thread computes at a time if [`write_gradients`] runs on one thread, see
/// [`Probe::find`].
fn rows_on_one_thread(inputs: [&Tensor; 3]) -> Option<i64> {
    static PROBE: Probe<i64> = Probe::new();
    let out_features = inputs[2].size()[0];
    let half = (out_features as usize).div_ceil(2).next_multiple_of(ROWS_MULTIPLE) as i64;
    let variants = (out_features, &[out_features, half][..]);
    PROBE.find(inputs, variants, |inputs, rows| {
        let [_, _, weight] = inputs;
        let grad_weight = weight.empty_like();
        let grad_bias = weight.new_empty(out_features, (weight.kind(), weight.device()));
        let grad_input = write_gradients(inputs, [&grad_weight, &grad_bias], rows, true);
        [grad_weight, grad_bias].into_iter().chain(grad_input).collect()
    })
}

/// Writes the gradients w.r.t. weight and bias, `rows` rows of the former at a time; returns `grad_input` if it is needed.
fn write_gradients(
    [grad, input, weight]: [&Tensor; 3],
    [grad_weight, grad_bias]: [&Tensor; 2],
    rows: i64,
    needs_grad: bool,
) -> Option<Tensor> {
    if rows == grad.size()[1] {
        let _ = grad.tr().mm_out(grad_weight, input);
    } else {
        for (columns, grad_rows) in grad.split(rows, 1).iter().zip(grad_weight.split(rows, 0)) {
            let _ = columns.tr().mm_out(&grad_rows, input);
        }
    }
    let _ = grad.sum_intlist_out(grad_bias, 0, false, grad.kind());
    needs_grad.then(|| grad.mm(weight))
}
