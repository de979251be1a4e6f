//! The tensors of a forward pass and the memory that they share: an in-place operation changes all views.

use super::error::{Refusal, refuse};
use super::interpreter::Interpreter;

/// A tensor of the forward pass. An in-place operation gives it another value.
pub(super) struct TensorCell {
    /// The number of its value.
    pub value: usize,
    pub storage: usize,
    /// The version of the storage that the value belongs to.
    pub version: usize,
}

/// Memory of one tensor or of several views.
pub(super) struct Storage {
    /// Number of in-place operations so far.
    pub version: usize,
    /// The parameter or buffer whose memory it is.
    pub state: Option<String>,
}

impl Interpreter<'_> {
    /// Adds a tensor with memory of its own.
    pub fn new_tensor(&mut self, value: usize) -> usize {
        self.storages.push(Storage { version: 0, state: None });
        self.tensor(value, self.storages.len() - 1)
    }

    /// Adds a tensor that shares the memory of another one.
    pub fn view_of(&mut self, other: usize, value: usize) -> usize {
        self.tensor(value, self.cells[other].storage)
    }

    fn tensor(&mut self, value: usize, storage: usize) -> usize {
        let version = self.storages[storage].version;
        self.cells.push(TensorCell { value, storage, version });
        self.cells.len() - 1
    }

    /// The number of a tensor's value.
    pub fn value_of(&self, tensor: usize) -> Result<usize, Refusal> {
        let TensorCell { value, storage, version } = self.cells[tensor];
        match version == self.storages[storage].version {
            true => Ok(value),
            false => refuse("it reads a view of a tensor that was changed in place"),
        }
    }

    /// Gives a tensor another value in place.
    pub fn assign(&mut self, tensor: usize, value: usize) -> Result<(), Refusal> {
        let storage = &mut self.storages[self.cells[tensor].storage];
        if let Some(state) = &storage.state {
            return refuse(format!("it changes its own {state}"));
        }
        storage.version += 1;
        self.cells[tensor].value = value;
        self.cells[tensor].version = storage.version;
        Ok(())
    }
}
