//! scikit-learn's `MLPClassifier(hidden_layer_sizes=(64,), activation="relu")` as an `nn::seq`,
//! float64.
//!
//! scikit-learn keeps a layer's weights as `(in, out)`; here, as in PyTorch, they are
//! `(out, in)`, and the keys are those of `torch.nn.Sequential(Linear, ReLU, Linear)`.

use std::array;

use tch::nn::{self, Module};
use tch::{Device, Kind, Tensor};

use super::{Architecture, LINEAR, Model, ParameterSpec};
use crate::dataset::PIXELS;
use crate::formats::Dtype;
use crate::formats::onnx::{Graph, Node};

/// Definition order. (scikit-learn draws in another one, see [`super::init::mlp`].)
pub(super) const PARAMETERS: [ParameterSpec; 4] =
    [("0.weight", &[64, 784]), ("0.bias", &[64]), ("2.weight", &[10, 64]), ("2.bias", &[10])];

/// The operations of [`Model::forward`]; images (N, 1, 28, 28) are flattened first.
pub(super) const TORCHSCRIPT: &str = "    \
    hidden, output = getattr(self, \"0\"), getattr(self, \"2\")
    xs = torch.flatten(x, 1)
    x1 = torch.relu(torch.linear(xs, hidden.weight, hidden.bias))
    return torch.linear(x1, output.weight, output.bias)
";

/// The operations of [`Model::forward`]. An input of ONNX has a fixed number of dimensions, so
/// images come flat, (N, 784), as they do there.
pub(super) const ONNX: Graph = Graph {
    dtype: Dtype::F64,
    input: &[784],
    output: &[10],
    nodes: &[
        Node::new("Gemm", &["x", "0.weight", "0.bias"], "x1").with(&LINEAR),
        Node::new("Relu", &["x1"], "x2"),
        Node::new("Gemm", &["x2", "2.weight", "2.bias"], "logits").with(&LINEAR),
    ],
};

/// Linear 784→64 → ReLU → Linear 64→10.
#[derive(Debug)]
pub struct Mlp {
    net: nn::Sequential,
    parameters: [Tensor; 4],
    device: Device,
}

impl Mlp {
    /// All parameters zero; [`super::init`] draws the initial ones.
    pub fn zeros(device: Device) -> Self {
        let mut vs = nn::VarStore::new(device);
        vs.set_kind(Kind::Double);
        let hidden = nn::linear(vs.root() / "0", 784, 64, super::init::ZEROS);
        let output = nn::linear(vs.root() / "2", 64, 10, super::init::ZEROS);
        let variables = vs.variables();
        let parameters = PARAMETERS.map(|(name, _)| variables[name].shallow_clone());
        let net = nn::seq().add(hidden).add_fn(Tensor::relu).add(output);
        Self { net, parameters, device }
    }
}

impl Model for Mlp {
    fn architecture(&self) -> Architecture {
        Architecture::Mlp
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.parameters.iter().map(Tensor::shallow_clone).collect()
    }

    fn input(&self, pixels: &[u8]) -> Tensor {
        let normalised: [f64; 256] = array::from_fn(|byte| byte as f64 / 255.0);
        let xs: Vec<f64> = pixels.iter().map(|&byte| normalised[usize::from(byte)]).collect();
        Tensor::from_slice(&xs).view([-1, PIXELS as i64]).to_device(self.device)
    }

    fn forward(&self, xs: &Tensor) -> Tensor {
        self.net.forward(xs)
    }
}
