//! LeNet-5: the notebook's class `LeNet5`, in PyTorch.

use tensor_files::Dtype;

use super::{Defaults, Library, ModelEntry, ModelOptions, Paper};
use crate::nn::{
    BatchNorm2d, Conv2d, Conv2dConfig, Dropout, Linear, Module, Scope, Value, avg_pool2d, relu,
};

pub struct LeNet5 {
    conv1: Conv2d,
    bn1: Option<BatchNorm2d>,
    conv2: Conv2d,
    bn2: Option<BatchNorm2d>,
    fc1: Linear,
    fc2: Linear,
    dropout: Option<Dropout>,
    fc3: Linear,
}

impl LeNet5 {
    pub fn new(vs: &Scope, options: &ModelOptions) -> Self {
        let padding_2 = Conv2dConfig { padding: [2, 2], ..Default::default() };
        Self {
            conv1: Conv2d::new(vs / "conv1", 1, 6, 5, padding_2),
            bn1: options.batch_norm(vs / "bn1", 6),
            conv2: Conv2d::new(vs / "conv2", 6, 16, 5, Conv2dConfig::default()),
            bn2: options.batch_norm(vs / "bn2", 16),
            fc1: Linear::new(vs / "fc1", 400, 120),
            fc2: Linear::new(vs / "fc2", 120, 84),
            dropout: options.dropout(vs / "dropout"),
            fc3: Linear::new(vs / "fc3", 84, options.classes as i64),
        }
    }
}

impl Module for LeNet5 {
    fn forward(&self, x: Value) -> Value {
        let x = avg_pool2d(relu(self.bn1.forward(self.conv1.forward(x))), 2);
        let x = avg_pool2d(relu(self.bn2.forward(self.conv2.forward(x))), 2);
        let x = x.view(&[-1, 400]);
        let x = relu(self.fc1.forward(x));
        let x = relu(self.fc2.forward(x));
        self.fc3.forward(self.dropout.forward(x))
    }
}

/// The notebook gives only the number of epochs; `docs/study.md` says how batch size and learning rate were chosen.
pub static ENTRY: ModelEntry = ModelEntry {
    name: "lenet5",
    class: "LeNet5",
    title: "LeNet-5",
    article: "",
    description: "the notebook's PyTorch LeNet-5, float32",
    structure: "Two convolutions, of 6 and 16 filters of 5×5, each with ReLU and average pooling, then \
                three linear layers of 120, 84 and 10",
    build: Some(|vs, options| Box::new(LeNet5::new(vs, options))),
    input: &[1, 28, 28],
    dtype: Dtype::F32,
    library: Library::PyTorch,
    defaults: Defaults { epochs: 5, batch_size: 32, lr: 2e-3, options: ModelOptions::NONE },
    paper: Some(Paper { accuracy: 0.8953, settings_given: false }),
    is_future_work: false,
    shipped: Some(include_bytes!("../../models/lenet5/state_dict.pt")),
};
