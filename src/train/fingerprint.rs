//! A fingerprint of what the kernels compute on this machine, with the process's threads and environment.

use sha2::{Digest, Sha256};
use tch::Device;

use super::{TrainConfig, TrainError, TrainState, Trainer, first_step};
use crate::dataset::{CLASSES, PIXELS, Split};
use crate::libtorch::generator;
use crate::models::ModelEntry;
use crate::sha256;

/// Images of the step at most: with more, it would take long.
const MOST_IMAGES: usize = 512;

/// The SHA-256, in hex, of the loss, the parameters and the optimizer's state after one step of the model on
/// fixed images.
///
/// It depends on the model, the engine, the batch size, the number of threads, and the kernels that libtorch,
/// MKL and oneDNN choose: by the CPU, and by variables such as `MKL_CBWR` and `ONEDNN_MAX_CPU_ISA`. It does
/// not depend on the data, the seed or the learning rate, and leaves libtorch's global generator as it was.
/// `None` on a GPU, whose kernels do not give the same bits twice.
///
/// # Errors
/// Those of [`Trainer::new`].
pub fn kernels_sha256(
    model: &'static ModelEntry,
    config: &TrainConfig,
) -> Result<Option<String>, TrainError> {
    if config.device != Device::Cpu {
        return Ok(None);
    }
    let generator = generator::state(Device::Cpu).expect("every device has a generator");
    let state = state_after_a_step(model, config);
    generator::set_state(Device::Cpu, &generator).expect("it was a state");
    let (loss, state) = state?;
    let mut sum = Sha256::new();
    sum.update(loss.to_le_bytes());
    for tensor in &state.tensors {
        sum.update(&tensor.name);
        sum.update(&tensor.data);
    }
    Ok(Some(sha256::hex(&sum.finalize())))
}

fn state_after_a_step(
    model: &'static ModelEntry,
    config: &TrainConfig,
) -> Result<(f64, TrainState), TrainError> {
    // scikit-learn wants every class.
    let images = config.batch_size.clamp(CLASSES, MOST_IMAGES);
    let batch_size = config.batch_size.min(images);
    let config = TrainConfig { batch_size, engine: config.engine, ..TrainConfig::notebook(model) };
    let data = noise(images);
    let mut trainer = Trainer::new(model, &config, &data)?;
    let loss = first_step(&mut trainer, &config, &data)?;
    let mut state = TrainState::default();
    trainer.copy_state(&mut state);
    Ok((loss, state))
}

/// Images of noise, and every label in turn.
fn noise(images: usize) -> Split {
    let mut state = 1u32;
    let mut pixel = || {
        // xorshift32 (George Marsaglia).
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 24) as u8
    };
    let pixels: Vec<u8> = (0..images * PIXELS).map(|_| pixel()).collect();
    Split { images: pixels.into(), labels: (0..images).map(|i| (i % CLASSES) as u8).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{MODELS, named};
    use crate::train::Engine;

    #[test]
    fn it_is_the_same_each_time_and_leaves_the_generator_alone() {
        for &model in MODELS {
            let config = TrainConfig::notebook(model);
            let before = generator::state(Device::Cpu).unwrap();
            let first = kernels_sha256(model, &config).unwrap().unwrap();
            assert!(generator::state(Device::Cpu).unwrap().equal(&before), "{model}: it drew");
            let other = TrainConfig { seed: 7, lr: 0.5, epochs: 1, ..config };
            assert_eq!(kernels_sha256(model, &other).unwrap().unwrap(), first, "{model}");
        }
    }

    #[test]
    fn another_order_of_summation_has_another_one() {
        let lenet5 = named("lenet5").unwrap();
        let of = |engine, batch_size| {
            let config = TrainConfig { engine, batch_size, ..TrainConfig::notebook(lenet5) };
            kernels_sha256(lenet5, &config).unwrap().unwrap()
        };
        assert_eq!(of(Engine::Exact, 64), of(Engine::Eager, 64));
        assert_ne!(of(Engine::Exact, 64), of(Engine::Fast, 64));
        // A single image, and more than the step takes.
        assert_eq!(of(Engine::Exact, 1).len(), 64);
        assert_eq!(of(Engine::Exact, 5_000), of(Engine::Exact, MOST_IMAGES));
    }
}
