//! Operations that no kernel supports: they run in libtorch under autograd.

use std::ops::Range;

use tch::Tensor;

use super::{BackwardPass, Saved, Stage};
use crate::engine::gradient;
use crate::libtorch::{backward, clear_grad};
use crate::nn::{ForwardFailed, Graph, Model, Operand};

/// A range of nodes of the graph, computed under autograd.
#[derive(Debug)]
pub struct Autograd {
    nodes: Range<usize>,
    /// Indices of the parameters that the nodes read.
    parameters: Vec<usize>,
}

impl Autograd {
    pub fn new(graph: &Graph, nodes: Range<usize>) -> Self {
        let read = graph.nodes()[nodes.clone()].iter().flat_map(|node| &node.inputs);
        let index = |operand: &Operand| match operand {
            Operand::Parameter(i) => Some(*i),
            _ => None,
        };
        let mut parameters: Vec<usize> = read.filter_map(index).collect();
        parameters.sort_unstable();
        parameters.dedup();
        Self { nodes, parameters }
    }

    fn compute(&self, model: &Model, xs: &Tensor, train: bool) -> Tensor {
        let state = (model.parameters(), model.buffers());
        model.graph().compute(self.nodes.clone(), xs, state, train)
    }
}

impl Stage for Autograd {
    fn has_parameters(&self) -> bool {
        !self.parameters.is_empty()
    }

    fn forward(&self, model: &Model, xs: &Tensor, needs_grad: bool) -> (Tensor, Saved) {
        let input = xs.detach().set_requires_grad(needs_grad);
        let output = tch::with_grad(|| self.compute(model, &input, true));
        (output.detach(), vec![input, output])
    }

    fn evaluate(&self, model: &Model, xs: &Tensor) -> Tensor {
        self.compute(model, xs, false)
    }

    fn backward(&self, pass: BackwardPass) -> Option<Tensor> {
        let BackwardPass { model, saved, grad_output, gradients, needs_grad, skipped } = pass;
        let [input, output] = &saved[..] else { return None };
        let parameters = || self.parameters.iter().map(|&i| (i, &model.parameters()[i]));
        let trained = parameters().map(|(_, it)| it).filter(|it| it.requires_grad());
        let leaves: Vec<&Tensor> = trained.chain(needs_grad.then_some(input)).collect();
        if !leaves.is_empty() {
            let result = backward(output, grad_output, &leaves);
            result.unwrap_or_else(|error| ForwardFailed::from(error).raise());
        }
        for (i, parameter) in parameters() {
            match gradient(model, i) {
                Some(gradient) => {
                    gradients.views()[i].detach().copy_(&gradient);
                    clear_grad(parameter);
                }
                None => skipped.push(i),
            }
        }
        needs_grad.then(|| input.grad())
    }
}
