//! Between a model and the tensors of a weights file.

use tch::{Device, Kind, Tensor};

use super::{AssignError, MODELS, Model, ModelEntry, assign};
use crate::formats::{Dtype, NamedTensor, TensorSpec};

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
    /// Not floating-point numbers.
    #[error("{name} is of the type {dtype}: weights are floating-point numbers")]
    NotFloat {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: Dtype,
    },
    /// They do not fit after all.
    #[error(transparent)]
    Assign(#[from] AssignError),
}

/// The parameters of `model` as a weights file holds them, in definition order.
pub fn to_named(model: &dyn Model) -> Vec<NamedTensor> {
    named(model.entry(), model.parameters())
}

/// Tensors of the shapes of the parameters, under the parameters' names.
pub(crate) fn named(entry: &ModelEntry, tensors: Vec<Tensor>) -> Vec<NamedTensor> {
    let dtype = entry.dtype();
    let named = |(&(name, shape), tensor): (&super::ParameterSpec, Tensor)| {
        let data = bytes_of(&tensor);
        let shape = shape.iter().map(|&size| size as usize).collect();
        NamedTensor { name: name.into(), dtype, shape, data }
    };
    entry.parameters.iter().zip(tensors).map(named).collect()
}

/// The elements of a tensor, row-major, little-endian.
pub fn bytes_of(tensor: &Tensor) -> Vec<u8> {
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    copy_bytes(tensor, &mut bytes);
    bytes
}

/// As [`bytes_of`], to where they have room.
pub(crate) fn copy_bytes(tensor: &Tensor, bytes: &mut [u8]) {
    let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
    tensor.copy_data_u8(bytes, tensor.numel());
}

/// The MLP's parameters by the names of a fitted `MLPClassifier` and in its layout: `coefs_0`
/// (784, 64), `intercepts_0`, `coefs_1` (64, 10), `intercepts_1`. Takes what [`to_named`] gives for
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
) -> Result<Box<dyn Model>, WeightsError> {
    let specs: Vec<TensorSpec> = tensors.iter().map(NamedTensor::spec).collect();
    let entry = recognise(&specs, asked)?;
    let value = |&(name, _): &super::ParameterSpec| {
        // `fits` has found each name.
        let tensor = tensors.iter().find(|tensor| tensor.name == name);
        tensor.map(to_tensor).transpose().map(Option::unwrap_or_default)
    };
    let values = entry.parameters.iter().map(value).collect::<Result<Vec<_>, _>>()?;
    let model = (entry.build)(device);
    assign(model.as_ref(), &values)?;
    Ok(model)
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
    let specs = entry.parameters;
    specs.len() == tensors.len()
        && specs.iter().all(|&(name, shape)| {
            tensors.iter().any(|tensor| {
                tensor.name == name && tensor.shape.iter().map(|&n| n as i64).eq(shape.to_vec())
            })
        })
}

fn wanted_by(entry: &ModelEntry) -> String {
    let list: Vec<String> =
        entry.parameters.iter().map(|(name, shape)| format!("{name} {shape:?}")).collect();
    format!("{entry} wants {}", list.join(", "))
}

/// On the CPU.
pub(crate) fn to_tensor(tensor: &NamedTensor) -> Result<Tensor, WeightsError> {
    let kind = match tensor.dtype {
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        dtype => {
            return Err(WeightsError::NotFloat { name: tensor.name.clone(), dtype });
        }
    };
    let shape: Vec<i64> = tensor.shape.iter().map(|&n| n as i64).collect();
    Ok(Tensor::from_data_size(&tensor.data, &shape, kind))
}
