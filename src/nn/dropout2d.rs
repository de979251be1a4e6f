//! `torch.nn.Dropout2d` and `F.dropout2d`.

use std::borrow::Borrow;

use tch::Tensor;

use super::{Layer, Module, OnnxNodes, Operation, Scope, ScriptLines, Value};

/// `nn.Dropout2d(p=0.5)`: as [`super::Dropout`], for whole channels of (N, C, H, W).
///
/// ```
/// # use stitch::nn::{Dropout2d, Model};
/// # use tch::{Device, Kind, Tensor};
/// let model = Model::new("Net", &[8, 2, 2], Kind::Float, |vs| Dropout2d::new(vs, 0.5))?;
/// let xs = Tensor::ones([4, 8, 2, 2], (Kind::Float, Device::Cpu));
/// assert_eq!(model.forward(&xs, false), xs); // model.eval()
/// let ys = model.forward(&xs, true); // model.train()
/// assert!(Vec::<f32>::try_from(ys.flatten(0, -1)).unwrap().iter().all(|&y| y == 0.0 || y == 2.0));
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
#[derive(Debug)]
pub struct Dropout2d {
    layer: Layer,
    p: f64,
}

impl Dropout2d {
    /// `nn.Dropout2d(p)`; p is from 0 to 1.
    pub fn new(vs: impl Borrow<Scope>, p: f64) -> Self {
        Self { layer: Layer::new(vs, "Dropout2d"), p }
    }
}

impl Module for Dropout2d {
    fn forward(&self, x: Value) -> Value {
        self.layer.apply(Dropout2dOp { p: self.p }, &[&x])
    }
}

/// `F.dropout2d(x, p, training=self.training)`; p is from 0 to 1.
///
/// ```
/// # use stitch::nn::{Graph, Module, Value, dropout2d};
/// struct Net;
///
/// impl Module for Net {
///     fn forward(&self, x: Value) -> Value {
///         dropout2d(x, 0.5)
///     }
/// }
/// let graph = Graph::trace(&[8, 2, 2], |_| Net)?;
/// assert_eq!(graph.output(), [8, 2, 2]);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
pub fn dropout2d(x: Value, p: f64) -> Value {
    x.apply(Dropout2dOp { p }, &[])
}

/// `torch.feature_dropout(input, p, train)`. The mask is drawn from libtorch's global generator by libtorch itself,
/// so that it is the same on every CPU on which PyTorch's is.
#[derive(Debug)]
pub(crate) struct Dropout2dOp {
    p: f64,
}

impl Operation for Dropout2dOp {
    fn name(&self) -> &'static str {
        "dropout2d"
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, String> {
        match self.p {
            0.0..=1.0 => Ok(inputs[0].to_vec()),
            p => Err(format!("p is {p}; a probability from 0 to 1 is expected")),
        }
    }

    fn forward(&self, inputs: &[&Tensor], train: bool) -> Tensor {
        inputs[0].feature_dropout(self.p, train)
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        let (input, training) = (lines.input(0), lines.training());
        lines.assign(&format!("torch.feature_dropout({input}, {:?}, {training})", self.p));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        nodes.pass_through();
    }
}
