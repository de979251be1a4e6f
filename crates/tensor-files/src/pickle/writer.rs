//! Writes the pickles of `.pt` files: protocol 2, without a memo.

use super::globals::{has_storage_class, storage_class};
use crate::NamedTensor;
use crate::location::View;

/// The bytes of a pickle, to which each method appends one object.
pub(crate) struct Pickler(Vec<u8>);

impl Pickler {
    /// Protocol 2, as `torch.save` and `torch.jit.save` write.
    pub fn new() -> Self {
        Self(vec![0x80, 2])
    }

    /// Appends STOP and returns the pickle.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.push(b'.');
        self.0
    }

    /// Appends opcodes.
    pub fn raw(&mut self, opcodes: &[u8]) {
        self.0.extend(opcodes);
    }

    /// A class or function, by its module and name.
    pub fn global(&mut self, module: &str, name: &str) {
        self.0.extend(format!("c{module}\n{name}\n").bytes());
    }

    /// `OrderedDict()`: the class, an empty tuple, a call.
    pub fn ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.raw(b")R");
    }

    /// BINUNICODE.
    pub fn string(&mut self, text: &str) {
        self.0.push(b'X');
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.bytes());
    }

    /// NEWTRUE or NEWFALSE.
    pub fn bool(&mut self, value: bool) {
        self.0.push(if value { 0x88 } else { 0x89 });
    }

    /// BININT where it fits, else LONG1.
    pub fn int(&mut self, value: usize) {
        match i32::try_from(value) {
            Ok(value) => {
                self.0.push(b'J');
                self.0.extend(value.to_le_bytes());
            }
            Err(_) => {
                self.0.extend([0x8a, 8]);
                self.0.extend((value as i64).to_le_bytes());
            }
        }
    }

    /// Appends a tuple of integers.
    pub fn ints(&mut self, values: &[usize]) {
        self.raw(b"(");
        values.iter().for_each(|&value| self.int(value));
        self.raw(b"t");
    }

    /// `torch._utils._rebuild_tensor_v2` over the whole of record `data/<key>`.
    pub fn tensor(&mut self, key: usize, tensor: &NamedTensor, requires_grad: bool) {
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.raw(b"(");
        let count = tensor.shape.iter().product();
        self.storage("torch", storage_class(tensor.dtype), key, count);
        self.view(tensor, requires_grad);
        self.raw(b"tR");
    }

    /// Like [`Pickler::tensor`]; an element type without a storage class is written as bytes, by `_rebuild_tensor_v3`.
    pub fn tensor_of_any_type(&mut self, key: usize, tensor: &NamedTensor) {
        if has_storage_class(tensor.dtype) {
            return self.tensor(key, tensor, false);
        }
        self.global("torch._utils", "_rebuild_tensor_v3");
        self.raw(b"(");
        self.storage("torch.storage", "UntypedStorage", key, tensor.data.len());
        self.view(tensor, false);
        self.global("torch", tensor.dtype.name());
        self.raw(b"tR");
    }

    /// The record `data/<key>` of `count` elements.
    fn storage(&mut self, module: &str, class: &str, key: usize, count: usize) {
        self.raw(b"(");
        self.string("storage");
        self.global(module, class);
        self.string(&key.to_string());
        self.string("cpu");
        self.int(count);
        self.raw(b"tQ");
    }

    /// Offset, sizes, strides, `requires_grad`, and no backward hooks.
    fn view(&mut self, tensor: &NamedTensor, requires_grad: bool) {
        self.int(0);
        self.ints(&tensor.shape);
        self.ints(&View::contiguous_stride(&tensor.shape));
        self.bool(requires_grad);
        self.ordered_dict();
    }
}
