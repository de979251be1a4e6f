//! Compares the forward pass of a TorchScript file with that of a network.

use tensor_files::{Dtype, TensorSpec};
use torchscript_forward::{Expected, ForwardError, ScriptModule};

use super::{BufferKind, Graph};

impl Graph {
    /// Compares the forward pass of a TorchScript module with the network's, in evaluation mode. `dtype` is
    /// the element type of the network.
    ///
    /// # Errors
    /// [`ForwardError`] with the first operation that differs, or with the reason why the module's forward pass
    /// cannot be followed.
    pub fn compare_forward(&self, module: &ScriptModule, dtype: Dtype) -> Result<(), ForwardError> {
        let sizes = |shape: &[i64]| shape.iter().map(|&size| size as usize).collect();
        let state = self.state().map(|spec| TensorSpec {
            name: spec.name.into(),
            dtype: spec.buffer.unwrap_or(BufferKind::Float).dtype(dtype),
            shape: sizes(spec.shape),
        });
        module.compare(&Expected {
            forward: self.torchscript("Net").forward,
            input: sizes(self.input()),
            dtype,
            state: state.collect(),
        })
    }
}
