//! Networks of images of 28x28 that the engines are compared with: patterns that the exact engine's kernels
//! support, and patterns that they nearly support.

use stitch::nn::{
    AvgPool2d, AvgPool2dConfig, BatchNorm2d, BatchNorm2dConfig, Conv2d, Conv2dConfig, Dropout,
    Dropout2d, Flatten, Linear, LinearConfig, MaxPool2d, MaxPool2dConfig, Module, ReLU, Scope,
    Sequential, Tanh, Value, avg_pool2d, dropout, flatten, max_pool2d, relu,
};

use crate::nn::networks::{Network, networks};
use crate::nn::stacks::Residual;
use crate::nn::unusual::{Early, OwnParameters, Unused};

const IMAGE: [i64; 3] = [1, 28, 28];

pub static NETWORKS: &[Network] = networks! {
    "batch norm, dropout, max pooling" IMAGE, vs => conv_net(vs);
    "batch norm, dropout, max pooling, float64" IMAGE, vs => conv_net(vs), Double;
    "batch norm, ReLU, average pooling" IMAGE, vs => Sequential::new(vs)
        .add(|vs| Conv2d::new(vs, 1, 4, 5, Conv2dConfig { bias: false, ..Default::default() }))
        .add(|vs| BatchNorm2d::new(vs, 4, BatchNorm2dConfig { momentum: None, ..Default::default() }))
        .add(|vs| ReLU::new(vs))
        .add(|vs| AvgPool2d::new(vs, 2, Default::default()))
        .add(|vs| Dropout2d::new(vs, 0.25))
        .add(|vs| Flatten::new(vs))
        .add(|vs| Linear::new(vs, 576, 10));
    "batch norm with eps and momentum, ReLU, max pooling" IMAGE, vs => normalized(vs, BatchNorm2dConfig { eps: 0.02, momentum: Some(0.3), ..Default::default() });
    "batch norm without weight and bias" IMAGE, vs => normalized(vs, BatchNorm2dConfig { affine: false, ..Default::default() });
    "ReLU, max pooling of overlapping windows and in ceil mode" IMAGE, vs => Sequential::new(vs)
        .add(|vs| Conv2d::new(vs, 1, 4, 4, Conv2dConfig { stride: [3, 3], ..Default::default() }))
        .add(|vs| ReLU::new(vs))
        .add(|vs| MaxPool2d::new(vs, 2, MaxPool2dConfig { stride: Some([1, 1]), ..Default::default() }))
        .add(|vs| Conv2d::new(vs, 4, 4, 2, Default::default()))
        .add(|vs| ReLU::new(vs))
        .add(|vs| MaxPool2d::new(vs, 2, MaxPool2dConfig { ceil_mode: true, ..Default::default() }))
        .add(|vs| Flatten::new(vs))
        .add(|vs| Linear::new(vs, 64, 10));
    "LeNet-5 with dropout" IMAGE, vs => lenet(vs, Conv2dConfig::default());
    "LeNet-5 without the bias of a convolution" IMAGE, vs => lenet(vs, Conv2dConfig { bias: false, ..Default::default() });
    "tanh" IMAGE, vs => Sequential::new(vs)
        .add(|vs| Conv2d::new(vs, 1, 4, 3, Conv2dConfig { stride: [2, 2], ..Default::default() }))
        .add(|vs| Tanh::new(vs))
        .add(|vs| AvgPool2d::new(vs, 2, Default::default()))
        .add(|vs| Flatten::new(vs))
        .add(|vs| Linear::new(vs, 144, 20))
        .add(|vs| Tanh::new(vs))
        .add(|vs| Linear::new(vs, 20, 10));
    "ReLU, average pooling of odd sizes" IMAGE, vs => Sequential::new(vs)
        .add(|vs| Conv2d::new(vs, 1, 4, 2, Default::default()))
        .add(|vs| ReLU::new(vs))
        .add(|vs| AvgPool2d::new(vs, 2, Default::default()))
        .add(|vs| ReLU::new(vs))
        .add(|vs| AvgPool2d::new(vs, 2, AvgPool2dConfig { ceil_mode: true, ..Default::default() }))
        .add(|vs| Flatten::new(vs))
        .add(|vs| Linear::new(vs, 196, 10));
    "residual" IMAGE, vs => Sequential::new(vs)
        .add(|vs| Conv2d::new(vs, 1, 4, 4, Conv2dConfig { stride: [4, 4], ..Default::default() }))
        .add(|vs| Residual::new(vs, 4))
        .add(|vs| Residual::new(vs, 4))
        .add(|vs| MaxPool2d::new(vs, 2, Default::default()))
        .add(|vs| Flatten::new(vs))
        .add(|vs| Linear::new(vs, 36, 10));
    "residual of linear layers" [784], vs => Dense::new(vs);
    "a layer applied twice" [784], vs => Shared::new(vs);
    "without bias" IMAGE, vs => Sequential::new(vs)
        .add(|vs| Conv2d::new(vs, 1, 4, 5, Conv2dConfig { stride: [3, 3], bias: false, ..Default::default() }))
        .add(|vs| ReLU::new(vs))
        .add(|vs| AvgPool2d::new(vs, 2, Default::default()))
        .add(|vs| Flatten::new(vs))
        .add(|vs| Linear::with(vs, 64, 20, LinearConfig { bias: false }))
        .add(|vs| ReLU::new(vs))
        .add(|vs| Linear::with(vs, 20, 10, LinearConfig { bias: false }));
    "linear layers" [784], vs => Sequential::new(vs)
        .add(|vs| Linear::new(vs, 784, 30))
        .add(|vs| ReLU::new(vs))
        .add(|vs| Dropout::new(vs, 0.5))
        .add(|vs| Linear::new(vs, 30, 10));
    "linear layers of one feature" [784], vs => Sequential::new(vs)
        .add(|vs| Dropout::new(vs, 0.1))
        .add(|vs| Linear::new(vs, 784, 1))
        .add(|vs| ReLU::new(vs))
        .add(|vs| Linear::new(vs, 1, 10));
    "linear layer of three dimensions" [28, 28], vs => Sequential::new(vs)
        .add(|vs| Linear::new(vs, 28, 6))
        .add(|vs| ReLU::new(vs))
        .add(|vs| Flatten::new(vs))
        .add(|vs| Linear::new(vs, 168, 10));
    "functions" IMAGE, vs => Functions { fc: Linear::new(vs / "fc", 49, 10) };
    "own parameters" [784], vs => Sequential::new(vs)
        .add(|vs| Linear::new(vs, 784, 5))
        .add(OwnParameters::new);
    "returns a value before the last" [784], vs => Early::new(vs, 784);
    "unused layer" [784], vs => Unused::new(vs, 784);
};

fn conv_net(vs: &Scope) -> Sequential {
    let no_bias = Conv2dConfig { stride: [2, 2], bias: false, ..Default::default() };
    Sequential::new(vs)
        .add(|vs| Conv2d::new(vs, 1, 6, 3, no_bias))
        .add(|vs| BatchNorm2d::new(vs, 6, Default::default()))
        .add(|vs| ReLU::new(vs))
        .add(|vs| MaxPool2d::new(vs, 2, Default::default()))
        .add(|vs| Flatten::new(vs))
        .add(|vs| Dropout::new(vs, 0.3))
        .add(|vs| Linear::new(vs, 216, 10))
}

/// A convolution, batch norm, ReLU and max pooling.
fn normalized(vs: &Scope, config: BatchNorm2dConfig) -> Sequential {
    Sequential::new(vs)
        .add(|vs| Conv2d::new(vs, 1, 6, 3, Conv2dConfig { stride: [2, 2], ..Default::default() }))
        .add(|vs| BatchNorm2d::new(vs, 6, config))
        .add(|vs| ReLU::new(vs))
        .add(|vs| MaxPool2d::new(vs, 2, Default::default()))
        .add(|vs| Flatten::new(vs))
        .add(|vs| Linear::new(vs, 216, 10))
}

/// The convolutions of LeNet-5, then dropout.
fn lenet(vs: &Scope, conv2: Conv2dConfig) -> Sequential {
    let padding_2 = Conv2dConfig { padding: [2, 2], ..Default::default() };
    Sequential::new(vs)
        .add(|vs| Conv2d::new(vs, 1, 6, 5, padding_2))
        .add(|vs| ReLU::new(vs))
        .add(|vs| AvgPool2d::new(vs, 2, Default::default()))
        .add(|vs| Conv2d::new(vs, 6, 16, 5, conv2))
        .add(|vs| ReLU::new(vs))
        .add(|vs| AvgPool2d::new(vs, 2, Default::default()))
        .add(|vs| Dropout2d::new(vs, 0.1))
        .add(|vs| Flatten::new(vs))
        .add(|vs| Linear::new(vs, 400, 30))
        .add(|vs| ReLU::new(vs))
        .add(|vs| Dropout::new(vs, 0.2))
        .add(|vs| Linear::new(vs, 30, 10))
}

struct Dense {
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

impl Dense {
    fn new(vs: &Scope) -> Self {
        Self {
            fc1: Linear::new(vs / "fc1", 784, 20),
            fc2: Linear::new(vs / "fc2", 20, 20),
            fc3: Linear::new(vs / "fc3", 20, 10),
        }
    }
}

impl Module for Dense {
    fn forward(&self, x: Value) -> Value {
        let x = relu(self.fc1.forward(x));
        let x = relu(self.fc2.forward(x.clone())) + x;
        self.fc3.forward(x.clone() + x)
    }
}

struct Shared {
    fc1: Linear,
    fc2: Linear,
    drop: Dropout,
    fc3: Linear,
}

impl Shared {
    fn new(vs: &Scope) -> Self {
        Self {
            fc1: Linear::new(vs / "fc1", 784, 20),
            fc2: Linear::new(vs / "fc2", 20, 20),
            drop: Dropout::new(vs / "drop", 0.1),
            fc3: Linear::new(vs / "fc3", 20, 10),
        }
    }
}

impl Module for Shared {
    fn forward(&self, x: Value) -> Value {
        let x = self.drop.forward(relu(self.fc1.forward(x)));
        let x = self.drop.forward(relu(self.fc2.forward(x)));
        self.fc3.forward(relu(self.fc2.forward(x)))
    }
}

/// One layer; the rest are functions of `torch.nn.functional`.
struct Functions {
    fc: Linear,
}

impl Module for Functions {
    fn forward(&self, x: Value) -> Value {
        let x = avg_pool2d(relu(dropout(x, 0.1)), 2);
        self.fc.forward(dropout(flatten(max_pool2d(x, 2), 1), 0.2))
    }
}
