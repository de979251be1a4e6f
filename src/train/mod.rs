//! The training loop, and the two ways of taking a step in it.
//!
//! [`fit`] is the loop that both of the notebook's trainings share: an order of samples for each
//! epoch, batches of it, one step a batch, the mean loss. It knows no paths and prints nothing;
//! what happens is told to a callback, which may also end the run.

mod config;
mod fingerprint;
mod state;
mod trainer;

use std::ops::ControlFlow;
use std::time::Instant;

use tch::Tensor;

use crate::dataset::loader::{Batch, Batches};
use crate::dataset::{CLASSES, Split};
use crate::engine::{StepOutput, TrainStep};
use crate::evaluate::{cross_entropy, evaluate};
use crate::nn::Model;
use tensor_files::NamedTensor;

pub use config::{ConfigError, check, supports};
pub use fingerprint::kernels_sha256;
pub use state::RestoreError;
pub use stitch_run::{
    Device, Engine, EpochRecord, Progress, SettingError, TrainConfig, TrainState,
};
pub use trainer::Trainer;

/// What a run reports while it goes on.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// A step is done.
    Step {
        /// Counted from 1.
        epoch: usize,
        /// Samples of this epoch that were seen so far.
        samples: usize,
        /// Mean loss of the epoch so far.
        loss: f64,
        /// Loss of this step's batch.
        batch_loss: f64,
    },
    /// An epoch is done, its validation too.
    Epoch(EpochRecord),
}

/// How a run that ended well ended.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// One record an epoch.
    pub epochs: Vec<EpochRecord>,
    /// Whether the stopping rule ended it before the last epoch.
    pub converged: bool,
    /// Whether the patience ended it before the last epoch.
    pub out_of_patience: bool,
    /// The best epoch, where images are held out.
    pub best: Option<Best>,
}

/// The epoch with the lowest validation loss, the first of equals.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// The epoch; `val_loss` and `val_accuracy` have a value.
    pub epoch: EpochRecord,
    /// The parameters after it, under the model's names.
    pub parameters: Vec<NamedTensor>,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The loss, or a weight, is NaN or infinite.
    #[error(
        "training diverged: the loss became {loss} in epoch {epoch}, step {step}. Try a smaller learning rate"
    )]
    Diverged {
        /// Counted from 1.
        epoch: usize,
        /// Counted from 1 within the epoch.
        step: usize,
        /// The loss of that step.
        loss: f64,
    },
    /// Parameters that are not finite although every loss was.
    #[error(
        "training diverged: {parameter} holds values that are not finite after epoch {epoch}, step {step}. Try a smaller learning rate"
    )]
    NotFinite {
        /// The first such parameter.
        parameter: String,
        /// The last epoch, counted from 1.
        epoch: usize,
        /// Its last step, counted from 1.
        step: usize,
    },
    /// The validation loss is NaN or infinite although every training loss was finite.
    #[error(
        "training diverged: the validation loss became {loss} after epoch {epoch}. Try a smaller learning rate"
    )]
    ValidationDiverged {
        /// Counted from 1.
        epoch: usize,
        /// The loss.
        loss: f64,
    },
    /// The callback asked for it.
    #[error("training was stopped in epoch {epoch}, step {step}; nothing was written")]
    Stopped {
        /// Counted from 1.
        epoch: usize,
        /// Counted from 1 within the epoch.
        step: usize,
    },
    /// A setting that cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A network of this class that is not for this data set, and what does not fit.
    #[error(
        "the network {0} cannot be trained here: {1}. Images of 28x28 pixels, ten classes and the device \
         of the settings are expected"
    )]
    UnsupportedNetwork(String, String),
    /// An engine that is not for a network of this class.
    #[error(
        "the {0} engine does not support the network {1}: it is for LeNet-5's operations and shapes \
         on the CPU. Use the exact engine, or eager"
    )]
    UnsupportedEngine(Engine, String),
    /// So few classes occur that scikit-learn would build another network.
    #[error(
        "the training labels hold {0} of the {CLASSES} classes: scikit-learn's MLPClassifier would build a network of another shape; use training data with all classes"
    )]
    MissingClasses(usize),
}

/// Everything that a step computes, in causal order; parameters and the optimizer's state after the update.
#[derive(Debug)]
pub struct StepTensors<'a> {
    /// The forward and backward pass.
    pub output: &'a StepOutput,
    /// What the optimizer keeps, by PyTorch's names, in the order of the parameters.
    pub optimizer: &'a [(&'static str, Vec<Tensor>)],
    /// Parameters.
    pub parameters: &'a [Tensor],
    /// Buffers.
    pub buffers: &'a [Tensor],
}

/// Watches a run from within, tensor by tensor. It sees copies of nothing: a run without a tracer
/// does no work for one.
pub trait Tracer {
    /// The order of an epoch, counted from 1.
    fn order(&mut self, epoch: usize, order: &[u32]);

    /// Whether the tensors of this step are wanted; `last`: it is the last of its epoch. Steps are
    /// counted from 1 over the whole run.
    fn wants(&self, step: usize, last: bool) -> bool;

    /// The tensors of a step that was wanted.
    fn step(&mut self, step: usize, tensors: &StepTensors);

    /// The mean loss of an epoch.
    fn epoch(&mut self, epoch: usize, loss: f64);
}

/// Hears of each step and epoch, with where the run then stands; breaking ends the run.
pub type OnEvent<'a> = &'a mut dyn FnMut(Event, &Progress, &Trainer) -> ControlFlow<()>;

/// Trains until `config.epochs` epochs are done, the stopping rule ends the training, or `config.patience` is at
/// its end. After each epoch the model is evaluated on `validation`, which changes no bit of what
/// follows.
///
/// `progress` is where the run stands: its beginning, or where a run was interrupted. Then the trainer is a
/// new one with the state of the interrupted one ([`Trainer::restore`]), and everything that follows has
/// the bits of a run that was never interrupted. `tracer` sees the tensors of the steps that it wants.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use stitch::train::{Event, Progress, TrainConfig, Trainer, fit};
/// # let images = (0..40 * 784).map(|i| (i % 251) as u8).collect::<Vec<_>>().into();
/// # let data = stitch::dataset::Split { images, labels: (0..40).map(|i| i % 10).collect() };
///
/// let config = TrainConfig::new("lenet5", 2, 16, 1e-3);
/// let mut trainer = Trainer::new(&config, &data)?;
/// let mut steps = 0;
/// let mut on_event = |event, _: &Progress, _: &Trainer| {
///     steps += usize::from(matches!(event, Event::Step { .. }));
///     ControlFlow::Continue(())
/// };
/// let progress = Progress::default();
/// let history = fit(&mut trainer, &config, &data, None, progress, &mut on_event, None)?;
/// assert_eq!((history.epochs.len(), steps), (2, 2 * 3));
/// let model = trainer.into_model();
/// # assert!(model.first_not_finite().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`TrainError::Diverged`], [`TrainError::ValidationDiverged`], [`TrainError::NotFinite`], or
/// [`TrainError::Stopped`] when `on_event` breaks.
pub fn fit(
    trainer: &mut Trainer,
    config: &TrainConfig,
    data: &Split,
    validation: Option<&Split>,
    mut progress: Progress,
    on_event: OnEvent,
    mut tracer: Option<&mut dyn Tracer>,
) -> Result<History, TrainError> {
    let patience = config.patience.unwrap_or(usize::MAX);
    let mut converged = trainer.replay(progress.epochs.iter().map(|record| record.loss));
    let step = steps(config, data);
    while progress.epochs.len() < config.epochs && !converged && progress.waited() < patience {
        // Re-borrowed for the epoch: the reference itself would be moved in.
        let epoch_tracer = tracer.as_mut().map(|tracer| &mut **tracer as &mut dyn Tracer);
        let loss = run_epoch(trainer, config, data, &mut progress, on_event, epoch_tracer)?;
        let validation = validation.map(|data| validate(trainer.model(), data));
        let record = progress.end_epoch(loss, validation);
        keep_best(&mut progress, trainer.model())?;
        if on_event(Event::Epoch(record), &progress, trainer).is_break() {
            return Err(TrainError::Stopped { epoch: record.epoch, step });
        }
        converged = trainer.has_converged(loss);
    }
    match trainer.model().first_not_finite() {
        Some(parameter) => {
            let (parameter, epoch) = (parameter.into(), progress.epochs.len());
            Err(TrainError::NotFinite { parameter, epoch, step })
        }
        None => Ok(history(progress, config, converged)),
    }
}

/// Mean cross-entropy and accuracy of `model` on images that are held out.
fn validate(model: &Model, data: &Split) -> (f64, f64) {
    let evaluation = evaluate(model, data);
    (cross_entropy(&evaluation.logits, &data.labels), evaluation.report.accuracy)
}

/// Keeps the parameters when the epoch that has just ended is the best one.
fn keep_best(progress: &mut Progress, model: &Model) -> Result<(), TrainError> {
    let Some(&EpochRecord { epoch, val_loss: Some(loss), .. }) = progress.epochs.last() else {
        return Ok(());
    };
    if !loss.is_finite() {
        return Err(TrainError::ValidationDiverged { epoch, loss });
    }
    if progress.best().is_some_and(|best| best.epoch == epoch) {
        progress.best_parameters = model.state_dict();
    }
    Ok(())
}

/// How a run ended that stands there.
fn history(progress: Progress, config: &TrainConfig, converged: bool) -> History {
    let ended_early = progress.epochs.len() < config.epochs;
    let out_of_patience =
        ended_early && config.patience.is_some_and(|patience| progress.waited() >= patience);
    let best = progress.best().copied();
    let Progress { epochs, best_parameters: parameters, .. } = progress;
    let best = best.map(|epoch| Best { epoch, parameters });
    History { epochs, converged, out_of_patience, best }
}

/// The first step of the first epoch by itself, of a new trainer: its loss.
///
/// # Errors
/// [`TrainError::Diverged`].
pub fn first_step(
    trainer: &mut Trainer,
    config: &TrainConfig,
    data: &Split,
) -> Result<f64, TrainError> {
    let order = trainer.next_order();
    let mut batches = Batches::new(data, &order, config.batch_size);
    let Some(batch) = batches.next_batch() else { return Ok(0.0) };
    let loss = take_step(trainer.engine_mut(), batch);
    if loss.is_finite() { Ok(loss) } else { Err(TrainError::Diverged { epoch: 1, step: 1, loss }) }
}

/// Steps of an epoch.
pub fn steps(config: &TrainConfig, data: &Split) -> usize {
    data.len().div_ceil(config.batch_size)
}

/// One pass over the data, or the rest of one; returns its mean loss.
fn run_epoch(
    trainer: &mut Trainer,
    config: &TrainConfig,
    data: &Split,
    progress: &mut Progress,
    on_event: OnEvent,
    mut tracer: Option<&mut dyn Tracer>,
) -> Result<f64, TrainError> {
    let epoch = progress.epoch();
    let (start, seconds) = (Instant::now(), progress.seconds);
    let order = match progress.steps {
        0 => trainer.next_order(),
        _ => trainer.resumed_order(),
    };
    if let Some(tracer) = &mut tracer {
        tracer.order(epoch, &order);
    }
    let steps = steps(config, data);
    let mut samples = order.len().min(progress.steps.saturating_mul(config.batch_size));
    let mut loader = Batches::new(data, &order, config.batch_size).skip(progress.steps);
    while let Some(batch) = loader.next_batch() {
        let loss = take_step(trainer.engine_mut(), batch);
        progress.steps += 1;
        let (step, count) = (progress.steps, progress.count(steps));
        if let Some(tracer) = &mut tracer
            && tracer.wants(count, step == steps)
        {
            trace_step(*tracer, count, trainer.engine());
        }
        if !loss.is_finite() {
            return Err(TrainError::Diverged { epoch, step, loss });
        }
        progress.loss_sum += loss * batch.len() as f64;
        progress.seconds = seconds + start.elapsed().as_secs_f64();
        samples += batch.len();
        let mean = progress.loss_sum / samples as f64;
        let event = Event::Step { epoch, samples, loss: mean, batch_loss: loss };
        if on_event(event, progress, trainer).is_break() {
            return Err(TrainError::Stopped { epoch, step });
        }
    }
    let loss = progress.loss_sum / samples as f64;
    if let Some(tracer) = tracer {
        tracer.epoch(epoch, loss);
    }
    Ok(loss)
}

/// The notebook's step: the mean loss of the batch before the update.
fn take_step(engine: &mut dyn TrainStep, batch: &Batch) -> f64 {
    engine.zero_grad();
    engine.forward(batch);
    let loss = engine.loss(batch);
    engine.backward();
    engine.step();
    loss
}

/// Shows the tensors of the step that has just been taken.
fn trace_step(tracer: &mut dyn Tracer, step: usize, engine: &dyn TrainStep) {
    if let Some(output) = engine.output() {
        let (optimizer, model) = (engine.optimizer_state(), engine.model());
        let (parameters, buffers) = (model.parameters(), model.buffers());
        let tensors = StepTensors { output: &output, optimizer: &optimizer, parameters, buffers };
        tracer.step(step, &tensors);
    }
}
