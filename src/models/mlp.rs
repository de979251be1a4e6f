//! scikit-learn's `MLPClassifier(hidden_layer_sizes=(64,), activation="relu")`, float64.
//!
//! scikit-learn keeps a layer's weights as `(in, out)`; here, as in PyTorch, they are
//! `(out, in)`, and the keys are those of `torch.nn.Sequential(Linear, ReLU, Linear)`.

use std::array;

use tch::{Device, Kind, Tensor};

use super::{Defaults, Flat, LINEAR, Library, Model, ModelEntry, Paper, ParameterSpec};
use crate::dataset::PIXELS;
use crate::formats::Dtype;
use crate::formats::onnx::{Graph, Node};
use crate::kernels;

/// The MLP in the registry.
pub static ENTRY: ModelEntry = ModelEntry {
    name: "mlp",
    class: "MLP",
    title: "MLP",
    article: "the ",
    description: "scikit-learn's MLPClassifier: one hidden layer of 64, float64",
    structure: "scikit-learn's MLPClassifier: 784 pixels, one hidden layer of 64 with ReLU, ten outputs",
    library: Library::ScikitLearn,
    defaults: Defaults { epochs: 20, batch_size: 200, lr: 1e-3 },
    paper: Some(Paper { accuracy: 0.8709, settings_given: true }),
    shipped: Some(include_bytes!("../../models/mlp/state_dict.pt")),
    kind: Kind::Double,
    parameters: &PARAMETERS,
    torchscript: TORCHSCRIPT,
    onnx: &ONNX,
    build: |device| Box::new(Mlp::zeros(device)),
};

/// Definition order. (scikit-learn draws in another one, see [`super::init::mlp`].)
const PARAMETERS: [ParameterSpec; 4] =
    [("0.weight", &[64, 784]), ("0.bias", &[64]), ("2.weight", &[10, 64]), ("2.bias", &[10])];

/// The operations of [`Model::forward`]; images (N, 1, 28, 28) are flattened first.
const TORCHSCRIPT: &str = "    \
    hidden, output = getattr(self, \"0\"), getattr(self, \"2\")
    xs = torch.flatten(x, 1)
    x1 = torch.relu(torch.linear(xs, hidden.weight, hidden.bias))
    return torch.linear(x1, output.weight, output.bias)
";

/// The operations of [`Model::forward`]. An input of ONNX has a fixed number of dimensions, so
/// images come flat, (N, 784), as they do there.
const ONNX: Graph = Graph {
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
    parameters: Flat,
    device: Device,
}

impl Mlp {
    /// All parameters zero; [`super::init`] draws the initial ones.
    pub fn zeros(device: Device) -> Self {
        Self { parameters: Flat::zeros(&PARAMETERS, Kind::Double, device), device }
    }

    /// The parameters in one buffer.
    pub fn flat(&self) -> &Flat {
        &self.parameters
    }

    /// The hidden layer (N, 64), after ReLU.
    pub fn hidden(&self, xs: &Tensor) -> Tensor {
        let views = self.parameters.views();
        xs.linear(&views[0], Some(&views[1])).relu()
    }

    /// Logits (N, 10) of the hidden layer.
    pub fn output(&self, hidden: &Tensor) -> Tensor {
        let views = self.parameters.views();
        hidden.linear(&views[2], Some(&views[3]))
    }
}

impl Model for Mlp {
    fn entry(&self) -> &'static ModelEntry {
        &ENTRY
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.parameters.views().iter().map(Tensor::shallow_clone).collect()
    }

    fn input(&self, pixels: &[u8]) -> Tensor {
        let normalised: [f64; 256] = array::from_fn(|byte| byte as f64 / 255.0);
        let n = (pixels.len() / PIXELS) as i64;
        let xs = kernels::filled(&[n, PIXELS as i64], |xs: &mut [f64]| {
            kernels::in_parts((pixels.len(), 1 << 14), [xs], [pixels], |[xs], [bytes]| {
                let bytes = xs.iter_mut().zip(bytes);
                bytes.for_each(|(x, &byte)| *x = normalised[usize::from(byte)]);
            });
        });
        xs.to_device(self.device)
    }

    fn forward(&self, xs: &Tensor) -> Tensor {
        self.output(&self.hidden(xs))
    }
}
