#![doc = include_str!("../README.md")]

mod arguments;
mod audit;
mod builtins;
mod calls;
mod compare;
mod error;
mod expressions;
mod follow;
mod functions;
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

pub use self::audit::{AuditError, CodeFacts, Parameter, Place, Signature};
pub use self::follow::{Argument, ForwardPass, NotFollowed, Operation};
pub use self::module::ScriptModule;

/// The forward pass that a file is compared with, and the shapes and types of its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The body of `forward(self, x)` in TorchScript's serialized form, as in
    /// [`Program::forward`](tensor_files::torchscript::Program::forward): each line indented by four spaces.
    pub forward: String,
    /// Shape of the input without the batch dimension.
    pub input: Vec<usize>,
    /// Element type of the input and of all activations.
    pub dtype: Dtype,
    /// Parameters and buffers, named by their keys in the state_dict.
    pub state: Vec<TensorSpec>,
}

/// A forward pass that differs from the expected one, or cannot be compared with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// An operation, or an argument of it, differs.
    #[error("its operation {position} is {found}, where {expected} is expected")]
    Operation {
        /// Position of the operation in the file, from 1.
        position: usize,
        /// The operation in the file, with the arguments that differ.
        found: String,
        /// The operation that the network has in this position.
        expected: String,
    },
    /// The file has more operations than the network.
    #[error("it goes on with {found}, where {expected} is the last operation")]
    Longer {
        /// The first operation of the file after the network's last.
        found: String,
        /// The last operation of the network.
        expected: String,
    },
    /// The file ends before the network does.
    #[error("it ends before {expected}")]
    Shorter {
        /// The first operation of the network after the file's last.
        expected: String,
    },
    /// The forward pass cannot be followed. The reason is a clause, such as "it changes its own fc.weight".
    #[error("{0}")]
    NotFollowed(String),
}
