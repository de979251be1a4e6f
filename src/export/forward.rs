//! The formats with a forward pass, which are derived from a network.

use tensor_files::{Metadata, ReadError};

use super::{Format, Forward, Write};
use crate::formats::onnx;
use crate::nn::{Model, TraceError};

/// A model that a format cannot represent.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A tensor that does not fit its shape.
    #[error(transparent)]
    Tensors(#[from] ReadError),
    /// An operation without an ONNX form.
    #[error(transparent)]
    Onnx(#[from] TraceError),
}

impl Format {
    /// The bytes of a file with the weights of `model`; `metadata` is stored by formats that support it.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn write(&self, model: &Model, metadata: &Metadata) -> Result<Vec<u8>, ExportError> {
        match self.write {
            Write::Tensors(write) => Ok(write(&model.state_dict(), metadata)?),
            Write::Forward(Forward::TorchScript) => Ok(model.torchscript()?),
            Write::Forward(Forward::Onnx) => {
                Ok(onnx::write(model.class(), &model.onnx()?, &model.state_dict()))
            }
        }
    }
}
