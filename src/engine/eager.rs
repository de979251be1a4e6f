//! The eager engine, the reference for the others: libtorch's autograd over the network's forward pass, and the
//! optimizer operation by operation, on any device.

use tch::Tensor;

use super::{Criterion, Skipped, StepOutput, TrainStep, gradient};
use crate::dataset::loader::Batch;
use crate::nn::{ForwardFailed, Model};
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
}

impl Eager {
    /// Creates the engine; `optimizer` has the parameters of `model`.
    pub fn new(model: Model, criterion: Criterion, optimizer: Box<dyn Optimizer>) -> Self {
        let none = || Tensor::new();
        let (images, labels, logits, loss) = (none(), none(), none(), none());
        let skipped = Skipped::default();
        Self { model, criterion, optimizer, images, labels, logits, loss, skipped }
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
        self.logits = self.model.forward(&self.images, true);
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

    fn output(&self) -> Option<StepOutput> {
        let parameters = self.model.parameters().iter().enumerate();
        let gradients = parameters
            .map(|(i, it)| gradient(&self.model, i).unwrap_or_else(|| it.detach().zeros_like()));
        Some(StepOutput {
            images: self.images.shallow_clone(),
            labels: self.labels.shallow_clone(),
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
