//! `torch.optim.lr_scheduler` of PyTorch 2.13: the recurrences of `StepLR`, `CosineAnnealingLR` and `OneCycleLR`, whose
//! learning rates are Python's float64 arithmetic.

use std::f64::consts::PI;

use super::Optimizer;
use stitch_run::LrSchedule;

/// Changes the learning rate of an optimizer; `OneCycleLR` its momentum, or beta1, as well.
///
/// ```
/// use stitch::optim::lr_scheduler::LrScheduler;
/// use stitch::optim::{Adam, Optimizer};
/// use stitch::stitch_run::LrSchedule;
/// use tch::Tensor;
///
/// let mut optimizer = Adam::new(&[Tensor::from_slice(&[1f32])], 0.5);
/// let schedule = LrSchedule::Step { every: 2, gamma: 0.5 };
/// let mut scheduler = LrScheduler::new(schedule, &mut optimizer, 4, 10);
/// let mut rates = Vec::new();
/// for _epoch in 0..4 {
///     rates.push(optimizer.lr());
///     scheduler.step_epoch(&mut optimizer);
/// }
/// assert_eq!(rates, [0.5, 0.5, 0.25, 0.25]);
/// ```
#[derive(Debug, Clone)]
pub struct LrScheduler {
    schedule: LrSchedule,
    /// The optimizer's learning rate at the beginning.
    base_lr: f64,
    epochs: usize,
    total_steps: usize,
    /// Calls of `scheduler.step()`.
    last_epoch: usize,
    /// The learning rate of the optimizer's last step.
    step_lr: f64,
}

/// `OneCycleLR`'s defaults.
const PCT_START: f64 = 0.3;
const DIV_FACTOR: f64 = 25.0;
const FINAL_DIV_FACTOR: f64 = 1e4;
const BASE_MOMENTUM: f64 = 0.85;
const MAX_MOMENTUM: f64 = 0.95;

impl LrScheduler {
    /// For a run of so many epochs of so many steps; sets the first learning rate. `CosineAnnealingLR` has
    /// `T_max=epochs`, `OneCycleLR` has `max_lr` the optimizer's learning rate and `total_steps` all steps of the run.
    pub fn new(
        schedule: LrSchedule,
        optimizer: &mut dyn Optimizer,
        epochs: usize,
        steps_per_epoch: usize,
    ) -> Self {
        let base_lr = optimizer.lr();
        let total_steps = epochs.saturating_mul(steps_per_epoch);
        let scheduler =
            Self { schedule, base_lr, epochs, total_steps, last_epoch: 0, step_lr: base_lr };
        if schedule == LrSchedule::OneCycle {
            scheduler.set_one_cycle(optimizer);
        }
        scheduler
    }

    /// The learning rate of the optimizer's last step, after its [`LrScheduler::step_batch`].
    pub fn step_lr(&self) -> f64 {
        self.step_lr
    }

    /// `scheduler.step()` after a step of the optimizer, of a schedule per step.
    pub fn step_batch(&mut self, optimizer: &mut dyn Optimizer) {
        self.step_lr = optimizer.lr();
        if self.schedule == LrSchedule::OneCycle {
            self.last_epoch += 1;
            self.set_one_cycle(optimizer);
        }
    }

    /// `scheduler.step()` after an epoch, of a schedule per epoch.
    pub fn step_epoch(&mut self, optimizer: &mut dyn Optimizer) {
        let lr = optimizer.lr();
        match self.schedule {
            LrSchedule::None | LrSchedule::OneCycle => {}
            LrSchedule::Step { every, gamma } => {
                self.last_epoch += 1;
                if self.last_epoch.is_multiple_of(every) {
                    optimizer.set_lr(lr * gamma);
                }
            }
            LrSchedule::Cosine => {
                self.last_epoch += 1;
                optimizer.set_lr(self.cosine(lr));
            }
        }
    }

    /// Repeats the calls of so many complete epochs and steps of the next one, of a run that resumes.
    pub fn replay(
        &mut self,
        optimizer: &mut dyn Optimizer,
        epochs: usize,
        steps: usize,
        per_epoch: usize,
    ) {
        for _ in 0..epochs {
            (0..per_epoch).for_each(|_| self.step_batch(optimizer));
            self.step_epoch(optimizer);
        }
        (0..steps).for_each(|_| self.step_batch(optimizer));
    }

    /// `CosineAnnealingLR.get_lr` with `eta_min=0`, from the learning rate of the epoch before.
    fn cosine(&self, lr: f64) -> f64 {
        let (epoch, t_max) = (self.last_epoch as i64, self.epochs as i64);
        let (t, t_max_f) = (epoch as f64, t_max as f64);
        if (epoch - 1 - t_max).rem_euclid(2 * t_max) == 0 {
            return lr + self.base_lr * (1.0 - (PI / t_max_f).cos()) / 2.0;
        }
        (1.0 + (PI * t / t_max_f).cos()) / (1.0 + (PI * (t - 1.0) / t_max_f).cos()) * lr
    }

    /// `OneCycleLR.get_lr` with `anneal_strategy="cos"`.
    fn set_one_cycle(&self, optimizer: &mut dyn Optimizer) {
        let max_lr = self.base_lr;
        let initial_lr = max_lr / DIV_FACTOR;
        let min_lr = initial_lr / FINAL_DIV_FACTOR;
        let (step, end) = (self.last_epoch as f64, PCT_START * self.total_steps as f64 - 1.0);
        let (lr, momentum) = if step <= end {
            let pct = step / end;
            (anneal(initial_lr, max_lr, pct), anneal(MAX_MOMENTUM, BASE_MOMENTUM, pct))
        } else {
            let pct = (step - end) / ((self.total_steps as f64 - 1.0) - end);
            (anneal(max_lr, min_lr, pct), anneal(BASE_MOMENTUM, MAX_MOMENTUM, pct))
        };
        optimizer.set_lr(lr);
        optimizer.set_momentum(momentum);
    }
}

/// `_annealing_cos`: from `start` to `end` as `pct` goes from 0 to 1.
fn anneal(start: f64, end: f64, pct: f64) -> f64 {
    end + (start - end) / 2.0 * ((PI * pct).cos() + 1.0)
}
