//! The values that a forward pass computes. They are numbered: equal operations on equal values have the same number.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::rc::Rc;

use tensor_files::torchscript::Id;

/// The value of a variable while a forward pass is followed.
#[derive(Debug, Clone)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// The batch size, which is not known.
    Batch,
    /// So many times the batch size; more than once.
    Batches(i64),
    Float(f64),
    /// A scalar tensor of a known integer, as traces use for sizes; it can be changed in place.
    Number(Rc<Cell<i64>>),
    Text(Rc<str>),
    List(Rc<[Value]>),
    Tuple(Rc<[Value]>),
    /// The tensor with this index.
    Tensor(usize),
    /// A module, or another object of the file.
    Object(Rc<Object>),
    /// A function, or a prefix of its qualified name.
    Global(Rc<str>),
}

/// A module, or another object that has attributes.
#[derive(Debug)]
pub(super) struct Object {
    /// Qualified name in the module, such as `features.0`; empty for the module itself.
    pub path: String,
    pub source: Source,
}

/// Where the attributes of an object are read from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// The file's pickle.
    File(Id),
    /// The TorchScript of the expected network; its attributes have no pickle.
    Model,
}

impl Value {
    pub fn list(values: Vec<Value>) -> Self {
        Self::List(values.into())
    }

    pub fn number(value: i64) -> Self {
        Self::Number(Rc::new(Cell::new(value)))
    }

    /// Python's `is None`.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The type with an article, for an error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::Batch | Self::Batches(_) => "the number of images",
            Self::Float(_) => "a float",
            Self::Number(_) => "a size",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Tensor(_) => "a tensor",
            Self::Object(_) => "a module",
            Self::Global(_) => "a function or constant",
        }
    }
}

/// An argument of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Argument {
    /// The value with this number.
    Value(usize),
    None,
    Bool(bool),
    Int(i64),
    Batch,
    /// The bits of a float, since NaN must be equal to itself.
    Float(u64),
    Text(String),
    /// A tensor of the code, such as `CONSTANTS.c0`.
    Global(String),
    List(Vec<Argument>),
}

impl Argument {
    pub fn ints(values: &[i64]) -> Self {
        Self::List(values.iter().map(|&value| Self::Int(value)).collect())
    }

    pub fn float(value: f64) -> Self {
        Self::Float(value.to_bits())
    }

    /// The numbers of the values in the argument.
    pub fn values(&self) -> Vec<usize> {
        match self {
            Self::Value(value) => vec![*value],
            Self::List(items) => items.iter().flat_map(Self::values).collect(),
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("a tensor"),
            Self::None => f.write_str("None"),
            Self::Bool(true) => f.write_str("True"),
            Self::Bool(false) => f.write_str("False"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Batch => f.write_str("N"),
            Self::Float(bits) => write!(f, "{:?}", f64::from_bits(*bits)),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Global(name) => f.write_str(name),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
        }
    }
}

/// The definition of a value: an operation on values, the input, or a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum What {
    Input,
    /// A parameter or buffer, by its name.
    State(String),
    Operation(String, Vec<(String, Argument)>),
}

impl What {
    /// The numbers of the operands, in the order of the arguments.
    pub fn operands(&self) -> Vec<usize> {
        match self {
            Self::Operation(_, arguments) => {
                arguments.iter().flat_map(|(_, argument)| argument.values()).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// All values of two forward passes.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// Each with its shape, if it is known; -1 stands for the batch size.
    entries: Vec<(What, Option<Vec<i64>>)>,
    numbers: HashMap<What, usize>,
    /// Values that may have another element type than the network.
    of_another_type: HashSet<usize>,
    /// Operations without a canonical form.
    unknown: HashSet<usize>,
}

impl Values {
    /// The number of a value, which is new or was computed before.
    pub fn number(&mut self, what: What, shape: Option<Vec<i64>>) -> usize {
        *self.numbers.entry(what).or_insert_with_key(|what| {
            let number = self.entries.len();
            if what.operands().iter().any(|operand| self.of_another_type.contains(operand)) {
                self.of_another_type.insert(number);
            }
            self.entries.push((what.clone(), shape));
            number
        })
    }

    /// Marks a value, and those computed from it later, as possibly of another element type than the network.
    pub fn set_another_type(&mut self, number: usize) {
        self.of_another_type.insert(number);
    }

    /// Marks an operation without a canonical form.
    pub fn set_unknown(&mut self, number: usize) {
        self.unknown.insert(number);
    }

    pub fn is_unknown(&self, number: usize) -> bool {
        self.unknown.contains(&number)
    }

    pub fn is_of_another_type(&self, number: usize) -> bool {
        self.of_another_type.contains(&number)
    }

    pub fn what(&self, number: usize) -> &What {
        &self.entries[number].0
    }

    pub fn shape(&self, number: usize) -> Option<&[i64]> {
        self.entries[number].1.as_deref()
    }

    /// The numbers of all values, each after its operands.
    pub fn all(&self) -> Vec<usize> {
        (0..self.entries.len()).collect()
    }

    /// The operations that compute a value, each after its operands.
    pub fn operations(&self, result: usize) -> Vec<usize> {
        let (mut order, mut seen) = (Vec::new(), vec![false; self.entries.len()]);
        let mut open = vec![(result, false)];
        while let Some((value, operands_done)) = open.pop() {
            if operands_done {
                order.push(value);
            } else if !std::mem::replace(&mut seen[value], true) {
                if matches!(self.what(value), What::Operation(..)) {
                    open.push((value, true));
                }
                open.extend(self.what(value).operands().into_iter().rev().map(|it| (it, false)));
            }
        }
        order
    }
}
