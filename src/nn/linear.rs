//! `torch.nn.Linear`.

use std::borrow::Borrow;

#[cfg(feature = "libtorch")]
use tch::Tensor;
use torchscript_forward::shapes;

use super::{Init, Layer, Module, OnnxNodes, Operation, Scope, ScriptLines, ShapeError, Value};

/// The arguments of [`Linear`] that have defaults.
#[derive(Debug, Clone, Copy)]
pub struct LinearConfig {
    /// Whether the layer has a bias.
    pub bias: bool,
}

impl Default for LinearConfig {
    fn default() -> Self {
        Self { bias: true }
    }
}

/// `nn.Linear(in_features, out_features, bias=True)`: (N, in_features) to (N, out_features).
///
/// ```
/// # use stitch::nn::{Graph, Linear};
/// let graph = Graph::trace(&[400], |vs| Linear::new(vs / "fc1", 400, 120))?;
/// assert_eq!(graph.output(), [120]);
/// assert_eq!(graph.parameters()[0].shape, [120, 400]);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
#[derive(Debug)]
pub struct Linear {
    layer: Layer,
    weight: Value,
    bias: Option<Value>,
}

impl Linear {
    /// `nn.Linear(in_features, out_features)`.
    pub fn new(vs: impl Borrow<Scope>, in_features: i64, out_features: i64) -> Self {
        Self::with(vs, in_features, out_features, LinearConfig::default())
    }

    /// `nn.Linear(in_features, out_features, bias)`. Draws the weight, then the bias.
    pub fn with(
        vs: impl Borrow<Scope>,
        in_features: i64,
        out_features: i64,
        config: LinearConfig,
    ) -> Self {
        let layer = Layer::new(vs, "Linear");
        let (fan_in, shape) = (in_features, [out_features, in_features]);
        let weight = layer.parameter("weight", &shape, Init::kaiming_uniform(fan_in));
        let bias = config
            .bias
            .then(|| layer.parameter("bias", &[out_features], Init::uniform_fan_in(fan_in)));
        Self { layer, weight, bias }
    }
}

impl Module for Linear {
    fn forward(&self, x: Value) -> Value {
        let inputs: Vec<&Value> = [&x, &self.weight].into_iter().chain(&self.bias).collect();
        self.layer.apply(LinearOp, &inputs)
    }
}

/// `F.linear(input, weight, bias)`.
#[derive(Debug)]
pub(crate) struct LinearOp;

impl Operation for LinearOp {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        Ok(shapes::linear(inputs[0], inputs[1])?)
    }

    #[cfg(feature = "libtorch")]
    fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
        inputs[0].linear(inputs[1], inputs.get(2).copied())
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        let (input, weight, bias) = (lines.input(0), lines.input(1), lines.optional_input(2));
        lines.assign(&format!("torch.linear({input}, {weight}, {bias})"));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        let inputs = nodes.inputs();
        if nodes.shape(0).len() == 2 {
            // Weights are (out, in), so they are transposed.
            nodes.emit("Gemm", &inputs, &[("transB", 1.into())]);
            return;
        }
        let weight =
            nodes.emit_intermediate("Transpose", &inputs[1..2], &[("perm", vec![1, 0].into())]);
        let operands = [inputs[0].clone(), weight];
        match inputs.get(2) {
            None => nodes.emit("MatMul", &operands, &[]),
            Some(bias) => {
                let product = nodes.emit_intermediate("MatMul", &operands, &[]);
                nodes.emit("Add", &[product, bias.clone()], &[]);
            }
        }
    }
}
