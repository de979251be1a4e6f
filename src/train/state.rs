//! What training has changed: parameters, buffers, the optimizer's state, the generator.

use tch::{Device, Tensor};

use super::TrainState;
use crate::dataset::loader::RandomSampler;
use crate::engine::TrainStep;
use crate::libtorch::generator;
use crate::nn::{StateDictError, copy_bytes, to_named, to_tensor};
use tensor_files::TensorSpec;

/// The state of libtorch's global CPU generator, uint8.
const GENERATOR: &str = "generator/cpu";
/// The state of that of the GPU, which dropout draws from there.
const GPU_GENERATOR: &str = "generator/cuda";
/// The seed of the order of the epoch in progress, int64.
const SAMPLER: &str = "sampler/seed";

/// A state that a training cannot continue from.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Too many, too few or others.
    #[error("found {found} tensors of a training's state, expected {wanted}")]
    Number {
        /// Tensors there.
        found: usize,
        /// Tensors expected.
        wanted: usize,
    },
    /// One is missing, or of another shape or type.
    #[error("{} is not there as {:?} {}", .0.name, .0.shape, .0.dtype)]
    Missing(TensorSpec),
    /// Not a state of libtorch's generator.
    #[error("{0} is not the state of a generator of this libtorch")]
    Generator(&'static str),
    /// Of a type that no engine computes in.
    #[error(transparent)]
    Type(#[from] StateDictError),
}

/// The tensors of the state, by their names. Those of the network and the optimizer share their memory with
/// them; `random` is the device of the network and the seed of the epoch in progress.
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

/// Copies the state of a training. What an earlier copy took is overwritten: a long run would otherwise
/// scatter ever new megabytes over the heap.
pub(super) fn copy(engine: &dyn TrainStep, random: Option<(Device, i64)>, state: &mut TrainState) {
    state.updates = engine.optimizer().steps();
    let tensors = tensors(engine, random);
    if state.tensors.is_empty() {
        let owned = |(name, tensor): (String, Tensor)| to_named(name, &tensor);
        state.tensors = tensors.into_iter().map(owned).collect();
    } else {
        let places = state.tensors.iter_mut().zip(&tensors);
        places.for_each(|(place, (_, tensor))| copy_bytes(tensor, &mut place.data));
    }
}

/// Makes a new training continue from there.
pub(super) fn restore(
    engine: &mut dyn TrainStep,
    sampler: Option<&mut RandomSampler>,
    state: &TrainState,
) -> Result<(), RestoreError> {
    let device = engine.model().device();
    let places = tensors(engine, sampler.as_ref().map(|_| (device, 0)));
    if state.tensors.len() != places.len() {
        let (found, wanted) = (state.tensors.len(), places.len());
        return Err(RestoreError::Number { found, wanted });
    }
    let mut values = Vec::new();
    for (name, place) in &places {
        let wanted = to_named(name.clone(), place).spec();
        let found = state.tensors.iter().find(|tensor| tensor.spec() == wanted);
        values.push(to_tensor(found.ok_or(RestoreError::Missing(wanted))?)?);
    }
    for (i, ((name, place), value)) in places.iter().zip(&values).enumerate() {
        let (name, device) = match name.as_str() {
            GENERATOR => (GENERATOR, Device::Cpu),
            GPU_GENERATOR => (GPU_GENERATOR, device),
            _ => continue,
        };
        if generator::set_state(device, value).is_err() {
            // `place` is the state as it was; so is that of the CPU, which comes first.
            if let Some((_, cpu)) = places[..i].iter().find(|(name, _)| name == GENERATOR) {
                let _ = generator::set_state(Device::Cpu, cpu);
            }
            let _ = generator::set_state(device, place);
            return Err(RestoreError::Generator(name));
        }
    }
    if let (Some(sampler), Some(seed)) = (sampler, values.last()) {
        sampler.set_seed(seed.int64_value(&[0]));
    }
    tch::no_grad(|| {
        for ((name, mut place), value) in places.into_iter().zip(&values) {
            if !name.starts_with("generator/") && name != SAMPLER {
                place.copy_(value);
            }
        }
    });
    engine.optimizer_mut().set_steps(state.updates);
    Ok(())
}
