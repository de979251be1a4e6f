//! The MLP: scikit-learn's `MLPClassifier(hidden_layer_sizes=(64,), activation="relu")`, written as the PyTorch
//! module `nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)).double()`.

use tensor_files::Dtype;

use super::{Defaults, Library, ModelEntry, ModelOptions, Paper};
use crate::nn::{Linear, Module, ReLU, Scope, Sequential, Value, flatten};

pub struct Mlp {
    layers: Sequential,
}

impl Mlp {
    pub fn new(vs: &Scope) -> Self {
        Self {
            layers: Sequential::new(vs)
                .add(|vs| Linear::new(vs, 784, 64))
                .add(|vs| ReLU::new(vs))
                .add(|vs| Linear::new(vs, 64, 10)),
        }
    }
}

impl Module for Mlp {
    fn forward(&self, x: Value) -> Value {
        // Lets the exported module accept images (N, 1, 28, 28), too.
        self.layers.forward(flatten(x, 1))
    }
}

/// All default settings are the notebook's.
pub static ENTRY: ModelEntry = ModelEntry {
    name: "mlp",
    class: "MLP",
    title: "MLP",
    article: "the ",
    description: "scikit-learn's MLPClassifier: one hidden layer of 64, float64",
    structure: "scikit-learn's MLPClassifier: 784 pixels, one hidden layer of 64 with ReLU, ten outputs",
    build: Some(|vs, _| Box::new(Mlp::new(vs))),
    input: &[784],
    dtype: Dtype::F64,
    library: Library::ScikitLearn,
    defaults: Defaults { epochs: 20, batch_size: 200, lr: 1e-3, options: ModelOptions::NONE },
    paper: Some(Paper { accuracy: 0.8709, settings_given: true }),
    is_future_work: false,
    shipped: Some(include_bytes!("../../models/mlp/state_dict.pt")),
};
