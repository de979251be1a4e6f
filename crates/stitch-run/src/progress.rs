//! Where a run stands between two steps, and what it has learned so far: all that a checkpoint needs
//! besides the settings. Orders of samples follow from the seed, the stopping rule from the losses.

use serde::{Deserialize, Serialize};
use tensor_files::NamedTensor;

/// A row of `history.csv`: an epoch that is done. To add a column, add a field.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean loss over the samples of the epoch: the batches' mean losses weighted by their sizes.
    pub loss: f64,
    /// Wall-clock time of the epoch's steps; NaN in a history that does not record it, as the notebook's MLP.
    #[serde(default = "not_recorded")]
    pub seconds: f64,
    /// Mean cross-entropy on the images that are held out, without the MLP's L2 term; `None` without validation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_loss: Option<f64>,
    /// Correct predictions over all predictions on the images that are held out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_accuracy: Option<f64>,
}

fn not_recorded() -> f64 {
    f64::NAN
}

/// Where a run stands; the default is its beginning.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// The epochs that are done.
    pub epochs: Vec<EpochRecord>,
    /// Steps done of the epoch after them.
    pub steps: usize,
    /// Sum over the samples of those steps of their batches' mean losses.
    pub loss_sum: f64,
    /// Seconds spent on those steps.
    pub seconds: f64,
    /// The parameters after [`Progress::best`]; empty before the first validation.
    pub best_parameters: Vec<NamedTensor>,
}

impl Progress {
    /// The epoch in progress, counted from 1.
    pub fn epoch(&self) -> usize {
        self.epochs.len() + 1
    }

    /// Steps since the beginning, of `steps` an epoch.
    pub fn count(&self, steps: usize) -> usize {
        self.epochs.len() * steps + self.steps
    }

    /// The epoch with the lowest validation loss, the first of equals.
    pub fn best(&self) -> Option<&EpochRecord> {
        let validated = self.epochs.iter().filter_map(|epoch| Some((epoch.val_loss?, epoch)));
        validated.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, epoch)| epoch)
    }

    /// Epochs since the best one.
    pub fn waited(&self) -> usize {
        self.best().map_or(0, |best| self.epochs.len() - best.epoch)
    }

    /// Copies it to `other` and reuses the memory there: new copies for each checkpoint of a long run would
    /// fragment the heap.
    pub fn copy_to(&self, other: &mut Self) {
        let Self { epochs, steps, loss_sum, seconds, best_parameters } = self;
        other.epochs.clone_from(epochs);
        (other.steps, other.loss_sum, other.seconds) = (*steps, *loss_sum, *seconds);
        other.best_parameters.clone_from(best_parameters);
    }

    /// Ends the epoch in progress with this mean loss, and the loss and accuracy on the images that are held out.
    pub fn end_epoch(&mut self, loss: f64, validation: Option<(f64, f64)>) -> EpochRecord {
        let (val_loss, val_accuracy) = validation.unzip();
        let (epoch, seconds) = (self.epoch(), self.seconds);
        let record = EpochRecord { epoch, loss, seconds, val_loss, val_accuracy };
        self.epochs.push(record);
        (self.steps, self.loss_sum, self.seconds) = (0, 0.0, 0.0);
        record
    }
}

/// What training has changed; the default is empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrainState {
    /// Updates that the optimizer has made.
    pub updates: u64,
    /// `parameter/fc1.weight`, `buffer/bn1.running_mean`, `exp_avg/fc1.weight`, …, and the state of the
    /// generators.
    pub tensors: Vec<NamedTensor>,
}
