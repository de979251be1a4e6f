//! Divides a network's graph into stages that are computed independently.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use super::stages::{self, BackwardPass, Matcher, Saved, Stage};
use crate::engine::chain::Chain;
use crate::nn::{FlatParameters, Graph, Model, Operand};

/// The stages of a network, in the order of its forward pass. Each reads only the output of the previous one.
#[derive(Debug)]
pub struct Plan {
    stages: Vec<Box<dyn Stage>>,
    /// Index of the first stage with parameters, at which the backward pass ends.
    first: usize,
    /// Parameters that no operation reads.
    unread: Vec<usize>,
}

impl Plan {
    /// Divides a graph into stages, for tensors of this element type on this device. These kernels are used on the CPU only.
    pub fn new(graph: &Graph, (kind, device): (Kind, Device), kernels: &[Matcher]) -> Self {
        let end = graph.nodes().len();
        let mut stages: Vec<Box<dyn Stage>> = Vec::new();
        let kernels_apply = device == Device::Cpu && !shares_parameters(graph);
        let (mut next, mut pending) = (0, 0);
        while next < end {
            let chain = Chain::new(graph, kind, next);
            let usable = kernels_apply && is_boundary(graph, next);
            let found = kernels.iter().filter(|_| usable).find_map(|matches| matches(&chain));
            let found = found.filter(|(_, count)| is_boundary(graph, next + count));
            let Some((stage, count)) = found else {
                next += 1;
                continue;
            };
            push_autograd(&mut stages, graph, pending..next);
            stages.push(stage);
            next += count;
            pending = next;
        }
        push_autograd(&mut stages, graph, pending..end);
        let first = stages.iter().position(|stage| stage.has_parameters()).unwrap_or(stages.len());
        let parameters = 0..graph.parameters().len();
        let is_unread = |&i: &usize| graph.readers(Operand::Parameter(i)).next().is_none();
        Self { stages, first, unread: parameters.filter(is_unread).collect() }
    }

    /// The output of the network in training mode, and the tensors that the backward pass needs, per stage.
    pub fn forward(&self, model: &Model, xs: &Tensor) -> (Tensor, Vec<Saved>) {
        let mut saved = Vec::with_capacity(self.stages.len());
        let mut value = xs.shallow_clone();
        for (i, stage) in self.stages.iter().enumerate() {
            let (output, tensors) = stage.forward(model, &value, i > self.first);
            saved.push(tensors);
            value = output;
        }
        (value, saved)
    }

    /// The output of the network in evaluation mode.
    pub fn evaluate(&self, model: &Model, xs: &Tensor) -> Tensor {
        self.stages.iter().fold(xs.shallow_clone(), |xs, stage| stage.evaluate(model, &xs))
    }

    /// Writes the gradients w.r.t. all parameters, given `grad_output`, and returns the indices of those that the output does
    /// not depend on. Consumes the tensors that the forward pass saved.
    pub fn backward(
        &self,
        model: &Model,
        saved: &mut Vec<Saved>,
        grad_output: Tensor,
        gradients: &FlatParameters,
    ) -> Vec<usize> {
        let mut grad = grad_output;
        let mut skipped = self.unread.clone();
        for (i, stage) in self.stages.iter().enumerate().rev() {
            let pass = BackwardPass {
                model,
                saved: saved.pop().unwrap_or_default(),
                grad_output: &grad,
                gradients,
                needs_grad: i > self.first,
                skipped: &mut skipped,
            };
            match stage.backward(pass) {
                Some(grad_input) => grad = grad_input,
                None => break,
            }
        }
        skipped
    }
}

/// Adds a stage for operations that no kernel supports.
fn push_autograd(stages: &mut Vec<Box<dyn Stage>>, graph: &Graph, range: Range<usize>) {
    if !range.is_empty() {
        stages.push(Box::new(stages::autograd::Autograd::new(graph, range)));
    }
}

/// Whether a stage can end before node `index`: later nodes read no earlier value except the output of node `index - 1`,
/// and the network returns no earlier value. At the end of the graph, the network must return the output of the last
/// node.
fn is_boundary(graph: &Graph, index: usize) -> bool {
    let is_hidden = |operand: Operand| match operand {
        Operand::Input => index > 0,
        Operand::Node(i) => i + 1 < index,
        Operand::Parameter(_) | Operand::Buffer(_) => false,
    };
    let mut read_later = graph.nodes()[index..].iter().flat_map(|node| &node.inputs);
    let returns_earlier = match graph.result() {
        Operand::Node(i) if index < graph.nodes().len() => i < index,
        result => is_hidden(result),
    };
    !returns_earlier && !read_later.any(|&operand| is_hidden(operand))
}

/// Whether two operations read the same parameter. Their gradients must then be added in autograd's order.
fn shares_parameters(graph: &Graph) -> bool {
    (0..graph.parameters().len()).any(|i| graph.readers(Operand::Parameter(i)).count() > 1)
}
