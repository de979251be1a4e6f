#![doc = include_str!("../README.md")]

mod arguments;
mod builtins;
mod calls;
mod compare;
mod error;
mod expressions;
mod interpreter;
mod layers;
mod lexer;
mod memory;
mod module;
mod objects;
mod operators;
mod parser;
mod pooling;
pub mod shapes;
mod syntax;
mod values;

pub use tensor_files::{Dtype, ReadError, TensorSpec};

pub use self::module::ScriptModule;

/// The forward pass that a file is compared with, and what must be known of its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The body of `forward(self, x)` as TorchScript, each line indented: what
    /// [`Program::forward`](tensor_files::torchscript::Program::forward) is.
    pub forward: String,
    /// The shape of the input without the batch.
    pub input: Vec<usize>,
    /// The element type of the input, and of what is computed of it.
    pub dtype: Dtype,
    /// Parameters and buffers, by their keys in the state_dict.
    pub state: Vec<TensorSpec>,
}

/// A forward pass that is not the expected one, or not known to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// Another operation, or another argument.
    #[error("its operation {position} is {found}, where {expected} is expected")]
    Operation {
        /// Its place among the file's operations, from 1.
        position: usize,
        /// What the file computes.
        found: String,
        /// What the network computes.
        expected: String,
    },
    /// An operation behind the network's last one.
    #[error("it goes on with {found}, where {expected} is the last operation")]
    Longer {
        /// What the file computes.
        found: String,
        /// The network's last operation.
        expected: String,
    },
    /// An operation that is missing at the end.
    #[error("it ends before {expected}")]
    Shorter {
        /// What the network computes then.
        expected: String,
    },
    /// It cannot be followed.
    #[error("{0}")]
    NotFollowed(String),
}
