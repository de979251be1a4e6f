//! Python's pickle as data: reading one imports nothing and calls nothing.
//!
//! All opcodes of the protocols 0 to 5 are known. Tensors, and the dicts, lists and texts around
//! them, become values; TorchScript archives are written in the same language, and their modules
//! become objects with attributes. Every other class or function, and the result of a call of it, is only a name
//! ([`Value::Unknown`], [`Value::Opaque`]). So a checkpoint may hold anything beside its weights. Tensors that such a function may change are not
//! read (`changed`).
//!
//! Values live in an arena and refer to each other by index, so neither deep nesting nor a value
//! that contains itself can overflow the stack, and sharing costs nothing.

mod call;
mod changed;
mod globals;
mod machine;
mod stack;
mod text;
mod writer;

use std::collections::HashSet;
use std::rc::Rc;

pub(super) use globals::{Global, Rebuild};
pub(super) use writer::Pickler;

use super::{Dtype, skipped};

/// Position of a value in the arena.
pub(crate) type Id = usize;

/// A value of a pickle.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// The value is kept by [`read_with_floats`] only.
    Float(Option<f64>),
    Str(Box<str>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// A dict, OrderedDict or defaultdict, in insertion order. Keys are unique.
    Dict(Vec<(Id, Id)>),
    /// A known class or function: of tensors, storages and containers.
    Global(Global),
    /// A class of a TorchScript archive, by its qualified name: `__torch__.…`.
    Class(Rc<str>),
    /// Any other class or function, by its qualified name. It is never called.
    Unknown(Rc<str>),
    /// A value that is not a tensor and whose content is not read: its class, or the function that returns it.
    Opaque(Rc<str>),
    /// An instance of a TorchScript class ([`Value::Class`]), with its attributes' dict once BUILD has set it.
    Object {
        class: Id,
        attributes: Option<Id>,
    },
    /// A record of the archive that holds elements.
    Storage(Stored),
    Tensor(Box<Rebuilt>),
    /// A tensor, or a part of one, that cannot be read: its description with an article.
    Unreadable(Rc<str>),
}

/// `torch.storage.TypedStorage` of `count` elements in the archive's record `data/<key>`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stored {
    pub dtype: Dtype,
    /// A [`Value::Str`].
    pub key: Id,
    pub count: i64,
}

/// `torch._utils._rebuild_tensor_v2` and its like: a view into a storage, in elements of `dtype`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rebuilt {
    pub storage: Stored,
    /// The element type: that of the storage, except for types since PyTorch 2.3, which are stored as bytes.
    pub dtype: Dtype,
    pub offset: i64,
    pub shape: Vec<i64>,
    pub stride: Vec<i64>,
    /// Whether the elements are the negatives of those stored (`Tensor.is_neg()`).
    pub negative: bool,
    /// Whether they are their complex conjugates (`Tensor.is_conj()`).
    pub conjugate: bool,
}

/// A pickle that has been read.
#[derive(Debug)]
pub(crate) struct Pickle {
    /// All values.
    pub arena: Vec<Value>,
    /// Position in `arena` of the object that was pickled.
    pub top: Id,
    /// Bytes of memory that values may still take.
    pub memory: usize,
    /// Length of the pickle in bytes; other bytes may follow.
    pub length: usize,
}

impl Pickle {
    /// The type or class of a value, for a note or an error.
    pub fn describe(&self, id: Id) -> Rc<str> {
        let name = match &self.arena[id] {
            Value::None => "None",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Str(_) => "str",
            Value::Tuple(_) => "tuple",
            Value::List(_) => "list",
            Value::Dict(_) => "dict",
            Value::Global(global) => global.describe(),
            Value::Class(_) => "a TorchScript class",
            Value::Object { .. } => "a TorchScript object",
            Value::Storage(_) => "a storage",
            Value::Tensor(_) => skipped::TENSOR,
            Value::Unknown(name) | Value::Opaque(name) | Value::Unreadable(name) => {
                return Rc::clone(name);
            }
        };
        name.into()
    }

    /// Whether a value is, or holds, anything but numbers, strings and None. Containers in `looked_at` are skipped, and
    /// those that are visited are added to it, so that each is visited once.
    pub fn holds_more_than_numbers(&self, id: Id, looked_at: &mut HashSet<Id>) -> bool {
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            let new = match &self.arena[id] {
                Value::Tuple(_) | Value::List(_) | Value::Dict(_) => looked_at.insert(id),
                Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(_) => {
                    false
                }
                _ => return true,
            };
            match &self.arena[id] {
                Value::Tuple(items) | Value::List(items) if new => open.extend(items),
                Value::Dict(items) if new => items.iter().for_each(|&(a, b)| open.extend([a, b])),
                _ => {}
            }
        }
        false
    }
}

/// A pickle that is refused.
#[derive(Debug, thiserror::Error)]
pub enum PickleError {
    /// A byte that is not an opcode, or an opcode that needs data outside of the pickle.
    #[error(
        "refused: pickle opcode 0x{opcode:02x} at byte {at}: {}",
        match opcode {
            0x82..=0x84 => "its meaning depends on a registry of the program that wrote it",
            0x97 | 0x98 => "its data lie outside the file",
            _ => "no protocol up to 5 has it",
        }
    )]
    Opcode {
        /// Value of the byte.
        opcode: u8,
        /// Offset of the opcode in the pickle, in bytes.
        at: usize,
    },
    /// The pickle contradicts itself or ends early.
    #[error("damaged pickle at byte {at}: {what}")]
    Damaged {
        /// Description of the damage.
        what: &'static str,
        /// Offset in the pickle, in bytes.
        at: usize,
    },
    /// A dict has a key twice, and readers differ in which value they use.
    #[error("refused: a dict has the key {key:?} twice")]
    Twice {
        /// The key, at most 100 characters; an integer in decimal.
        key: String,
    },
    /// Its values would take far more memory than the file.
    #[error("refused: its values take more than {memory} bytes of memory")]
    Memory {
        /// Most bytes that they may take.
        memory: usize,
    },
}

/// Reads the pickle at the start of `bytes`. Its values may take `memory` bytes of memory.
///
/// # Errors
/// See [`PickleError`].
pub(super) fn read(bytes: &[u8], memory: usize) -> Result<Pickle, PickleError> {
    checked(stack::Machine::new(bytes, memory))
}

/// Like [`read`], and keeps the values of floats, each of which takes memory then.
///
/// # Errors
/// See [`PickleError`].
pub(super) fn read_with_floats(bytes: &[u8], memory: usize) -> Result<Pickle, PickleError> {
    checked(stack::Machine::new(bytes, memory).with_floats())
}

fn checked(machine: stack::Machine<'_>) -> Result<Pickle, PickleError> {
    let pickle = machine.run()?;
    unique_keys(&pickle.arena)?;
    Ok(pickle)
}

/// Longest key that is compared, in bytes: no tensor has a longer name.
const LONGEST_KEY: usize = 1024;

/// Refuses a dict that has a text or an integer as a key twice.
fn unique_keys(arena: &[Value]) -> Result<(), PickleError> {
    let (mut texts, mut numbers) = (Vec::new(), Vec::new());
    for value in arena {
        let Value::Dict(items) = value else { continue };
        texts.clear();
        numbers.clear();
        for &(key, _) in items {
            match &arena[key] {
                Value::Str(key) if key.len() <= LONGEST_KEY => texts.push(&**key),
                Value::Int(key) => numbers.push(*key),
                _ => {}
            }
        }
        if let Some(key) = twice(&mut texts) {
            return Err(PickleError::Twice { key: key.chars().take(100).collect() });
        }
        if let Some(key) = twice(&mut numbers) {
            return Err(PickleError::Twice { key: key.to_string() });
        }
    }
    Ok(())
}

/// A duplicate. Sorting instead of a hash set: clearing a hash set takes as long as its capacity, that of the largest
/// dict.
fn twice<T: Ord + Copy>(keys: &mut [T]) -> Option<T> {
    keys.sort_unstable();
    keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

#[cfg(test)]
mod tests;
