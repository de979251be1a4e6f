//! The notebook's PyTorch loop: `DataLoader(shuffle=True)`, cross-entropy, `backward`, Adam.

use tch::{Device, Reduction, Tensor};

use super::{Learner, OnTensors, Pass, TrainConfig};
use crate::models::{Architecture, Lenet5, Model, assign, init};
use crate::optim::TorchAdam;
use crate::rng::torch::Generator;

/// LeNet-5 with its optimizer and the generator that shuffles.
#[derive(Debug)]
pub struct Lenet5Learner {
    model: Lenet5,
    parameters: Vec<Tensor>,
    adam: TorchAdam,
    rng: Generator,
    order: Vec<u32>,
    device: Device,
}

impl Lenet5Learner {
    /// `torch.manual_seed(config.seed)`, then the model, then its optimizer, for `n` samples.
    pub fn new(config: &TrainConfig, n: usize) -> Self {
        let model = Lenet5::zeros(config.device);
        assign(&model, &init::lenet5(config.seed)).expect("init draws the model's own shapes");
        // In Python the DataLoader draws from the generator that has just drawn the parameters.
        let mut rng = Generator::new(config.seed);
        let shapes = Architecture::Lenet5.parameters().iter().map(|(_, shape)| shape);
        rng.skip(shapes.map(|shape| shape.iter().product::<i64>() as usize).sum());
        let parameters = model.parameters();
        let adam = TorchAdam::new(model.parameters(), config.lr);
        Self { model, parameters, adam, rng, order: vec![0; n], device: config.device }
    }

    /// Forward and backward pass of a batch.
    pub fn pass(&self, pixels: &[u8], labels: &[u8]) -> Pass {
        let images = self.model.input(pixels);
        let labels: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
        let labels = Tensor::from_slice(&labels).to_device(self.device);
        let logits = self.model.forward(&images);
        // F.cross_entropy with its defaults: no class weights, ignore_index -100, no smoothing.
        let loss = logits.cross_entropy_loss::<Tensor>(&labels, None, Reduction::Mean, -100, 0.0);
        let gradients = Tensor::run_backward(&[&loss], &self.parameters, false, false);
        Pass { images, labels, logits, loss, gradients }
    }
}

impl Learner for Lenet5Learner {
    fn model(&self) -> &dyn Model {
        &self.model
    }

    fn next_order(&mut self) -> &[u32] {
        self.order = self.rng.data_loader_order(self.order.len() as u32);
        &self.order
    }

    fn step(&mut self, pixels: &[u8], labels: &[u8], on_tensors: Option<OnTensors>) -> f64 {
        let pass = self.pass(pixels, labels);
        pass.apply(&mut self.adam, &self.model, on_tensors)
    }

    fn into_model(self: Box<Self>) -> Box<dyn Model> {
        Box::new(self.model)
    }
}
