//! `state_dict()` and `load_state_dict()`: conversion between a network's tensors and those of a file.

use tch::{Kind, Tensor};
use tensor_files::{Dtype, NamedTensor};

use super::graph::{StateEntry, StateSpec};
use super::{BufferKind, Model};
use crate::libtorch::{bytes_of, dtype_of};

/// Tensors that do not match a network's parameters and buffers.
#[derive(Debug, thiserror::Error)]
pub enum StateDictError {
    /// A key that the network does not have.
    #[error("unexpected key {0}")]
    Unexpected(String),
    /// A key of the network that is missing.
    #[error("missing key {0}")]
    Missing(String),
    /// A tensor has the wrong shape: key, found, expected.
    #[error("{0} has the shape {1:?}; {2:?} is expected")]
    Shape(String, Vec<usize>, Vec<i64>),
    /// A tensor has the wrong element type: key, found, expected.
    #[error("{0} has the type {1}; {2} is expected")]
    Type(String, Dtype, &'static str),
    /// A tensor has an element type that tch does not support.
    #[error("{name} has the type {dtype}, which tch does not support")]
    UnsupportedType {
        /// Key of the tensor.
        name: String,
        /// Element type that tch lacks, such as `uint16`.
        dtype: Dtype,
    },
}

impl Model {
    /// `model.state_dict()`: copies of the parameters and buffers with their names, in Python's order.
    ///
    /// ```
    /// # use stitch::nn::{Linear, Model};
    /// # use tch::Kind;
    /// # use stitch::tensor_files::state_dict;
    /// let model = Model::new("Net", &[784], Kind::Float, |vs| Linear::new(vs / "fc", 784, 10))?;
    /// let tensors = model.state_dict();
    /// assert_eq!((tensors[0].name.as_str(), &tensors[0].shape[..]), ("fc.weight", &[10, 784][..]));
    /// // torch.save(model.state_dict(), path) writes these bytes, torch.load(path) reads them.
    /// let bytes = state_dict::write(&tensors)?;
    /// # assert_eq!(stitch::tensor_files::read_weights(&bytes)?, tensors);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn state_dict(&self) -> Vec<NamedTensor> {
        self.state().map(|(name, tensor)| to_named(name.into(), &tensor)).collect()
    }

    /// `model.load_state_dict(…)`: copies tensors into the parameters and buffers with the same names, in any
    /// order. Floating-point tensors are converted to the network's element type.
    ///
    /// ```
    /// # use stitch::nn::{Linear, Model};
    /// # use tch::Kind;
    /// let [trained, model] = [1, 2].map(|seed| {
    ///     tch::manual_seed(seed);
    ///     Model::new("Net", &[784], Kind::Float, |vs| Linear::new(vs / "fc", 784, 10)).unwrap()
    /// });
    /// model.load_state_dict(&trained.state_dict())?;
    /// assert_eq!(model.state_dict(), trained.state_dict());
    /// let error = model.load_state_dict(&trained.state_dict()[..1]).unwrap_err();
    /// assert_eq!(error.to_string(), "missing key fc.bias");
    /// # Ok::<(), stitch::nn::StateDictError>(())
    /// ```
    ///
    /// # Errors
    /// [`StateDictError`] for the first tensor that does not match; the model is then unchanged.
    pub fn load_state_dict(&self, tensors: &[NamedTensor]) -> Result<(), StateDictError> {
        let names = || self.graph().state().map(|spec| spec.name);
        if let Some(tensor) = tensors.iter().find(|tensor| !names().any(|n| n == tensor.name)) {
            return Err(StateDictError::Unexpected(tensor.name.clone()));
        }
        let values = self.graph().state().map(|spec| find(&spec, tensors));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        tch::no_grad(|| {
            self.state().zip(&values).for_each(|((_, mut tensor), value)| tensor.copy_(value));
        });
        Ok(())
    }

    /// The parameters and buffers with their names, in the order of `state_dict()`. The tensors are shallow
    /// copies that share their memory with the network.
    pub fn state(&self) -> impl Iterator<Item = (&str, Tensor)> {
        let tensors = self.graph().state.iter().map(|&entry| match entry {
            StateEntry::Parameter(i) => self.parameters()[i].detach(),
            StateEntry::Buffer(i) => self.buffers()[i].shallow_clone(),
            StateEntry::Shared(i) => self.parameters()[self.graph().shared[i].1].detach(),
        });
        self.graph().state().map(|spec| spec.name).zip(tensors)
    }
}

/// Finds the tensor for an entry of the state_dict, and checks its shape and type.
fn find(spec: &StateSpec, tensors: &[NamedTensor]) -> Result<Tensor, StateDictError> {
    let name = || spec.name.to_string();
    let tensor = tensors.iter().find(|tensor| tensor.name == spec.name);
    let tensor = tensor.ok_or_else(|| StateDictError::Missing(name()))?;
    if !tensor.shape.iter().map(|&size| size as i64).eq(spec.shape.iter().copied()) {
        let (found, expected) = (tensor.shape.clone(), spec.shape.to_vec());
        return Err(StateDictError::Shape(name(), found, expected));
    }
    let (matches, expected) = match spec.buffer {
        Some(BufferKind::Int64) => (tensor.dtype == Dtype::I64, "int64"),
        Some(BufferKind::Other(dtype)) => (tensor.dtype == dtype, dtype.name()),
        _ => (tensor.dtype.is_float(), "float16, bfloat16, float32 or float64"),
    };
    match matches {
        true => to_tensor(tensor),
        false => Err(StateDictError::Type(name(), tensor.dtype, expected)),
    }
}

/// Copies a tensor to a [`NamedTensor`], the form in which files store it.
pub(crate) fn to_named(name: String, tensor: &Tensor) -> NamedTensor {
    let shape = tensor.size().iter().map(|&size| size as usize).collect();
    NamedTensor { name, dtype: dtype_of(tensor.kind()), shape, data: bytes_of(tensor) }
}

/// Creates a CPU tensor from a tensor of a file.
///
/// ```
/// use stitch::tensor_files::{Dtype, NamedTensor};
/// use stitch::nn::{bytes_of, to_tensor};
///
/// let data: Vec<u8> = [1f32, 2.0, 3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
/// let named = NamedTensor { name: "fc.bias".into(), dtype: Dtype::F32, shape: vec![3], data };
/// let tensor = to_tensor(&named)?;
/// assert_eq!(tensor.double_value(&[2]), 3.0);
/// assert_eq!(bytes_of(&tensor), named.data);
/// # Ok::<(), stitch::nn::StateDictError>(())
/// ```
///
/// # Errors
/// [`StateDictError::UnsupportedType`] for uint16, uint32, uint64 and float8_e8m0fnu.
pub fn to_tensor(tensor: &NamedTensor) -> Result<Tensor, StateDictError> {
    let kind = kind_of(tensor.dtype).ok_or_else(|| {
        let (name, dtype) = (tensor.name.clone(), tensor.dtype);
        StateDictError::UnsupportedType { name, dtype }
    })?;
    let shape: Vec<i64> = tensor.shape.iter().map(|&n| n as i64).collect();
    Ok(Tensor::from_data_size(&tensor.data, &shape, kind))
}

/// The type of tch; `None` for those that tch lacks.
pub(super) fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::Bool => Kind::Bool,
        Dtype::U8 => Kind::Uint8,
        Dtype::I8 => Kind::Int8,
        Dtype::I16 => Kind::Int16,
        Dtype::I32 => Kind::Int,
        Dtype::I64 => Kind::Int64,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::F8_E4M3FN => Kind::Float8e4m3fn,
        Dtype::F8_E4M3FNUZ => Kind::Float8e4m3fnuz,
        Dtype::F8_E5M2 => Kind::Float8e5m2,
        Dtype::F8_E5M2FNUZ => Kind::Float8e5m2fnuz,
        Dtype::C32 => Kind::ComplexHalf,
        Dtype::C64 => Kind::ComplexFloat,
        Dtype::C128 => Kind::ComplexDouble,
        Dtype::U16 | Dtype::U32 | Dtype::U64 | Dtype::F8_E8M0FNU => return None,
    })
}
