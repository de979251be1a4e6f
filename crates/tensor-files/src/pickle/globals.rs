//! The classes and functions that a pickle refers to by name.

use std::rc::Rc;

use super::Value;
use crate::Dtype;

/// A known class or function: the result of a call is derived without calling it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Global {
    OrderedDict,
    DefaultDict,
    Rebuild(Rebuild),
    /// `torch.FloatStorage` and its like.
    Storage(Dtype),
    /// `torch.jit._pickle.build_intlist`, `restore_type_tag` and the like, which return their first argument.
    First,
}

/// A function that makes a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rebuild {
    /// `_rebuild_tensor(storage, offset, size, stride)`.
    V1,
    /// `_rebuild_tensor_v2(…, requires_grad, backward_hooks, metadata=None)`.
    V2,
    /// `_rebuild_tensor_v3(…, requires_grad, backward_hooks, dtype, metadata=None)`.
    V3,
    /// `_rebuild_parameter(data, requires_grad, backward_hooks)`.
    Parameter,
    /// `_rebuild_parameter_with_state(data, requires_grad, backward_hooks, state)`.
    ParameterWithState,
    /// `_rebuild_from_type_v2(function, type, arguments, state)`.
    FromType,
    /// A kind of tensor whose elements are not those of one storage: its description.
    Not(&'static str),
}

impl Global {
    /// A description for a message.
    pub fn describe(self) -> &'static str {
        match self {
            Global::OrderedDict => "collections.OrderedDict",
            Global::DefaultDict => "collections.defaultdict",
            Global::Rebuild(_) => "a function of torch",
            Global::Storage(_) => "a storage class of torch",
            Global::First => "a function of torch.jit",
        }
    }
}

/// The value of the global `module.name`.
pub(super) fn global(module: &[u8], name: &[u8]) -> Value {
    let known = match (module, name) {
        (b"collections", b"OrderedDict") => Some(Global::OrderedDict),
        (b"collections", b"defaultdict") => Some(Global::DefaultDict),
        (b"torch._utils", _) => rebuild(name).map(Global::Rebuild),
        (b"torch._tensor" | b"torch.tensor", b"_rebuild_from_type" | b"_rebuild_from_type_v2") => {
            Some(Global::Rebuild(Rebuild::FromType))
        }
        (
            b"torch.jit._pickle",
            b"build_intlist" | b"build_doublelist" | b"build_boollist" | b"build_tensorlist"
            | b"restore_type_tag",
        ) => Some(Global::First),
        (b"torch.storage" | b"torch", b"UntypedStorage") => Some(Global::Storage(Dtype::U8)),
        (b"torch", _) => str::from_utf8(name).ok().and_then(storage_dtype).map(Global::Storage),
        _ if module == b"__torch__" || module.starts_with(b"__torch__.") => {
            let name = [module, b".", name].concat();
            return Value::Class(String::from_utf8_lossy(&name).into());
        }
        _ => None,
    };
    known.map_or_else(|| Value::Unknown(full_name(module, name)), Value::Global)
}

/// The function of that name in `torch._utils`.
fn rebuild(name: &[u8]) -> Option<Rebuild> {
    Some(match name {
        b"_rebuild_tensor" => Rebuild::V1,
        b"_rebuild_tensor_v2" => Rebuild::V2,
        b"_rebuild_tensor_v3" => Rebuild::V3,
        b"_rebuild_parameter" => Rebuild::Parameter,
        b"_rebuild_parameter_with_state" => Rebuild::ParameterWithState,
        b"_rebuild_sparse_tensor" | b"_rebuild_sparse_csr_tensor" => {
            Rebuild::Not("a sparse tensor")
        }
        b"_rebuild_qtensor" => Rebuild::Not("a quantized tensor"),
        b"_rebuild_nested_tensor" => Rebuild::Not("a nested tensor"),
        b"_rebuild_meta_tensor_no_storage" => Rebuild::Not("a tensor on the meta device"),
        b"_rebuild_wrapper_subclass" => Rebuild::Not("a tensor of a wrapper subclass"),
        b"_rebuild_device_tensor_from_cpu_tensor"
        | b"_rebuild_device_tensor_from_numpy"
        | b"_rebuild_xla_tensor" => Rebuild::Not("a tensor of a device without storages"),
        _ => return None,
    })
}

/// `module.name`, each truncated to 100 bytes; `int`, not `builtins.int`.
fn full_name(module: &[u8], name: &[u8]) -> Rc<str> {
    let shown = |name: &[u8]| String::from_utf8_lossy(&name[..name.len().min(100)]).into_owned();
    match module {
        // Protocols below 3 have the names of Python 2.
        b"__builtin__" if name == b"xrange" => "range".into(),
        b"builtins" | b"__builtin__" => shown(name).into(),
        _ => format!("{}.{}", shown(module), shown(name)).into(),
    }
}

/// Describes the result of a call of an unknown function or class: mostly an instance of the class. `first` is the first
/// argument if it is a class, `attribute` the second of two if it is a string.
pub(super) fn result_of(
    name: &Rc<str>,
    first: Option<&Rc<str>>,
    attribute: Option<&str>,
) -> Rc<str> {
    match (&**name, first, attribute) {
        // Functions of torch and methods.
        ("getattr", Some(class), Some(attribute)) => {
            full_name(class.as_bytes(), attribute.as_bytes())
        }
        // How a protocol below 3 writes bytes.
        ("_codecs.encode", ..) => "bytes".into(),
        ("numpy.core.multiarray.scalar" | "numpy._core.multiarray.scalar", ..) => {
            "numpy scalar".into()
        }
        // Protocol 5 writes arrays in this way.
        ("numpy.core.numeric._frombuffer" | "numpy._core.numeric._frombuffer", ..) => {
            "numpy.ndarray".into()
        }
        (
            "copy_reg._reconstructor"
            | "copyreg._reconstructor"
            | "copyreg.__newobj_ex__"
            | "numpy.core.multiarray._reconstruct"
            | "numpy._core.multiarray._reconstruct",
            ..,
        ) => Rc::clone(first.unwrap_or(name)),
        _ => Rc::clone(name),
    }
}

/// `torch.FloatStorage` and its like.
pub(super) fn storage_class(dtype: Dtype) -> &'static str {
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
        Dtype::C64 => "ComplexFloatStorage",
        Dtype::C128 => "ComplexDoubleStorage",
        // Only TorchScript names storages of these types.
        Dtype::U16 => "UInt16Storage",
        Dtype::U32 => "UInt32Storage",
        Dtype::U64 => "UInt64Storage",
        Dtype::F8_E4M3FN => "Float8_e4m3fnStorage",
        Dtype::F8_E4M3FNUZ => "Float8_e4m3fnuzStorage",
        Dtype::F8_E5M2 => "Float8_e5m2Storage",
        Dtype::F8_E5M2FNUZ => "Float8_e5m2fnuzStorage",
        Dtype::F8_E8M0FNU => "Float8_e8m0fnuStorage",
        Dtype::C32 => "ComplexHalfStorage",
    }
}

/// Whether Python's torch has that class: it has none for types that came with PyTorch 2.3.
pub(super) fn has_storage_class(dtype: Dtype) -> bool {
    dtype.is_float()
        || matches!(dtype, Dtype::Bool | Dtype::U8 | Dtype::I8 | Dtype::I16 | Dtype::I32)
        || matches!(dtype, Dtype::I64 | Dtype::C64 | Dtype::C128)
}

/// The element type of `torch.FloatStorage` and its like.
fn storage_dtype(class: &str) -> Option<Dtype> {
    Dtype::ALL.into_iter().find(|&dtype| storage_class(dtype) == class)
}
