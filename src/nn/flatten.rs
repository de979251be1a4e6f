//! `torch.nn.Flatten` and `torch.flatten`.

use std::borrow::Borrow;

#[cfg(feature = "libtorch")]
use tch::Tensor;

use super::{Layer, Module, OnnxNodes, Operation, Scope, ScriptLines, ShapeError, Value};

/// `nn.Flatten(start_dim=1, end_dim=-1)`: (N, …) to (N, features).
///
/// ```
/// # use stitch::nn::{Flatten, Graph};
/// let graph = Graph::trace(&[16, 5, 5], |vs| Flatten::new(vs))?;
/// assert_eq!(graph.output(), [400]);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
#[derive(Debug)]
pub struct Flatten {
    layer: Layer,
    operation: FlattenOp,
}

impl Flatten {
    /// `nn.Flatten()`.
    pub fn new(vs: impl Borrow<Scope>) -> Self {
        Self::with(vs, 1, -1)
    }

    /// `nn.Flatten(start_dim, end_dim)`. `start_dim` must be at least 1, because dimension 0 is the batch.
    pub fn with(vs: impl Borrow<Scope>, start_dim: usize, end_dim: i64) -> Self {
        Self { layer: Layer::new(vs, "Flatten"), operation: FlattenOp { start_dim, end_dim } }
    }
}

impl Module for Flatten {
    fn forward(&self, x: Value) -> Value {
        self.layer.apply(self.operation, &[&x])
    }
}

/// `torch.flatten(x, start_dim)`. `start_dim` must be at least 1, because dimension 0 is the batch.
///
/// ```
/// # use stitch::nn::{Graph, flatten};
/// let graph = Graph::trace_function(&[16, 5, 5], |x| flatten(x, 1))?;
/// assert_eq!(graph.output(), [400]);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
pub fn flatten(x: Value, start_dim: usize) -> Value {
    x.apply(FlattenOp { start_dim, end_dim: -1 }, &[])
}

/// `torch.flatten(input, start_dim, end_dim)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlattenOp {
    start_dim: usize,
    end_dim: i64,
}

impl Operation for FlattenOp {
    fn name(&self) -> &'static str {
        "flatten"
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        let input = inputs[0];
        let dimensions = input.len() as i64;
        let end = if self.end_dim < 0 { self.end_dim + dimensions } else { self.end_dim };
        let start = self.start_dim;
        if start == 0 || end < start as i64 || end >= dimensions {
            let end_dim = self.end_dim;
            return Err(ShapeError::Input {
                input: input.to_vec(),
                problem: format!(
                    "start_dim {start} and end_dim {end_dim} must be dimensions of it other than 0, in order"
                ),
            });
        }
        let end = end as usize;
        let product = input[start..=end].iter().product();
        Ok([&input[..start], &[product], &input[end + 1..]].concat())
    }

    #[cfg(feature = "libtorch")]
    fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
        inputs[0].flatten(self.start_dim as i64, self.end_dim)
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        let Self { start_dim, end_dim } = self;
        lines.assign(&format!("torch.flatten({}, {start_dim}, {end_dim})", lines.input(0)));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        nodes.emit_reshape();
    }
}
