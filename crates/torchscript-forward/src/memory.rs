//! The tensors of a forward pass and the memory that they share: operations in place change what views hold.

use super::error::{Refusal, refuse};
use super::interpreter::Interpreter;

/// A tensor of the forward pass: operations in place change what it holds.
pub(super) struct TensorCell {
    /// The number of its value.
    pub value: usize,
    pub storage: usize,
    /// The version of the storage that the value belongs to.
    pub version: usize,
}

/// The memory of one tensor or of several.
pub(super) struct Storage {
    pub version: usize,
    /// The parameter or buffer that lies there.
    pub state: Option<String>,
}

impl Interpreter<'_> {
    /// A tensor with memory of its own.
    pub fn new_tensor(&mut self, value: usize) -> usize {
        self.storages.push(Storage { version: 0, state: None });
        self.tensor(value, self.storages.len() - 1)
    }

    /// A tensor in the memory of another one.
    pub fn view_of(&mut self, other: usize, value: usize) -> usize {
        self.tensor(value, self.cells[other].storage)
    }

    fn tensor(&mut self, value: usize, storage: usize) -> usize {
        let version = self.storages[storage].version;
        self.cells.push(TensorCell { value, storage, version });
        self.cells.len() - 1
    }

    /// The number of what a tensor holds.
    pub fn value_of(&self, tensor: usize) -> Result<usize, Refusal> {
        let TensorCell { value, storage, version } = self.cells[tensor];
        match version == self.storages[storage].version {
            true => Ok(value),
            false => refuse("it reads a view of a tensor that was changed in place"),
        }
    }

    /// An operation in place has made this value of a tensor.
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
