//! Networks of several layers. stacks.py has their twins.

use stitch::nn::{
    AvgPool2d, BatchNorm2d, BatchNorm2dConfig, Conv2d, Conv2dConfig, Dropout, Dropout2d, Flatten,
    Linear, LinearConfig, MaxPool2d, Module, ReLU, Scope, Sequential, Tanh, Value, avg_pool2d,
    dropout, dropout2d, flatten, max_pool2d, relu, tanh,
};

use super::networks::{Network, networks};
use super::unusual::{Aside, Early, OwnParameters, OwnParametersWithin, Unused};

pub static STACKS: &[Network] = networks! {
    "mlp" [12], vs => mlp(vs);
    "mlp float64" [12], vs => mlp(vs), Double;
    "conv, batch norm, pool, dropout" [1, 10, 10], vs => ConvNet::new(vs);
    "conv, batch norm, pool, dropout, float64" [1, 10, 10], vs => ConvNet::new(vs), Double;
    "nested" [2, 8, 8], vs => Nested::new(vs);
    "residual" [4, 6, 6], vs => residual(vs);
    "lenet" [1, 28, 28], vs => LeNet::new(vs);
    "tanh lenet" [1, 14, 14], vs => TanhLeNet::new(vs);
    "functions" [2, 8, 8], vs => Functions { fc: Linear::new(vs / "fc", 8, 10) };
    "a layer applied twice" [6], vs => Shared::new(vs);
    "views" [2, 4, 4], vs => Views::new(vs);
    "own parameters" [5], vs => OwnParameters::new(vs);
    "own parameters of a submodule" [5], vs => OwnParametersWithin::new(vs);
    "returns its input" [5], vs => Sequential::new(vs);
    "returns its input, with a layer aside" [5], vs => Aside::new(vs);
    "returns a value before the last" [6], vs => Early::new(vs, 6);
    "unused layer" [6], vs => Unused::new(vs, 6);
};

fn mlp(vs: &Scope) -> Sequential {
    Sequential::new(vs)
        .add(|vs| Linear::new(vs, 12, 20))
        .add(|vs| ReLU::new(vs))
        .add(|vs| Linear::with(vs, 20, 8, LinearConfig { bias: false }))
        .add(|vs| Tanh::new(vs))
        .add(|vs| Linear::new(vs, 8, 10))
}

struct ConvNet {
    conv: Conv2d,
    norm: BatchNorm2d,
    act: ReLU,
    pool: MaxPool2d,
    flatten: Flatten,
    drop: Dropout,
    fc: Linear,
}

impl ConvNet {
    fn new(vs: &Scope) -> Self {
        let no_bias = Conv2dConfig { bias: false, ..Default::default() };
        Self {
            conv: Conv2d::new(vs / "conv", 1, 6, 3, no_bias),
            norm: BatchNorm2d::new(vs / "norm", 6, Default::default()),
            act: ReLU::new(vs / "act"),
            pool: MaxPool2d::new(vs / "pool", 2, Default::default()),
            flatten: Flatten::new(vs / "flatten"),
            drop: Dropout::new(vs / "drop", 0.3),
            fc: Linear::new(vs / "fc", 96, 10),
        }
    }
}

impl Module for ConvNet {
    fn forward(&self, x: Value) -> Value {
        let x = self.pool.forward(self.act.forward(self.norm.forward(self.conv.forward(x))));
        self.fc.forward(self.drop.forward(self.flatten.forward(x)))
    }
}

struct Nested {
    features: Sequential,
    head: Sequential,
}

impl Nested {
    fn new(vs: &Scope) -> Self {
        let padding_1 = Conv2dConfig { padding: [1, 1], ..Default::default() };
        let groups_2 = Conv2dConfig { groups: 2, ..Default::default() };
        let mean_of_all = BatchNorm2dConfig { momentum: None, ..Default::default() };
        let first = |vs: &Scope| {
            Sequential::new(vs)
                .add(|vs| Conv2d::new(vs, 2, 4, 3, padding_1))
                .add(|vs| BatchNorm2d::new(vs, 4, mean_of_all))
                .add(|vs| ReLU::new(vs))
        };
        let second = |vs: &Scope| {
            Sequential::new(vs)
                .add(|vs| Dropout2d::new(vs, 0.4))
                .add(|vs| Conv2d::new(vs, 4, 4, 3, groups_2))
                .add(|vs| ReLU::new(vs))
                .add(|vs| AvgPool2d::new(vs, 2, Default::default()))
        };
        let head = |vs: &Scope| {
            Sequential::new(vs).add(|vs| Flatten::new(vs)).add(|vs| Linear::new(vs, 36, 10))
        };
        let features = Sequential::new(vs / "features").add(first).add(second);
        Self { features, head: head(&(vs / "head")) }
    }
}

impl Module for Nested {
    fn forward(&self, x: Value) -> Value {
        self.head.forward(self.features.forward(x))
    }
}

pub struct Residual {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    drop: Dropout2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
}

impl Residual {
    pub fn new(vs: &Scope, channels: i64) -> Self {
        let conv = Conv2dConfig { padding: [1, 1], bias: false, ..Default::default() };
        let slow = BatchNorm2dConfig { momentum: Some(0.2), ..Default::default() };
        Self {
            conv1: Conv2d::new(vs / "conv1", channels, channels, 3, conv),
            bn1: BatchNorm2d::new(vs / "bn1", channels, Default::default()),
            drop: Dropout2d::new(vs / "drop", 0.2),
            conv2: Conv2d::new(vs / "conv2", channels, channels, 3, conv),
            bn2: BatchNorm2d::new(vs / "bn2", channels, slow),
        }
    }
}

impl Module for Residual {
    fn forward(&self, x: Value) -> Value {
        let y = relu(self.bn1.forward(self.conv1.forward(x.clone())));
        relu(x + self.bn2.forward(self.conv2.forward(self.drop.forward(y))))
    }
}

fn residual(vs: &Scope) -> Sequential {
    Sequential::new(vs)
        .add(|vs| Residual::new(vs, 4))
        .add(|vs| Residual::new(vs, 4))
        .add(|vs| AvgPool2d::new(vs, 2, Default::default()))
        .add(|vs| Flatten::new(vs))
        .add(|vs| Linear::new(vs, 36, 10))
}

struct LeNet {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
}

impl LeNet {
    fn new(vs: &Scope) -> Self {
        let padding_2 = Conv2dConfig { padding: [2, 2], ..Default::default() };
        Self {
            conv1: Conv2d::new(vs / "conv1", 1, 6, 5, padding_2),
            conv2: Conv2d::new(vs / "conv2", 6, 16, 5, Default::default()),
            fc1: Linear::new(vs / "fc1", 400, 120),
            fc2: Linear::new(vs / "fc2", 120, 10),
        }
    }
}

impl Module for LeNet {
    fn forward(&self, x: Value) -> Value {
        let x = avg_pool2d(relu(self.conv1.forward(x)), 2);
        let x = avg_pool2d(relu(self.conv2.forward(x)), 2);
        self.fc2.forward(relu(self.fc1.forward(x.view(&[-1, 400]))))
    }
}

struct TanhLeNet {
    conv1: Conv2d,
    pool: AvgPool2d,
    conv2: Conv2d,
    act: Tanh,
    fc: Linear,
}

impl TanhLeNet {
    fn new(vs: &Scope) -> Self {
        Self {
            conv1: Conv2d::new(vs / "conv1", 1, 4, 3, Default::default()),
            pool: AvgPool2d::new(vs / "pool", 2, Default::default()),
            conv2: Conv2d::new(vs / "conv2", 4, 6, 3, Default::default()),
            act: Tanh::new(vs / "act"),
            fc: Linear::new(vs / "fc", 24, 10),
        }
    }
}

impl Module for TanhLeNet {
    fn forward(&self, x: Value) -> Value {
        let x = self.pool.forward(self.act.forward(self.conv1.forward(x)));
        let x = self.pool.forward(self.act.forward(self.conv2.forward(x)));
        self.fc.forward(flatten(x, 1))
    }
}

/// No layer but the last: functions of `torch.nn.functional`.
struct Functions {
    fc: Linear,
}

impl Module for Functions {
    fn forward(&self, x: Value) -> Value {
        let x = max_pool2d(tanh(dropout2d(x, 0.3)), [2, 1]);
        let x = avg_pool2d(relu(x), [1, 2]);
        let x = dropout(x.clone(), 0.2) + x;
        self.fc.forward(flatten(max_pool2d(x, 2), 1))
    }
}

struct Shared {
    fc: Linear,
    drop: Dropout,
    out: Linear,
}

impl Shared {
    fn new(vs: &Scope) -> Self {
        Self {
            fc: Linear::new(vs / "fc", 6, 6),
            drop: Dropout::new(vs / "drop", 0.1),
            out: Linear::new(vs / "out", 6, 10),
        }
    }
}

impl Module for Shared {
    fn forward(&self, x: Value) -> Value {
        let x = self.drop.forward(relu(self.fc.forward(x)));
        self.out.forward(self.drop.forward(relu(self.fc.forward(x.clone()))) + x)
    }
}

struct Views {
    fc: Linear,
    conv: Conv2d,
    out: Linear,
}

impl Views {
    fn new(vs: &Scope) -> Self {
        Self {
            fc: Linear::new(vs / "fc", 4, 4),
            conv: Conv2d::new(vs / "conv", 4, 3, [2, 3], Default::default()),
            out: Linear::new(vs / "out", 6, 10),
        }
    }
}

impl Module for Views {
    fn forward(&self, x: Value) -> Value {
        let x = relu(self.fc.forward(x.view(&[-1, 8, 4])));
        let x = flatten(self.conv.forward(x.view(&[-1, 4, 2, 4])), 2);
        self.out.forward(x.view(&[-1, 6]))
    }
}
