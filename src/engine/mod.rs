//! The two engines that train LeNet-5 on the CPU: [`exact`] reproduces libtorch's bits, [`fast`] sums
//! in an order of its own.

pub mod exact;
pub mod fast;
