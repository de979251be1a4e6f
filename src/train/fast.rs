//! LeNet-5 on the fast engine: [`super::Lenet5Learner`]'s initial parameters and order of samples,
//! [`crate::fast`]'s arithmetic.

use tch::Tensor;

use super::{Learned, Learner, OnTensors, RestoreError, TrainConfig, learned};
use crate::fast::State;
use crate::kernels::{lanes, values, values_mut};
use crate::models::{Lenet5, Model};
use crate::rng::torch::Generator;

/// LeNet-5 with the engine's state and the generator that shuffles.
#[derive(Debug)]
pub struct FastLenet5Learner {
    model: Lenet5,
    state: State,
    rng: Generator,
    order: Vec<u32>,
}

impl FastLenet5Learner {
    /// As [`super::Lenet5Learner::new`], on the CPU, on as many threads as libtorch has.
    pub fn new(config: &TrainConfig, n: usize) -> Self {
        let (model, rng) = super::lenet5::initial(config);
        let places: Vec<_> = model.flat().places().collect();
        let places = places.try_into().expect("LeNet-5 has ten parameters");
        // More replicas than blocks of images would have nothing to do.
        let blocks = config.batch_size.min(n).div_ceil(lanes()).max(1);
        let threads = (tch::get_num_threads() as usize).min(blocks);
        let state = State::new(model.flat().all().numel(), places, config.lr, threads);
        Self { model, state, rng, order: vec![0; n] }
    }
}

impl Learner for FastLenet5Learner {
    fn model(&self) -> &dyn Model {
        &self.model
    }

    fn next_order(&mut self) -> &[u32] {
        self.order = self.rng.data_loader_order(self.order.len() as u32);
        &self.order
    }

    /// # Panics
    /// When someone wants to see tensors: this engine's are blocks of images, in float32 of its own.
    fn step(&mut self, pixels: &[u8], labels: &[u8], on_tensors: Option<OnTensors>) -> f64 {
        assert!(on_tensors.is_none(), "the fast engine shows no tensors");
        let mut parameters = self.model.flat().all().shallow_clone();
        self.state.step(values_mut(&mut parameters), pixels, labels)
    }

    fn copy_learned(&self, learned: &mut Learned) {
        let flat = self.model.flat();
        let [exp_avg, exp_avg_sq] = self.state.moments().map(Tensor::from_slice);
        let buffers = [flat.all(), &exp_avg, &exp_avg_sq];
        learned.updates = self.state.updates();
        learned::copy_tensors(self.model.entry(), flat, buffers, &mut learned.tensors);
    }

    fn restore(&mut self, learned: &Learned) -> Result<(), RestoreError> {
        let flat = self.model.flat();
        let [exp_avg, exp_avg_sq] = [flat.all(), flat.all()].map(Tensor::zeros_like);
        let buffers = [flat.all(), &exp_avg, &exp_avg_sq];
        learned::put_back(&learned.tensors, self.model.entry(), flat, buffers)?;
        self.state.restore(learned.updates, [values(&exp_avg), values(&exp_avg_sq)]);
        Ok(())
    }

    fn into_model(self: Box<Self>) -> Box<dyn Model> {
        Box::new(self.model)
    }
}
