//! One training step: the forward and backward pass of all replicas, then Adam, both multithreaded.

use pulp::Arch;
use tch::{Device, Kind, Tensor};

use super::adam::{Factors, ParameterChunk, Update};
use super::replica::{BatchShare, ParameterRanges, Replica};
use crate::dataset::PIXELS;
use crate::libtorch::{in_parts, lanes, values_mut};

/// LeNet-5's training state without the parameters: Adam's moments, and one replica per thread.
#[derive(Debug)]
pub struct State {
    replicas: Vec<Replica>,
    ranges: ParameterRanges,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    t: u64,
    lr: f64,
}

impl State {
    /// The state before the first step. The parameters are in a buffer of `count` elements, parameter i
    /// of LeNet-5 at `ranges[i]`; `threads` replicas share each batch.
    pub fn new(count: usize, ranges: ParameterRanges, lr: f64, threads: usize) -> Self {
        let replicas = (0..threads).map(|_| Replica::new(count)).collect();
        let moment = || Tensor::zeros([count as i64], (Kind::Float, Device::Cpu));
        Self { replicas, ranges, exp_avg: moment(), exp_avg_sq: moment(), t: 0, lr }
    }

    /// First and second moments, in the layout of the parameters.
    pub fn moments(&self) -> [&Tensor; 2] {
        [&self.exp_avg, &self.exp_avg_sq]
    }

    /// Updates made so far.
    pub fn updates(&self) -> u64 {
        self.t
    }

    /// Sets the number of updates, to resume a run; the moments are overwritten in place.
    pub fn set_updates(&mut self, updates: u64) {
        self.t = updates;
    }

    /// Computes the gradients for one batch (N x 784 pixels, N labels); returns its mean loss.
    pub fn pass(&mut self, parameters: &[f32], pixels: &[u8], labels: &[u8]) -> f64 {
        self.forward_backward(parameters, pixels, labels);
        self.replicas.iter().map(|replica| replica.loss).sum::<f64>() / labels.len() as f64
    }

    /// Computes the loss and the gradients of each replica's share of the batch.
    fn forward_backward(&mut self, parameters: &[f32], pixels: &[u8], labels: &[u8]) {
        let batch_size = labels.len();
        let lanes = lanes();
        let replicas = self.replicas.len();
        // Whole blocks, the same number for every replica except the last ones.
        let size = batch_size.div_ceil(lanes).div_ceil(replicas) * lanes;
        let shares: Vec<BatchShare> = (0..replicas)
            .map(|i| {
                let range = (i * size).min(batch_size)..((i + 1) * size).min(batch_size);
                let pixels = &pixels[range.start * PIXELS..range.end * PIXELS];
                BatchShare { pixels, labels: &labels[range], batch_size }
            })
            .collect();
        let ranges = &self.ranges;
        in_parts((replicas, 1), [&mut self.replicas], [&shares], |[replicas], [shares]| {
            for (replica, &share) in replicas.iter_mut().zip(shares) {
                replica.forward_backward(parameters, ranges, share);
            }
        });
    }

    /// One Adam update, each thread on a chunk of the parameters.
    pub fn update(&mut self, parameters: &mut [f32]) {
        self.t += 1;
        let factors = Factors::at(self.t, self.lr);
        let size = parameters.len().div_ceil(self.replicas.len()).next_multiple_of(16);
        let [exp_avg, exp_avg_sq] =
            [&mut self.exp_avg, &mut self.exp_avg_sq].map(values_mut::<f32>);
        let moments = exp_avg.chunks_mut(size).zip(exp_avg_sq.chunks_mut(size));
        let mut chunks: Vec<ParameterChunk> =
            (parameters.chunks_mut(size).zip(moments).enumerate())
                .map(|(i, (parameters, (exp_avg, exp_avg_sq)))| {
                    let range = i * size..i * size + parameters.len();
                    let gradients =
                        self.replicas.iter().map(|r| &r.gradients[range.clone()]).collect();
                    ParameterChunk { parameters, exp_avg, exp_avg_sq, gradients }
                })
                .collect();
        let count = chunks.len();
        in_parts::<_, (), 1, 0>((count, 1), [&mut chunks], [], |[chunks], []| {
            for chunk in chunks {
                Arch::new().dispatch(Update(factors, chunk));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Split;
    use crate::dataset::loader::Batch;
    use crate::libtorch::values;
    use crate::models::named;
    use crate::optim::{Adam, Optimizer};
    use crate::train::{TrainConfig, Trainer};

    /// Relative to the largest gradient of a tensor. Cause: sums of up to 78,400 products in another
    /// order; the largest difference observed is 8.4e-06.
    const TOLERANCE: f32 = 5e-5;

    /// Pseudo-random pixels, half of them black, and labels.
    fn batch(n: usize) -> Batch {
        let mixed = |i: usize| (i as u32).wrapping_mul(2_654_435_761) >> 23;
        let pixels = (0..n * PIXELS).map(|i| mixed(i).saturating_sub(256) as u8);
        let labels = (0..n).map(|i| (mixed(i) % 10) as u8);
        Batch { pixels: pixels.collect(), labels: labels.collect() }
    }

    #[test]
    fn loss_and_gradients_equal_the_exact_engines_up_to_rounding() {
        let entry = named("lenet5").unwrap();
        let config = TrainConfig::notebook(entry);
        let model = entry.zeros(Device::Cpu);
        model.reset_parameters();
        let flat = model.flat();
        let ranges: ParameterRanges = flat.places().collect::<Vec<_>>().try_into().unwrap();
        let parameters = values::<f32>(flat.all()).to_vec();
        for (n, threads) in [(1, 1), (1, 3), (15, 2), (16, 2), (33, 2), (64, 2), (100, 3)] {
            let case = format!("{n} images, {threads} threads");
            let exact = entry.zeros(Device::Cpu);
            exact.load_state_dict(&model.state_dict()).unwrap();
            let batch = batch(n);
            let images = batch.pixels.clone().into();
            let data = Split { images, labels: batch.labels.clone() };
            let mut exact = Trainer::pytorch(exact, &config, &data).unwrap();
            exact.engine_mut().forward(&batch);
            let expected_loss = exact.engine_mut().loss(&batch);
            exact.engine_mut().backward();
            let expected = exact.engine().output().unwrap();
            let mut fast = State::new(parameters.len(), ranges.clone(), config.lr, threads);
            let loss = fast.pass(&parameters, &batch.pixels, &batch.labels);
            assert!((loss - expected_loss).abs() < 1e-6, "{case}: {loss}, not {expected_loss}");
            for (i, (range, expected)) in ranges.iter().zip(&expected.gradients).enumerate() {
                let expected = values::<f32>(expected);
                let largest = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
                for (at, &expected) in range.clone().zip(expected) {
                    let actual: f32 =
                        fast.replicas.iter().map(|replica| replica.gradients[at]).sum();
                    let close = (actual - expected).abs() <= TOLERANCE * largest;
                    assert!(
                        close,
                        "{case}: parameter {i}, element {at}: {actual:e}, not {expected:e}"
                    );
                }
            }
        }
    }

    #[test]
    fn adam_equals_pytorchs_up_to_rounding() {
        const COUNT: usize = 1000;
        let gradient = Tensor::randn([COUNT as i64], (Kind::Float, Device::Cpu));
        let expected = gradient.zeros_like();
        let mut adam = Adam::new(&[expected.shallow_clone()], 1e-2);
        let mut fast = State::new(COUNT, ParameterRanges::default(), 1e-2, 2);
        let mut actual = vec![0.0; COUNT];
        for _ in 0..10 {
            adam.update(&[gradient.shallow_clone()]);
            fast.replicas[0].gradients.copy_from_slice(values(&gradient));
            fast.update(&mut actual);
        }
        for (expected, actual) in values::<f32>(&expected).iter().zip(&actual) {
            assert!((expected - actual).abs() < 1e-6, "{actual:e}, not {expected:e}");
        }
    }
}
