//! Copies and restores the state of a training: parameters, buffers, and the state of the optimizer and the generators.

use tch::{Device, Tensor};
use tensor_files::TensorSpec;

use super::TrainState;
use crate::dataset::loader::RandomSampler;
use crate::engine::TrainStep;
use crate::libtorch::{copy_bytes, generator};
use crate::nn::{StateDictError, to_named, to_tensor};

/// Name of the state of libtorch's global CPU generator, uint8.
const GENERATOR: &str = "generator/cpu";
/// Name of the state of the GPU's global generator, from which dropout draws there.
const GPU_GENERATOR: &str = "generator/cuda";
/// Name of the seed of the current epoch's order, int64.
const SAMPLER: &str = "sampler/seed";

/// A state that does not match the training that is to resume from it.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The number of tensors is wrong.
    #[error("the training state has {found} tensors; {expected} are expected")]
    Count {
        /// Number of tensors in the state.
        found: usize,
        /// Number of tensors that the training has.
        expected: usize,
    },
    /// A tensor is missing, or has the wrong shape or type.
    #[error("the training state has no tensor {} with the shape {:?} and the type {}", .0.name, .0.shape, .0.dtype)]
    Missing(TensorSpec),
    /// A generator state is invalid.
    #[error("{0} is not a valid generator state for this version of libtorch")]
    Generator(&'static str),
    /// A tensor has an element type that tch does not support.
    #[error(transparent)]
    Type(#[from] StateDictError),
}

/// The tensors of the state with their names. Those of the network and the optimizer share their memory with the
/// originals. `random` is the device of the network and the seed of the current epoch; `None` leaves out the
/// generators.
fn tensors(engine: &dyn TrainStep, random: Option<(Device, i64)>) -> Vec<(String, Tensor)> {
    let model = engine.model();
    let state = model.graph().state().zip(model.state()).map(|(spec, (name, tensor))| {
        let role = if spec.buffer.is_none() { "parameter" } else { "buffer" };
        (format!("{role}/{name}"), tensor)
    });
    let mut tensors: Vec<(String, Tensor)> = state.collect();
    for (role, values) in engine.optimizer_state() {
        let names = model.graph().parameters().iter().map(|spec| format!("{role}/{}", spec.name));
        tensors.extend(names.zip(values));
    }
    if let Some((device, seed)) = random {
        let state = |device| generator::state(device).expect("every device has a generator");
        tensors.push((GENERATOR.into(), state(Device::Cpu)));
        if device != Device::Cpu {
            tensors.push((GPU_GENERATOR.into(), state(device)));
        }
        tensors.push((SAMPLER.into(), Tensor::from_slice(&[seed])));
    }
    tensors
}

/// Copies the state of a training to `state`. The memory of an earlier copy is reused, because a long run would
/// otherwise fragment the heap.
pub(super) fn copy(engine: &dyn TrainStep, random: Option<(Device, i64)>, state: &mut TrainState) {
    state.updates = engine.optimizer().steps();
    let tensors = tensors(engine, random);
    if state.tensors.is_empty() {
        let owned = |(name, tensor): (String, Tensor)| to_named(name, &tensor);
        state.tensors = tensors.into_iter().map(owned).collect();
    } else {
        let copies = state.tensors.iter_mut().zip(&tensors);
        copies.for_each(|(copy, (_, tensor))| copy_bytes(tensor, &mut copy.data));
    }
}

/// Restores the state in a new training. After an error, the training is unchanged.
pub(super) fn restore(
    engine: &mut dyn TrainStep,
    sampler: Option<&mut RandomSampler>,
    state: &TrainState,
) -> Result<(), RestoreError> {
    let device = engine.model().device();
    let targets = tensors(engine, sampler.as_ref().map(|_| (device, 0)));
    if state.tensors.len() != targets.len() {
        let (found, expected) = (state.tensors.len(), targets.len());
        return Err(RestoreError::Count { found, expected });
    }
    let mut values = Vec::new();
    for (name, target) in &targets {
        let expected = to_named(name.clone(), target).spec();
        let found = state.tensors.iter().find(|tensor| tensor.spec() == expected);
        values.push(to_tensor(found.ok_or(RestoreError::Missing(expected))?)?);
    }
    for (i, ((name, target), value)) in targets.iter().zip(&values).enumerate() {
        let (name, device) = match name.as_str() {
            GENERATOR => (GENERATOR, Device::Cpu),
            GPU_GENERATOR => (GPU_GENERATOR, device),
            _ => continue,
        };
        if generator::set_state(device, value).is_err() {
            // Restores the old states: that of the CPU, which comes first, and `target`.
            if let Some((_, cpu)) = targets[..i].iter().find(|(name, _)| name == GENERATOR) {
                let _ = generator::set_state(Device::Cpu, cpu);
            }
            let _ = generator::set_state(device, target);
            return Err(RestoreError::Generator(name));
        }
    }
    if let (Some(sampler), Some(seed)) = (sampler, values.last()) {
        sampler.set_seed(seed.int64_value(&[0]));
    }
    tch::no_grad(|| {
        for ((name, mut target), value) in targets.into_iter().zip(&values) {
            if !name.starts_with("generator/") && name != SAMPLER {
                target.copy_(value);
            }
        }
    });
    engine.optimizer_mut().set_steps(state.updates);
    Ok(())
}
