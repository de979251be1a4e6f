//! Hand-written kernels with the bits of libtorch's own operations: convolutions fused with ReLU and
//! pooling, and element-wise operations that libtorch runs in several passes over memory.
//!
//! All kernels run on the CPU, on contiguous tensors.

mod adam;
pub mod direct;
mod noise;
pub mod pool;
mod sklearn_adam;

use std::any::Any;

use tch::Tensor;

use crate::optim::{Adam, Optimizer, SklearnAdam};

/// One update of an optimizer whose only parameter is the buffer of all parameters. Returns whether there
/// is a kernel for it; without one nothing is changed.
pub fn update(optimizer: &mut dyn Optimizer, gradient: &Tensor) -> bool {
    let optimizer = optimizer as &mut dyn Any;
    if let Some(optimizer) = optimizer.downcast_mut::<Adam>() {
        return adam::update(optimizer, gradient);
    }
    optimizer.downcast_mut::<SklearnAdam>().is_some_and(|it| sklearn_adam::update(it, gradient))
}
