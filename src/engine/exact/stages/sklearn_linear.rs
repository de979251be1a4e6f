//! `Linear` of a scikit-learn model, optionally followed by ReLU, in float64: products whose bits are not libtorch's.

use tch::{Kind, Tensor};

use super::{BackwardPass, Saved, Stage};
use crate::engine::chain::Chain;
use crate::engine::exact::kernels::product::{Matrix, product};
use crate::libtorch::{filled, in_parts, values, values_mut};
use crate::nn::{LinearOp, Model, ReluOp};

/// Minimum number of elements per thread.
const GRAIN: usize = 1 << 12;

/// The stage: `Linear` with a bias on (N, in_features), optionally followed by ReLU.
#[derive(Debug)]
struct Linear {
    weight: usize,
    bias: usize,
    inputs: usize,
    outputs: usize,
    relu: bool,
}

/// Matches `Linear` with a bias on (N, in_features), float64.
pub fn matches(chain: &Chain) -> Option<(Box<dyn Stage>, usize)> {
    chain.operation::<LinearOp>(0)?;
    let [outputs, inputs] = *chain.parameter_shape(0, 1)? else { return None };
    let [outputs, inputs] = [outputs, inputs].map(|size| size as usize);
    let (weight, bias) = (chain.parameter(0, 1)?, chain.parameter(0, 2)?);
    let relu = chain.operation::<ReluOp>(1).is_some();
    let stage = Linear { weight, bias, inputs, outputs, relu };
    let supported =
        chain.kind() == Kind::Double && chain.input_shape(0).len() == 2 && inputs.min(outputs) > 0;
    supported.then(|| (Box::new(stage) as Box<dyn Stage>, 1 + usize::from(relu)))
}

impl Linear {
    /// The rows of an output, and how many a thread has at least.
    fn rows(&self, output: &[f64]) -> (usize, usize) {
        (output.len() / self.outputs, GRAIN.div_ceil(self.outputs))
    }
}

impl Stage for Linear {
    fn forward(&self, model: &Model, xs: &Tensor, _needs_grad: bool) -> (Tensor, Saved) {
        let [weight, bias] = [self.weight, self.bias].map(|i| values(&model.parameters()[i]));
        let xs = xs.contiguous();
        let (input, weight) =
            (Matrix::new(values(&xs), self.inputs), Matrix::new(weight, self.inputs));
        let output = filled(&[xs.size()[0], self.outputs as i64], |output: &mut [f64]| {
            product(input, weight.transpose(), output);
            in_parts(self.rows(output), [output], [&[(); 0]; 0], |[output], []| {
                for row in output.chunks_exact_mut(self.outputs) {
                    for (x, bias) in row.iter_mut().zip(bias) {
                        *x += bias;
                        // NaN stays NaN.
                        *x = if self.relu && *x < 0.0 { 0.0 } else { *x };
                    }
                }
            });
        });
        let saved = vec![xs, output.shallow_clone()];
        (output, saved)
    }

    fn backward(&self, pass: BackwardPass) -> Option<Tensor> {
        let BackwardPass { model, saved, grad_output, gradients, needs_grad, .. } = pass;
        let [input, output] = &saved[..] else { return None };
        let mut grad = grad_output.contiguous();
        if self.relu {
            let read = [values::<f64>(&grad), values(output)];
            grad = filled(&output.size(), |masked: &mut [f64]| {
                in_parts(self.rows(masked), [masked], read, |[masked], [grad, output]| {
                    for ((to, &grad), &x) in masked.iter_mut().zip(grad).zip(output) {
                        *to = if x <= 0.0 { 0.0 } else { grad };
                    }
                });
            });
        }
        let [mut grad_weight, mut grad_bias] =
            [self.weight, self.bias].map(|i| gradients.views()[i].detach());
        let [grad_weight, grad_bias] = [&mut grad_weight, &mut grad_bias].map(values_mut::<f64>);
        let rows = values::<f64>(&grad).chunks_exact(self.outputs);
        let grad = Matrix::new(values(&grad), self.outputs);
        product(grad.transpose(), Matrix::new(values(input), self.inputs), grad_weight);
        grad_bias.fill(0.0);
        for row in rows {
            grad_bias.iter_mut().zip(row).for_each(|(sum, grad)| *sum += grad);
        }
        needs_grad.then(|| {
            filled(&input.size(), |grad_input: &mut [f64]| {
                let weight = values(&model.parameters()[self.weight]);
                product(grad, Matrix::new(weight, self.inputs), grad_input);
            })
        })
    }
}
