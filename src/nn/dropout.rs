//! `torch.nn.Dropout` and `F.dropout`.

use std::borrow::Borrow;

#[cfg(feature = "libtorch")]
use tch::Tensor;

use super::{Layer, Module, OnnxNodes, Operation, Scope, ScriptLines, ShapeError, Value};

/// `nn.Dropout(p=0.5)`: in training mode, sets each element to 0 with probability p and multiplies
/// the others by 1 / (1 - p).
///
/// ```
/// # use stitch::nn::{Dropout, Model};
/// # use tch::{Device, Kind, Tensor};
/// let model = Model::new("Net", &[8], Kind::Float, |vs| Dropout::new(vs, 0.5))?;
/// let xs = Tensor::ones([4, 8], (Kind::Float, Device::Cpu));
/// assert_eq!(model.forward(&xs, false), xs); // model.eval()
/// let ys = model.forward(&xs, true); // model.train()
/// assert!(Vec::<f32>::try_from(ys.flatten(0, -1)).unwrap().iter().all(|&y| y == 0.0 || y == 2.0));
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
#[derive(Debug)]
pub struct Dropout {
    layer: Layer,
    operation: DropoutOp,
}

impl Dropout {
    /// `nn.Dropout(p)`; p is a probability from 0 to 1.
    pub fn new(vs: impl Borrow<Scope>, p: f64) -> Self {
        Self { layer: Layer::new(vs, "Dropout"), operation: DropoutOp::elements(p) }
    }
}

impl Module for Dropout {
    fn forward(&self, x: Value) -> Value {
        self.layer.apply(self.operation, &[&x])
    }
}

/// `F.dropout(x, p, training=self.training)`; p is a probability from 0 to 1.
///
/// ```
/// # use stitch::nn::{Graph, dropout};
/// let graph = Graph::trace_function(&[8], |x| dropout(x, 0.5))?;
/// assert_eq!(graph.output(), [8]);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
pub fn dropout(x: Value, p: f64) -> Value {
    x.apply(DropoutOp::elements(p), &[])
}

/// `torch.dropout(input, p, train)`, or `torch.feature_dropout` for whole channels. libtorch draws the mask
/// from its global generator, so the mask equals PyTorch's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DropoutOp {
    p: f64,
    channels: bool,
}

impl DropoutOp {
    /// Whether it drops single elements, and not whole channels.
    pub fn drops_elements(&self) -> bool {
        !self.channels
    }

    pub fn elements(p: f64) -> Self {
        Self { p, channels: false }
    }

    pub fn channels(p: f64) -> Self {
        Self { p, channels: true }
    }
}

impl Operation for DropoutOp {
    fn name(&self) -> &'static str {
        if self.channels { "dropout2d" } else { "dropout" }
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        match self.p {
            0.0..=1.0 => Ok(inputs[0].to_vec()),
            p => Err(ShapeError::Argument {
                name: "p",
                found: p.to_string(),
                expected: "a probability from 0 to 1",
            }),
        }
    }

    #[cfg(feature = "libtorch")]
    fn forward(&self, inputs: &[&Tensor], train: bool) -> Tensor {
        match self.channels {
            true => inputs[0].feature_dropout(self.p, train),
            false => inputs[0].dropout(self.p, train),
        }
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        let (input, training) = (lines.input(0), lines.training());
        let function = if self.channels { "feature_dropout" } else { "dropout" };
        lines.assign(&format!("torch.{function}({input}, {:?}, {training})", self.p));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        nodes.pass_through();
    }
}
