//! Between a model and the tensors of a weights file.

use tch::Device;

use super::{Classifier, MODELS, ModelEntry};
use crate::nn::StateDictError;
use tensor_files::{NamedTensor, TensorSpec};

/// Tensors of an unknown file that an error lists.
const SHOWN: usize = 20;

/// Tensors that are no weights of a known model.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// They fit no model, or not the one asked for.
    #[error("the file holds {found}; {wanted}")]
    Unrecognised {
        /// Names and shapes in the file.
        found: String,
        /// Names and shapes that each candidate wants.
        wanted: String,
    },
    /// They do not fit after all, such as integers.
    #[error(transparent)]
    StateDict(#[from] StateDictError),
}

/// The MLP's parameters by the names of a fitted `MLPClassifier` and in its layout: `coefs_0`
/// (784, 64), `intercepts_0`, `coefs_1` (64, 10), `intercepts_1`. Takes the state_dict of
/// the MLP.
pub fn to_sklearn(tensors: &[NamedTensor]) -> Vec<NamedTensor> {
    let mut named = Vec::new();
    for (layer, pair) in tensors.chunks_exact(2).enumerate() {
        named.push(NamedTensor { name: format!("coefs_{layer}"), ..transposed(&pair[0]) });
        named.push(NamedTensor { name: format!("intercepts_{layer}"), ..pair[1].clone() });
    }
    named
}

/// A matrix with rows and columns exchanged.
fn transposed(matrix: &NamedTensor) -> NamedTensor {
    let (rows, columns, size) = (matrix.shape[0], matrix.shape[1], matrix.dtype.size());
    let mut data = Vec::with_capacity(matrix.data.len());
    for column in 0..columns {
        for row in 0..rows {
            let at = (row * columns + column) * size;
            data.extend_from_slice(&matrix.data[at..at + size]);
        }
    }
    NamedTensor { shape: vec![columns, rows], data, ..matrix.clone() }
}

/// The model that `tensors` are the weights of: `asked` for, or recognised by names and shapes.
/// The order of the tensors does not matter.
///
/// # Errors
/// See [`WeightsError`].
pub fn from_named(
    tensors: &[NamedTensor],
    asked: Option<&'static ModelEntry>,
    device: Device,
) -> Result<Classifier, WeightsError> {
    let specs: Vec<TensorSpec> = tensors.iter().map(NamedTensor::spec).collect();
    let entry = recognise(&specs, asked)?;
    let model = entry.zeros(device);
    model.load_state_dict(tensors)?;
    Ok(Classifier { entry, model })
}

/// Which model has tensors of these names and shapes: the one asked for, or any.
///
/// # Errors
/// [`WeightsError::Unrecognised`].
pub fn recognise(
    tensors: &[TensorSpec],
    asked: Option<&'static ModelEntry>,
) -> Result<&'static ModelEntry, WeightsError> {
    let candidates = asked.map_or(MODELS.to_vec(), |entry| vec![entry]);
    if let Some(&entry) = candidates.iter().find(|candidate| fits(tensors, candidate)) {
        return Ok(entry);
    }
    let shown = tensors.iter().take(SHOWN).map(|t| format!("{} {:?}", t.name, t.shape));
    let mut found: Vec<String> = shown.collect();
    if tensors.len() > SHOWN {
        found.push(format!("… ({} tensors)", tensors.len()));
    }
    let found = if found.is_empty() { "no tensor".into() } else { found.join(", ") };
    let wanted: Vec<String> = candidates.into_iter().map(wanted_by).collect();
    Err(WeightsError::Unrecognised { found, wanted: wanted.join("; ") })
}

fn fits(tensors: &[TensorSpec], entry: &ModelEntry) -> bool {
    let graph = entry.graph();
    graph.state().count() == tensors.len()
        && graph.state().all(|spec| {
            tensors.iter().any(|tensor| {
                let shape = tensor.shape.iter().map(|&size| size as i64);
                tensor.name == spec.name && shape.eq(spec.shape.iter().copied())
            })
        })
}

fn wanted_by(entry: &ModelEntry) -> String {
    let graph = entry.graph();
    let list: Vec<String> =
        graph.state().map(|spec| format!("{} {:?}", spec.name, spec.shape)).collect();
    format!("{entry} wants {}", list.join(", "))
}
