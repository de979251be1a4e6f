//! `torch.nn.MaxPool2d` and `F.max_pool2d`.

use std::borrow::Borrow;

use tch::Tensor;

use super::avg_pool2d::{onnx_window, pooled_shape};
use super::{IntoPair, Layer, Module, OnnxNodes, Operation, Scope, ScriptLines, Value};

/// The arguments of [`MaxPool2d`] that have defaults; pairs are rows, columns.
#[derive(Debug, Clone, Copy)]
pub struct MaxPool2dConfig {
    /// Distance of neighbouring windows; `None`: that of `kernel_size`.
    pub stride: Option<[i64; 2]>,
    /// Minus infinities on both sides.
    pub padding: [i64; 2],
    /// Distance of neighbouring elements of a window.
    pub dilation: [i64; 2],
    /// Whether a last window may reach beyond the input.
    pub ceil_mode: bool,
}

impl Default for MaxPool2dConfig {
    fn default() -> Self {
        Self { stride: None, padding: [0, 0], dilation: [1, 1], ceil_mode: false }
    }
}

/// `nn.MaxPool2d(kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False)`: (N, C, H, W) to
/// (N, C, H', W').
///
/// ```
/// # use stitch::nn::{Graph, MaxPool2d, MaxPool2dConfig};
/// let graph = Graph::trace(&[6, 29, 29], |vs| MaxPool2d::new(vs, 2, MaxPool2dConfig { ceil_mode: true, ..Default::default() }))?;
/// assert_eq!(graph.output(), [6, 15, 15]);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
#[derive(Debug)]
pub struct MaxPool2d {
    layer: Layer,
    kernel_size: [i64; 2],
    config: MaxPool2dConfig,
}

impl MaxPool2d {
    /// Defines the layer.
    pub fn new(
        vs: impl Borrow<Scope>,
        kernel_size: impl IntoPair,
        config: MaxPool2dConfig,
    ) -> Self {
        let layer = Layer::new(vs, "MaxPool2d");
        Self { layer, kernel_size: kernel_size.into_pair(), config }
    }
}

impl Module for MaxPool2d {
    fn forward(&self, x: Value) -> Value {
        self.layer.apply(MaxPool2dOp { kernel_size: self.kernel_size, config: self.config }, &[&x])
    }
}

/// `F.max_pool2d(x, kernel_size)`.
///
/// ```
/// # use stitch::nn::{Graph, Module, Value, max_pool2d};
/// struct Net;
///
/// impl Module for Net {
///     fn forward(&self, x: Value) -> Value {
///         max_pool2d(x, 2)
///     }
/// }
/// let graph = Graph::trace(&[6, 28, 28], |_| Net)?;
/// assert_eq!(graph.output(), [6, 14, 14]);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
pub fn max_pool2d(x: Value, kernel_size: impl IntoPair) -> Value {
    let (kernel_size, config) = (kernel_size.into_pair(), MaxPool2dConfig::default());
    x.apply(MaxPool2dOp { kernel_size, config }, &[])
}

/// `torch.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)`.
#[derive(Debug)]
pub(crate) struct MaxPool2dOp {
    kernel_size: [i64; 2],
    config: MaxPool2dConfig,
}

impl MaxPool2dOp {
    fn stride(&self) -> [i64; 2] {
        self.config.stride.unwrap_or(self.kernel_size)
    }
}

impl Operation for MaxPool2dOp {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, String> {
        let MaxPool2dConfig { padding, dilation, ceil_mode, .. } = self.config;
        pooled_shape(inputs[0], self.kernel_size, self.stride(), padding, dilation, ceil_mode)
    }

    fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
        let MaxPool2dConfig { padding, dilation, ceil_mode, .. } = self.config;
        inputs[0].max_pool2d(self.kernel_size, self.stride(), padding, dilation, ceil_mode)
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        let MaxPool2dConfig { padding, dilation, ceil_mode, .. } = self.config;
        lines.assign(&format!(
            "torch.max_pool2d({}, {:?}, {:?}, {padding:?}, {dilation:?}, {})",
            lines.input(0),
            self.kernel_size,
            self.stride(),
            ScriptLines::bool(ceil_mode)
        ));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        let MaxPool2dConfig { padding, dilation, ceil_mode, .. } = self.config;
        let (kernel_size, stride) = (self.kernel_size, self.stride());
        let (pads, ceil_mode) =
            onnx_window(nodes, kernel_size, stride, padding, dilation, ceil_mode);
        nodes.emit(
            "MaxPool",
            &nodes.inputs(),
            &[
                ("kernel_shape", kernel_size.to_vec().into()),
                ("strides", stride.to_vec().into()),
                ("pads", pads.into()),
                ("dilations", dilation.to_vec().into()),
                ("ceil_mode", i64::from(ceil_mode).into()),
            ],
        );
    }
}
