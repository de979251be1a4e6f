//! Where a run stands between two steps, and what it has learned so far: all that a checkpoint needs
//! besides the settings. Orders of samples follow from the seed, the stopping rule from the losses.

use crate::formats::NamedTensor;

/// One line of `history.csv`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean loss over the samples of the epoch: the batches' mean losses weighted by their sizes.
    pub loss: f64,
    /// Wall-clock time of the epoch.
    pub seconds: f64,
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

    /// Ends the epoch in progress with this mean loss.
    pub(super) fn end_epoch(&mut self, loss: f64) -> EpochRecord {
        let record = EpochRecord { epoch: self.epoch(), loss, seconds: self.seconds };
        let mut epochs = std::mem::take(&mut self.epochs);
        epochs.push(record);
        *self = Self { epochs, ..Self::default() };
        record
    }
}

/// What learning has changed; the default is room for it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Learned {
    /// Updates that the optimizer has made.
    pub updates: u64,
    /// Parameters and both moments, named `parameter/fc1.weight`, `exp_avg/fc1.weight`, ….
    pub tensors: Vec<NamedTensor>,
}
