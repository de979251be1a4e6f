//! Whether the forward pass of a TorchScript file is a network's: its code is read as text and followed
//! in evaluation mode, and so is the code that the network itself is exported as. Calls, branches on
//! `self.training` and loops are resolved, names of variables and the layout of modules are gone, and
//! each operation is in one form, so that equal forward passes are the same values.
//!
//! Nothing of a file is executed. What is not understood is an error, never equal.

mod archive;
mod arguments;
mod attributes;
mod builtins;
mod interpreter;
mod layers;
mod lexer;
mod memory;
mod objects;
mod operators;
mod parser;
mod syntax;
mod values;
mod window;

use std::collections::HashSet;

use tch::Kind;

pub use self::archive::ScriptModule;
use self::interpreter::Interpreter;
use self::values::{Argument, Values, What};
use super::Graph;

/// A forward pass that is not the network's, or not known to be.
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

impl Graph {
    /// Compares the forward pass of a TorchScript module with the network's, in evaluation mode. `kind` is
    /// the element type of the network.
    ///
    /// # Errors
    /// The first operation that differs, or why the module's forward pass cannot be followed.
    pub fn compare_forward(&self, module: &ScriptModule, kind: Kind) -> Result<(), ForwardError> {
        let mut values = Values::default();
        let own = self.own_value(&mut values, kind)?;
        let mut interpreter = Interpreter::new(&mut values, self, kind, Some(module));
        let found = interpreter.run_module(module).map_err(ForwardError::NotFollowed)?;
        let doubt = interpreter.doubt.take();
        match (found == own, doubt) {
            (true, None) => Ok(()),
            (true, Some(what)) => Err(ForwardError::NotFollowed(what)),
            (false, _) => Err(first_difference(&values, found, own)),
        }
    }

    /// The result of the network, whose operations say themselves what they are in TorchScript.
    fn own_value(&self, values: &mut Values, kind: Kind) -> Result<usize, ForwardError> {
        let code = format!("def forward(self, x):\n{}", self.torchscript("Net").forward);
        let mut interpreter = Interpreter::new(values, self, kind, None);
        let result = parser::parse(&code).and_then(|unit| match unit.functions["forward"].body {
            Ok(ref body) => interpreter.run_body(body),
            Err(ref what) => Err(what.clone()),
        });
        result.map_err(|what| {
            ForwardError::NotFollowed(format!("the model's own forward pass: {what}"))
        })
    }
}

/// The first operation of the file that the network does not have.
fn first_difference(values: &Values, found: usize, expected: usize) -> ForwardError {
    let (ours, theirs) = (values.operations(expected), values.operations(found));
    let [own, other] = [&ours, &theirs].map(|values| values.iter().collect::<HashSet<_>>());
    let position = theirs.iter().position(|value| !own.contains(value));
    let missing = ours.iter().find(|value| !other.contains(value));
    match (position, missing) {
        (Some(at), Some(&missing)) => {
            let [found, expected] = [(theirs[at], missing), (missing, theirs[at])]
                .map(|(a, b)| described(values, a, b));
            let found = if found == expected { format!("{found} of another value") } else { found };
            ForwardError::Operation { position: at + 1, found, expected }
        }
        (Some(at), None) => ForwardError::Longer {
            found: described(values, theirs[at], theirs[at]),
            expected: described(values, expected, expected),
        },
        (None, Some(&missing)) => {
            ForwardError::Shorter { expected: described(values, missing, missing) }
        }
        (None, None) => ForwardError::NotFollowed("it returns another of its values".into()),
    }
}

/// An operation, its parameters, and the arguments that tell it from `other`.
fn described(values: &Values, value: usize, other: usize) -> String {
    let What::Operation(name, arguments) = values.what(value) else { return "its input".into() };
    let same = match values.what(other) {
        What::Operation(other_name, arguments) if other_name == name && other != value => {
            Some(arguments)
        }
        _ => None,
    };
    let mut shown = Vec::new();
    for (index, (argument_name, argument)) in arguments.iter().enumerate() {
        match argument {
            Argument::Value(operand) => {
                if let What::State(state) = values.what(*operand) {
                    shown.push(state.clone());
                }
            }
            Argument::None if same.is_none() => {}
            _ => {
                let differs = same.is_some_and(|same| same.get(index) != arguments.get(index));
                let first = same.is_none() && shown.is_empty();
                if argument_name.is_empty() && (differs || same.is_none()) {
                    shown.push(argument.to_string());
                } else if differs || first {
                    shown.push(format!("{argument_name}={argument}"));
                }
            }
        }
    }
    if shown.is_empty() { name.clone() } else { format!("{name}({})", shown.join(", ")) }
}
