//! Activations of `torch.nn.functional` that networks of TorchScript files use.

use std::f64::consts::FRAC_1_SQRT_2;

#[cfg(feature = "libtorch")]
use tch::Tensor;

use super::{OnnxNodes, Operation, ScriptLines, ShapeError};

/// A function of each element.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ElementwiseOp {
    Sigmoid,
    /// `x * sigmoid(x)`.
    Silu,
    /// `x * (1 + erf(x / sqrt(2))) / 2`.
    Gelu,
    Hardswish,
    Hardsigmoid,
    Neg,
    /// With an alpha of 1.
    Elu,
    /// With this slope below 0.
    LeakyRelu(f64),
    /// With these bounds; `relu6` has 0 and 6.
    Hardtanh([f64; 2]),
}

impl Operation for ElementwiseOp {
    fn name(&self) -> &'static str {
        match self {
            Self::Sigmoid => "sigmoid",
            Self::Silu => "silu",
            Self::Gelu => "gelu",
            Self::Hardswish => "hardswish",
            Self::Hardsigmoid => "hardsigmoid",
            Self::Neg => "neg",
            Self::Elu => "elu",
            Self::LeakyRelu(_) => "leaky_relu",
            Self::Hardtanh(_) => "hardtanh",
        }
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        Ok(inputs[0].to_vec())
    }

    #[cfg(feature = "libtorch")]
    fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
        let x = inputs[0];
        match *self {
            Self::Sigmoid => x.sigmoid(),
            Self::Silu => x.silu(),
            Self::Gelu => x.gelu("none"),
            Self::Hardswish => x.hardswish(),
            Self::Hardsigmoid => x.hardsigmoid(),
            Self::Neg => x.neg(),
            Self::Elu => x.elu(),
            // tch's leaky_relu has no slope.
            Self::LeakyRelu(slope) => x.prelu(&Tensor::from(slope).to_kind(x.kind())),
            Self::Hardtanh([min, max]) => x.clamp(min, max),
        }
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        let others = match self {
            Self::LeakyRelu(slope) => format!(", {slope:?}"),
            Self::Hardtanh([min, max]) => format!(", {min:?}, {max:?}"),
            _ => String::new(),
        };
        lines.assign(&format!("torch.{}({}{others})", self.name(), lines.input(0)));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        let inputs = nodes.inputs();
        let x = inputs[0].clone();
        match *self {
            Self::Sigmoid => nodes.emit("Sigmoid", &inputs, &[]),
            Self::Hardswish => nodes.emit("HardSwish", &inputs, &[]),
            Self::Hardsigmoid => {
                nodes.emit("HardSigmoid", &inputs, &[("alpha", (1.0 / 6.0).into())]);
            }
            Self::Neg => nodes.emit("Neg", &inputs, &[]),
            Self::Elu => nodes.emit("Elu", &inputs, &[]),
            Self::LeakyRelu(slope) => nodes.emit("LeakyRelu", &inputs, &[("alpha", slope.into())]),
            Self::Hardtanh(bounds) => {
                let [min, max] = bounds.map(|bound| nodes.constant(&[], bound));
                nodes.emit("Clip", &[x, min, max], &[]);
            }
            Self::Silu => {
                let sigmoid = nodes.emit_intermediate("Sigmoid", &inputs, &[]);
                nodes.emit("Mul", &[x, sigmoid], &[]);
            }
            Self::Gelu => {
                let [root, one, half] =
                    [FRAC_1_SQRT_2, 1.0, 0.5].map(|value| nodes.constant(&[], value));
                let scaled = nodes.emit_intermediate("Mul", &[x.clone(), root], &[]);
                let erf = nodes.emit_intermediate("Erf", &[scaled], &[]);
                let sum = nodes.emit_intermediate("Add", &[erf, one], &[]);
                let product = nodes.emit_intermediate("Mul", &[x, sum], &[]);
                nodes.emit("Mul", &[product, half], &[]);
            }
        }
    }
}
