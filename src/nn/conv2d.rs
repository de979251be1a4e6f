//! `torch.nn.Conv2d` with zero padding.

use std::borrow::Borrow;

#[cfg(feature = "libtorch")]
use tch::Tensor;
use torchscript_forward::shapes::Window;

use super::window;
use super::{
    Init, IntoPair, Layer, Module, OnnxNodes, Operation, Scope, ScriptLines, ShapeError, Value,
};

/// The arguments of [`Conv2d`] that have defaults; pairs are rows, columns.
#[derive(Debug, Clone, Copy)]
pub struct Conv2dConfig {
    /// Distance from one window to the next.
    pub stride: [i64; 2],
    /// Zeros added to the input on each side.
    pub padding: [i64; 2],
    /// Distance from one element of a window to the next.
    pub dilation: [i64; 2],
    /// Number of groups; each output channel is connected to the input channels of its group.
    pub groups: i64,
    /// Whether the layer has a bias.
    pub bias: bool,
}

impl Default for Conv2dConfig {
    fn default() -> Self {
        Self { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1, bias: true }
    }
}

/// `nn.Conv2d(in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1,
/// bias=True)`: (N, in_channels, H, W) to (N, out_channels, H', W').
///
/// ```
/// # use stitch::nn::{Conv2d, Conv2dConfig, Graph};
/// let padding_2 = Conv2dConfig { padding: [2, 2], ..Default::default() };
/// let graph = Graph::trace(&[1, 28, 28], |vs| Conv2d::new(vs / "conv1", 1, 6, 5, padding_2))?;
/// assert_eq!(graph.output(), [6, 28, 28]);
/// assert_eq!(graph.parameters()[0].name, "conv1.weight");
/// assert_eq!(graph.parameters()[0].shape, [6, 1, 5, 5]);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
#[derive(Debug)]
pub struct Conv2d {
    layer: Layer,
    weight: Value,
    bias: Option<Value>,
    config: Conv2dConfig,
}

impl Conv2d {
    /// Defines the layer. Draws the weight (out_channels, in_channels / groups, rows, columns), then the
    /// bias.
    pub fn new(
        vs: impl Borrow<Scope>,
        in_channels: i64,
        out_channels: i64,
        kernel_size: impl IntoPair,
        config: Conv2dConfig,
    ) -> Self {
        let layer = Layer::new(vs, "Conv2d");
        let [rows, columns] = kernel_size.into_pair();
        let groups = config.groups.max(1);
        if config.groups < 1 || in_channels % groups != 0 || out_channels % groups != 0 {
            layer.fail("in_channels and out_channels must be divisible by groups");
        }
        let shape = [out_channels, in_channels / groups, rows, columns];
        let fan_in = shape[1..].iter().product();
        let weight = layer.parameter("weight", &shape, Init::kaiming_uniform(fan_in));
        let bias = config
            .bias
            .then(|| layer.parameter("bias", &[out_channels], Init::uniform_fan_in(fan_in)));
        Self { layer, weight, bias, config }
    }
}

impl Module for Conv2d {
    fn forward(&self, x: Value) -> Value {
        let inputs: Vec<&Value> = [&x, &self.weight].into_iter().chain(&self.bias).collect();
        self.layer.apply(Conv2dOp(self.config), &inputs)
    }
}

/// `F.conv2d(input, weight, bias, stride, padding, dilation, groups)`.
#[derive(Debug)]
pub(crate) struct Conv2dOp(pub Conv2dConfig);

impl Conv2dOp {
    /// The sliding window of a weight (out_channels, in_channels / groups, rows, columns).
    fn window(&self, weight: &[i64]) -> Window {
        let Conv2dConfig { stride, padding, dilation, .. } = self.0;
        Window { kernel_size: [weight[2], weight[3]], stride, padding, dilation, ceil_mode: false }
    }
}

impl Operation for Conv2dOp {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        let weight = inputs[1];
        Ok(self.window(weight).convolved(inputs[0], weight, self.0.groups)?)
    }

    #[cfg(feature = "libtorch")]
    fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
        let Conv2dConfig { stride, padding, dilation, groups, .. } = self.0;
        inputs[0].conv2d(inputs[1], inputs.get(2).copied(), stride, padding, dilation, groups)
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        let Conv2dConfig { stride, padding, dilation, groups, .. } = self.0;
        let (input, weight, bias) = (lines.input(0), lines.input(1), lines.optional_input(2));
        lines.assign(&format!(
            "torch.conv2d({input}, {weight}, {bias}, {stride:?}, {padding:?}, {dilation:?}, {groups})"
        ));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        let window = self.window(nodes.shape(1));
        let mut attributes = window::onnx(&window, [window.padding; 2].concat());
        attributes.push(("dilations", window.dilation.to_vec().into()));
        attributes.push(("group", self.0.groups.into()));
        nodes.emit("Conv", &nodes.inputs(), &attributes);
    }

    fn multiply_adds(&self, parameters: u64, output: &[i64]) -> u64 {
        parameters * output[2..].iter().product::<i64>() as u64
    }
}
