//! Divides a network's graph into stages, each computed by itself.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use super::stages::{self, BackwardPass, KERNELS, Saved, Stage};
use crate::engine::chain::Chain;
use crate::nn::{FlatParameters, Graph, Model, Operand};

/// The stages of a network, in the order of its forward pass. Each reads the output of the one before.
#[derive(Debug)]
pub struct Plan {
    stages: Vec<Box<dyn Stage>>,
    /// The first stage with parameters. The gradient goes no further back.
    first: usize,
}

impl Plan {
    /// Plans a graph for tensors of this kind on this device. The kernels are for the CPU.
    pub fn new(graph: &Graph, kind: Kind, device: Device) -> Self {
        let end = graph.nodes().len();
        let mut stages: Vec<Box<dyn Stage>> = Vec::new();
        let kernels_apply = device == Device::Cpu && !shares_parameters(graph);
        let (mut at, mut pending) = (0, 0);
        while at < end {
            let chain = Chain::new(graph, kind, at);
            let usable = kernels_apply && is_cut(graph, at);
            let found = KERNELS.iter().filter(|_| usable).find_map(|matches| matches(&chain));
            let found = found.filter(|(_, count)| is_cut(graph, at + count));
            let Some((stage, count)) = found else {
                at += 1;
                continue;
            };
            push_autograd(&mut stages, graph, pending..at);
            stages.push(stage);
            at += count;
            pending = at;
        }
        push_autograd(&mut stages, graph, pending..end);
        let first = stages.iter().position(|stage| stage.has_parameters()).unwrap_or(stages.len());
        Self { stages, first }
    }

    /// The output of the network in training mode, and what the backward pass needs.
    pub fn forward(&self, model: &Model, xs: &Tensor) -> (Tensor, Vec<Saved>) {
        let mut saved = Vec::with_capacity(self.stages.len());
        let mut value = xs.shallow_clone();
        for (i, stage) in self.stages.iter().enumerate() {
            let (output, kept) = stage.forward(model, &value, i > self.first);
            saved.push(kept);
            value = output;
        }
        (value, saved)
    }

    /// The output of the network in evaluation mode.
    pub fn evaluate(&self, model: &Model, xs: &Tensor) -> Tensor {
        self.stages.iter().fold(xs.shallow_clone(), |xs, stage| stage.evaluate(model, &xs))
    }

    /// Writes the gradients w.r.t. all parameters, given that w.r.t. the output. What the forward pass saved
    /// is used up.
    pub fn backward(
        &self,
        model: &Model,
        saved: &mut Vec<Saved>,
        grad_output: Tensor,
        gradients: &FlatParameters,
    ) {
        let mut grad = grad_output;
        for (i, stage) in self.stages.iter().enumerate().rev() {
            let pass = BackwardPass {
                model,
                saved: saved.pop().unwrap_or_default(),
                grad_output: &grad,
                gradients,
                needs_grad: i > self.first,
            };
            match stage.backward(pass) {
                Some(grad_input) => grad = grad_input,
                None => return,
            }
        }
    }
}

/// The operations that no kernel supports.
fn push_autograd(stages: &mut Vec<Box<dyn Stage>>, graph: &Graph, range: Range<usize>) {
    if !range.is_empty() {
        stages.push(Box::new(stages::autograd::Autograd::new(graph, range)));
    }
}

/// Whether the nodes from `at` on read nothing of those before it but the output of the last of them, and the
/// network returns nothing of those before it; at the end of the graph: the output of the last node.
fn is_cut(graph: &Graph, at: usize) -> bool {
    let before = |operand: Operand| match operand {
        Operand::Input => at > 0,
        Operand::Node(i) => i + 1 < at,
        Operand::Parameter(_) | Operand::Buffer(_) => false,
    };
    let mut later = graph.nodes()[at..].iter().flat_map(|node| &node.inputs);
    let returns_before = match graph.result() {
        Operand::Node(i) if at < graph.nodes().len() => i < at,
        result => before(result),
    };
    !returns_before && !later.any(|&operand| before(operand))
}

/// Whether two operations read one parameter. Their gradients must be added in autograd's order then.
fn shares_parameters(graph: &Graph) -> bool {
    (0..graph.parameters().len()).any(|i| graph.readers(Operand::Parameter(i)).count() > 1)
}
