//! `torch.nn.AvgPool2d` and `F.avg_pool2d`.

use std::borrow::Borrow;

#[cfg(feature = "libtorch")]
use tch::Tensor;
use torchscript_forward::shapes::Window;

use super::window;
use super::{IntoPair, Layer, Module, OnnxNodes, Operation, Scope, ScriptLines, ShapeError, Value};

/// The arguments of [`AvgPool2d`] that have defaults; pairs are rows, columns.
#[derive(Debug, Clone, Copy)]
pub struct AvgPool2dConfig {
    /// Distance from one window to the next; `None`: `kernel_size`.
    pub stride: Option<[i64; 2]>,
    /// Zeros added to the input on each side.
    pub padding: [i64; 2],
    /// Whether the last window may extend beyond the padded input.
    pub ceil_mode: bool,
    /// Whether the mean includes the zeros of the padding.
    pub count_include_pad: bool,
    /// The divisor of a window's sum; `None`: the window's size.
    pub divisor_override: Option<i64>,
}

impl Default for AvgPool2dConfig {
    fn default() -> Self {
        Self {
            stride: None,
            padding: [0, 0],
            ceil_mode: false,
            count_include_pad: true,
            divisor_override: None,
        }
    }
}

/// `nn.AvgPool2d(kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
/// divisor_override=None)`: (N, C, H, W) to (N, C, H', W').
///
/// ```
/// # use stitch::nn::{AvgPool2d, AvgPool2dConfig, Graph};
/// let graph = Graph::trace(&[6, 28, 28], |vs| AvgPool2d::new(vs, 2, AvgPool2dConfig::default()))?;
/// assert_eq!(graph.output(), [6, 14, 14]);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
#[derive(Debug)]
pub struct AvgPool2d {
    layer: Layer,
    operation: AvgPool2dOp,
}

impl AvgPool2d {
    /// Defines the layer.
    pub fn new(
        vs: impl Borrow<Scope>,
        kernel_size: impl IntoPair,
        config: AvgPool2dConfig,
    ) -> Self {
        let operation = AvgPool2dOp { kernel_size: kernel_size.into_pair(), config };
        Self { layer: Layer::new(vs, "AvgPool2d"), operation }
    }
}

impl Module for AvgPool2d {
    fn forward(&self, x: Value) -> Value {
        self.layer.apply(self.operation, &[&x])
    }
}

/// `F.avg_pool2d(x, kernel_size)`.
///
/// ```
/// # use stitch::nn::{Graph, avg_pool2d};
/// let graph = Graph::trace_function(&[6, 28, 28], |x| avg_pool2d(x, 2))?;
/// assert_eq!(graph.output(), [6, 14, 14]);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
pub fn avg_pool2d(x: Value, kernel_size: impl IntoPair) -> Value {
    let (kernel_size, config) = (kernel_size.into_pair(), AvgPool2dConfig::default());
    x.apply(AvgPool2dOp { kernel_size, config }, &[])
}

/// `torch.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AvgPool2dOp {
    pub kernel_size: [i64; 2],
    pub config: AvgPool2dConfig,
}

impl AvgPool2dOp {
    fn window(&self) -> Window {
        let Self { kernel_size, config: AvgPool2dConfig { stride, padding, ceil_mode, .. } } =
            *self;
        let stride = stride.unwrap_or(kernel_size);
        Window { kernel_size, stride, padding, dilation: [1, 1], ceil_mode }
    }

    /// Whether this is pooling with windows of `size` x `size`, stride `size` and defaults otherwise.
    pub(crate) fn is_default(&self, size: i64) -> bool {
        let Window { kernel_size, stride, padding, ceil_mode, .. } = self.window();
        [kernel_size, stride] == [[size; 2]; 2]
            && (padding, ceil_mode, self.config.divisor_override) == ([0, 0], false, None)
    }
}

impl Operation for AvgPool2dOp {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        if self.config.divisor_override == Some(0) {
            return Err(ShapeError::Argument {
                name: "divisor_override",
                found: "0".into(),
                expected: "another number, or None,",
            });
        }
        Ok(self.window().pooled(inputs[0])?)
    }

    #[cfg(feature = "libtorch")]
    fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
        let Window { kernel_size, stride, padding, ceil_mode, .. } = self.window();
        let AvgPool2dConfig { count_include_pad: include, divisor_override, .. } = self.config;
        // tch's avg_pool2d_default divides by 1 instead of by the size of the window.
        inputs[0].avg_pool2d(kernel_size, stride, padding, ceil_mode, include, divisor_override)
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        let Window { kernel_size, stride, padding, ceil_mode, .. } = self.window();
        let AvgPool2dConfig { count_include_pad, divisor_override, .. } = self.config;
        let divisor = divisor_override.map_or("None".into(), |divisor| divisor.to_string());
        let [ceil_mode, include] = [ceil_mode, count_include_pad].map(ScriptLines::bool);
        let input = lines.input(0);
        lines.assign(&format!(
            "torch.avg_pool2d({input}, {kernel_size:?}, {stride:?}, {padding:?}, {ceil_mode}, {include}, {divisor})"
        ));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        if self.config.divisor_override.is_some() {
            nodes.fail("avg_pool2d with divisor_override has no operator");
        }
        let window = self.window();
        let (pads, ceil_mode) = window::onnx_pads(&window, nodes);
        // PyTorch does not count elements beyond the padding; ONNX counts all pads if it counts any.
        let extends_padding = pads[2..] != window.padding;
        let count_include_pad = self.config.count_include_pad && window.padding != [0, 0];
        if count_include_pad && extends_padding {
            nodes.fail(
                "avg_pool2d with ceil_mode and count_include_pad has no operator where the last window \
                 extends beyond the padding in one dimension and is dropped in the other",
            );
        }
        let mut attributes = window::onnx(&window, pads);
        attributes.push(("ceil_mode", i64::from(ceil_mode).into()));
        attributes.push(("count_include_pad", i64::from(count_include_pad).into()));
        nodes.emit("AveragePool", &nodes.inputs(), &attributes);
    }
}
