//! Patterns of operations that a kernel may support.

use tch::Kind;

use crate::nn::{
    AvgPool2dOp, Conv2dOp, FlattenOp, Graph, LinearOp, Operand, Operation, ReluOp, ViewOp,
};

/// The operations from a node on, of which each reads the output of the one before alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chain<'a> {
    graph: &'a Graph,
    kind: Kind,
    start: usize,
}

impl<'a> Chain<'a> {
    /// The operations from the node `start` on, for tensors of this kind.
    pub fn new(graph: &'a Graph, kind: Kind, start: usize) -> Self {
        Self { graph, kind, start }
    }

    /// Whether the chain begins with the input of the network, which needs no gradient.
    pub fn is_first(&self) -> bool {
        self.start == 0
    }

    /// Element type of the tensors.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The shape of what the operation of this number reads, from 0 on; -1 stands for the batch.
    pub fn input_shape(&self, number: usize) -> &[i64] {
        match self.start + number {
            0 => self.graph.shape_of(Operand::Input),
            at => &self.graph.nodes()[at - 1].shape,
        }
    }

    /// The operation of this number, if it is of this type, reads the output of the one before first, and
    /// nothing else does.
    pub fn operation<T: Operation>(&self, number: usize) -> Option<&T> {
        let at = self.start + number;
        let node = self.graph.nodes().get(at)?;
        let input = if at == 0 { Operand::Input } else { Operand::Node(at - 1) };
        let is_next = node.inputs.first() == Some(&input) && self.graph.readers(input).count() == 1;
        node.operation.downcast_ref().filter(|_| is_next && self.graph.result() != input)
    }

    /// The index of the parameter that the operation of this number reads at this place.
    pub fn parameter(&self, number: usize, input: usize) -> Option<usize> {
        match self.graph.nodes()[self.start + number].inputs.get(input)? {
            Operand::Parameter(i) => Some(*i),
            _ => None,
        }
    }

    /// The shape of that parameter.
    pub fn parameter_shape(&self, number: usize, input: usize) -> Option<&[i64]> {
        Some(&self.graph.parameters()[self.parameter(number, input)?].shape)
    }

    /// The indices of weight and bias, if three operations from this one on are a convolution of stride 1
    /// with this padding and a weight of this shape, ReLU, and average pooling over windows of 2x2.
    pub fn conv2d_relu_avg_pool2d(
        &self,
        number: usize,
        padding: usize,
        weight: [usize; 4],
    ) -> Option<[usize; 2]> {
        let config = self.operation::<Conv2dOp>(number)?.0;
        let pools = self.operation::<ReluOp>(number + 1).is_some()
            && self.operation::<AvgPool2dOp>(number + 2)?.is_plain(2);
        let supported = pools
            && self.parameter_shape(number, 1)? == weight.map(|size| size as i64)
            && (config.stride, config.dilation, config.groups) == ([1, 1], [1, 1], 1)
            && config.padding == [padding as i64; 2];
        let parameters = [self.parameter(number, 1)?, self.parameter(number, 2)?];
        supported.then_some(parameters)
    }

    /// The indices of weight and bias, if this operation is linear with a weight of this shape.
    pub fn linear(&self, number: usize, weight: [usize; 2]) -> Option<[usize; 2]> {
        self.operation::<LinearOp>(number)?;
        let fits = self.parameter_shape(number, 1)? == weight.map(|size| size as i64);
        let parameters = [self.parameter(number, 1)?, self.parameter(number, 2)?];
        fits.then_some(parameters)
    }

    /// Whether this operation only gives its input another shape.
    pub fn reshapes(&self, number: usize) -> bool {
        self.operation::<ViewOp>(number).is_some() || self.operation::<FlattenOp>(number).is_some()
    }

    /// Whether the network returns the output of the operation before this one.
    pub fn ends(&self, number: usize) -> bool {
        let before = (self.start + number).checked_sub(1).map_or(Operand::Input, Operand::Node);
        self.graph.result() == before && self.start + number == self.graph.nodes().len()
    }
}
