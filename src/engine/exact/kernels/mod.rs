//! Kernels that are bit-identical to libtorch's operations: convolutions fused with ReLU and pooling; batch
//! normalization, ReLU and pooling in one stage; and the updates of optimizers. And kernels of scikit-learn's models, within
//! 1e-12. [`one_thread`] runs libtorch's own operations on one thread.
//!
//! All kernels run on the CPU, on contiguous tensors.

mod adam;
pub mod batch_norm;
mod cache;
pub mod direct;
mod noise;
pub mod one_thread;
pub mod pool;
pub mod product;
pub mod relu_pool;
mod sklearn_adam;

use std::any::Any;

use tch::Tensor;

use crate::optim::{Adam, Optimizer, SklearnAdam};

/// Performs one update of an optimizer whose only parameter is the flat tensor of all parameters. Returns false and
/// changes nothing if no kernel supports it.
pub fn update(optimizer: &mut dyn Optimizer, gradient: &Tensor) -> bool {
    let optimizer = optimizer as &mut dyn Any;
    if let Some(optimizer) = optimizer.downcast_mut::<Adam>() {
        return adam::update(optimizer, gradient);
    }
    optimizer.downcast_mut::<SklearnAdam>().is_some_and(|it| sklearn_adam::update(it, gradient))
}
