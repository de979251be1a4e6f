//! `MLPClassifier._fit_stochastic` and `_backprop` of scikit-learn 1.9
//! (`sklearn/neural_network/_multilayer_perceptron.py`), solver Adam, one hidden ReLU layer.

use tch::{Kind, Tensor};

use super::{Learner, OnTensors, Pass, TrainConfig, TrainError};
use crate::dataset::{CLASSES, Split};
use crate::models::{Mlp, Model, assign, init};
use crate::optim::SklearnAdam;
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
        let adam = SklearnAdam::new(model.parameters(), config.lr);
        let order = (0..data.len() as u32).collect();
        Ok(Self { model, adam, rng, order, best_loss: f64::INFINITY, no_improvement: 0 })
    }

    /// Forward and backward pass of a batch: mean log-loss plus the L2 term, and its gradients.
    pub fn pass(&self, pixels: &[u8], labels: &[u8]) -> Pass {
        let n = labels.len() as f64;
        let parameters = self.model.parameters();
        let [w1, b1, w2, b2] = &parameters[..] else { unreachable!("the MLP has four parameters") };
        tch::no_grad(|| {
            let images = self.model.input(pixels);
            let labels: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
            let labels = Tensor::from_slice(&labels).to_device(images.device());
            let targets = labels.view([-1, 1]);
            let hidden = images.linear(w1, Some(b1)).relu_();
            let logits = hidden.linear(w2, Some(b2));
            let probabilities = logits.softmax(-1, Kind::Double);
            let l2 = w1.square().sum(Kind::Double) + w2.square().sum(Kind::Double);
            let loss = log_loss(&probabilities, &targets) + l2 * (0.5 * ALPHA) / n;

            // delta2 = probabilities - one_hot(labels)
            let minus_ones = Tensor::full_like(&probabilities.narrow(1, 0, 1), -1.0);
            let delta2 = probabilities.scatter_add(1, &targets, &minus_ones);
            let delta1 = delta2.matmul(w2) * hidden.ne(0.0);
            let weight =
                |delta: &Tensor, xs: &Tensor, ws: &Tensor| (delta.tr().matmul(xs) + ws * ALPHA) / n;
            let bias = |delta: &Tensor| delta.sum_dim_intlist(0, false, Kind::Double) / n;
            let gradients = vec![
                weight(&delta1, &images, w1),
                bias(&delta1),
                weight(&delta2, &hidden, w2),
                bias(&delta2),
            ];
            Pass { images, labels, logits, loss, gradients }
        })
    }
}

/// `sklearn.neural_network._base.log_loss`: mean of -ln(p) of the true class, with p clipped to
/// `[eps, 1 - eps]`, eps that of float64. `probabilities` is (N, 10), `targets` (N, 1).
fn log_loss(probabilities: &Tensor, targets: &Tensor) -> Tensor {
    let of_true_class = probabilities.gather(1, targets, false);
    let clipped = of_true_class.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
    -clipped.log().mean(Kind::Double)
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
        pass.apply(&mut self.adam, &self.model, on_tensors)
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

    fn into_model(self: Box<Self>) -> Box<dyn Model> {
        Box::new(self.model)
    }
}
