//! `torch.nn.Dropout2d` and `F.dropout2d`.

use std::borrow::Borrow;

use super::dropout::DropoutOp;
use super::{Layer, Module, Scope, Value};

/// `nn.Dropout2d(p=0.5)`: like [`super::Dropout`], but drops whole channels of (N, C, H, W).
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
    operation: DropoutOp,
}

impl Dropout2d {
    /// `nn.Dropout2d(p)`; p is a probability from 0 to 1.
    pub fn new(vs: impl Borrow<Scope>, p: f64) -> Self {
        Self { layer: Layer::new(vs, "Dropout2d"), operation: DropoutOp::channels(p) }
    }
}

impl Module for Dropout2d {
    fn forward(&self, x: Value) -> Value {
        self.layer.apply(self.operation, &[&x])
    }
}

/// `F.dropout2d(x, p, training=self.training)`; p is a probability from 0 to 1.
///
/// ```
/// # use stitch::nn::{Graph, dropout2d};
/// let graph = Graph::trace_function(&[8, 2, 2], |x| dropout2d(x, 0.5))?;
/// assert_eq!(graph.output(), [8, 2, 2]);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
pub fn dropout2d(x: Value, p: f64) -> Value {
    x.apply(DropoutOp::channels(p), &[])
}
