//! `torch.nn.AvgPool2d` and `F.avg_pool2d`.

use std::borrow::Borrow;

use tch::Tensor;

use super::operation::{expect_dimensions, window_output};
use super::{IntoPair, Layer, Module, OnnxNodes, Operation, Scope, ScriptLines, Value};

/// The arguments of [`AvgPool2d`] that have defaults; pairs are rows, columns.
#[derive(Debug, Clone, Copy)]
pub struct AvgPool2dConfig {
    /// Distance of neighbouring windows; `None`: that of `kernel_size`.
    pub stride: Option<[i64; 2]>,
    /// Zeros on both sides.
    pub padding: [i64; 2],
    /// Whether a last window may reach beyond the input.
    pub ceil_mode: bool,
    /// Whether the zeros of the padding count in the mean.
    pub count_include_pad: bool,
    /// What the sum of a window is divided by; `None`: its size.
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
/// divisor_override=None)`:
/// (N, C, H, W) to (N, C, H', W').
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
    kernel_size: [i64; 2],
    config: AvgPool2dConfig,
}

impl AvgPool2d {
    /// Defines the layer.
    pub fn new(
        vs: impl Borrow<Scope>,
        kernel_size: impl IntoPair,
        config: AvgPool2dConfig,
    ) -> Self {
        let layer = Layer::new(vs, "AvgPool2d");
        Self { layer, kernel_size: kernel_size.into_pair(), config }
    }
}

impl Module for AvgPool2d {
    fn forward(&self, x: Value) -> Value {
        self.layer.apply(AvgPool2dOp { kernel_size: self.kernel_size, config: self.config }, &[&x])
    }
}

/// `F.avg_pool2d(x, kernel_size)`.
///
/// ```
/// # use stitch::nn::{Graph, Module, Value, avg_pool2d};
/// struct Net;
///
/// impl Module for Net {
///     fn forward(&self, x: Value) -> Value {
///         avg_pool2d(x, 2)
///     }
/// }
/// let graph = Graph::trace(&[6, 28, 28], |_| Net)?;
/// assert_eq!(graph.output(), [6, 14, 14]);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
pub fn avg_pool2d(x: Value, kernel_size: impl IntoPair) -> Value {
    let (kernel_size, config) = (kernel_size.into_pair(), AvgPool2dConfig::default());
    x.apply(AvgPool2dOp { kernel_size, config }, &[])
}

/// `torch.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)`.
#[derive(Debug)]
pub(crate) struct AvgPool2dOp {
    pub kernel_size: [i64; 2],
    pub config: AvgPool2dConfig,
}

impl AvgPool2dOp {
    pub(crate) fn stride(&self) -> [i64; 2] {
        self.config.stride.unwrap_or(self.kernel_size)
    }

    /// Whether the windows of this size neither overlap nor reach beyond the input.
    pub(crate) fn is_plain(&self, size: i64) -> bool {
        let AvgPool2dConfig { padding, ceil_mode, divisor_override, .. } = self.config;
        [self.kernel_size, self.stride()] == [[size; 2]; 2]
            && (padding, ceil_mode, divisor_override) == ([0, 0], false, None)
    }
}

impl Operation for AvgPool2dOp {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, String> {
        let AvgPool2dConfig { padding, ceil_mode, divisor_override, .. } = self.config;
        if divisor_override == Some(0) {
            return Err("divisor_override must not be 0".into());
        }
        pooled_shape(inputs[0], self.kernel_size, self.stride(), padding, [1, 1], ceil_mode)
    }

    fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
        let AvgPool2dConfig {
            padding,
            ceil_mode,
            count_include_pad: include,
            divisor_override,
            ..
        } = self.config;
        // (tch's avg_pool2d_default divides by 1 instead of by the size of the window.)
        let (kernel_size, stride) = (self.kernel_size, self.stride());
        inputs[0].avg_pool2d(kernel_size, stride, padding, ceil_mode, include, divisor_override)
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        let AvgPool2dConfig { padding, ceil_mode, count_include_pad, divisor_override, .. } =
            self.config;
        let divisor = divisor_override.map_or("None".into(), |divisor| divisor.to_string());
        let [ceil_mode, include] = [ceil_mode, count_include_pad].map(ScriptLines::bool);
        lines.assign(&format!(
            "torch.avg_pool2d({}, {:?}, {:?}, {padding:?}, {ceil_mode}, {include}, {divisor})",
            lines.input(0),
            self.kernel_size,
            self.stride()
        ));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        let AvgPool2dConfig { padding, ceil_mode, mut count_include_pad, .. } = self.config;
        if self.config.divisor_override.is_some() {
            nodes.refuse("avg_pool2d with divisor_override has no operator");
        }
        let (kernel_size, stride) = (self.kernel_size, self.stride());
        let (pads, ceil_mode) = onnx_window(nodes, kernel_size, stride, padding, [1, 1], ceil_mode);
        // What a window has beyond the padding's end is not counted; pads are, if the padding is.
        let reaches_beyond = pads[2..] != padding;
        if padding == [0, 0] {
            count_include_pad = false;
        } else if count_include_pad && reaches_beyond {
            nodes.refuse(
                "avg_pool2d with ceil_mode and count_include_pad has no operator where a last window \
                 reaches beyond the padding in one dimension and is dropped in the other",
            );
        }
        nodes.emit(
            "AveragePool",
            &nodes.inputs(),
            &[
                ("kernel_shape", kernel_size.to_vec().into()),
                ("strides", stride.to_vec().into()),
                ("pads", pads.into()),
                ("ceil_mode", i64::from(ceil_mode).into()),
                ("count_include_pad", i64::from(count_include_pad).into()),
            ],
        );
    }
}

/// The shape after pooling (N, C, H, W), as `pooling_output_shape` of `aten/src/ATen/native/Pool.h` has it.
pub(super) fn pooled_shape(
    input: &[i64],
    kernel_size: [i64; 2],
    stride: [i64; 2],
    padding: [i64; 2],
    dilation: [i64; 2],
    ceil_mode: bool,
) -> Result<Vec<i64>, String> {
    expect_dimensions(input, 4)?;
    let mut shape = input[..2].to_vec();
    for i in 0..2 {
        if padding[i] > kernel_size[i] / 2 {
            return Err("padding must be at most half of kernel_size".into());
        }
        let window = (kernel_size[i], stride[i], padding[i], dilation[i]);
        shape.push(window_output(input[2 + i], window, ceil_mode)?);
    }
    Ok(shape)
}

/// `pads` and `ceil_mode` of a pooling in ONNX. There, `ceil_mode` keeps a last window that begins in the
/// padding, which PyTorch drops; then `pads` end where PyTorch's last windows do.
pub(super) fn onnx_window(
    nodes: &OnnxNodes,
    kernel_size: [i64; 2],
    stride: [i64; 2],
    padding: [i64; 2],
    dilation: [i64; 2],
    ceil_mode: bool,
) -> (Vec<i64>, bool) {
    let (input, output) = (&nodes.shape(0)[2..], &nodes.output_shape()[2..]);
    let span = |i: usize| dilation[i] * (kernel_size[i] - 1) + 1;
    let is_dropped = |i: usize| {
        let room = input[i] + 2 * padding[i] - span(i) + stride[i] - 1;
        room.div_euclid(stride[i]) + 1 > output[i]
    };
    let mut end = padding;
    let exact = ceil_mode && (0..2).any(is_dropped);
    if exact {
        end = [0, 1].map(|i| {
            let reach = (output[i] - 1) * stride[i] + span(i) - input[i] - padding[i];
            reach.max(padding[i])
        });
    }
    ([padding, end].concat(), ceil_mode && !exact)
}
