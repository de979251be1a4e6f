//! safetensors: the format everyone reads. A thin layer over the crate of its authors.

use safetensors::tensor::{Dtype as FileDtype, SafeTensors, TensorView, serialize};

use super::{Dtype, NamedTensor, ReadError};

/// The file for `tensors`. The format orders them itself (by element size, then by name), so the
/// same tensors give the same bytes.
///
/// # Errors
/// When a tensor's data does not fit its shape and type.
pub fn write(tensors: &[NamedTensor]) -> Result<Vec<u8>, ReadError> {
    let damaged = |error: safetensors::SafeTensorError| ReadError::Safetensors(error.to_string());
    let views = tensors.iter().map(|tensor| {
        TensorView::new(file_dtype(tensor.dtype), tensor.shape.clone(), &tensor.data)
            .map(|view| (tensor.name.as_str(), view))
    });
    let views = views.collect::<Result<Vec<_>, _>>().map_err(damaged)?;
    // Hugging Face's loaders ask which framework wrote it; `pt` is the custom for PyTorch names.
    let metadata = [("format".to_string(), "pt".to_string())].into();
    serialize(views, Some(metadata)).map_err(damaged)
}

/// The tensors of a file, in the order of their data.
///
/// # Errors
/// [`ReadError::Safetensors`].
pub fn read(bytes: &[u8]) -> Result<Vec<NamedTensor>, ReadError> {
    let file =
        SafeTensors::deserialize(bytes).map_err(|e| ReadError::Safetensors(e.to_string()))?;
    let tensor = |(name, view): (&str, TensorView)| {
        let dtype = Dtype::ALL.into_iter().find(|&dtype| file_dtype(dtype) == view.dtype());
        let dtype = dtype.ok_or_else(|| {
            ReadError::Safetensors(format!("{name} is of the type {:?}", view.dtype()))
        })?;
        let (shape, data) = (view.shape().to_vec(), view.data().to_vec());
        Ok(NamedTensor { name: name.into(), dtype, shape, data })
    };
    // The crate lists them by a hash map.
    let mut views: Vec<_> = file.iter().collect();
    views.sort_by_key(|(name, view)| (view.data().as_ptr(), *name));
    views.into_iter().map(tensor).collect()
}

fn file_dtype(dtype: Dtype) -> FileDtype {
    match dtype {
        Dtype::F16 => FileDtype::F16,
        Dtype::BF16 => FileDtype::BF16,
        Dtype::F32 => FileDtype::F32,
        Dtype::F64 => FileDtype::F64,
        Dtype::I64 => FileDtype::I64,
    }
}
