//! Progress and state of a run between two steps: everything in a checkpoint besides the settings. The order of samples
//! follows from the seed, early stopping from the losses.

use serde::{Deserialize, Serialize};
use tensor_files::NamedTensor;

/// A row of `history.csv`: a finished epoch. To add a column, add a field.
///
/// The field is a number with a serde default, or an `Option` that has a value in every epoch of a run or in none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    /// Number of the epoch, counted from 1.
    pub epoch: usize,
    /// Mean loss over the samples of the epoch: the batches' mean losses weighted by their sizes.
    pub loss: f64,
    /// Learning rate of the epoch's last step; NaN if not recorded, as by older versions.
    #[serde(default = "not_recorded")]
    pub lr: f64,
    /// Wall-clock seconds of the epoch's steps; NaN if not recorded, as for the notebook's MLP.
    #[serde(default = "not_recorded")]
    pub seconds: f64,
    /// Mean loss on the held-out images, without label smoothing and the MLP's L2 term; `None` without validation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_loss: Option<f64>,
    /// Accuracy on the held-out images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_accuracy: Option<f64>,
}

impl EpochRecord {
    /// Whether it has the numbers of a run with, or without, validation.
    pub fn has_validation(&self, with: bool) -> bool {
        self.val_loss.is_some() == with && self.val_accuracy.is_some() == with
    }
}

fn not_recorded() -> f64 {
    f64::NAN
}

/// Progress of a run; the default is the start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// Finished epochs.
    pub epochs: Vec<EpochRecord>,
    /// Finished steps of the epoch in progress.
    pub steps: usize,
    /// Sum of the losses over the samples of these steps.
    pub loss_sum: f64,
    /// Wall-clock seconds of these steps.
    pub seconds: f64,
    /// Parameters after the epoch [`Progress::best`]; empty before the first validation.
    pub best_parameters: Vec<NamedTensor>,
}

impl Progress {
    /// The epoch in progress, counted from 1.
    pub fn epoch(&self) -> usize {
        self.epochs.len() + 1
    }

    /// Finished steps of the run, with `steps` per epoch.
    pub fn count(&self, steps: usize) -> usize {
        self.epochs.len() * steps + self.steps
    }

    /// The epoch with the lowest validation loss; the first one in case of a tie.
    pub fn best(&self) -> Option<&EpochRecord> {
        let validated = self.epochs.iter().filter_map(|epoch| Some((epoch.val_loss?, epoch)));
        validated.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, epoch)| epoch)
    }

    /// Epochs since the best one.
    pub fn waited(&self) -> usize {
        self.best().map_or(0, |best| self.epochs.len() - best.epoch)
    }

    /// Copies the progress to `other`, reusing its memory: new allocations for each checkpoint would fragment the heap.
    pub fn copy_to(&self, other: &mut Self) {
        let Self { epochs, steps, loss_sum, seconds, best_parameters } = self;
        other.epochs.clone_from(epochs);
        (other.steps, other.loss_sum, other.seconds) = (*steps, *loss_sum, *seconds);
        other.best_parameters.clone_from(best_parameters);
    }

    /// Ends the epoch in progress; `lr` is the learning rate of its last step, `validation` is the loss and accuracy on the held-out images.
    pub fn end_epoch(&mut self, loss: f64, lr: f64, validation: Option<(f64, f64)>) -> EpochRecord {
        let (val_loss, val_accuracy) = validation.unzip();
        let (epoch, seconds) = (self.epoch(), self.seconds);
        let record = EpochRecord { epoch, loss, lr, seconds, val_loss, val_accuracy };
        self.epochs.push(record);
        (self.steps, self.loss_sum, self.seconds) = (0, 0.0, 0.0);
        record
    }
}

/// The state of a trainer; the default is empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrainState {
    /// Number of optimizer steps.
    pub updates: u64,
    /// Parameters, buffers, optimizer state (`parameter/fc1.weight`, `buffer/bn1.running_mean`, `exp_avg/fc1.weight`, …) and
    /// the state of the random generators.
    pub tensors: Vec<NamedTensor>,
}

/// Number and noun: `1 epoch`, `2 epochs`.
pub fn counted(count: usize, unit: &str) -> String {
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
