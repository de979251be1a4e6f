//! `torch.nn.BatchNorm2d`.

use std::borrow::Borrow;
use std::ops::RangeInclusive;

#[cfg(feature = "libtorch")]
use tch::Tensor;
use torchscript_forward::shapes::expect_dimensions;

use super::{
    BufferKind, Init, Layer, Module, OnnxNodes, Operation, Scope, ScriptLines, ShapeError, Value,
};

/// The arguments of [`BatchNorm2d`] that have defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNorm2dConfig {
    /// Constant added to the variance.
    pub eps: f64,
    /// Weight of a batch in the running statistics; `None`: they are the mean over all batches.
    pub momentum: Option<f64>,
    /// Whether the layer has a weight and a bias per channel.
    pub affine: bool,
    /// Whether the layer has running statistics, which evaluation mode uses; without them it uses the batch's.
    pub track_running_stats: bool,
}

impl Default for BatchNorm2dConfig {
    fn default() -> Self {
        Self { eps: 1e-5, momentum: Some(0.1), affine: true, track_running_stats: true }
    }
}

/// `nn.BatchNorm2d(num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True)` of
/// (N, num_features, H, W). Buffers: `running_mean`, `running_var`, `num_batches_tracked` (int64).
///
/// ```
/// # use stitch::nn::{BatchNorm2d, BatchNorm2dConfig, Graph};
/// let graph = Graph::trace(&[6, 28, 28], |vs| {
///     BatchNorm2d::new(vs / "bn1", 6, BatchNorm2dConfig::default())
/// })?;
/// let names: Vec<&str> = graph.state().map(|entry| entry.name).collect();
/// assert_eq!(names[..2], ["bn1.weight", "bn1.bias"]);
/// assert_eq!(names[2..], ["bn1.running_mean", "bn1.running_var", "bn1.num_batches_tracked"]);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
#[derive(Debug)]
pub struct BatchNorm2d {
    layer: Layer,
    /// Weight and bias, if affine; then the buffers, if tracked.
    state: Vec<Value>,
    config: BatchNorm2dConfig,
}

impl BatchNorm2d {
    /// Defines the layer. The weight starts at 1, the bias at 0; nothing is drawn.
    pub fn new(vs: impl Borrow<Scope>, num_features: i64, config: BatchNorm2dConfig) -> Self {
        let layer = Layer::new(vs, "BatchNorm2d");
        let mut state = Vec::new();
        if config.affine {
            state.push(layer.parameter("weight", &[num_features], Init::Constant(1.0)));
            state.push(layer.parameter("bias", &[num_features], Init::Constant(0.0)));
        }
        if config.track_running_stats {
            state.push(layer.buffer("running_mean", &[num_features], BufferKind::Float, 0.0));
            state.push(layer.buffer("running_var", &[num_features], BufferKind::Float, 1.0));
            state.push(layer.buffer("num_batches_tracked", &[], BufferKind::Int64, 0.0));
        }
        Self { layer, state, config }
    }
}

impl Module for BatchNorm2d {
    fn forward(&self, x: Value) -> Value {
        let inputs: Vec<&Value> = std::iter::once(&x).chain(&self.state).collect();
        self.layer.apply(BatchNormOp { config: self.config, dimensions: 4..=4 }, &inputs)
    }
}

/// `_BatchNorm.forward` of `torch/nn/modules/batchnorm.py`. Inputs: x; weight and bias, if affine;
/// running_mean, running_var and num_batches_tracked, if tracked, which training mode updates in place; evaluation mode does
/// not need num_batches_tracked.
#[derive(Debug)]
pub(crate) struct BatchNormOp {
    pub config: BatchNorm2dConfig,
    /// Numbers of dimensions that the input may have.
    pub dimensions: RangeInclusive<usize>,
}

impl BatchNormOp {
    /// The positions of weight and bias among the inputs.
    fn affine(&self) -> Option<[usize; 2]> {
        self.config.affine.then_some([1, 2])
    }

    /// The positions of the buffers among the inputs.
    fn buffers(&self) -> Option<[usize; 3]> {
        let first = if self.config.affine { 3 } else { 1 };
        self.config.track_running_stats.then_some([first, first + 1, first + 2])
    }
}

impl Operation for BatchNormOp {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        if !self.dimensions.contains(&inputs[0].len()) {
            expect_dimensions(inputs[0], *self.dimensions.end())?;
        }
        match inputs.get(1) {
            Some(features) if *features != &inputs[0][1..2] => Err(ShapeError::Input {
                input: inputs[0].to_vec(),
                problem: format!("num_features is {}", features.iter().product::<i64>()),
            }),
            _ => Ok(inputs[0].to_vec()),
        }
    }

    #[cfg(feature = "libtorch")]
    fn forward(&self, inputs: &[&Tensor], train: bool) -> Tensor {
        let [weight, bias] = self.affine().map_or([None; 2], |at| at.map(|i| Some(inputs[i])));
        let buffers = self.buffers();
        let mut momentum = self.config.momentum.unwrap_or(0.0);
        if let (true, Some([.., batches])) = (train, buffers) {
            let batches = inputs[batches];
            let _ = batches.shallow_clone().g_add_scalar_(1);
            if self.config.momentum.is_none() {
                momentum = 1.0 / batches.double_value(&[]);
            }
        }
        let [mean, variance] =
            buffers.map_or([None; 2], |[mean, var, _]| [mean, var].map(|i| Some(inputs[i])));
        let batch_statistics = train || buffers.is_none();
        // `_verify_batch_size` of `torch/nn/functional.py`.
        let values = inputs[0].numel() / inputs[0].size()[1] as usize;
        assert!(
            !batch_statistics || values > 1,
            "batch_norm: more than 1 value per channel is expected in training, got input size {:?}",
            inputs[0].size()
        );
        // The last argument is torch.backends.cudnn.enabled.
        inputs[0].batch_norm(
            weight,
            bias,
            mean,
            variance,
            batch_statistics,
            momentum,
            self.config.eps,
            true,
        )
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        let (input, training) = (lines.input(0), lines.training());
        let [weight, bias] =
            self.affine().map_or(["None".into(), "None".into()], |at| at.map(|i| lines.input(i)));
        let mut momentum = format!("{:?}", self.config.momentum.unwrap_or(0.0));
        let (mut mean, mut variance, mut batch_statistics) =
            ("None".to_string(), "None".to_string(), "True".to_string());
        if let Some(at) = self.buffers() {
            let batches;
            [mean, variance, batches] = at.map(|i| lines.optional_input(i));
            batch_statistics.clone_from(&training);
            let name = lines.temporary("momentum");
            let updated = lines.temporary("batches");
            lines.push(&format!("{name} = {momentum}"));
            lines.push(&format!("if {training}:"));
            lines.push(&format!("  {updated} = torch.add_({batches}, 1)"));
            if self.config.momentum.is_none() {
                lines.push(&format!("  {name} = torch.div(1., float({updated}))"));
            }
            lines.push("else:");
            lines.push("  pass");
            momentum = name;
        }
        lines.assign(&format!(
            "torch.batch_norm({input}, {weight}, {bias}, {mean}, {variance}, {batch_statistics}, \
             {momentum}, {:?}, True)",
            self.config.eps
        ));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        let features = nodes.shape(0)[1];
        let inputs = nodes.inputs();
        let [weight, bias] = match self.affine() {
            Some(at) => at.map(|i| inputs[i].clone()),
            None => [1.0, 0.0].map(|value| nodes.constant(&[features], value)),
        };
        let Some([mean, variance, _]) = self.buffers() else {
            nodes.fail(
                "batch normalization without running statistics has no operator in evaluation",
            );
            return;
        };
        let operands =
            [inputs[0].clone(), weight, bias, inputs[mean].clone(), inputs[variance].clone()];
        nodes.emit("BatchNormalization", &operands, &[("epsilon", self.config.eps.into())]);
    }
}
