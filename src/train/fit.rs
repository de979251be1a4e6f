//! The training loop.
//!
//! [`fit`] is the loop that the notebook's PyTorch and scikit-learn trainings share: it draws the order of the samples
//! for each epoch, takes one step per batch and averages the loss. It accesses no files and prints nothing; it reports
//! events to a callback, which may also stop the run.

use std::ops::ControlFlow;
use std::time::Instant;

use tch::Tensor;

use crate::dataset::loader::{Batch, Batches};
use crate::dataset::{CLASSES, Split};
use crate::engine::{StepOutput, TrainStep};
use crate::evaluate::{cross_entropy, evaluate, nll};
use crate::libtorch::{LibtorchError, adapt_waiting};
use crate::models::DataMismatch;
use crate::nn::{ForwardFailed, Model, ScriptError, catch_forward};
use tensor_files::NamedTensor;

use super::{ConfigError, Engine, EpochRecord, Loss, Progress, TrainConfig, Trainer};

/// An event that a run reports to its callback.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// The optimizer has updated the parameters on one batch.
    Step {
        /// The epoch, from 1.
        epoch: usize,
        /// Number of samples of the epoch so far.
        samples: usize,
        /// Mean loss of the epoch so far.
        loss: f64,
        /// Loss of this step's batch.
        batch_loss: f64,
        /// Learning rate of this step.
        lr: f64,
    },
    /// An epoch and its validation were completed.
    Epoch(EpochRecord),
}

/// The result of a completed run.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// One record per epoch.
    pub epochs: Vec<EpochRecord>,
    /// Whether the stopping rule ended it before the last epoch.
    pub converged: bool,
    /// Whether `patience` ended it before the last epoch.
    pub out_of_patience: bool,
    /// The best epoch; `None` without validation.
    pub best: Option<Best>,
}

/// The epoch with the lowest validation loss, the first in case of a tie.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// Its record; `val_loss` and `val_accuracy` are `Some`.
    pub epoch: EpochRecord,
    /// The model's state_dict after it.
    pub parameters: Vec<NamedTensor>,
}

/// A run that cannot be started or completed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The loss is NaN or infinite.
    #[error(
        "training diverged: the loss became {loss} in epoch {epoch}, step {step}. Try a smaller learning rate"
    )]
    Diverged {
        /// The epoch, from 1.
        epoch: usize,
        /// The step within the epoch, from 1.
        step: usize,
        /// The loss of that step.
        loss: f64,
    },
    /// A parameter or buffer is NaN or infinite although every loss was finite.
    #[error(
        "training diverged: {parameter} holds values that are not finite after epoch {epoch}, step {step}. Try a smaller learning rate"
    )]
    NotFinite {
        /// Name of the first such parameter or buffer.
        parameter: String,
        /// The last epoch, from 1.
        epoch: usize,
        /// Its last step, from 1.
        step: usize,
    },
    /// The validation loss is NaN or infinite although every training loss was finite.
    #[error(
        "training diverged: the validation loss became {loss} after epoch {epoch}. Try a smaller learning rate"
    )]
    ValidationDiverged {
        /// The epoch, from 1.
        epoch: usize,
        /// Mean validation loss of the epoch: infinite or NaN.
        loss: f64,
    },
    /// The callback stopped the run.
    #[error("training was stopped in epoch {epoch}, step {step}; nothing was written")]
    Stopped {
        /// The epoch, from 1.
        epoch: usize,
        /// The step within the epoch, from 1.
        step: usize,
    },
    /// A setting is out of range or does not suit the model.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A network does not match the data set.
    #[error(transparent)]
    Data(#[from] DataMismatch),
    /// The network of a TorchScript file cannot be trained: its path.
    #[error("{0}: {1}")]
    Script(String, ScriptError),
    /// The forward pass of a TorchScript network raised.
    #[error("epoch {epoch}, step {step}: the network raised: {error}")]
    Forward {
        /// The epoch, from 1.
        epoch: usize,
        /// The step within the epoch, from 1; 0: the validation after the epoch.
        step: usize,
        /// The network's message.
        error: ForwardFailed,
    },
    /// A network cannot be trained: its class and the reason.
    #[error("the network {0} cannot be trained: {1}")]
    UnsupportedNetwork(String, String),
    /// The engine does not support the network.
    #[error(
        "the {0} engine does not support the network {1}: it supports convolutions of 3x3 or 5x5, each with ReLU and \
         2x2 pooling, followed by linear layers, in float32 on the CPU. Use the exact or the eager engine"
    )]
    UnsupportedEngine(Engine, String),
    /// With `drop_last`, a batch size above the number of training images: batch size, images.
    #[error(
        "there are {1} training images, fewer than a batch of {0}, which drop_last leaves out: no step would be taken. \
         Use a batch size of at most {1}, or keep the last batch"
    )]
    NoStep(usize, usize),
    /// The training labels do not include all classes, so scikit-learn would build another network.
    #[error(
        "the training labels include {0} of the {CLASSES} classes, for which scikit-learn's MLPClassifier would build a smaller output layer. Use training data with all classes"
    )]
    MissingClasses(usize),
    /// libtorch reports an error.
    #[error(transparent)]
    Libtorch(#[from] LibtorchError),
}

/// The tensors of one step, in causal order. Parameters, buffers and the optimizer's state are those after the update.
#[derive(Debug)]
pub struct StepTensors<'a> {
    /// Results of the forward and backward pass.
    pub output: &'a StepOutput,
    /// Learning rate of the step.
    pub lr: f64,
    /// The optimizer's state under PyTorch's names, in the order of the parameters.
    pub optimizer: &'a [(&'static str, Vec<Tensor>)],
    /// Parameters.
    pub parameters: &'a [Tensor],
    /// Buffers.
    pub buffers: &'a [Tensor],
}

/// Receives the tensors of a run. They are not copied, and a run without a tracer does no extra work.
pub trait Tracer {
    /// Receives the order of an epoch, counted from 1.
    fn order(&mut self, epoch: usize, order: &[u32]);

    /// Whether to trace a step; `last` is whether it is the last of its epoch. Steps are counted from 1 over the whole
    /// run.
    fn traces(&self, step: usize, last: bool) -> bool;

    /// Receives the buffers before a traced step.
    fn before_step(&mut self, step: usize, buffers: &[Tensor]);

    /// Receives the tensors of a traced step.
    fn step(&mut self, step: usize, tensors: &StepTensors);

    /// Receives the mean loss of an epoch.
    fn epoch(&mut self, epoch: usize, loss: f64);

    /// Whether the trace cannot be continued: the run is then stopped.
    fn has_failed(&self) -> bool {
        false
    }
}

/// Callback after each step and epoch, with the run's progress; `Break` stops the run.
pub type OnEvent<'a> = &'a mut dyn FnMut(Event, &Progress, &Trainer) -> ControlFlow<()>;

/// Trains for `config.epochs` epochs, or until the stopping rule or `config.patience` ends the training. After each
/// epoch, the model is evaluated on `validation`, which does not influence the training.
///
/// `progress` is the progress so far: the default for a new run, or that of an interrupted run. To resume a run, pass
/// a new trainer with the state of the interrupted one ([`Trainer::restore`]); the result is bit-identical to an
/// uninterrupted run. `tracer` receives the tensors of the steps that it traces.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use stitch::train::{Event, Progress, TrainConfig, Trainer, fit};
/// # let images: Vec<u8> = (0..40 * 784).map(|i| (i % 251) as u8).collect();
/// # let data = stitch::dataset::Split::new(images, (0..40).map(|i| i % 10).collect());
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
/// [`TrainError::Stopped`] if `on_event` breaks.
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
    let step = steps(config, data);
    let mut converged = trainer.replay(&progress, step);
    while progress.epochs.len() < config.epochs && !converged && progress.waited() < patience {
        // Reborrowed for each epoch, because the call moves the reference.
        let epoch_tracer = tracer.as_mut().map(|tracer| &mut **tracer as &mut dyn Tracer);
        let loss = run_epoch(trainer, config, data, &mut progress, on_event, epoch_tracer)?;
        let validation = validation
            .map(|data| catch_forward(|| validate(trainer.model(), config.loss, data)))
            .transpose()
            .map_err(|error| TrainError::Forward { epoch: progress.epoch(), step: 0, error })?;
        let record = progress.end_epoch(loss, trainer.lr(), validation);
        store_best(&mut progress, trainer.model())?;
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

/// Mean loss (without label smoothing) and accuracy of `model` on the validation images.
fn validate(model: &Model, loss: Loss, data: &Split) -> (f64, f64) {
    let evaluation = evaluate(model, data);
    let mean = match loss {
        Loss::CrossEntropy => cross_entropy,
        Loss::Nll => nll,
    };
    (mean(&evaluation.logits, &data.labels), evaluation.report.accuracy)
}

/// Stores the parameters if the last epoch is the best one so far.
fn store_best(progress: &mut Progress, model: &Model) -> Result<(), TrainError> {
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

/// The history of a run that ended with this progress.
fn history(progress: Progress, config: &TrainConfig, converged: bool) -> History {
    let ended_early = progress.epochs.len() < config.epochs;
    let out_of_patience =
        ended_early && config.patience.is_some_and(|patience| progress.waited() >= patience);
    let best = progress.best().copied();
    let Progress { epochs, best_parameters: parameters, .. } = progress;
    let best = best.map(|epoch| Best { epoch, parameters });
    History { epochs, converged, out_of_patience, best }
}

/// Takes only the first step of the first epoch with a new trainer; returns its loss.
///
/// # Errors
/// [`TrainError::Diverged`] if the loss is not finite.
pub fn first_step(
    trainer: &mut Trainer,
    config: &TrainConfig,
    data: &Split,
) -> Result<f64, TrainError> {
    let order = trainer.next_order();
    let mut batches = batches(data, &order, config);
    let Some(batch) = batches.next_batch() else { return Ok(0.0) };
    let taken = catch_forward(|| take_step(trainer.engine_mut(), batch));
    let loss = taken.map_err(|error| TrainError::Forward { epoch: 1, step: 1, error })?;
    if loss.is_finite() { Ok(loss) } else { Err(TrainError::Diverged { epoch: 1, step: 1, loss }) }
}

/// The number of steps per epoch.
pub fn steps(config: &TrainConfig, data: &Split) -> usize {
    config.steps(data.len())
}

/// The batches of an epoch in this order, with the options of the settings.
fn batches<'a>(data: &'a Split, order: &'a [u32], config: &'a TrainConfig) -> Batches<'a> {
    let batches = Batches::new(data, order, config.batch_size);
    batches.augment(&config.augment).drop_last(config.drop_last)
}

/// Trains for one epoch, or completes an interrupted one; returns its mean loss.
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
    let mut loader = batches(data, &order, config).skip(progress.steps);
    while let Some(batch) = loader.next_batch() {
        let step = progress.steps + 1;
        let count = progress.count(steps) + 1;
        let traced = tracer.as_ref().is_some_and(|it| it.traces(count, step == steps));
        trainer.engine_mut().keep_layers(traced);
        adapt_waiting();
        if let Some(tracer) = tracer.as_mut().filter(|_| traced) {
            tracer.before_step(count, trainer.model().buffers());
        }
        let taken = catch_forward(|| take_step(trainer.engine_mut(), batch));
        let loss = taken.map_err(|error| TrainError::Forward { epoch, step, error })?;
        progress.steps += 1;
        if let Some(tracer) = tracer.as_mut().filter(|_| traced) {
            trace_step(*tracer, count, trainer);
            if tracer.has_failed() {
                return Err(TrainError::Stopped { epoch, step: progress.steps });
            }
        }
        trainer.end_step();
        if !loss.is_finite() {
            return Err(TrainError::Diverged { epoch, step, loss });
        }
        progress.loss_sum += loss * batch.len() as f64;
        progress.seconds = seconds + start.elapsed().as_secs_f64();
        samples += batch.len();
        let mean = progress.loss_sum / samples as f64;
        let (batch_loss, lr) = (loss, trainer.lr());
        let event = Event::Step { epoch, samples, loss: mean, batch_loss, lr };
        if on_event(event, progress, trainer).is_break() {
            return Err(TrainError::Stopped { epoch, step });
        }
    }
    let loss = progress.loss_sum / samples as f64;
    if let Some(tracer) = tracer {
        tracer.epoch(epoch, loss);
    }
    trainer.end_epoch();
    Ok(loss)
}

/// Takes the notebook's training step; returns the mean loss of the batch before the update.
pub(super) fn take_step(engine: &mut dyn TrainStep, batch: &Batch) -> f64 {
    engine.zero_grad();
    engine.forward(batch);
    let loss = engine.loss(batch);
    engine.backward();
    engine.step();
    loss
}

/// Passes the tensors of the last step to the tracer.
fn trace_step(tracer: &mut dyn Tracer, step: usize, trainer: &Trainer) {
    let engine = trainer.engine();
    if let Some(output) = engine.output() {
        let (optimizer, model) = (engine.optimizer_state(), engine.model());
        let (parameters, buffers) = (model.parameters(), model.buffers());
        let (output, optimizer, lr) = (&output, &optimizer[..], engine.optimizer().lr());
        let tensors = StepTensors { output, lr, optimizer, parameters, buffers };
        tracer.step(step, &tensors);
    }
}
