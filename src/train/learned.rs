//! Between a learner's buffers and [`Learned`].

use tch::Tensor;

use super::Learned;
use crate::formats::{Dtype, NamedTensor};
use crate::models::weights::{WeightsError, copy_bytes, named, to_tensor};
use crate::models::{Flat, Model, ModelEntry};
use crate::optim::Optimizer;

/// What each of a learner's buffers holds.
const ROLES: [&str; 3] = ["parameter", "exp_avg", "exp_avg_sq"];

/// Tensors that a learner cannot go on from.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Too many, too few or others.
    #[error("it holds {found} tensors of a {model}'s training; {wanted} are wanted")]
    Number {
        /// Tensors there.
        found: usize,
        /// Tensors wanted.
        wanted: usize,
        /// The model.
        model: &'static ModelEntry,
    },
    /// One is missing, or of another shape or type.
    #[error("{name} is not there as {shape:?} {dtype}")]
    Missing {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its type.
        dtype: Dtype,
    },
    /// One cannot be taken.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// Copies what a learner with one buffer of parameters, laid out as `parameters`, has learned.
pub(super) fn copy(
    model: &dyn Model,
    parameters: &Flat,
    optimizer: &dyn Optimizer,
    learned: &mut Learned,
) {
    let (exp_avg, exp_avg_sq) = optimizer.moments();
    let buffers = [parameters.all(), &exp_avg[0], &exp_avg_sq[0]];
    learned.updates = optimizer.updates();
    copy_tensors(model.entry(), parameters, buffers, &mut learned.tensors);
}

/// Makes such a learner go on from there.
pub(super) fn restore(
    learned: &Learned,
    model: &dyn Model,
    parameters: &Flat,
    optimizer: &mut dyn Optimizer,
) -> Result<(), RestoreError> {
    let (exp_avg, exp_avg_sq) = optimizer.moments();
    let buffers = [parameters.all(), &exp_avg[0], &exp_avg_sq[0]];
    put_back(&learned.tensors, model.entry(), parameters, buffers)?;
    optimizer.set_updates(learned.updates);
    Ok(())
}

/// Copies parameters and moments out of buffers of this layout. What an earlier copy took is
/// overwritten: a long run would otherwise scatter ever new megabytes over the heap.
pub(super) fn copy_tensors(
    entry: &'static ModelEntry,
    layout: &Flat,
    buffers: [&Tensor; 3],
    tensors: &mut Vec<NamedTensor>,
) {
    let views = buffers.into_iter().flat_map(|buffer| layout.views_of(buffer));
    if tensors.is_empty() {
        *tensors = copied(entry, layout, buffers);
    } else {
        let places = tensors.iter_mut().map(|tensor| tensor.data.as_mut_slice());
        places.zip(views).for_each(|(place, view)| copy_bytes(&view, place));
    }
}

/// The first such copy.
fn copied(entry: &ModelEntry, layout: &Flat, buffers: [&Tensor; 3]) -> Vec<NamedTensor> {
    let tensors = ROLES.iter().zip(buffers).flat_map(|(role, buffer)| {
        let parts = named(entry, layout.views_of(buffer));
        parts
            .into_iter()
            .map(move |part| NamedTensor { name: format!("{role}/{}", part.name), ..part })
    });
    tensors.collect()
}

/// Overwrites the buffers by what [`copy_tensors`] gave.
pub(super) fn put_back(
    tensors: &[NamedTensor],
    entry: &'static ModelEntry,
    layout: &Flat,
    buffers: [&Tensor; 3],
) -> Result<(), RestoreError> {
    let wanted = copied(entry, layout, buffers);
    if tensors.len() != wanted.len() {
        let (found, wanted) = (tensors.len(), wanted.len());
        return Err(RestoreError::Number { found, wanted, model: entry });
    }
    let mut values = Vec::new();
    for wanted in &wanted {
        let found = tensors.iter().find(|tensor| tensor.spec() == wanted.spec());
        let found = found.ok_or_else(|| {
            let NamedTensor { name, dtype, shape, .. } = wanted.clone();
            RestoreError::Missing { name, shape, dtype }
        })?;
        values.push(to_tensor(found)?);
    }
    let places = buffers.into_iter().flat_map(|buffer| layout.views_of(buffer));
    tch::no_grad(|| {
        for (mut place, value) in places.zip(&values) {
            place.copy_(value);
        }
    });
    Ok(())
}
