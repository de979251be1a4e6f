//! The notebook's PyTorch loop: `DataLoader(shuffle=True)`, cross-entropy, `backward`, Adam.
//!
//! In the exact engine the backward pass is written out: of the fully connected layers the operations that
//! autograd would call, of what is below them [`crate::kernels::direct`]'s with the same bits; and all
//! gradients are in one buffer, which Adam updates as one tensor.

use tch::{Device, Kind, Reduction, Tensor};

use super::{Engine, Learned, Learner, OnTensors, Pass, RestoreError, TrainConfig, learned};
use crate::kernels::direct;
use crate::models::{Activations, Flat, Lenet5, Model, assign, init};
use crate::optim::{Optimizer, TorchAdam};
use crate::rng::torch::Generator;

/// LeNet-5 with its optimizer and the generator that shuffles.
#[derive(Debug)]
pub struct Lenet5Learner {
    model: Lenet5,
    gradients: Flat,
    adam: TorchAdam,
    rng: Generator,
    order: Vec<u32>,
    engine: Engine,
    device: Device,
}

/// The model after `torch.manual_seed(config.seed)`, and the generator as it then is.
pub(super) fn initial(config: &TrainConfig) -> (Lenet5, Generator) {
    let model = Lenet5::zeros(config.device);
    assign(&model, &init::lenet5(config.seed)).expect("init draws the model's own shapes");
    // In Python the DataLoader draws from the generator that has just drawn the parameters.
    let mut rng = Generator::new(config.seed);
    let specs = model.entry().parameters;
    rng.skip(specs.iter().map(|(_, shape)| shape.iter().product::<i64>() as usize).sum());
    (model, rng)
}

impl Lenet5Learner {
    /// `torch.manual_seed(config.seed)`, then the model, then its optimizer, for `n` samples.
    pub fn new(config: &TrainConfig, n: usize) -> Self {
        let (model, rng) = initial(config);
        let gradients = Flat::zeros(model.entry().parameters, Kind::Float, config.device);
        let adam = TorchAdam::new(vec![model.flat().all().shallow_clone()], config.lr);
        let TrainConfig { engine, device, .. } = *config;
        Self { model, gradients, adam, rng, order: vec![0; n], engine, device }
    }

    /// Forward and backward pass of a batch. The gradients are in a buffer that the next pass
    /// overwrites.
    pub fn pass(&mut self, pixels: &[u8], labels: &[u8]) -> Pass {
        let images = self.model.input(pixels);
        let labels: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
        let labels = Tensor::from_slice(&labels).to_device(self.device);
        let (logits, loss) = match (self.engine, self.device) {
            (Engine::Exact | Engine::Fast, Device::Cpu) => {
                tch::no_grad(|| self.by_hand(&images, &labels))
            }
            _ => self.by_autograd(&images, &labels),
        };
        let gradients = self.gradients.views().iter().map(Tensor::detach).collect();
        Pass { images, labels, logits, loss, gradients }
    }

    /// Logits and loss; writes the gradients.
    fn by_autograd(&mut self, images: &Tensor, labels: &Tensor) -> (Tensor, Tensor) {
        let logits = self.model.forward_for_autograd(images);
        // F.cross_entropy with its defaults: no class weights, ignore_index -100, no smoothing.
        let loss = logits.cross_entropy_loss::<Tensor>(labels, None, Reduction::Mean, -100, 0.0);
        let gradients = Tensor::run_backward(&[&loss], self.model.flat().views(), false, false);
        tch::no_grad(|| {
            for (kept, gradient) in self.gradients.views().iter().zip(&gradients) {
                kept.shallow_clone().copy_(gradient);
            }
        });
        (logits.detach(), loss.detach())
    }

    /// As [`Self::by_autograd`], on the CPU.
    fn by_hand(&mut self, images: &Tensor, labels: &Tensor) -> (Tensor, Tensor) {
        let activations = self.model.activations(images);
        let logits = activations.logits.shallow_clone();
        let log_probabilities = logits.log_softmax(-1, None);
        let loss = log_probabilities.nll_loss(labels);
        self.backward(images, &activations, &log_probabilities, labels);
        (logits, loss)
    }

    /// Writes the gradients of the mean loss, from the last layer to the first.
    fn backward(
        &mut self,
        images: &Tensor,
        activations: &Activations,
        log_probabilities: &Tensor,
        labels: &Tensor,
    ) {
        let parameters = self.model.flat().views();
        let Activations { features, pool2, fc1, fc2, .. } = activations;
        let (one, n) = (Tensor::from(1f32), Tensor::from(labels.numel() as f32));
        let by_log_probabilities = log_probabilities.nll_loss_backward::<Tensor>(
            &one,
            labels,
            None,
            Reduction::Mean,
            -100,
            &n,
        );
        let by_logits = Tensor::internal_log_softmax_backward_data(
            &by_log_probabilities,
            log_probabilities,
            -1,
            Kind::Float,
        );
        let by_fc2 = relu_backward(&self.linear_backward(&by_logits, fc2, 8), fc2);
        let by_fc1 = relu_backward(&self.linear_backward(&by_fc2, fc1, 6), fc1);
        let by_pool2 = self.linear_backward(&by_fc1, pool2, 4);
        let weights = [&parameters[0], &parameters[2]];
        let by = direct::gradients(images, features, &by_pool2, weights);
        let gradients = by.conv1.iter().chain(&by.conv2);
        for (kept, gradient) in self.gradients.views().iter().zip(gradients) {
            kept.detach().copy_(gradient);
        }
    }

    /// Writes the gradients of the linear layer whose weight is parameter `weight`; returns that by
    /// its input.
    fn linear_backward(&self, by_output: &Tensor, input: &Tensor, weight: usize) -> Tensor {
        let [by_weight, by_bias] = [weight, weight + 1].map(|i| self.gradients.views()[i].detach());
        let _ = by_output.tr().mm_out(&by_weight, input);
        let _ = by_output.sum_intlist_out(&by_bias, 0, false, Kind::Float);
        by_output.mm(&self.model.flat().views()[weight])
    }
}

/// `threshold_backward`: the gradient by the input of a ReLU, given that by its output.
fn relu_backward(by_output: &Tensor, output: &Tensor) -> Tensor {
    output.threshold_backward(by_output, 0)
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
        self.adam.step(&[self.gradients.all().shallow_clone()]);
        pass.show(self.model.flat(), &self.adam, on_tensors);
        pass.loss.double_value(&[])
    }

    fn copy_learned(&self, learned: &mut Learned) {
        learned::copy(&self.model, self.model.flat(), &self.adam, learned);
    }

    fn restore(&mut self, learned: &Learned) -> Result<(), RestoreError> {
        learned::restore(learned, &self.model, self.model.flat(), &mut self.adam)
    }

    fn into_model(self: Box<Self>) -> Box<dyn Model> {
        Box::new(self.model)
    }
}
