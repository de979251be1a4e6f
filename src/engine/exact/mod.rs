//! The exact engine. On the CPU, it is bit-identical to the eager engine for PyTorch models and faster; for
//! scikit-learn's models, it differs by at most 1e-12.
//!
//! A network's graph is divided into stages ([`plan`]). If a kernel supports the next operations and their shapes, it
//! computes their forward and backward pass without autograd; other operations run in libtorch under autograd. All
//! parameters are in one flat tensor and all gradients in another, so that the optimizer updates a single tensor.

mod kernels;
mod plan;
mod stages;

use tch::Tensor;

use self::kernels::one_thread::Probe;
use self::plan::Plan;
use super::criterion::regularize;
use super::{Criterion, Skipped, StepOutput, TrainStep, flat_state};
use crate::dataset::loader::Batch;
use crate::nn::{FlatParameters, Model};
use crate::optim::Optimizer;

/// The forward pass of a network in evaluation mode. On the CPU, it uses the kernels of the exact engine.
#[derive(Debug)]
pub struct Forward<'a> {
    model: &'a Model,
    plan: Plan,
}

impl<'a> Forward<'a> {
    /// Divides the network's graph into stages.
    pub fn new(model: &'a Model) -> Self {
        let place = (model.kind(), model.device());
        Self { model, plan: Plan::new(model.graph(), place, stages::KERNELS) }
    }

    /// The output for a batch of inputs (N, …), on the network's device.
    pub fn logits(&self, xs: &Tensor) -> Tensor {
        tch::no_grad(|| self.plan.evaluate(self.model, xs))
    }
}

/// A network that is trained with kernels bit-identical to the eager engine; those for scikit-learn's models differ by rounding.
#[derive(Debug)]
pub struct Exact {
    model: Model,
    plan: Plan,
    criterion: Criterion,
    gradients: FlatParameters,
    /// The optimizer of the flat tensor of all parameters.
    optimizer: Box<dyn Optimizer>,
    skipped: Skipped,
    /// Probe for the loss and its gradient w.r.t. the logits.
    loss_probe: Probe<()>,
    state: Option<StepState>,
}

/// The results of a step's forward pass, and the tensors that its backward pass needs.
#[derive(Debug)]
struct StepState {
    images: Tensor,
    labels: Tensor,
    logits: Tensor,
    stages: Vec<stages::Saved>,
    /// The loss, and its gradient w.r.t. the logits.
    loss: Option<[Tensor; 2]>,
}

impl Exact {
    /// Creates the engine; `optimizer` has one parameter, the flat tensor of all parameters of `model`.
    pub fn new(model: Model, criterion: Criterion, optimizer: Box<dyn Optimizer>) -> Self {
        let kernels = match criterion {
            Criterion::LogLoss { .. } => stages::SKLEARN_KERNELS,
            Criterion::CrossEntropy { .. } | Criterion::Nll => stages::KERNELS,
        };
        let plan = Plan::new(model.graph(), (model.kind(), model.device()), kernels);
        let specs = model.graph().parameters();
        let gradients = FlatParameters::zeros(specs, model.kind(), model.device());
        let skipped = Skipped::default();
        let loss_probe = Probe::new();
        Self { model, plan, criterion, gradients, optimizer, skipped, loss_probe, state: None }
    }

    /// The parameters that the optimizer skips and their state, each with a copy. The optimizer of the flat tensor would decay them.
    fn skipped_copies(&self) -> Vec<(Tensor, Tensor)> {
        let skipped = self.skipped.indices();
        if skipped.is_empty() {
            return Vec::new();
        }
        let state = self.optimizer_state();
        let tensors = |i: usize| {
            let state = state.iter().map(move |(_, tensors)| tensors[i].shallow_clone());
            state.chain([self.model.parameters()[i].detach()])
        };
        skipped
            .iter()
            .flat_map(|&i| tensors(i))
            .map(|tensor| (tensor.shallow_clone(), tensor.copy()))
            .collect()
    }
}

impl TrainStep for Exact {
    fn model(&self) -> &Model {
        &self.model
    }

    /// Frees the tensors of the last step. The backward pass overwrites the gradients.
    fn zero_grad(&mut self) {
        self.state = None;
    }

    fn forward(&mut self, batch: &Batch) {
        let images = self.model.images(&batch.pixels);
        let labels = batch.labels(self.model.device());
        let (logits, stages) = tch::no_grad(|| self.plan.forward(&self.model, &images));
        self.state = Some(StepState { images, labels, logits, stages, loss: None });
    }

    fn loss(&mut self, batch: &Batch) -> f64 {
        let state = self.state.as_mut().expect("forward is called before loss");
        let inputs = [&state.logits, &state.labels];
        let [loss, grad_logits] = self.loss_probe.compute(inputs, |[logits, labels]| {
            tch::no_grad(|| self.criterion.exact(&self.model, logits, (batch, labels)))
        });
        let value = loss.double_value(&[]);
        state.loss = Some([loss, grad_logits]);
        value
    }

    fn backward(&mut self) {
        let state = self.state.as_mut().expect("forward is called before backward");
        let [_, grad_logits] = state.loss.as_ref().expect("loss is called before backward");
        tch::no_grad(|| {
            let stages = &mut state.stages;
            let skipped = self.plan.backward(
                &self.model,
                stages,
                grad_logits.shallow_clone(),
                &self.gradients,
            );
            self.skipped.set(&self.model, self.optimizer.as_ref(), skipped);
            self.model.update_buffers();
            if let Criterion::LogLoss { alpha } = self.criterion {
                regularize(&self.model, self.gradients.views(), alpha, state.labels.numel());
            }
        });
    }

    fn step(&mut self) {
        let skipped = self.skipped_copies();
        let gradient = self.gradients.all();
        if !kernels::update(self.optimizer.as_mut(), gradient) {
            self.optimizer.update(&[gradient.shallow_clone()]);
        }
        tch::no_grad(|| skipped.into_iter().for_each(|(mut tensor, copy)| tensor.copy_(&copy)));
    }

    fn output(&self) -> Option<StepOutput> {
        let state = self.state.as_ref()?;
        let [loss, _] = state.loss.as_ref()?;
        Some(StepOutput {
            images: state.images.shallow_clone(),
            labels: state.labels.shallow_clone(),
            layers: Vec::new(),
            logits: state.logits.shallow_clone(),
            loss: loss.shallow_clone(),
            gradients: self.gradients.views().iter().map(Tensor::detach).collect(),
        })
    }

    fn optimizer_state(&self) -> Vec<(&'static str, Vec<Tensor>)> {
        flat_state(self.optimizer.as_ref(), self.model.flat())
    }

    fn optimizer(&self) -> &dyn Optimizer {
        self.optimizer.as_ref()
    }

    fn optimizer_mut(&mut self) -> &mut dyn Optimizer {
        self.optimizer.as_mut()
    }

    fn into_model(self: Box<Self>) -> Model {
        self.model
    }
}
