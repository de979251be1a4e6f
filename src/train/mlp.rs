//! `MLPClassifier._fit_stochastic` and `_backprop` of scikit-learn 1.9
//! (`sklearn/neural_network/_multilayer_perceptron.py`), solver Adam, one hidden ReLU layer.

use tch::{Device, Kind, Tensor};

use super::{Learned, Learner, OnTensors, Pass, RestoreError, TrainConfig, TrainError, learned};
use crate::dataset::{CLASSES, Split};
use crate::kernels::{self, values, values_mut};
use crate::models::{Flat, Mlp, Model, assign, init};
use crate::optim::{Optimizer, SklearnAdam};
use crate::rng::numpy::RandomState;

/// `alpha`: strength of the L2 term.
const ALPHA: f64 = 1e-4;
/// `tol`: an epoch whose loss is not lower than the best by this much counts as no improvement.
const TOL: f64 = 1e-4;
/// `n_iter_no_change`: more such epochs in a row than this end the training.
const N_ITER_NO_CHANGE: usize = 10;

/// The MLP with its optimizer, the generator that shuffles, and the stopping rule.
#[derive(Debug)]
pub struct MlpLearner {
    model: Mlp,
    gradients: Flat,
    adam: SklearnAdam,
    rng: RandomState,
    /// Epochs shuffle positions in the previous order, so orders accumulate.
    order: Vec<u32>,
    best_loss: f64,
    no_improvement: usize,
}

impl MlpLearner {
    /// `MLPClassifier(random_state=config.seed, learning_rate_init=config.lr)` up to its first
    /// epoch.
    ///
    /// # Errors
    /// [`TrainError::MissingClasses`]: scikit-learn sizes its output layer by the labels.
    pub fn new(config: &TrainConfig, data: &Split) -> Result<Self, TrainError> {
        let mut present = [false; CLASSES];
        data.labels.iter().for_each(|&label| present[usize::from(label)] = true);
        let found = present.iter().filter(|&&there| there).count();
        if found < CLASSES {
            return Err(TrainError::MissingClasses { found });
        }
        // TrainConfig::check has refused larger seeds.
        let mut rng = RandomState::new(config.seed as u32);
        let model = Mlp::zeros(config.device);
        assign(&model, &init::mlp(&mut rng)).expect("init draws the model's own shapes");
        let gradients = Flat::zeros(model.entry().parameters, Kind::Double, config.device);
        let adam = SklearnAdam::new(vec![model.flat().all().shallow_clone()], config.lr);
        let order = (0..data.len() as u32).collect();
        Ok(Self { model, gradients, adam, rng, order, best_loss: f64::INFINITY, no_improvement: 0 })
    }

    /// Forward and backward pass of a batch: mean log-loss plus the L2 term, and its gradients,
    /// which are in a buffer that the next pass overwrites.
    pub fn pass(&mut self, pixels: &[u8], labels: &[u8]) -> Pass {
        tch::no_grad(|| {
            let images = self.model.input(pixels);
            let device = images.device();
            let hidden = self.model.hidden(&images);
            let logits = self.model.output(&hidden);
            let (log_loss, delta2) = log_loss(&logits.to_device(Device::Cpu), labels);
            let l2 = self.backward(&images, &hidden, &delta2.to_device(device));
            let loss = log_loss + 0.5 * ALPHA * l2 / labels.len() as f64;
            let labels: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
            let labels = Tensor::from_slice(&labels).to_device(device);
            let gradients = self.gradients.views().iter().map(Tensor::detach).collect();
            Pass { images, labels, logits, loss: Tensor::from(loss), gradients }
        })
    }

    /// Writes the gradients; returns the sum of all squared weights.
    fn backward(&self, images: &Tensor, hidden: &Tensor, delta2: &Tensor) -> f64 {
        let parameters = self.model.flat().views();
        let n = images.size()[0] as f64;
        let mut delta1 = delta2.matmul(&parameters[2]);
        gate(&mut delta1, hidden);
        let mut l2 = 0.0;
        for (layer, delta, xs) in [(0, &delta1, images), (2, delta2, hidden)] {
            let [mut by_weight, mut by_bias] =
                [layer, layer + 1].map(|i| self.gradients.views()[i].detach());
            let _ = delta.tr().mm_out(&by_weight, xs);
            let _ = delta.sum_intlist_out(&by_bias, 0, false, Kind::Double);
            l2 += regularise(&mut by_weight, &parameters[layer], n);
            let _ = by_bias.g_div_scalar_(n);
        }
        l2
    }
}

/// `delta[hidden == 0] = 0`, the derivative of ReLU in place.
fn gate(delta: &mut Tensor, hidden: &Tensor) {
    if hidden.device() != Device::Cpu {
        let _ = delta.g_mul_(&hidden.ne(0.0));
        return;
    }
    let deltas = values_mut::<f64>(delta).iter_mut();
    for (delta, &hidden) in deltas.zip(values::<f64>(hidden)) {
        *delta = if hidden == 0.0 { 0.0 } else { *delta };
    }
}

/// `gradient = (gradient + alpha * weight) / n`; returns the sum of the squared weights.
fn regularise(gradient: &mut Tensor, weight: &Tensor, n: f64) -> f64 {
    if weight.device() != Device::Cpu {
        let _ = gradient.g_add_(&(weight * ALPHA)).g_div_scalar_(n);
        return weight.square().sum(Kind::Double).double_value(&[]);
    }
    /// Sums side by side, for vector instructions.
    const SUMS: usize = 8;
    let mut sums = [0.0; SUMS];
    let gradients = values_mut::<f64>(gradient).as_chunks_mut::<SUMS>().0;
    let weights = values::<f64>(weight).as_chunks::<SUMS>().0;
    // 784 * 64 and 64 * 10 weights: no rest.
    for (gradients, weights) in gradients.iter_mut().zip(weights) {
        for ((gradient, &weight), sum) in gradients.iter_mut().zip(weights).zip(&mut sums) {
            *sum += weight * weight;
            *gradient = (*gradient + ALPHA * weight) / n;
        }
    }
    sums.iter().sum()
}

/// Softmax, and `sklearn.neural_network._base.log_loss` of it: the mean of -ln(p) of the true
/// class, with p clipped to `[eps, 1 - eps]`, eps that of float64; and the gradient of its sum by
/// the logits (N, 10), `probabilities - one_hot(labels)`.
fn log_loss(logits: &Tensor, labels: &[u8]) -> (f64, Tensor) {
    let mut sum = 0.0;
    let delta = kernels::filled(&logits.size(), |delta: &mut [f64]| {
        let rows = delta.as_chunks_mut::<CLASSES>().0.iter_mut();
        for ((row, logits), &label) in
            rows.zip(values::<f64>(logits).as_chunks::<CLASSES>().0).zip(labels)
        {
            let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            *row = logits.map(|logit| (logit - max).exp());
            let total: f64 = row.iter().sum();
            row.iter_mut().for_each(|p| *p /= total);
            let p = &mut row[usize::from(label)];
            sum -= p.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln();
            *p -= 1.0;
        }
    });
    (sum / labels.len() as f64, delta)
}

impl Learner for MlpLearner {
    fn model(&self) -> &dyn Model {
        &self.model
    }

    fn next_order(&mut self) -> &[u32] {
        // A fresh `arange` is shuffled and picks from the previous order.
        let mut picks: Vec<u32> = (0..self.order.len() as u32).collect();
        self.rng.shuffle(&mut picks);
        self.order = picks.into_iter().map(|i| self.order[i as usize]).collect();
        &self.order
    }

    fn step(&mut self, pixels: &[u8], labels: &[u8], on_tensors: Option<OnTensors>) -> f64 {
        let pass = self.pass(pixels, labels);
        self.adam.step(&[self.gradients.all().shallow_clone()]);
        pass.show(self.model.flat(), &self.adam, on_tensors);
        pass.loss.double_value(&[])
    }

    /// `_update_no_improvement_count` without early stopping on a validation set.
    fn has_converged(&mut self, epoch_loss: f64) -> bool {
        if epoch_loss > self.best_loss - TOL {
            self.no_improvement += 1;
        } else {
            self.no_improvement = 0;
        }
        self.best_loss = self.best_loss.min(epoch_loss);
        self.no_improvement > N_ITER_NO_CHANGE
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
