//! A network in training: the engine that computes its steps, the order of its samples, and the stopping rule.

use super::config::check_channels;
use super::state::{self, RestoreError};
use super::{
    ConfigError, Device, Engine, Loss, Progress, SettingError, TrainConfig, TrainError, TrainState,
    check, steps,
};
use crate::dataset::loader::RandomSampler;
use crate::dataset::{CLASSES, Split};
use crate::engine::{Criterion, Eager, Exact, Fast, TrainStep};
use crate::libtorch::{self, cuda};
use crate::models::{self, Library, ModelEntry, init};
use crate::nn::Model;
use crate::optim::lr_scheduler::LrScheduler;
use crate::optim::{
    Adadelta, AdadeltaConfig, Adam, AdamConfig, Optimizer, RmsProp, RmsPropConfig, Sgd, SgdConfig,
    SklearnAdam,
};
use crate::rng::numpy::RandomState;

/// `alpha` of `MLPClassifier`: factor of the L2 term.
const ALPHA: f64 = 1e-4;
/// `tol` of `MLPClassifier`: an epoch improves if its loss is lower than the best by at least this.
const TOL: f64 = 1e-4;
/// `n_iter_no_change` of `MLPClassifier`: the number of consecutive epochs without improvement that the training
/// tolerates.
const N_ITER_NO_CHANGE: usize = 10;

/// A network in training, with the state that its training keeps between steps. [`super::fit()`] is the loop.
pub struct Trainer {
    engine: Box<dyn TrainStep>,
    sampler: Sampler,
    stopping: Option<NoImprovement>,
    scheduler: LrScheduler,
}

impl Trainer {
    /// Creates the model `config.model` of the registry with the initial values of its library: after
    /// `torch.manual_seed(config.seed)`, or with `random_state=config.seed`. `config.threads` is not applied.
    ///
    /// ```
    /// use stitch::train::{TrainConfig, Trainer};
    /// # let data = stitch::dataset::Split::new(vec![0; 10 * 784], (0..10).collect());
    ///
    /// let trainer = Trainer::new(&TrainConfig::new("mlp", 20, 200, 1e-3), &data)?;
    /// assert_eq!(trainer.model().state_dict()[0].name, "0.weight");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TrainError::Config`]; [`TrainError::Libtorch`] if the GPU does not exist; for scikit-learn, which sizes its output
    /// layer by the labels, also [`TrainError::MissingClasses`].
    pub fn new(config: &TrainConfig, data: &Split) -> Result<Self, TrainError> {
        let entry = check(config)?;
        cuda::check(config.device)?;
        let device = libtorch::device(config.device);
        if entry.is_script() {
            let what = "it is the network of a file: load it, and use Trainer::pytorch".into();
            return Err(TrainError::UnsupportedNetwork(entry.name.into(), what));
        }
        check_data(entry, config, data)?;
        let model = entry.zeros(&config.into(), device);
        match entry.library {
            Library::PyTorch => {
                // libtorch uses the seed's bits as an unsigned integer; the binding's type is signed.
                tch::manual_seed(config.seed as i64);
                model.reset_parameters();
                Self::pytorch(model, config, data)
            }
            Library::ScikitLearn => {
                check_classes(data)?;
                // `check` has rejected larger seeds.
                let mut rng = RandomState::new(config.seed as u32);
                init::sklearn(&model, &mut rng);
                Ok(Self::sklearn(model, config, rng, data))
            }
        }
    }

    /// Trains a custom network like the notebook's PyTorch models: `DataLoader`, with the loss, optimizer, schedule and
    /// transforms of the settings. The network has its initial values already, takes the images of the data set and returns
    /// a logit for each class, or with the loss `nll` its log-probability. Draws come from libtorch's global generator, in
    /// Python's order; `config.model`, `config.seed`, `config.threads`, `config.batch_norm`, `config.dropout`,
    /// `config.classes` and `config.init` are not used.
    ///
    /// ```
    /// use stitch::nn::{Linear, Model};
    /// use stitch::train::{Engine, TrainConfig, Trainer};
    /// # let data = stitch::dataset::Split::new(vec![0; 10 * 784], (0..10).collect());
    ///
    /// tch::manual_seed(0);
    /// let model = Model::new("Net", &[784], tch::Kind::Float, |vs| Linear::new(vs / "fc", 784, 10))?;
    /// let engine = Some(Engine::Eager);
    /// let config = TrainConfig { engine, ..TrainConfig::new("Net", 5, 64, 1e-3) };
    /// let trainer = Trainer::pytorch(model, &config, &data)?;
    /// assert_eq!(trainer.model().class(), "Net");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TrainError::Config`] for a setting out of its range; [`TrainError::NoStep`]; [`TrainError::UnsupportedNetwork`] if the network's
    /// input, output or device does not match; [`TrainError::UnsupportedEngine`] for the fast engine, if it does not
    /// support the network or its device.
    pub fn pytorch(model: Model, config: &TrainConfig, data: &Split) -> Result<Self, TrainError> {
        config.check().and_then(|()| check_channels(config, data)).map_err(ConfigError::from)?;
        check_network(&model, config, data)?;
        let n = data.len();
        if steps(config, data) == 0 && n > 0 {
            return Err(TrainError::NoStep(config.batch_size, n));
        }
        let model = model.with_normalize(config.normalize.clone());
        let criterion = match config.loss {
            Loss::CrossEntropy => {
                Criterion::CrossEntropy { label_smoothing: config.label_smoothing }
            }
            Loss::Nll => Criterion::Nll,
        };
        let mut engine =
            engine(model, config, n, criterion, |parameters| optimizer(config, parameters));
        let scheduler = scheduler(engine.as_mut(), config, data);
        let sampler = Sampler::Torch(RandomSampler::new(n).shuffle(config.shuffle));
        Ok(Self { engine, sampler, stopping: None, scheduler })
    }

    /// `MLPClassifier._fit_stochastic` of scikit-learn 1.9
    /// (`sklearn/neural_network/_multilayer_perceptron.py`) with the solver Adam. `rng` has drawn the initial values;
    /// its next draws shuffle the samples.
    fn sklearn(model: Model, config: &TrainConfig, rng: RandomState, data: &Split) -> Self {
        let n = data.len();
        let mut engine =
            engine(model, config, n, Criterion::LogLoss { alpha: ALPHA }, |parameters| {
                Box::new(SklearnAdam::new(parameters, config.lr))
            });
        let sampler = Sampler::Sklearn { rng: Box::new(rng), order: (0..n as u32).collect() };
        let stopping = Some(NoImprovement { best_loss: f64::INFINITY, count: 0 });
        let scheduler = scheduler(engine.as_mut(), config, data);
        Self { engine, sampler, stopping, scheduler }
    }

    /// The network, with the parameters after the latest step.
    pub fn model(&self) -> &Model {
        self.engine.model()
    }

    /// The engine that computes the steps.
    pub fn engine(&self) -> &dyn TrainStep {
        self.engine.as_ref()
    }

    /// The engine that computes the steps, mutable.
    pub fn engine_mut(&mut self) -> &mut dyn TrainStep {
        self.engine.as_mut()
    }

    /// The learning rate of the last step.
    pub(super) fn lr(&self) -> f64 {
        self.scheduler.step_lr()
    }

    /// `scheduler.step()` after a step of the optimizer.
    pub(super) fn end_step(&mut self) {
        self.scheduler.step_batch(self.engine.optimizer_mut());
    }

    /// `scheduler.step()` after an epoch.
    pub(super) fn end_epoch(&mut self) {
        self.scheduler.step_epoch(self.engine.optimizer_mut());
    }

    /// Draws the order in which the next epoch visits the samples.
    pub(super) fn next_order(&mut self) -> Vec<u32> {
        match &mut self.sampler {
            Sampler::Torch(sampler) => sampler.next_order(),
            Sampler::Sklearn { rng, order } => {
                // scikit-learn shuffles the previous order, by indexing it with a shuffled `arange`.
                let mut indices: Vec<u32> = (0..order.len() as u32).collect();
                rng.shuffle(&mut indices);
                *order = indices.into_iter().map(|i| order[i as usize]).collect();
                order.clone()
            }
        }
    }

    /// The order of the epoch in which a resumed run was interrupted.
    pub(super) fn resumed_order(&mut self) -> Vec<u32> {
        match &self.sampler {
            Sampler::Torch(sampler) => sampler.order(),
            Sampler::Sklearn { .. } => self.next_order(),
        }
    }

    /// Replays the state that is not in the saved tensors (the order of samples, the learning rate, the stopping rule) from
    /// the progress so far, with `steps` steps per epoch; returns whether the stopping rule ends the training there.
    pub(super) fn replay(&mut self, progress: &Progress, steps: usize) -> bool {
        let mut converged = false;
        for record in &progress.epochs {
            if matches!(self.sampler, Sampler::Sklearn { .. }) {
                self.next_order();
            }
            converged = self.has_converged(record.loss);
        }
        let (epochs, optimizer) = (progress.epochs.len(), self.engine.optimizer_mut());
        self.scheduler.replay(optimizer, epochs, progress.steps, steps);
        converged
    }

    /// Updates the stopping rule with the mean loss of an epoch; returns whether it ends the training.
    pub(super) fn has_converged(&mut self, epoch_loss: f64) -> bool {
        self.stopping.as_mut().is_some_and(|stopping| stopping.update(epoch_loss))
    }

    /// Copies the state of the training to `state`, which is empty or an earlier copy, whose memory is reused.
    pub fn copy_state(&self, state: &mut TrainState) {
        let generator = match &self.sampler {
            Sampler::Torch(sampler) => Some((self.model().device(), sampler.seed())),
            Sampler::Sklearn { .. } => None,
        };
        state::copy(self.engine.as_ref(), generator, state);
    }

    /// Restores the state of an interrupted training. [`super::fit()`] replays the rest from the losses of the completed
    /// epochs.
    ///
    /// # Errors
    /// [`RestoreError`] if the tensors do not match; the trainer is then unchanged.
    pub fn restore(&mut self, state: &TrainState) -> Result<(), RestoreError> {
        let sampler = match &mut self.sampler {
            Sampler::Torch(sampler) => Some(sampler),
            Sampler::Sklearn { .. } => None,
        };
        state::restore(self.engine.as_mut(), sampler, state)
    }

    /// Ends the training and returns the network with its last parameters.
    pub fn into_model(self) -> Model {
        self.engine.into_model()
    }
}

/// Creates the optimizer that the settings choose.
fn optimizer(config: &TrainConfig, parameters: &[tch::Tensor]) -> Box<dyn Optimizer> {
    let &TrainConfig { lr, optimizer, momentum, nesterov, .. } = config;
    let weight_decay = config.weight_decay();
    match optimizer {
        stitch_run::Optimizer::Adam | stitch_run::Optimizer::AdamW => {
            let decoupled_weight_decay = optimizer == stitch_run::Optimizer::AdamW;
            let adam = AdamConfig { weight_decay, decoupled_weight_decay, ..Default::default() };
            Box::new(Adam::with_config(parameters, lr, adam))
        }
        stitch_run::Optimizer::Sgd => {
            Box::new(Sgd::new(parameters, lr, SgdConfig { momentum, weight_decay, nesterov }))
        }
        stitch_run::Optimizer::Adadelta => {
            let adadelta = AdadeltaConfig { weight_decay, ..Default::default() };
            Box::new(Adadelta::new(parameters, lr, adadelta))
        }
        stitch_run::Optimizer::RmsProp => {
            let rmsprop = RmsPropConfig { weight_decay, momentum, ..Default::default() };
            Box::new(RmsProp::new(parameters, lr, rmsprop))
        }
    }
}

/// Creates the scheduler that the settings choose, which sets the first learning rate.
fn scheduler(engine: &mut dyn TrainStep, config: &TrainConfig, data: &Split) -> LrScheduler {
    let optimizer = engine.optimizer_mut();
    LrScheduler::new(config.lr_schedule, optimizer, config.epochs, steps(config, data))
}

/// Creates the engine that the settings choose.
fn engine(
    model: Model,
    config: &TrainConfig,
    n: usize,
    criterion: Criterion,
    optimizer: impl Fn(&[tch::Tensor]) -> Box<dyn Optimizer>,
) -> Box<dyn TrainStep> {
    match config.engine() {
        Engine::Eager => {
            let optimizer = optimizer(model.parameters());
            Box::new(Eager::new(model, criterion, optimizer))
        }
        Engine::Exact => {
            let optimizer = optimizer(std::slice::from_ref(model.flat().all()));
            Box::new(Exact::new(model, criterion, optimizer))
        }
        Engine::Fast => {
            let optimizer = optimizer(std::slice::from_ref(model.flat().all()));
            let batch_size = config.batch_size.min(n);
            Box::new(Fast::new(model, criterion, optimizer, batch_size))
        }
    }
}

/// The source of the order of the samples.
enum Sampler {
    /// `DataLoader`.
    Torch(RandomSampler),
    /// `shuffle(sample_idx, random_state)` of scikit-learn.
    Sklearn {
        rng: Box<RandomState>,
        /// The order of the last epoch.
        order: Vec<u32>,
    },
}

/// `MLPClassifier._update_no_improvement_count` without early stopping on a validation set.
struct NoImprovement {
    best_loss: f64,
    count: usize,
}

impl NoImprovement {
    fn update(&mut self, epoch_loss: f64) -> bool {
        if epoch_loss > self.best_loss - TOL {
            self.count += 1;
        } else {
            self.count = 0;
        }
        self.best_loss = self.best_loss.min(epoch_loss);
        self.count > N_ITER_NO_CHANGE
    }
}

/// Checks that the settings give the model an output for every label, and that it takes the images.
pub(crate) fn check_data(
    entry: &ModelEntry,
    config: &TrainConfig,
    data: &Split,
) -> Result<(), TrainError> {
    let label = data.labels.iter().copied().max().map_or(0, usize::from);
    if entry.library == Library::PyTorch && label >= config.classes {
        let expected =
            format!("at least {}, because the data set has the label {label}", label + 1);
        let wrong = SettingError::wrong("classes", &config.classes.to_string(), &expected);
        return Err(ConfigError::from(wrong).into());
    }
    Ok(models::check_data(entry.name, &entry.graph(&config.into()), data)?)
}

/// Checks that a network matches the data set, and the device and engine in the settings.
fn check_network(model: &Model, config: &TrainConfig, data: &Split) -> Result<(), TrainError> {
    let graph = model.graph();
    let class = || model.class().to_string();
    let unsupported = |what: String| Err(TrainError::UnsupportedNetwork(class(), what));
    model.check_trainable().map_err(|error| TrainError::Script(config.model.clone(), error))?;
    if graph.output().len() != 1 {
        return unsupported(format!(
            "its output has the shape {:?}, where one number per class is expected",
            graph.output()
        ));
    }
    models::check_data(&class(), graph, data)?;
    if model.device() != libtorch::device(config.device) {
        let (found, expected) = (model.device(), config.device);
        return unsupported(format!("it is on {found:?}, but the settings choose {expected}"));
    }
    let fast = config.engine() == Engine::Fast;
    let is_supported = Fast::supports(graph, model.kind());
    if fast && !(config.device == Device::Cpu && is_supported) {
        return Err(TrainError::UnsupportedEngine(config.engine(), class()));
    }
    Ok(())
}

/// Checks that all classes occur: scikit-learn sizes the output layer by the classes in the labels.
fn check_classes(data: &Split) -> Result<(), TrainError> {
    let mut present = [false; CLASSES];
    data.labels.iter().for_each(|&label| present[usize::from(label)] = true);
    let found = present.iter().filter(|&&is_present| is_present).count();
    if found < CLASSES { Err(TrainError::MissingClasses(found)) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
