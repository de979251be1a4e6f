//! The operations of a forward pass, for a program that converts it.

use std::collections::HashMap;

use tensor_files::TensorSpec;

use super::interpreter::Interpreter;
use super::values::{Argument as Inner, Values, What};
use super::{Dtype, ForwardError, ScriptModule};

/// A forward pass in evaluation mode.
#[derive(Debug, Clone, PartialEq)]
pub struct ForwardPass {
    /// Its operations, each after those whose results it reads.
    pub operations: Vec<Operation>,
    /// What it returns: the input, a parameter, or the result of an operation.
    pub result: Argument,
}

/// An operation on tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Its name in torch, such as `conv2d`.
    pub name: String,
    /// Whether it has a canonical form, in which all arguments have names: `torch.relu6(x)` is `hardtanh(input, min_val=0.0,
    /// max_val=6.0)`. Otherwise name and arguments are those of the code.
    pub is_canonical: bool,
    /// Its arguments with their names; the name is empty if it is not known.
    pub arguments: Vec<(String, Argument)>,
}

impl Operation {
    /// The argument with this name.
    pub fn argument(&self, name: &str) -> Option<&Argument> {
        self.arguments.iter().find(|(given, _)| given == name).map(|(_, argument)| argument)
    }

    /// Whether the argument with this name is given and not None.
    pub fn has(&self, name: &str) -> bool {
        !matches!(self.argument(name), None | Some(Argument::None))
    }

    /// The argument with this name, if it is an int. The next three are alike.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.argument(name)? {
            Argument::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The float with this name.
    pub fn float(&self, name: &str) -> Option<f64> {
        match self.argument(name)? {
            Argument::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// All floats among the arguments.
    pub fn floats(&self) -> impl Iterator<Item = f64> {
        self.arguments.iter().filter_map(|(_, argument)| match argument {
            Argument::Float(value) => Some(*value),
            _ => None,
        })
    }

    /// The bool with this name.
    pub fn bool(&self, name: &str) -> Option<bool> {
        match self.argument(name)? {
            Argument::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The list of ints with this name.
    pub fn ints(&self, name: &str) -> Option<Vec<i64>> {
        let Argument::List(items) = self.argument(name)? else { return None };
        let items = items.iter().map(|item| match item {
            Argument::Int(value) => Some(*value),
            _ => None,
        });
        items.collect()
    }

    /// The tensors among the arguments, also those in lists, in the order of the arguments.
    pub fn tensors(&self) -> impl Iterator<Item = &Argument> {
        let arguments = self.arguments.iter().flat_map(|(_, argument)| match argument {
            Argument::List(items) => &items[..],
            argument => std::slice::from_ref(argument),
        });
        arguments.filter(|argument| argument.is_tensor())
    }
}

/// An argument of an operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    /// The batch of images.
    Input,
    /// A parameter or buffer, by its key in the state_dict.
    State(String),
    /// The result of the operation with this index.
    Operation(usize),
    /// None.
    None,
    /// A bool.
    Bool(bool),
    /// An int.
    Int(i64),
    /// A float.
    Float(f64),
    /// A list or tuple.
    List(Vec<Argument>),
    /// Anything else as it is written, such as a string, the number of images `N`, or a tensor constant of the code.
    Other(String),
}

impl Argument {
    /// Whether it is the input, a parameter, or the result of an operation.
    pub fn is_tensor(&self) -> bool {
        matches!(self, Self::Input | Self::State(_) | Self::Operation(_))
    }
}

/// A forward pass that is followed in part.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{error}")]
pub struct NotFollowed {
    /// The operations before the place that cannot be followed.
    pub operations: Vec<Operation>,
    /// Why the rest is not followed.
    pub error: ForwardError,
}

impl ScriptModule {
    /// The operations of the module's forward pass in evaluation mode. `input` is the shape of the input without the batch,
    /// `dtype` the element type of the network, `state` has its parameters and buffers.
    ///
    /// # Errors
    /// [`NotFollowed`] when the forward pass cannot be followed.
    pub fn follow(
        &self,
        input: &[usize],
        dtype: Dtype,
        state: &[TensorSpec],
    ) -> Result<ForwardPass, NotFollowed> {
        let mut values = Values::default();
        let mut interpreter = Interpreter::new(&mut values, (input, dtype), state, Some(self));
        let result = interpreter.run_module(self);
        let doubt = interpreter.doubt.take();
        let result = match (result, doubt) {
            (Ok(result), None) => result,
            (Ok(_), Some(what)) => {
                return Err(not_followed(&values, ForwardError::NotFollowed(what)));
            }
            (Err(why), _) => return Err(not_followed(&values, why.into())),
        };
        let (operations, indices) = operations(&values, &values.operations(result));
        Ok(ForwardPass { operations, result: value(&values, &indices, result) })
    }
}

fn not_followed(values: &Values, error: ForwardError) -> NotFollowed {
    let (operations, _) = operations(values, &values.all());
    NotFollowed { operations, error }
}

/// The operations among these values, and their indices by the numbers of the values.
fn operations(values: &Values, order: &[usize]) -> (Vec<Operation>, HashMap<usize, usize>) {
    let (mut operations, mut indices) = (Vec::new(), HashMap::new());
    for &number in order {
        let What::Operation(name, arguments) = values.what(number) else { continue };
        let arguments = arguments.iter();
        let arguments = arguments.map(|(name, it)| (name.clone(), argument(values, &indices, it)));
        let arguments = arguments.collect();
        indices.insert(number, operations.len());
        let (name, is_canonical) = (name.clone(), !values.is_unknown(number));
        operations.push(Operation { name, is_canonical, arguments });
    }
    (operations, indices)
}

fn value(values: &Values, indices: &HashMap<usize, usize>, number: usize) -> Argument {
    match values.what(number) {
        What::Input => Argument::Input,
        What::State(name) => Argument::State(name.clone()),
        What::Operation(..) => Argument::Operation(indices[&number]),
    }
}

fn argument(values: &Values, indices: &HashMap<usize, usize>, inner: &Inner) -> Argument {
    match inner {
        Inner::Value(number) => value(values, indices, *number),
        Inner::None => Argument::None,
        Inner::Bool(value) => Argument::Bool(*value),
        Inner::Int(value) => Argument::Int(*value),
        Inner::Float(bits) => Argument::Float(f64::from_bits(*bits)),
        Inner::List(items) => {
            Argument::List(items.iter().map(|it| argument(values, indices, it)).collect())
        }
        Inner::Batch | Inner::Text(_) | Inner::Global(_) => Argument::Other(inner.to_string()),
    }
}
