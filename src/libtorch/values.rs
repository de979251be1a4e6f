//! The memory of tensors as slices.

use std::slice;

use tch::kind::Element;
use tch::{Device, Tensor};

/// The elements of a contiguous tensor on the CPU.
///
/// # Panics
/// For a tensor of another type, on another device, or with gaps.
pub fn values<T: Element>(tensor: &Tensor) -> &[T] {
    check::<T>(tensor);
    if tensor.numel() == 0 {
        return &[]; // Its pointer may be null.
    }
    // SAFETY: the tensor keeps its memory while it is borrowed; type, place and layout were checked.
    unsafe { slice::from_raw_parts(tensor.data_ptr().cast(), tensor.numel()) }
}

/// The elements of a contiguous tensor on the CPU, to be written.
///
/// Tensors that share this memory must not be read or written meanwhile; a slice never outlives the
/// function that asks for it.
///
/// # Panics
/// As [`values`].
pub fn values_mut<T: Element>(tensor: &mut Tensor) -> &mut [T] {
    check::<T>(tensor);
    if tensor.numel() == 0 {
        return &mut [];
    }
    // SAFETY: as in `values`; nothing else uses the memory meanwhile, see above.
    unsafe { slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel()) }
}

/// A tensor of this shape whose elements `fill` writes, all of them.
pub fn filled<T: Element>(shape: &[i64], fill: impl FnOnce(&mut [T])) -> Tensor {
    let mut tensor = Tensor::empty(shape, (T::KIND, Device::Cpu));
    fill(values_mut(&mut tensor));
    tensor
}

fn check<T: Element>(tensor: &Tensor) {
    assert_eq!(tensor.kind(), T::KIND, "another type");
    assert_eq!(tensor.device(), Device::Cpu, "another device");
    assert!(tensor.is_contiguous(), "a tensor with gaps");
}
