//! LeNet-5 as the notebook's PyTorch class defines it, float32 in contiguous NCHW.

use std::array;

use tch::{Device, Kind, Tensor};

use super::{Defaults, Flat, LINEAR, Library, Model, ModelEntry, Paper, ParameterSpec};
use crate::dataset::{PIXELS, SIDE};
use crate::formats::Dtype;
use crate::formats::onnx::{Attribute, Graph, Node, Value::Ints};
use crate::kernels;
use crate::kernels::direct::shape::PADDING;
use crate::kernels::direct::{self, Features};

/// LeNet-5 in the registry.
///
/// Of its default settings the notebook gives the epochs alone. Of the three pairs of batch size and
/// learning rate that were run with 20 seeds, this one's median accuracy is nearest to the paper's
/// (`docs/study`).
pub static ENTRY: ModelEntry = ModelEntry {
    name: "lenet5",
    class: "LeNet5",
    title: "LeNet-5",
    article: "",
    description: "the notebook's PyTorch LeNet-5, float32",
    structure: "Two convolutions, of 6 and 16 filters of 5×5, each with ReLU and average pooling, then \
                three linear layers of 120, 84 and 10",
    library: Library::PyTorch,
    defaults: Defaults { epochs: 5, batch_size: 32, lr: 2e-3 },
    paper: Some(Paper { accuracy: 0.8953, settings_given: false }),
    shipped: Some(include_bytes!("../../models/lenet5/state_dict.pt")),
    kind: Kind::Float,
    parameters: &PARAMETERS,
    torchscript: TORCHSCRIPT,
    onnx: &ONNX,
    build: |device| Box::new(Lenet5::zeros(device)),
};

/// Definition order, which is also the order of the initial draws.
const PARAMETERS: [ParameterSpec; 10] = [
    ("conv1.weight", &[6, 1, 5, 5]),
    ("conv1.bias", &[6]),
    ("conv2.weight", &[16, 6, 5, 5]),
    ("conv2.bias", &[16]),
    ("fc1.weight", &[120, 400]),
    ("fc1.bias", &[120]),
    ("fc2.weight", &[84, 120]),
    ("fc2.bias", &[84]),
    ("fc3.weight", &[10, 84]),
    ("fc3.bias", &[10]),
];

/// The operations of [`Model::forward`], in the same order.
const TORCHSCRIPT: &str = "    \
    conv1, conv2 = self.conv1, self.conv2
    fc1, fc2, fc3 = self.fc1, self.fc2, self.fc3
    x1 = torch.conv2d(x, conv1.weight, conv1.bias, [1, 1], [2, 2], [1, 1], 1)
    x2 = torch.avg_pool2d(torch.relu(x1), [2, 2], [2, 2], [0, 0], False, True, None)
    x3 = torch.conv2d(x2, conv2.weight, conv2.bias, [1, 1], [0, 0], [1, 1], 1)
    x4 = torch.avg_pool2d(torch.relu(x3), [2, 2], [2, 2], [0, 0], False, True, None)
    x5 = torch.relu(torch.linear(torch.view(x4, [-1, 400]), fc1.weight, fc1.bias))
    x6 = torch.relu(torch.linear(x5, fc2.weight, fc2.bias))
    return torch.linear(x6, fc3.weight, fc3.bias)
";

/// The operations of [`Model::forward`], in the same order.
const ONNX: Graph = Graph {
    dtype: Dtype::F32,
    input: &[1, 28, 28],
    output: &[10],
    nodes: &[
        Node::new("Conv", &["x", "conv1.weight", "conv1.bias"], "x1").with(&CONV1),
        Node::new("Relu", &["x1"], "x2"),
        Node::new("AveragePool", &["x2"], "x3").with(&POOL),
        Node::new("Conv", &["x3", "conv2.weight", "conv2.bias"], "x4").with(&CONV2),
        Node::new("Relu", &["x4"], "x5"),
        Node::new("AveragePool", &["x5"], "x6").with(&POOL),
        // (N, 16, 5, 5) to (N, 400)
        Node::new("Flatten", &["x6"], "x7"),
        Node::new("Gemm", &["x7", "fc1.weight", "fc1.bias"], "x8").with(&LINEAR),
        Node::new("Relu", &["x8"], "x9"),
        Node::new("Gemm", &["x9", "fc2.weight", "fc2.bias"], "x10").with(&LINEAR),
        Node::new("Relu", &["x10"], "x11"),
        Node::new("Gemm", &["x11", "fc3.weight", "fc3.bias"], "logits").with(&LINEAR),
    ],
};
const CONV1: [Attribute; 2] = [("kernel_shape", Ints(&[5, 5])), ("pads", Ints(&[2, 2, 2, 2]))];
const CONV2: [Attribute; 1] = [("kernel_shape", Ints(&[5, 5]))];
const POOL: [Attribute; 2] = [("kernel_shape", Ints(&[2, 2])), ("strides", Ints(&[2, 2]))];

/// conv1 → ReLU → pool → conv2 → ReLU → pool → fc1 → ReLU → fc2 → ReLU → fc3.
#[derive(Debug)]
pub struct Lenet5 {
    parameters: Flat,
    device: Device,
}

/// What the forward pass of a batch computes and the backward pass needs.
#[derive(Debug)]
pub struct Activations {
    /// The convolutions and what is pooled of them.
    pub features: Features,
    /// pool2 of the features, flattened (N, 400).
    pub pool2: Tensor,
    /// fc1 (N, 120), after ReLU.
    pub fc1: Tensor,
    /// fc2 (N, 84), after ReLU.
    pub fc2: Tensor,
    /// fc3 (N, 10).
    pub logits: Tensor,
}

impl Lenet5 {
    /// All parameters zero; [`super::init`] draws the initial ones.
    pub fn zeros(device: Device) -> Self {
        Self { parameters: Flat::zeros(&PARAMETERS, Kind::Float, device), device }
    }

    /// The parameters in one buffer.
    pub fn flat(&self) -> &Flat {
        &self.parameters
    }

    /// The forward pass by hand, on the CPU: ReLU and pooling in one pass over memory. The bits are
    /// those of [`Lenet5::forward_for_autograd`].
    pub fn activations(&self, xs: &Tensor) -> Activations {
        let [w1, b1, w2, b2, w3, b3, w4, b4, w5, b5] = self.by_layer();
        tch::no_grad(|| {
            let features = direct::features(xs, [w1, b1, w2, b2]);
            let pool2 = features.pool2.view([-1, 400]);
            let fc1 = pool2.linear(w3, Some(b3)).relu_();
            let fc2 = fc1.linear(w4, Some(b4)).relu_();
            let logits = fc2.linear(w5, Some(b5));
            Activations { features, pool2, fc1, fc2, logits }
        })
    }

    /// The notebook's forward pass, operation by operation, on any device.
    pub fn forward_for_autograd(&self, xs: &Tensor) -> Tensor {
        let [w1, b1, w2, b2, w3, b3, w4, b4, w5, b5] = self.by_layer();
        let xs = avg_pool2d(&xs.conv2d(w1, Some(b1), 1, PADDING as i64, 1, 1).relu());
        let xs = avg_pool2d(&xs.conv2d(w2, Some(b2), 1, 0, 1, 1).relu());
        let xs = xs.view([-1, 400]).linear(w3, Some(b3)).relu().linear(w4, Some(b4)).relu();
        xs.linear(w5, Some(b5))
    }

    fn by_layer(&self) -> [&Tensor; 10] {
        array::from_fn(|i| &self.parameters.views()[i])
    }
}

impl Model for Lenet5 {
    fn entry(&self) -> &'static ModelEntry {
        &ENTRY
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.parameters.views().iter().map(Tensor::shallow_clone).collect()
    }

    fn input(&self, pixels: &[u8]) -> Tensor {
        let normalised: [f32; 256] = array::from_fn(|byte| (byte as f64 / 255.0) as f32);
        let (n, side) = ((pixels.len() / PIXELS) as i64, SIDE as i64);
        let xs = kernels::filled(&[n, 1, side, side], |xs: &mut [f32]| {
            kernels::in_parts((pixels.len(), 1 << 14), [xs], [pixels], |[xs], [bytes]| {
                let bytes = xs.iter_mut().zip(bytes);
                bytes.for_each(|(x, &byte)| *x = normalised[usize::from(byte)]);
            });
        });
        xs.to_device(self.device)
    }

    fn forward(&self, xs: &Tensor) -> Tensor {
        match self.device {
            Device::Cpu => self.activations(xs).logits,
            _ => self.forward_for_autograd(xs),
        }
    }
}

/// `F.avg_pool2d(xs, 2)`. (tch's `avg_pool2d_default` divides by 1 instead of by 4.)
fn avg_pool2d(xs: &Tensor) -> Tensor {
    xs.avg_pool2d(2, 2, 0, false, true, None::<i64>)
}
