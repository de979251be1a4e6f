//! `torch.nn.ReLU` and `F.relu`.

use std::borrow::Borrow;

#[cfg(feature = "libtorch")]
use tch::Tensor;

use super::{Layer, Module, OnnxNodes, Operation, Scope, ScriptLines, ShapeError, Value};

/// `nn.ReLU()`: max(x, 0), element-wise.
///
/// ```
/// # use stitch::nn::{Graph, ReLU};
/// let graph = Graph::trace(&[6, 28, 28], |vs| ReLU::new(vs))?;
/// assert_eq!(graph.output(), [6, 28, 28]);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
#[derive(Debug)]
pub struct ReLU(Layer);

impl ReLU {
    /// Defines the layer.
    pub fn new(vs: impl Borrow<Scope>) -> Self {
        Self(Layer::new(vs, "ReLU"))
    }
}

impl Module for ReLU {
    fn forward(&self, x: Value) -> Value {
        self.0.apply(ReluOp, &[&x])
    }
}

/// `F.relu(x)`.
///
/// ```
/// # use stitch::nn::{Graph, relu};
/// let graph = Graph::trace_function(&[6, 28, 28], relu)?;
/// assert_eq!(graph.output(), [6, 28, 28]);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
pub fn relu(x: Value) -> Value {
    x.apply(ReluOp, &[])
}

/// `torch.relu(input)`.
#[derive(Debug)]
pub(crate) struct ReluOp;

impl Operation for ReluOp {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        Ok(inputs[0].to_vec())
    }

    #[cfg(feature = "libtorch")]
    fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
        inputs[0].relu()
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        lines.assign(&format!("torch.relu({})", lines.input(0)));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        nodes.emit("Relu", &nodes.inputs(), &[]);
    }
}
