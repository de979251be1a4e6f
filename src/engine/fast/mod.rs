//! The fast engine: LeNet-5's training step on the CPU, with another order of summation.
//!
//! In float32, it uses the same initial parameters, batches, loss and optimizer as [`super::Exact`]. Only the order of
//! summation differs, so the low-order bits differ; they depend on the number of threads and on the vector length of the
//! CPU. Two runs on the same machine with the same number of threads are bit-identical.
//!
//! A block has as many images as a vector has lanes. An activation (C, H, W) of a block is an array `[[[V; W]; H]; C]` of
//! vectors with one image per lane, so the forward pass never combines lanes. A block runs forward and backward through
//! the whole network while its activations are in the cache. Each thread has a replica, which processes an equal part of
//! the blocks of a batch and sums their gradients. The replicas' gradients are added in order, and Adam updates all
//! parameters.
//!
//! Only LeNet-5's shapes on the CPU are supported. Traces are not.

mod adam;
mod convolution;
mod linear;
mod loss;
mod replica;
mod shape;
mod step;

use tch::{Kind, Tensor};

use self::replica::ParameterRanges;
use self::step::Replicas;
use super::chain::Chain;
use super::{StepOutput, TrainStep, flat_state};
use crate::dataset::loader::Batch;
use crate::libtorch::{lanes, values};
use crate::nn::{Graph, Model, ReluOp};
use crate::optim::{Adam, Optimizer};
use stitch_run::TrainConfig;

/// A network with LeNet-5's shapes, trained with cross-entropy and Adam.
#[derive(Debug)]
pub struct Fast {
    model: Model,
    replicas: Replicas,
    /// The optimizer of the flat tensor of all parameters.
    optimizer: Adam,
    loss: f64,
}

/// The indices of the parameters in the engine's order; `None` if it does not support the network.
fn parameters(graph: &Graph, kind: Kind) -> Option<[usize; 10]> {
    let chain = Chain::new(graph, kind, 0);
    let image = kind == Kind::Float && chain.input_shape(0) == [-1, 1, 28, 28];
    let conv1 = chain.conv2d_relu_avg_pool2d(0, 2, [6, 1, 5, 5])?;
    let conv2 = chain.conv2d_relu_avg_pool2d(3, 0, [16, 6, 5, 5])?;
    let (fc1, fc2) = (chain.linear(7, [120, 400])?, chain.linear(9, [84, 120])?);
    let fc3 = chain.linear(11, [10, 84])?;
    let relus = [8, 10].iter().all(|&number| chain.operation::<ReluOp>(number).is_some());
    let supported = image && chain.is_reshape(6) && relus && chain.ends_after(12);
    let all = [conv1, conv2, fc1, fc2, fc3].concat();
    all.try_into().ok().filter(|_| supported)
}

impl Fast {
    /// Whether the engine supports a network: it must have LeNet-5's operations and shapes, and be in float32.
    pub fn supports(graph: &Graph, kind: Kind) -> bool {
        parameters(graph, kind).is_some()
    }

    /// Whether the engine supports optimizer and loss of the settings.
    pub fn supports_training(config: &TrainConfig) -> bool {
        config.optimizer == stitch_run::Optimizer::Adam
            && config.weight_decay() == 0.0
            && config.label_smoothing == 0.0
    }

    /// Creates the engine for batches of at most `batch_size` images, on libtorch's number of threads.
    ///
    /// # Panics
    /// If the network is not supported.
    pub fn new(model: Model, lr: f64, batch_size: usize) -> Self {
        let order = parameters(model.graph(), model.kind()).expect("a supported network");
        let all_ranges: Vec<_> = model.flat().ranges().collect();
        let ranges: ParameterRanges = order.map(|i| all_ranges[i].clone());
        // At most one replica per block of images.
        let blocks = batch_size.div_ceil(lanes()).max(1);
        let threads = (tch::get_num_threads() as usize).min(blocks);
        let all = model.flat().all();
        let replicas = Replicas::new(all.numel(), ranges, threads);
        let optimizer = Adam::new(std::slice::from_ref(all), lr);
        Self { model, replicas, optimizer, loss: 0.0 }
    }
}

impl TrainStep for Fast {
    fn model(&self) -> &Model {
        &self.model
    }

    /// Does nothing: each pass overwrites the gradients.
    fn zero_grad(&mut self) {}

    /// Computes the forward and backward pass, each block of images through both while it is in the cache.
    fn forward(&mut self, batch: &Batch) {
        let parameters = values(self.model.flat().all());
        self.loss = self.replicas.forward_backward(parameters, &batch.pixels, &batch.labels);
    }

    fn loss(&mut self, _batch: &Batch) -> f64 {
        self.loss
    }

    /// Does nothing: [`TrainStep::forward`] has computed the gradients.
    fn backward(&mut self) {}

    fn step(&mut self) {
        self.replicas.update(&mut self.optimizer);
    }

    /// Returns `None`: activations exist only per block of images.
    fn output(&self) -> Option<StepOutput> {
        None
    }

    fn optimizer_state(&self) -> Vec<(&'static str, Vec<Tensor>)> {
        flat_state(&self.optimizer, self.model.flat())
    }

    fn optimizer(&self) -> &dyn Optimizer {
        &self.optimizer
    }

    fn optimizer_mut(&mut self) -> &mut dyn Optimizer {
        &mut self.optimizer
    }

    fn into_model(self: Box<Self>) -> Model {
        self.model
    }
}
