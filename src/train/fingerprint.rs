//! A fingerprint of what the kernels compute on this machine, with the process's threads and environment.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tch::Tensor;

use super::{Device, TrainConfig, TrainError, TrainState, Trainer, check, take_step};
use crate::dataset::loader::Batches;
use crate::dataset::{CLASSES, PIXELS, Split};
use crate::models::Library;

/// Most images of the step: with more, it would take too long.
const MOST_IMAGES: usize = 512;

/// The SHA-256, in hex, of the loss, the parameters and the optimizer's state after one step of the model from
/// fixed parameters on fixed images.
///
/// It depends on the model, the engine, the batch size, the number of threads, and the kernels that libtorch,
/// MKL and oneDNN choose: by the CPU, and by variables such as `MKL_CBWR` and `ONEDNN_MAX_CPU_ISA`. It does
/// not depend on the data, the seed or the learning rate, and draws nothing from libtorch's global generator.
/// `None` on a GPU, whose kernels do not give the same bits twice.
///
/// # Errors
/// Those of [`Trainer::new`].
pub fn kernels_sha256(config: &TrainConfig) -> Result<Option<String>, TrainError> {
    let model = check(config)?;
    if config.device != Device::Cpu {
        return Ok(None);
    }
    // scikit-learn requires every class.
    let images = config.batch_size.clamp(CLASSES, MOST_IMAGES);
    let batch_size = config.batch_size.min(images);
    let config = TrainConfig { batch_size, engine: config.engine, ..model.config() };
    let mut noise = Noise(1);
    let pixels: Vec<u8> = (0..images * PIXELS).map(|_| (noise.next() >> 24) as u8).collect();
    let labels = (0..images).map(|image| (image % CLASSES) as u8).collect();
    let data = Split { images: pixels.into(), labels };
    let mut trainer = match model.library {
        // Without the initial values, which are drawn from the global generator.
        Library::PyTorch => Trainer::pytorch(model.zeros(tch::Device::Cpu), &config, &data)?,
        Library::ScikitLearn => Trainer::new(&config, &data)?,
    };
    tch::no_grad(|| {
        for parameter in trainer.model().parameters() {
            parameter.shallow_clone().copy_(&noise.parameter(&parameter.size()));
        }
    });
    let order: Vec<u32> = (0..images as u32).collect();
    let mut batches = Batches::new(&data, &order, batch_size);
    let mut sum = Sha256::new();
    if let Some(batch) = batches.next_batch() {
        sum.update(take_step(trainer.engine_mut(), batch).to_le_bytes());
    }
    let mut state = TrainState::default();
    trainer.copy_state(&mut state);
    // Not the generator's state, nor the seed of an epoch.
    let computed = |name: &str| !name.starts_with("generator/") && !name.starts_with("sampler/");
    for tensor in state.tensors.iter().filter(|tensor| computed(&tensor.name)) {
        sum.update(&tensor.name);
        sum.update(&tensor.data);
    }
    Ok(Some(HEXLOWER.encode(&sum.finalize())))
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

    /// Values in [-0.1, 0.1), float64.
    fn parameter(&mut self, shape: &[i64]) -> Tensor {
        let mut value = || (f64::from(self.next()) / f64::from(u32::MAX) - 0.5) / 5.0;
        let values: Vec<f64> = (0..shape.iter().product()).map(|_: i64| value()).collect();
        Tensor::from_slice(&values).view(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{MODELS, named};
    use crate::train::Engine;

    #[test]
    fn it_is_the_same_each_time_whatever_the_seed_and_the_learning_rate() {
        for &model in MODELS {
            let config = model.config();
            let first = kernels_sha256(&config).unwrap().unwrap();
            let other = TrainConfig { seed: 7, lr: 0.5, epochs: 1, ..config };
            assert_eq!(kernels_sha256(&other).unwrap().unwrap(), first, "{model}");
        }
    }

    #[test]
    fn another_order_of_summation_has_another_one() {
        let lenet5 = named("lenet5").unwrap();
        let of = |engine, batch_size| {
            let config = TrainConfig { engine: Some(engine), batch_size, ..lenet5.config() };
            kernels_sha256(&config).unwrap().unwrap()
        };
        assert_eq!(of(Engine::Exact, 64), of(Engine::Eager, 64));
        assert_ne!(of(Engine::Exact, 64), of(Engine::Fast, 64));
        // A single image, and more than the step takes.
        assert_eq!(of(Engine::Exact, 1).len(), 64);
        assert_eq!(of(Engine::Exact, 5_000), of(Engine::Exact, MOST_IMAGES));
    }
}
