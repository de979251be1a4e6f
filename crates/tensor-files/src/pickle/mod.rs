//! The small part of Python's pickle that a state_dict is made of, as data: reading one runs
//! nothing. TorchScript archives are written in the same language: their modules are read as
//! objects with attributes, and their code is not looked at.
//!
//! Values live in an arena and refer to each other by index, so neither deep nesting nor a value
//! that contains itself can overflow the stack, and sharing costs nothing. The only globals known
//! are the few that `torch.save` writes for tensors; every other one is refused by name.

mod machine;
mod writer;

pub(super) use writer::Pickler;

use super::Dtype;

/// Position of a value in the arena.
pub(crate) type Id = usize;

/// A value that a pickle made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Box<str>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// A dict or an OrderedDict, in insertion order.
    Dict(Vec<(Id, Id)>),
    Global(Global),
    /// An instance of a TorchScript class, with its attributes' dict once BUILD has set it.
    Object(Option<Id>),
    /// `torch.storage.TypedStorage` of `numel` elements in the archive's record `data/<key>`.
    Storage {
        dtype: Dtype,
        key: Id,
    },
    Tensor(Box<Rebuilt>),
}

/// `torch._utils._rebuild_tensor_v2`: a view into a storage, in elements.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rebuilt {
    pub storage: Id,
    pub offset: i64,
    pub shape: Vec<i64>,
    pub stride: Vec<i64>,
}

/// The names that a pickle may refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
    /// `torch.jit._pickle.build_intlist` and its like: the list itself.
    BuildList,
    /// A class of a TorchScript archive, `__torch__.…`.
    Class,
}

/// A pickle that is refused.
#[derive(Debug, thiserror::Error)]
pub enum PickleError {
    /// Not among the few globals that tensors need.
    #[error(
        "refused: global {module}.{name} (only tensors and dicts of them are read: save \
         model.state_dict(), not the model)"
    )]
    Global {
        /// Python module.
        module: String,
        /// Name in it.
        name: String,
    },
    /// Not among the opcodes that tensors need.
    #[error(
        "refused: pickle opcode 0x{opcode:02x} at byte {at} (only tensors and dicts of them are read)"
    )]
    Opcode {
        /// The opcode.
        opcode: u8,
        /// Its offset in the pickle.
        at: usize,
    },
    /// The pickle contradicts itself or ends early.
    #[error("damaged pickle at byte {at}: {what}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
        /// Offset in the pickle.
        at: usize,
    },
    /// Its values would take far more memory than the file.
    #[error("refused: its values take more than {memory} bytes of memory")]
    Memory {
        /// What they may take.
        memory: usize,
    },
}

/// Runs the pickle `bytes`; returns the arena, the top value, and what is left of the `memory` bytes
/// that the values may take.
///
/// # Errors
/// See [`PickleError`].
pub(super) fn read(bytes: &[u8], memory: usize) -> Result<(Vec<Value>, Id, usize), PickleError> {
    machine::Machine::new(bytes, memory).run()
}

/// `torch.FloatStorage` and its like.
fn storage_class(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Bool => "BoolStorage",
        Dtype::U8 => "ByteStorage",
        Dtype::I8 => "CharStorage",
        Dtype::I16 => "ShortStorage",
        Dtype::I32 => "IntStorage",
        Dtype::I64 => "LongStorage",
        Dtype::F16 => "HalfStorage",
        Dtype::BF16 => "BFloat16Storage",
        Dtype::F32 => "FloatStorage",
        Dtype::F64 => "DoubleStorage",
        Dtype::U16 => "UInt16Storage",
        Dtype::U32 => "UInt32Storage",
        Dtype::U64 => "UInt64Storage",
        Dtype::F8_E4M3FN => "Float8_e4m3fnStorage",
        Dtype::F8_E4M3FNUZ => "Float8_e4m3fnuzStorage",
        Dtype::F8_E5M2 => "Float8_e5m2Storage",
        Dtype::F8_E5M2FNUZ => "Float8_e5m2fnuzStorage",
        Dtype::F8_E8M0FNU => "Float8_e8m0fnuStorage",
        Dtype::C32 => "ComplexHalfStorage",
        Dtype::C64 => "ComplexFloatStorage",
        Dtype::C128 => "ComplexDoubleStorage",
    }
}

/// The element type of `torch.FloatStorage` and its like.
fn storage_dtype(class: &str) -> Option<Dtype> {
    Dtype::ALL.into_iter().find(|&dtype| storage_class(dtype) == class)
}
