//! `torch.nn.MaxPool2d` and `F.max_pool2d`.

use std::borrow::Borrow;

#[cfg(feature = "libtorch")]
use tch::Tensor;
use torchscript_forward::shapes::Window;

use super::window;
use super::{IntoPair, Layer, Module, OnnxNodes, Operation, Scope, ScriptLines, ShapeError, Value};

/// The arguments of [`MaxPool2d`] that have defaults; pairs are rows, columns.
#[derive(Debug, Clone, Copy)]
pub struct MaxPool2dConfig {
    /// Distance from one window to the next; `None`: `kernel_size`.
    pub stride: Option<[i64; 2]>,
    /// Elements of negative infinity added to the input on each side.
    pub padding: [i64; 2],
    /// Distance from one element of a window to the next.
    pub dilation: [i64; 2],
    /// Whether the last window may extend beyond the padded input.
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
    operation: MaxPool2dOp,
}

impl MaxPool2d {
    /// Defines the layer.
    pub fn new(
        vs: impl Borrow<Scope>,
        kernel_size: impl IntoPair,
        config: MaxPool2dConfig,
    ) -> Self {
        let operation = MaxPool2dOp { kernel_size: kernel_size.into_pair(), config };
        Self { layer: Layer::new(vs, "MaxPool2d"), operation }
    }
}

impl Module for MaxPool2d {
    fn forward(&self, x: Value) -> Value {
        self.layer.apply(self.operation, &[&x])
    }
}

/// `F.max_pool2d(x, kernel_size)`.
///
/// ```
/// # use stitch::nn::{Graph, max_pool2d};
/// let graph = Graph::trace_function(&[6, 28, 28], |x| max_pool2d(x, 2))?;
/// assert_eq!(graph.output(), [6, 14, 14]);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
pub fn max_pool2d(x: Value, kernel_size: impl IntoPair) -> Value {
    let (kernel_size, config) = (kernel_size.into_pair(), MaxPool2dConfig::default());
    x.apply(MaxPool2dOp { kernel_size, config }, &[])
}

/// `torch.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaxPool2dOp {
    pub kernel_size: [i64; 2],
    pub config: MaxPool2dConfig,
}

impl MaxPool2dOp {
    fn window(&self) -> Window {
        let Self { kernel_size, config: MaxPool2dConfig { stride, padding, dilation, ceil_mode } } =
            *self;
        let stride = stride.unwrap_or(kernel_size);
        Window { kernel_size, stride, padding, dilation, ceil_mode }
    }

    /// Whether this is pooling with windows of `size` x `size`, stride `size` and defaults otherwise.
    pub(crate) fn is_default(&self, size: i64) -> bool {
        let Window { kernel_size, stride, padding, dilation, ceil_mode } = self.window();
        let pairs = [kernel_size, stride, padding, dilation];
        pairs == [[size; 2], [size; 2], [0, 0], [1, 1]] && !ceil_mode
    }
}

impl Operation for MaxPool2dOp {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        Ok(self.window().pooled(inputs[0])?)
    }

    #[cfg(feature = "libtorch")]
    fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
        let Window { kernel_size, stride, padding, dilation, ceil_mode } = self.window();
        inputs[0].max_pool2d(kernel_size, stride, padding, dilation, ceil_mode)
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        let Window { kernel_size, stride, padding, dilation, ceil_mode } = self.window();
        let (input, ceil_mode) = (lines.input(0), ScriptLines::bool(ceil_mode));
        lines.assign(&format!(
            "torch.max_pool2d({input}, {kernel_size:?}, {stride:?}, {padding:?}, {dilation:?}, {ceil_mode})"
        ));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        let window = self.window();
        let (pads, ceil_mode) = window::onnx_pads(&window, nodes);
        let mut attributes = window::onnx(&window, pads);
        attributes.push(("dilations", window.dilation.to_vec().into()));
        attributes.push(("ceil_mode", i64::from(ceil_mode).into()));
        nodes.emit("MaxPool", &nodes.inputs(), &attributes);
    }
}
