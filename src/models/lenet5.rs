//! LeNet-5 as the notebook's PyTorch class defines it, float32 in contiguous NCHW.

use std::array;

use tch::nn;
use tch::{Device, Tensor};

use super::{Architecture, LINEAR, Model, ParameterSpec};
use crate::dataset::{PIXELS, SIDE};
use crate::formats::Dtype;
use crate::formats::onnx::{Attribute, Graph, Node, Value::Ints};

/// Definition order, which is also the order of the initial draws.
pub(super) const PARAMETERS: [ParameterSpec; 10] = [
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
pub(super) const TORCHSCRIPT: &str = "    \
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
pub(super) const ONNX: Graph = Graph {
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
    conv1: nn::Conv2D,
    conv2: nn::Conv2D,
    fc1: nn::Linear,
    fc2: nn::Linear,
    fc3: nn::Linear,
    device: Device,
}

impl Lenet5 {
    /// All parameters zero; [`super::init`] draws the initial ones.
    pub fn zeros(device: Device) -> Self {
        let vs = nn::VarStore::new(device);
        let root = vs.root();
        let conv = |name, inputs, outputs, padding| {
            let config = nn::ConvConfig {
                padding,
                ws_init: nn::Init::Const(0.),
                bs_init: nn::Init::Const(0.),
                ..Default::default()
            };
            nn::conv2d(&root / name, inputs, outputs, 5, config)
        };
        let linear =
            |name, inputs, outputs| nn::linear(&root / name, inputs, outputs, super::init::ZEROS);
        Self {
            conv1: conv("conv1", 1, 6, 2),
            conv2: conv("conv2", 6, 16, 0),
            fc1: linear("fc1", 400, 120),
            fc2: linear("fc2", 120, 84),
            fc3: linear("fc3", 84, 10),
            device,
        }
    }
}

impl Model for Lenet5 {
    fn architecture(&self) -> Architecture {
        Architecture::Lenet5
    }

    fn parameters(&self) -> Vec<Tensor> {
        let layers = [
            (&self.conv1.ws, &self.conv1.bs),
            (&self.conv2.ws, &self.conv2.bs),
            (&self.fc1.ws, &self.fc1.bs),
            (&self.fc2.ws, &self.fc2.bs),
            (&self.fc3.ws, &self.fc3.bs),
        ];
        layers
            .into_iter()
            .flat_map(|(ws, bs)| [Some(ws.shallow_clone()), bs.as_ref().map(Tensor::shallow_clone)])
            .flatten()
            .collect()
    }

    fn input(&self, pixels: &[u8]) -> Tensor {
        let normalised: [f32; 256] = array::from_fn(|byte| (byte as f64 / 255.0) as f32);
        let xs: Vec<f32> = pixels.iter().map(|&byte| normalised[usize::from(byte)]).collect();
        let side = SIDE as i64;
        let n = (pixels.len() / PIXELS) as i64;
        Tensor::from_slice(&xs).view([n, 1, side, side]).to_device(self.device)
    }

    fn forward(&self, xs: &Tensor) -> Tensor {
        let xs = avg_pool2d(&xs.apply(&self.conv1).relu());
        let xs = avg_pool2d(&xs.apply(&self.conv2).relu());
        let xs = xs.view([-1, 400]).apply(&self.fc1).relu().apply(&self.fc2).relu();
        xs.apply(&self.fc3)
    }
}

/// `F.avg_pool2d(xs, 2)`. (tch's `avg_pool2d_default` divides by 1 instead of by 4.)
fn avg_pool2d(xs: &Tensor) -> Tensor {
    xs.avg_pool2d(2, 2, 0, false, true, None::<i64>)
}
