//! A deeper network, the paper's future work: the notebook's class `DeepCNN`, in PyTorch.

use tensor_files::Dtype;

use super::{Defaults, Library, ModelEntry, ModelOptions};
use crate::nn::{
    BatchNorm2d, Conv2d, Conv2dConfig, Dropout, Linear, Module, Scope, Value, flatten, max_pool2d,
    relu,
};

pub struct DeepCnn {
    conv1: Conv2d,
    bn1: Option<BatchNorm2d>,
    conv2: Conv2d,
    bn2: Option<BatchNorm2d>,
    conv3: Conv2d,
    bn3: Option<BatchNorm2d>,
    fc1: Linear,
    dropout: Option<Dropout>,
    fc2: Linear,
}

impl DeepCnn {
    pub fn new(vs: &Scope, options: &ModelOptions) -> Self {
        let padding_1 = Conv2dConfig { padding: [1, 1], ..Default::default() };
        Self {
            conv1: Conv2d::new(vs / "conv1", 1, 16, 3, padding_1),
            bn1: options.batch_norm(vs / "bn1", 16),
            conv2: Conv2d::new(vs / "conv2", 16, 32, 3, padding_1),
            bn2: options.batch_norm(vs / "bn2", 32),
            conv3: Conv2d::new(vs / "conv3", 32, 64, 3, padding_1),
            bn3: options.batch_norm(vs / "bn3", 64),
            fc1: Linear::new(vs / "fc1", 64 * 3 * 3, 128),
            dropout: options.dropout(vs / "dropout"),
            fc2: Linear::new(vs / "fc2", 128, options.classes as i64),
        }
    }
}

impl Module for DeepCnn {
    fn forward(&self, x: Value) -> Value {
        let x = max_pool2d(relu(self.bn1.forward(self.conv1.forward(x))), 2);
        let x = max_pool2d(relu(self.bn2.forward(self.conv2.forward(x))), 2);
        let x = max_pool2d(relu(self.bn3.forward(self.conv3.forward(x))), 2);
        let x = flatten(x, 1);
        let x = self.dropout.forward(relu(self.fc1.forward(x)));
        self.fc2.forward(x)
    }
}

/// The paper does not have this network: architecture and default settings are a choice of this port.
pub static ENTRY: ModelEntry = ModelEntry {
    name: "deepcnn",
    class: "DeepCNN",
    title: "DeepCNN",
    article: "",
    description: "a deeper CNN, the paper's future work, float32",
    structure: "Three convolutions, of 16, 32 and 64 filters of 3×3, each with ReLU and max pooling, then two linear \
                layers of 128 and 10",
    build: Some(|vs, options| Box::new(DeepCnn::new(vs, options))),
    input: &[1, 28, 28],
    dtype: Dtype::F32,
    library: Library::PyTorch,
    defaults: Defaults {
        epochs: 10,
        batch_size: 64,
        lr: 1e-3,
        options: ModelOptions { batch_norm: true, dropout: 0.5, ..ModelOptions::NONE },
    },
    paper: None,
    is_future_work: true,
    shipped: Some(include_bytes!("../../models/deepcnn/state_dict.pt")),
};
