//! A fingerprint of the kernels that compute a training step on this machine, in this environment.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tch::Tensor;

use super::fit::take_step;
use super::{TrainConfig, TrainError, TrainState, Trainer, check};
use crate::dataset::loader::Batches;
use crate::dataset::{CLASSES, PIXELS, Split};
use crate::libtorch::{self, LibtorchError, cuda, generator};
use crate::models::Library;

/// Maximum number of images of the step; more would take too long.
const MAX_IMAGES: usize = 512;
/// Seed of libtorch's global generator during the step, from which dropout draws.
const SEED: u64 = 0;

/// The SHA-256, in hex, of the loss, the parameters and the optimizer's state after one step of the model from fixed
/// parameters on fixed images.
///
/// It depends on the model, the engine, the batch size, the number of threads, the options of network, loss and optimizer, and the kernels that libtorch, MKL and
/// oneDNN choose by the CPU and by variables such as `MKL_CBWR` and `ONEDNN_MAX_CPU_ISA`. It does not depend on the
/// data, the seed or the learning rate, and leaves the state of libtorch's global generators unchanged. On a GPU it depends
/// on the kernels that cuDNN and cuBLAS choose by the GPU.
///
/// # Errors
/// The errors of [`Trainer::new`].
pub fn kernels_sha256(config: &TrainConfig) -> Result<String, TrainError> {
    let model = check(config)?;
    cuda::check(config.device)?;
    // scikit-learn requires every class.
    let images = config.batch_size.clamp(CLASSES, MAX_IMAGES);
    let batch_size = config.batch_size.min(images);
    let config = TrainConfig { batch_size, ..config.of_one_step() };
    let mut noise = Noise(1);
    let data = noise.split(images, config.classes);
    let trainer = match model.library {
        // `Trainer::new` would draw the initial values from the global generator.
        Library::PyTorch => {
            let model = model.zeros(&(&config).into(), libtorch::device(config.device));
            Trainer::pytorch(model, &config, &data)?
        }
        Library::ScikitLearn => Trainer::new(&config, &data)?,
    };
    step_sha256(trainer, &data, batch_size, noise)
}

/// The fingerprint of one step on the first `batch_size` images of `data`, after `noise` has set the parameters.
fn step_sha256(
    mut trainer: Trainer,
    data: &Split,
    batch_size: usize,
    mut noise: Noise,
) -> Result<String, TrainError> {
    let _restored_at_end = SeededGenerator::new(tch::Device::Cpu)?;
    // On the CPU the same generator again, which is restored twice.
    let _restored_first = SeededGenerator::new(trainer.model().device())?;
    tch::no_grad(|| {
        for parameter in trainer.model().parameters() {
            parameter.shallow_clone().copy_(&noise.parameter(&parameter.size()));
        }
    });
    let order: Vec<u32> = (0..data.len() as u32).collect();
    let mut batches = Batches::new(data, &order, batch_size);
    let mut sum = Sha256::new();
    if let Some(batch) = batches.next_batch() {
        sum.update(take_step(trainer.engine_mut(), batch).to_le_bytes());
    }
    let mut state = TrainState::default();
    trainer.copy_state(&mut state);
    // Without the generator's state and the seed of the epoch's order.
    let computed = |name: &str| !name.starts_with("generator/") && !name.starts_with("sampler/");
    for tensor in state.tensors.iter().filter(|tensor| computed(&tensor.name)) {
        sum.update(&tensor.name);
        sum.update(&tensor.data);
    }
    Ok(HEXLOWER.encode(&sum.finalize()))
}

/// Seeds libtorch's global generator of a device with [`SEED`]; restores its state when dropped.
struct SeededGenerator(tch::Device, Tensor);

impl SeededGenerator {
    fn new(device: tch::Device) -> Result<Self, LibtorchError> {
        let state = generator::state(device)?;
        // Not `tch::manual_seed`, which seeds the generators of all devices.
        generator::seed(device, SEED)?;
        Ok(Self(device, state))
    }
}

impl Drop for SeededGenerator {
    fn drop(&mut self) {
        generator::set_state(self.0, &self.1).expect("a state of this generator");
    }
}

/// Pseudo-random numbers: xorshift32 (George Marsaglia).
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// Random images of 28x28 pixels with each label in turn.
    fn split(&mut self, images: usize, classes: usize) -> Split {
        let pixels: Vec<u8> = (0..images * PIXELS).map(|_| (self.next() >> 24) as u8).collect();
        let labels = (0..images).map(|image| (image % classes) as u8).collect();
        Split::new(pixels, labels)
    }

    /// A tensor of values in [-0.1, 0.1), float64.
    fn parameter(&mut self, shape: &[i64]) -> Tensor {
        let mut value = || (f64::from(self.next()) / f64::from(u32::MAX) - 0.5) / 5.0;
        let values: Vec<f64> = (0..shape.iter().product()).map(|_: i64| value()).collect();
        Tensor::from_slice(&values).view(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    use crate::models::{MODELS, named};
    use crate::nn::{Dropout, Linear, Model, Sequential};
    use crate::train::Engine;

    #[test]
    fn the_fingerprint_does_not_depend_on_seed_epochs_and_learning_rate() {
        for &model in MODELS {
            let config = model.config();
            let first = kernels_sha256(&config).unwrap();
            let other = TrainConfig { seed: 7, lr: 0.5, epochs: 1, ..config };
            assert_eq!(kernels_sha256(&other).unwrap(), first, "{model}");
        }
    }

    #[test]
    fn another_order_of_summation_changes_the_fingerprint() {
        let lenet5 = named("lenet5").unwrap();
        let fingerprint = |engine, batch_size| {
            let config = TrainConfig { engine: Some(engine), batch_size, ..lenet5.config() };
            kernels_sha256(&config).unwrap()
        };
        assert_eq!(fingerprint(Engine::Exact, 64), fingerprint(Engine::Eager, 64));
        assert_ne!(fingerprint(Engine::Exact, 64), fingerprint(Engine::Fast, 64));
        // A single image, and more than the maximum.
        assert_eq!(fingerprint(Engine::Exact, 1).len(), 64);
        assert_eq!(fingerprint(Engine::Exact, 5_000), fingerprint(Engine::Exact, MAX_IMAGES));
    }

    /// Runs in its own process, because other tests draw from the global generator at the same time.
    #[test]
    fn dropout_neither_changes_the_fingerprint_nor_the_global_generator() {
        const VARIABLE: &str = "STITCH_TEST_FINGERPRINT_OF_DROPOUT";
        if std::env::var_os(VARIABLE).is_none() {
            let name = "train::fingerprint::tests::dropout_neither_changes_the_fingerprint_nor_the_global_generator";
            let mut command = Command::new(std::env::current_exe().unwrap());
            let output = command.args(["--exact", name]).env(VARIABLE, "1").output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            return assert!(output.status.success() && text.contains("1 passed"), "{text}");
        }
        let state = || generator::state(tch::Device::Cpu).unwrap();
        let fingerprint = |engine, p| {
            let network = |vs: &crate::nn::Scope| {
                let dropout = |vs: &_| Dropout::new(vs, p);
                Sequential::new(vs).add(dropout).add(|vs| Linear::new(vs, PIXELS as i64, 10))
            };
            let model = Model::new("Net", &[PIXELS as i64], tch::Kind::Float, network).unwrap();
            let mut noise = Noise(1);
            let data = noise.split(64, CLASSES);
            let config =
                TrainConfig { engine: Some(engine), ..TrainConfig::new("Net", 1, 64, 1e-3) };
            let trainer = Trainer::pytorch(model, &config, &data).unwrap();
            let before = state();
            let sum = step_sha256(trainer, &data, 64, noise).unwrap();
            assert_eq!(state(), before);
            sum
        };
        tch::manual_seed(1);
        let first = fingerprint(Engine::Exact, 0.5);
        tch::manual_seed(2);
        assert_eq!(fingerprint(Engine::Exact, 0.5), first);
        assert_eq!(fingerprint(Engine::Eager, 0.5), first);
        assert_ne!(fingerprint(Engine::Eager, 0.0), first);
    }
}
