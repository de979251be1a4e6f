//! One training step: the forward and backward pass of all replicas, then Adam, both multithreaded.

use pulp::Arch;

use super::adam::{ParameterChunk, Update};
use super::replica::{BatchPart, ParameterRanges, Replica};
use crate::dataset::PIXELS;
use crate::libtorch::{in_parts, lanes, values_mut};
use crate::optim::Adam;

/// One replica of LeNet-5 per thread.
#[derive(Debug)]
pub struct Replicas {
    replicas: Vec<Replica>,
    ranges: ParameterRanges,
}

impl Replicas {
    /// Creates `threads` replicas for parameters in a flat tensor of `count` elements, parameter i of LeNet-5 at
    /// `ranges[i]`.
    pub fn new(count: usize, ranges: ParameterRanges, threads: usize) -> Self {
        Self { replicas: (0..threads).map(|_| Replica::new(count)).collect(), ranges }
    }

    /// Computes the gradients for one batch (N x 784 pixels, N labels); returns its mean loss.
    pub fn forward_backward(&mut self, parameters: &[f32], pixels: &[u8], labels: &[u8]) -> f64 {
        self.run_replicas(parameters, pixels, labels);
        self.replicas.iter().map(|replica| replica.loss).sum::<f64>() / labels.len() as f64
    }

    /// Computes the loss and the gradients of each replica's part of the batch.
    fn run_replicas(&mut self, parameters: &[f32], pixels: &[u8], labels: &[u8]) {
        let batch_size = labels.len();
        let lanes = lanes();
        let replicas = self.replicas.len();
        // The same number of full blocks for every replica except the last ones.
        let size = batch_size.div_ceil(lanes).div_ceil(replicas) * lanes;
        let parts: Vec<BatchPart> = (0..replicas)
            .map(|i| {
                let range = (i * size).min(batch_size)..((i + 1) * size).min(batch_size);
                let pixels = &pixels[range.start * PIXELS..range.end * PIXELS];
                BatchPart { pixels, labels: &labels[range], batch_size }
            })
            .collect();
        let ranges = &self.ranges;
        in_parts((replicas, 1), [&mut self.replicas], [&parts], |[replicas], [parts]| {
            for (replica, &part) in replicas.iter_mut().zip(parts) {
                replica.forward_backward(parameters, ranges, part);
            }
        });
    }

    /// Performs one update of the flat tensor of all parameters; each thread updates one chunk.
    pub fn update(&mut self, adam: &mut Adam) {
        let factors = adam.next_factors();
        let written = [&mut adam.parameters[0], &mut adam.exp_avg[0], &mut adam.exp_avg_sq[0]];
        let [parameters, exp_avg, exp_avg_sq] = written.map(values_mut::<f32>);
        let size = parameters.len().div_ceil(self.replicas.len()).next_multiple_of(16);
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
    use tch::{Device, Kind, Tensor};

    use super::*;
    use crate::dataset::Split;
    use crate::dataset::loader::Batch;
    use crate::libtorch::values;
    use crate::models::named;
    use crate::optim::Optimizer;
    use crate::train::Trainer;

    /// Tolerance relative to the largest gradient of a tensor. Cause: sums of up to 78,400 products in another order; the
    /// largest observed difference is 8.4e-06.
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
        let config = entry.config();
        let model = entry.zeros(entry.options(), Device::Cpu);
        model.reset_parameters();
        let flat = model.flat();
        let ranges: ParameterRanges = flat.ranges().collect::<Vec<_>>().try_into().unwrap();
        let parameters = values::<f32>(flat.all()).to_vec();
        for (n, threads) in [(1, 1), (1, 3), (15, 2), (16, 2), (33, 2), (64, 2), (100, 3)] {
            let case = format!("{n} images, {threads} threads");
            let exact = entry.zeros(entry.options(), Device::Cpu);
            exact.load_state_dict(&model.state_dict()).unwrap();
            let batch = batch(n);
            let images = batch.pixels.clone().into();
            let data = Split { images, labels: batch.labels.clone() };
            let mut exact = Trainer::pytorch(exact, &config, &data).unwrap();
            exact.engine_mut().forward(&batch);
            let expected_loss = exact.engine_mut().loss(&batch);
            exact.engine_mut().backward();
            let expected = exact.engine().output().unwrap();
            let mut fast = Replicas::new(parameters.len(), ranges.clone(), threads);
            let loss = fast.forward_backward(&parameters, &batch.pixels, &batch.labels);
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
        const COUNT: i64 = 1000;
        let gradient = Tensor::randn([COUNT], (Kind::Float, Device::Cpu));
        let [expected, actual] = [gradient.zeros_like(), gradient.zeros_like()];
        let [mut adam, mut fast] =
            [&expected, &actual].map(|all| Adam::new(std::slice::from_ref(all), 1e-2));
        let mut replicas = Replicas::new(COUNT as usize, ParameterRanges::default(), 2);
        for _ in 0..10 {
            adam.update(&[gradient.shallow_clone()]);
            replicas.replicas[0].gradients.copy_from_slice(values(&gradient));
            replicas.update(&mut fast);
        }
        for (expected, actual) in values::<f32>(&expected).iter().zip(values::<f32>(&actual)) {
            assert!((expected - actual).abs() < 1e-6, "{actual:e}, not {expected:e}");
        }
    }
}
