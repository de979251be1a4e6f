//! Matches chains of operations with the patterns that kernels support.

use tch::Kind;

use crate::nn::{
    AvgPool2dOp, BatchNorm2dConfig, BatchNormOp, FlattenOp, Graph, MaxPool2dOp, Operand, Operation,
    ViewOp,
};

/// Pooling over windows of 2x2 without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pool {
    /// `max_pool2d(2)`.
    Max,
    /// `avg_pool2d(2)`.
    Average,
}

/// Batch normalization with weight, bias and running statistics.
#[derive(Debug, Clone)]
pub(super) struct BatchNorm {
    pub config: BatchNorm2dConfig,
    /// The indices of weight and bias.
    pub parameters: [usize; 2],
    /// The indices of `running_mean`, `running_var` and `num_batches_tracked`.
    pub buffers: [usize; 3],
}

/// A chain of operations from one node on, each of which reads the output of the previous one. Operations are numbered
/// from 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chain<'a> {
    graph: &'a Graph,
    kind: Kind,
    start: usize,
}

impl<'a> Chain<'a> {
    /// The chain that starts at node `start`, for tensors of this element type.
    pub fn new(graph: &'a Graph, kind: Kind, start: usize) -> Self {
        Self { graph, kind, start }
    }

    /// Whether the chain starts at the input of the network, which needs no gradient.
    pub fn is_first(&self) -> bool {
        self.start == 0
    }

    /// Element type of the tensors.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The shape of the input of operation `number`; -1 is the batch size.
    pub fn input_shape(&self, number: usize) -> &[i64] {
        match self.start + number {
            0 => self.graph.shape_of(Operand::Input),
            index => &self.graph.nodes()[index - 1].shape,
        }
    }

    /// Operation `number`, if it has type `T` and its first input is the output of the previous operation, which
    /// nothing else reads.
    pub fn operation<T: Operation>(&self, number: usize) -> Option<&T> {
        let index = self.start + number;
        let node = self.graph.nodes().get(index)?;
        let input = if index == 0 { Operand::Input } else { Operand::Node(index - 1) };
        let is_next = node.inputs.first() == Some(&input) && self.graph.readers(input).count() == 1;
        node.operation.downcast_ref().filter(|_| is_next && self.graph.result() != input)
    }

    /// The index of the parameter that is input `input` of operation `number`; `None` if that is not a parameter.
    pub fn parameter(&self, number: usize, input: usize) -> Option<usize> {
        match self.graph.nodes()[self.start + number].inputs.get(input)? {
            Operand::Parameter(i) => Some(*i),
            _ => None,
        }
    }

    /// The index of the buffer that is input `input` of operation `number`; `None` if that is not a buffer.
    pub fn buffer(&self, number: usize, input: usize) -> Option<usize> {
        match self.graph.nodes()[self.start + number].inputs.get(input)? {
            Operand::Buffer(i) => Some(*i),
            _ => None,
        }
    }

    /// The batch normalization, if operation `number` is one with weight, bias and running statistics.
    pub fn batch_norm2d(&self, number: usize) -> Option<BatchNorm> {
        let config = self.operation::<BatchNormOp>(number)?.config;
        if !config.affine || !config.track_running_stats {
            return None;
        }
        let parameters = [self.parameter(number, 1)?, self.parameter(number, 2)?];
        let buffers = [self.buffer(number, 3)?, self.buffer(number, 4)?, self.buffer(number, 5)?];
        Some(BatchNorm { config, parameters, buffers })
    }

    /// The pooling, if operation `number` is maximum or average pooling over windows of 2x2 without padding.
    pub fn pool2d(&self, number: usize) -> Option<Pool> {
        let max = self.operation::<MaxPool2dOp>(number).map(|it| (it.is_default(2), Pool::Max));
        let average =
            || Some((self.operation::<AvgPool2dOp>(number)?.is_default(2), Pool::Average));
        let (is_default, pool) = max.or_else(average)?;
        is_default.then_some(pool)
    }

    /// The shape of the parameter that is input `input` of operation `number`.
    pub fn parameter_shape(&self, number: usize, input: usize) -> Option<&[i64]> {
        Some(&self.graph.parameters()[self.parameter(number, input)?].shape)
    }

    /// Whether operation `number` only reshapes its input.
    pub fn is_reshape(&self, number: usize) -> bool {
        self.operation::<ViewOp>(number).is_some() || self.operation::<FlattenOp>(number).is_some()
    }

    /// Whether the network ends after `number` operations and returns the output of the last one.
    pub fn ends_after(&self, number: usize) -> bool {
        let last = (self.start + number).checked_sub(1).map_or(Operand::Input, Operand::Node);
        self.graph.result() == last && self.start + number == self.graph.nodes().len()
    }
}
