//! `view` and `flatten`, which do not move elements.

use tch::Tensor;

use super::{BackwardPass, Saved, Stage};
use crate::engine::chain::Chain;
use crate::nn::Model;

/// The stage: reshapes a contiguous tensor.
#[derive(Debug)]
struct Reshape {
    shape: Vec<i64>,
}

/// Matches any `view` or `flatten`.
pub fn matches(chain: &Chain) -> Option<(Box<dyn Stage>, usize)> {
    let stage = Reshape { shape: chain.is_reshape(0).then(|| chain.input_shape(1).to_vec())? };
    Some((Box::new(stage), 1))
}

impl Stage for Reshape {
    fn has_parameters(&self) -> bool {
        false
    }

    fn forward(&self, _model: &Model, xs: &Tensor, _needs_grad: bool) -> (Tensor, Saved) {
        (xs.reshape(&self.shape[..]), vec![xs.shallow_clone()])
    }

    fn backward(&self, pass: BackwardPass) -> Option<Tensor> {
        let BackwardPass { saved, grad_output, needs_grad, .. } = pass;
        needs_grad.then(|| grad_output.reshape(&saved[0].size()[..]))
    }
}
