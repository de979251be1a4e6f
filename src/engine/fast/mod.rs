//! The fast engine: training steps of convolutional networks on the CPU, with another order of summation.
//!
//! In float32, it uses the same initial parameters, batches, dropout, loss and optimizer as [`super::Exact`]. Only the
//! order of summation differs, so the low-order bits differ; they depend on the number of threads, the batch size and the vector
//! length of the CPU. Two runs on the same machine with the same number of threads are bit-identical.
//!
//! A block has as many images as a vector has lanes. An activation (C, H, W) of a block is an array of vectors with one
//! image per lane, so the forward pass never combines lanes. A block runs forward and backward through the whole network
//! while its activations are in the cache. Each thread has a replica, which processes an equal part of the blocks of a
//! batch and sums their gradients. The replicas' gradients are added in order, and the optimizer updates all parameters.
//! Batch normalization needs sums over the whole batch, in the forward and in the backward pass. There all replicas wait
//! for each other, so the step is divided into segments ([`replica::Segment`]), and the activations of all blocks
//! are kept.
//!
//! A network is supported ([`network`]) if it is a chain of: square convolutions of 3x3 or 5x5 with stride 1, each with
//! optional batch normalization, ReLU, and average or maximum pooling over windows of 2x2; then linear layers with
//! optional ReLU and dropout. That is every PyTorch model of the registry, with and without its options, with every
//! optimizer. Traces are not supported.

mod adam;
mod batch_norm;
mod block;
mod convolution;
mod linear;
mod loss;
mod network;
mod pool;
mod replica;
mod replicas;
mod shape;
#[cfg(test)]
mod tests;

use tch::{Kind, Tensor};

use self::network::Network;
use self::replicas::Replicas;
use super::{Criterion, StepOutput, TrainStep, flat_state};
use crate::dataset::loader::Batch;
use crate::nn::{Graph, Model};
use crate::optim::Optimizer;

/// A supported network, trained with a loss function of PyTorch.
#[derive(Debug)]
pub struct Fast {
    model: Model,
    replicas: Replicas,
    /// The optimizer of the flat tensor of all parameters.
    optimizer: Box<dyn Optimizer>,
    loss: f64,
}

impl Fast {
    /// Whether the engine supports a network, by its operations, shapes and element type.
    pub fn supports(graph: &Graph, kind: Kind) -> bool {
        Network::new(graph, kind).is_some()
    }

    /// Creates the engine with a loss function of PyTorch, for batches of about `batch_size` images, on libtorch's number of threads. `optimizer` has
    /// the flat tensor of the parameters of `model`.
    ///
    /// # Panics
    /// If the network or the loss function is not supported.
    pub fn new(
        model: Model,
        criterion: Criterion,
        optimizer: Box<dyn Optimizer>,
        batch_size: usize,
    ) -> Self {
        let network = Network::new(model.graph(), model.kind()).expect("a supported network");
        let threads = tch::get_num_threads() as usize;
        let replicas = Replicas::new(network, &model, (threads, batch_size), criterion);
        Self { model, replicas, optimizer, loss: 0.0 }
    }
}

impl TrainStep for Fast {
    fn model(&self) -> &Model {
        &self.model
    }

    /// Does nothing: each pass overwrites the gradients.
    fn zero_grad(&mut self) {}

    /// Computes the forward and backward pass.
    fn forward(&mut self, batch: &Batch) {
        self.loss = self.replicas.forward_backward(&self.model, batch);
    }

    fn loss(&mut self, _batch: &Batch) -> f64 {
        self.loss
    }

    /// Does nothing: [`TrainStep::forward`] has computed the gradients.
    fn backward(&mut self) {}

    fn step(&mut self) {
        self.replicas.update(self.optimizer.as_mut());
    }

    /// Returns `None`: activations exist only per block of images.
    fn output(&self) -> Option<StepOutput> {
        None
    }

    fn optimizer_state(&self) -> Vec<(&'static str, Vec<Tensor>)> {
        flat_state(self.optimizer.as_ref(), self.model.flat())
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
