//! `torch.nn.Tanh` and `F.tanh`.

use std::borrow::Borrow;

#[cfg(feature = "libtorch")]
use tch::Tensor;

use super::{Layer, Module, OnnxNodes, Operation, Scope, ScriptLines, ShapeError, Value};

/// `nn.Tanh()`: the hyperbolic tangent, element-wise.
///
/// ```
/// # use stitch::nn::{Graph, Tanh};
/// let graph = Graph::trace(&[6, 28, 28], |vs| Tanh::new(vs))?;
/// assert_eq!(graph.output(), [6, 28, 28]);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
#[derive(Debug)]
pub struct Tanh(Layer);

impl Tanh {
    /// Defines the layer.
    pub fn new(vs: impl Borrow<Scope>) -> Self {
        Self(Layer::new(vs, "Tanh"))
    }
}

impl Module for Tanh {
    fn forward(&self, x: Value) -> Value {
        self.0.apply(TanhOp, &[&x])
    }
}

/// `F.tanh(x)`.
///
/// ```
/// # use stitch::nn::{Graph, tanh};
/// let graph = Graph::trace_function(&[6, 28, 28], tanh)?;
/// assert_eq!(graph.output(), [6, 28, 28]);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
pub fn tanh(x: Value) -> Value {
    x.apply(TanhOp, &[])
}

/// `torch.tanh(input)`.
#[derive(Debug)]
pub(crate) struct TanhOp;

impl Operation for TanhOp {
    fn name(&self) -> &'static str {
        "tanh"
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        Ok(inputs[0].to_vec())
    }

    #[cfg(feature = "libtorch")]
    fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
        inputs[0].tanh()
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        lines.assign(&format!("torch.tanh({})", lines.input(0)));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        nodes.emit("Tanh", &nodes.inputs(), &[]);
    }
}
