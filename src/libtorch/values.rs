//! Tensor memory as slices.

use std::slice;

use tch::kind::Element;
use tch::{Device, Tensor};

/// The elements of a contiguous CPU tensor as a slice.
///
/// # Panics
/// If the tensor has another element type, is on another device or is not contiguous.
pub fn values<T: Element>(tensor: &Tensor) -> &[T] {
    check::<T>(tensor);
    if tensor.numel() == 0 {
        return &[]; // The pointer of an empty tensor may be null.
    }
    // SAFETY: the tensor keeps its memory while it is borrowed; `check` has checked type, device and layout.
    unsafe { slice::from_raw_parts(tensor.data_ptr().cast(), tensor.numel()) }
}

/// The elements of a contiguous CPU tensor as a mutable slice.
///
/// While the slice exists, tensors that share its memory must not be read or written. To keep this easy to check, a
/// slice never outlives the function that calls this.
///
/// # Panics
/// Like [`values`].
pub fn values_mut<T: Element>(tensor: &mut Tensor) -> &mut [T] {
    check::<T>(tensor);
    if tensor.numel() == 0 {
        return &mut [];
    }
    // SAFETY: as in `values`; nothing else uses the memory while the slice exists, see above.
    unsafe { slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel()) }
}

/// Creates a CPU tensor of this shape. `fill` must write all elements, which are uninitialized.
pub fn filled<T: Element>(shape: &[i64], fill: impl FnOnce(&mut [T])) -> Tensor {
    let mut tensor = Tensor::empty(shape, (T::KIND, Device::Cpu));
    fill(values_mut(&mut tensor));
    tensor
}

fn check<T: Element>(tensor: &Tensor) {
    assert_eq!(tensor.kind(), T::KIND, "the tensor has another element type");
    assert_eq!(tensor.device(), Device::Cpu, "the tensor is on another device");
    assert!(tensor.is_contiguous(), "the tensor is not contiguous");
}
