//! The fast engine: LeNet-5's training step on the CPU, with an order of summation of its own.
//!
//! It computes the same as [`super::Exact`] in float32: the same initial parameters,
//! batches, gradients of the mean loss and Adam. Only the order of summation differs, so the last bits
//! differ; they depend on the number of threads and on the vector length of the CPU. Two runs on one
//! machine with the same number of threads give the same bits.
//!
//! A block is as many images as a vector has lanes. An activation (C, H, W) of a block is an array
//! `[[[V; W]; H]; C]` of vectors with one image per lane, so the forward pass never crosses lanes. A
//! block runs forward and backward through the whole network while its activations are in the cache.
//! Each thread takes an equal share of the blocks of a batch and sums its own gradients; these are
//! added in the order of the shares, and Adam updates all parameters.
//!
//! Only LeNet-5's shapes on the CPU are supported, and no traces.

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

/// A network of LeNet-5's shapes, trained with cross-entropy and Adam.
#[derive(Debug)]
pub struct Fast {
    model: Model,
    replicas: Replicas,
    /// Of the buffer of all parameters.
    optimizer: Adam,
    loss: f64,
}

/// The indices of the parameters in the engine's order, if it supports the network.
fn parameters(graph: &Graph, kind: Kind) -> Option<[usize; 10]> {
    let chain = Chain::new(graph, kind, 0);
    let image = kind == Kind::Float && chain.input_shape(0) == [-1, 1, 28, 28];
    let conv1 = chain.conv2d_relu_avg_pool2d(0, 2, [6, 1, 5, 5])?;
    let conv2 = chain.conv2d_relu_avg_pool2d(3, 0, [16, 6, 5, 5])?;
    let (fc1, fc2) = (chain.linear(7, [120, 400])?, chain.linear(9, [84, 120])?);
    let fc3 = chain.linear(11, [10, 84])?;
    let relus = [8, 10].iter().all(|&number| chain.operation::<ReluOp>(number).is_some());
    let supported = image && chain.reshapes(6) && relus && chain.ends(12);
    let all = [conv1, conv2, fc1, fc2, fc3].concat();
    all.try_into().ok().filter(|_| supported)
}

impl Fast {
    /// Whether the engine supports a network in float32: one with LeNet-5's operations and shapes.
    pub fn supports(graph: &Graph, kind: Kind) -> bool {
        parameters(graph, kind).is_some()
    }

    /// For batches of at most `batch_size` images, on as many threads as libtorch has.
    ///
    /// # Panics
    /// For a network that is not supported.
    pub fn new(model: Model, lr: f64, batch_size: usize) -> Self {
        let order = parameters(model.graph(), model.kind()).expect("a supported network");
        let places: Vec<_> = model.flat().ranges().collect();
        let ranges: ParameterRanges = order.map(|i| places[i].clone());
        // More replicas than blocks of images would have nothing to do.
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

    /// Each pass overwrites the gradients.
    fn zero_grad(&mut self) {}

    /// Forward and backward pass: a block of images goes through both while it is in the cache.
    fn forward(&mut self, batch: &Batch) {
        let parameters = values(self.model.flat().all());
        self.loss = self.replicas.pass(parameters, &batch.pixels, &batch.labels);
    }

    fn loss(&mut self, _batch: &Batch) -> f64 {
        self.loss
    }

    /// Done in [`TrainStep::forward`].
    fn backward(&mut self) {}

    fn step(&mut self) {
        self.replicas.update(&mut self.optimizer);
    }

    /// Nothing: tensors here are blocks of images.
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
