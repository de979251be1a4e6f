//! The networks that the engine supports, as read from their graphs.

use tch::Kind;

use super::shape::Planes;
use crate::dataset::SIDE;
use crate::engine::chain::{BatchNorm, Chain, Pool};
use crate::nn::{Conv2dConfig, Conv2dOp, DropoutOp, Graph, LinearOp, ReluOp};

/// Convolutions, each with ReLU and pooling, then linear layers, the last of which returns the logits.
#[derive(Debug, Clone)]
pub struct Network {
    pub convolutions: Vec<Convolution>,
    pub linears: Vec<Linear>,
}

/// A square convolution with stride 1, optional batch normalization, ReLU, and pooling over windows of 2x2.
#[derive(Debug, Clone)]
pub struct Convolution {
    pub kernel_size: usize,
    /// The input; its margin is the padding.
    pub input: Planes,
    /// The output of the convolution, without a margin.
    pub output: Planes,
    /// The output of the pooling, which is the input of the next layer.
    pub pooled: Planes,
    /// The indices of weight and bias.
    pub parameters: [usize; 2],
    /// With a momentum.
    pub batch_norm: Option<BatchNorm>,
    pub pool: Pool,
}

/// A linear layer, optionally followed by ReLU and dropout.
#[derive(Debug, Clone)]
pub struct Linear {
    pub inputs: usize,
    pub outputs: usize,
    /// The indices of weight and bias.
    pub parameters: [usize; 2],
    pub relu: bool,
    pub dropout: Option<DropoutOp>,
}

/// Whether the kernels can divide a number of channels into tiles.
fn has_tiles(channels: usize) -> bool {
    channels.is_multiple_of(4) || channels.is_multiple_of(3)
}

impl Network {
    /// Reads a network from its graph; `None` if the engine does not support it.
    pub fn new(graph: &Graph, kind: Kind) -> Option<Self> {
        let chain = Chain::new(graph, kind, 0);
        let side = SIDE as i64;
        if kind != Kind::Float || chain.input_shape(0) != [-1, 1, side, side] {
            return None;
        }
        let mut next = 0;
        let mut convolutions = Vec::new();
        while chain.operation::<Conv2dOp>(next).is_some() {
            convolutions.push(Convolution::read(&chain, &mut next)?);
        }
        let inputs = convolutions.last()?.pooled.len();
        if !chain.is_reshape(next) || chain.input_shape(next + 1) != [-1, inputs as i64] {
            return None;
        }
        next += 1;
        let mut linears = vec![Linear::read(&chain, &mut next)?];
        while !chain.ends_after(next) {
            linears.push(Linear::read(&chain, &mut next)?);
        }
        let network = Self { convolutions, linears };
        let last = network.linears.last()?;
        let returns_logits = !last.relu && last.dropout.is_none();
        (returns_logits && network.reads_each_parameter_once(graph)).then_some(network)
    }

    fn reads_each_parameter_once(&self, graph: &Graph) -> bool {
        let mut read: Vec<usize> = self.linears.iter().flat_map(|it| it.parameters).collect();
        for convolution in &self.convolutions {
            read.extend(convolution.parameters);
            read.extend(convolution.batch_norm.iter().flat_map(|it| it.parameters));
        }
        read.sort_unstable();
        read.into_iter().eq(0..graph.parameters().len())
    }
}

impl Convolution {
    /// Reads the operations from number `next` on, and sets `next` to the number after them.
    fn read(chain: &Chain, next: &mut usize) -> Option<Self> {
        let Conv2dConfig { stride, padding, dilation, groups, .. } =
            chain.operation::<Conv2dOp>(*next)?.0;
        let [filters, channels, kernel_size, columns] = sizes(chain.parameter_shape(*next, 1)?)?;
        let parameters = [chain.parameter(*next, 1)?, chain.parameter(*next, 2)?];
        let margin = padding[0] as usize;
        let is_supported = (stride, dilation, groups) == ([1, 1], [1, 1], 1)
            && padding[0] == padding[1]
            && margin < kernel_size
            && kernel_size == columns
            && matches!(kernel_size, 3 | 5)
            && has_tiles(filters)
            && (*next == 0 || has_tiles(channels));
        let input = planes(chain.input_shape(*next), margin)?;
        let output = planes(chain.input_shape(*next + 1), 0)?;
        *next += 1;
        // Without momentum, the running statistics are means over all batches, which is not supported.
        let batch_norm = chain.batch_norm2d(*next).filter(|it| it.config.momentum.is_some());
        *next += usize::from(batch_norm.is_some());
        chain.operation::<ReluOp>(*next)?;
        let pool = chain.pool2d(*next + 1)?;
        *next += 2;
        let margin = chain.operation::<Conv2dOp>(*next).map_or(0, |it| it.0.padding[0] as usize);
        let pooled = planes(chain.input_shape(*next), margin)?;
        let layer = Self { kernel_size, input, output, pooled, parameters, batch_norm, pool };
        is_supported.then_some(layer)
    }

    /// The shape of the gradient w.r.t. the output of convolution `i`: except for the first one, with the padding that
    /// makes the gradient w.r.t. the input a convolution of it.
    pub fn grad_output(&self, i: usize) -> Planes {
        let padding = self.kernel_size - 1 - self.input.margin;
        self.output.with_margin(if i > 0 { padding } else { 0 })
    }

    /// The number of elements of a filter.
    pub fn filter(&self) -> usize {
        self.input.channels * self.kernel_size * self.kernel_size
    }
}

impl Linear {
    fn read(chain: &Chain, next: &mut usize) -> Option<Self> {
        chain.operation::<LinearOp>(*next)?;
        let [outputs, inputs] = sizes(chain.parameter_shape(*next, 1)?)?;
        let parameters = [chain.parameter(*next, 1)?, chain.parameter(*next, 2)?];
        *next += 1;
        let relu = chain.operation::<ReluOp>(*next).is_some();
        *next += usize::from(relu);
        let dropout = chain.operation::<DropoutOp>(*next).copied();
        *next += usize::from(dropout.is_some());
        let drops_elements = dropout.is_none_or(|it| it.drops_elements());
        drops_elements.then_some(Self { inputs, outputs, parameters, relu, dropout })
    }
}

/// A shape without -1.
fn sizes<const N: usize>(shape: &[i64]) -> Option<[usize; N]> {
    let shape: [i64; N] = shape.try_into().ok()?;
    Some(shape.map(|size| size as usize))
}

/// The shape of an activation (-1, channels, height, width).
fn planes(shape: &[i64], margin: usize) -> Option<Planes> {
    let [channels, height, width] = sizes(shape.get(1..)?)?;
    Some(Planes { channels, height, width, margin })
}
