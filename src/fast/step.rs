//! One training step: all replicas' passes, then Adam, each shared by the threads.

use aligned_vec::{AVec, avec};
use pulp::Arch;

use super::adam::{Factors, Share, Update};
use super::replica::{Images, Places, Replica};
use crate::dataset::PIXELS;
use crate::kernels::{in_parts, lanes};

/// LeNet-5's training state beside its parameters: Adam's, and a replica a thread.
#[derive(Debug)]
pub struct State {
    replicas: Vec<Replica>,
    places: Places,
    exp_avg: AVec<f32>,
    exp_avg_sq: AVec<f32>,
    t: u64,
    lr: f64,
}

impl State {
    /// For a buffer of `count` elements, which holds parameter i of LeNet-5 at `places[i]`, and
    /// this learning rate; each batch is shared by `threads` replicas.
    pub fn new(count: usize, places: Places, lr: f64, threads: usize) -> Self {
        let replicas = (0..threads).map(|_| Replica::new(count)).collect();
        let moment = || avec![0.0; count];
        Self { replicas, places, exp_avg: moment(), exp_avg_sq: moment(), t: 0, lr }
    }

    /// Both moments, laid out as the parameters.
    pub fn moments(&self) -> [&[f32]; 2] {
        [&self.exp_avg, &self.exp_avg_sq]
    }

    /// Updates made so far.
    pub fn updates(&self) -> u64 {
        self.t
    }

    /// Goes on as after so many updates, with these moments.
    pub fn restore(&mut self, updates: u64, moments: [&[f32]; 2]) {
        self.t = updates;
        self.exp_avg.copy_from_slice(moments[0]);
        self.exp_avg_sq.copy_from_slice(moments[1]);
    }

    /// Learns from one batch (N x 784 pixels, N labels); returns its mean loss before the update.
    pub fn step(&mut self, parameters: &mut [f32], pixels: &[u8], labels: &[u8]) -> f64 {
        self.pass(parameters, pixels, labels);
        self.update(parameters);
        self.replicas.iter().map(|replica| replica.loss).sum::<f64>() / labels.len() as f64
    }

    /// Losses and gradients of each replica's share of the batch.
    fn pass(&mut self, parameters: &[f32], pixels: &[u8], labels: &[u8]) {
        let batch = labels.len();
        let lanes = lanes();
        let replicas = self.replicas.len();
        // Whole blocks, the same number for each replica but the last ones.
        let share = batch.div_ceil(lanes).div_ceil(replicas) * lanes;
        let images: Vec<Images> = (0..replicas)
            .map(|i| {
                let part = (i * share).min(batch)..((i + 1) * share).min(batch);
                let pixels = &pixels[part.start * PIXELS..part.end * PIXELS];
                Images { pixels, labels: &labels[part], batch }
            })
            .collect();
        let places = &self.places;
        in_parts((replicas, 1), [&mut self.replicas], [&images], |[replicas], [images]| {
            for (replica, &images) in replicas.iter_mut().zip(images) {
                replica.pass(parameters, places, images);
            }
        });
    }

    /// Adam, each thread on a share of the parameters.
    fn update(&mut self, parameters: &mut [f32]) {
        self.t += 1;
        let factors = Factors::at(self.t, self.lr);
        let size = parameters.len().div_ceil(self.replicas.len()).next_multiple_of(16);
        let moments = self.exp_avg.chunks_mut(size).zip(self.exp_avg_sq.chunks_mut(size));
        let mut shares: Vec<Share> = (parameters.chunks_mut(size).zip(moments).enumerate())
            .map(|(i, (parameters, (exp_avg, exp_avg_sq)))| {
                let part = i * size..i * size + parameters.len();
                let gradients = self.replicas.iter().map(|r| &r.gradients[part.clone()]).collect();
                Share { parameters, exp_avg, exp_avg_sq, gradients }
            })
            .collect();
        let count = shares.len();
        in_parts::<_, (), 1, 0>((count, 1), [&mut shares], [], |[shares], []| {
            for share in shares {
                Arch::new().dispatch(Update(factors, share));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;
    use crate::kernels::values;
    use crate::models::{Flat, lenet5};
    use crate::optim::{Optimizer, TorchAdam};
    use crate::train::{Learner, Lenet5Learner, TrainConfig};

    /// Of the greatest gradient of a tensor: sums of up to 78,400 products in another order. The most
    /// that was seen is 8.4e-06.
    const TOLERANCE: f32 = 5e-5;

    /// Pixels and labels without a pattern, half of the pixels black.
    fn batch(n: usize) -> (Vec<u8>, Vec<u8>) {
        let mixed = |i: usize| (i as u32).wrapping_mul(2_654_435_761) >> 23;
        let pixels = (0..n * PIXELS).map(|i| mixed(i).saturating_sub(256) as u8);
        (pixels.collect(), (0..n).map(|i| (mixed(i) % 10) as u8).collect())
    }

    #[test]
    fn loss_and_gradients_are_the_exact_engines_but_for_rounding() {
        let config = TrainConfig::notebook(&lenet5::ENTRY);
        let layout = Flat::zeros(lenet5::ENTRY.parameters, Kind::Float, Device::Cpu);
        let places: Places = layout.places().collect::<Vec<_>>().try_into().unwrap();
        for (n, threads) in [(1, 1), (1, 3), (15, 2), (16, 2), (33, 2), (64, 2), (100, 3)] {
            let case = format!("{n} images, {threads} threads");
            let mut exact = Lenet5Learner::new(&config, n);
            let mut parameters = vec![0.0; layout.all().numel()];
            for (place, value) in places.iter().zip(exact.model().parameters()) {
                parameters[place.clone()].copy_from_slice(values(&value));
            }
            let (pixels, labels) = batch(n);
            let expected = exact.pass(&pixels, &labels);
            let mut fast = State::new(parameters.len(), places.clone(), config.lr, threads);
            fast.pass(&parameters, &pixels, &labels);
            let loss = fast.replicas.iter().map(|replica| replica.loss).sum::<f64>() / n as f64;
            let expected_loss = expected.loss.double_value(&[]);
            assert!((loss - expected_loss).abs() < 1e-6, "{case}: {loss}, not {expected_loss}");
            for (i, (place, expected)) in places.iter().zip(&expected.gradients).enumerate() {
                let expected = values::<f32>(expected);
                let greatest = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
                for (at, &expected) in place.clone().zip(expected) {
                    let actual: f32 =
                        fast.replicas.iter().map(|replica| replica.gradients[at]).sum();
                    let close = (actual - expected).abs() <= TOLERANCE * greatest;
                    assert!(
                        close,
                        "{case}: parameter {i}, element {at}: {actual:e}, not {expected:e}"
                    );
                }
            }
        }
    }

    #[test]
    fn adam_is_pytorchs_but_for_rounding() {
        const COUNT: usize = 1000;
        let gradient = Tensor::randn([COUNT as i64], (Kind::Float, Device::Cpu));
        let expected = gradient.zeros_like();
        let mut adam = TorchAdam::new(vec![expected.shallow_clone()], 1e-2);
        let mut fast = State::new(COUNT, Places::default(), 1e-2, 2);
        let mut actual = vec![0.0; COUNT];
        for _ in 0..10 {
            adam.step(&[gradient.shallow_clone()]);
            fast.replicas[0].gradients.copy_from_slice(values(&gradient));
            fast.update(&mut actual);
        }
        for (expected, actual) in values::<f32>(&expected).iter().zip(&actual) {
            assert!((expected - actual).abs() < 1e-6, "{actual:e}, not {expected:e}");
        }
    }
}
