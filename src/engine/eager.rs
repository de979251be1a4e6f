//! The eager engine, the reference for the others: libtorch's autograd over the network's forward pass, and the
//! optimizer operation by operation, on any device.

use tch::Tensor;

use super::{Criterion, LayerOutput, Skipped, StepOutput, TrainStep, gradient};
use crate::dataset::loader::Batch;
use crate::libtorch::retain_grad;
use crate::nn::{ForwardFailed, LayerSpec, Model};
use crate::optim::Optimizer;

/// A network that is trained with the same libtorch operations as in PyTorch.
#[derive(Debug)]
pub struct Eager {
    model: Model,
    criterion: Criterion,
    optimizer: Box<dyn Optimizer>,
    images: Tensor,
    labels: Tensor,
    logits: Tensor,
    loss: Tensor,
    skipped: Skipped,
    keeps_layers: bool,
    /// The outputs of the layers in the last forward pass: index of the layer, output.
    layers: Vec<(usize, Tensor)>,
}

impl Eager {
    /// Creates the engine; `optimizer` has the parameters of `model`.
    pub fn new(model: Model, criterion: Criterion, optimizer: Box<dyn Optimizer>) -> Self {
        let none = || Tensor::new();
        let (images, labels, logits, loss) = (none(), none(), none(), none());
        let (skipped, layers) = (Skipped::default(), Vec::new());
        Self {
            model,
            criterion,
            optimizer,
            images,
            labels,
            logits,
            loss,
            skipped,
            keeps_layers: false,
            layers,
        }
    }
}

impl TrainStep for Eager {
    fn model(&self) -> &Model {
        &self.model
    }

    fn zero_grad(&mut self) {
        self.optimizer.zero_grad();
    }

    fn forward(&mut self, batch: &Batch) {
        let device = self.model.device();
        self.images = self.model.images(&batch.pixels);
        self.labels = batch.labels(device);
        self.layers.clear();
        let (layers, keep) = (&mut self.layers, self.keeps_layers);
        self.logits = self.model.forward_with(&self.images, true, |layer, output| {
            if keep {
                retain_grad(output);
                layers.push((layer, output.shallow_clone()));
            }
        });
    }

    fn loss(&mut self, batch: &Batch) -> f64 {
        let labels = (batch, &self.labels);
        let (loss, value) = self.criterion.eager(&self.model, &self.logits, labels);
        self.loss = loss;
        value
    }

    fn backward(&mut self) {
        if let Err(error) = self.loss.f_backward() {
            ForwardFailed::new(&error.to_string()).raise();
        }
        self.model.update_buffers();
        let parameters = 0..self.model.parameters().len();
        let skipped = parameters.filter(|&i| gradient(&self.model, i).is_none());
        self.skipped.set(&self.model, self.optimizer.as_ref(), skipped.collect());
    }

    fn step(&mut self) {
        self.optimizer.step();
    }

    fn keep_layers(&mut self, keep: bool) {
        self.keeps_layers = keep;
    }

    fn output(&self) -> Option<StepOutput> {
        let parameters = self.model.parameters().iter().enumerate();
        let gradients = parameters
            .map(|(i, it)| gradient(&self.model, i).unwrap_or_else(|| it.detach().zeros_like()));
        Some(StepOutput {
            images: self.images.shallow_clone(),
            labels: self.labels.shallow_clone(),
            layers: layers(&self.model, &self.layers),
            logits: self.logits.detach(),
            loss: self.loss.detach(),
            gradients: gradients.collect(),
        })
    }

    fn optimizer_state(&self) -> Vec<(&'static str, Vec<Tensor>)> {
        let shared = |tensors: &[Tensor]| tensors.iter().map(Tensor::shallow_clone).collect();
        let state = self.optimizer.state().into_iter();
        state.map(|(name, tensors)| (name, shared(tensors))).collect()
    }

    fn optimizer(&self) -> &dyn Optimizer {
        self.optimizer.as_ref()
    }

    fn optimizer_mut(&mut self) -> &mut dyn Optimizer {
        self.optimizer.as_mut()
    }

    fn into_model(self: Box<Self>) -> Model {
        self.model
    }
}

/// The outputs of layers with names and gradients.
fn layers(model: &Model, outputs: &[(usize, Tensor)]) -> Vec<LayerOutput> {
    let mut calls = vec![0; model.graph().layers().len()];
    let named = |(layer, output): &(usize, Tensor)| {
        let LayerSpec { path, class } = &model.graph().layers()[*layer];
        calls[*layer] += 1;
        let name = match calls[*layer] {
            1 => path.clone(),
            call => format!("{path}#{call}"),
        };
        let gradient = Some(output.grad()).filter(Tensor::defined);
        LayerOutput { name, class, output: output.detach(), gradient }
    };
    outputs.iter().map(named).collect()
}
