//! Hand-written kernels with the bits of libtorch's own operations: convolutions fused with ReLU and
//! pooling, and element-wise operations that libtorch runs in several passes over memory.
//!
//! All kernels run on the CPU, on contiguous tensors.

pub mod adam;
pub mod direct;
mod noise;
pub mod pool;
