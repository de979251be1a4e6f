//! LeNet-5's two convolutions with their ReLUs and poolings, forth and back, with oneDNN's bits.
//!
//! libtorch hands these convolutions to the direct kernels of oneDNN 3.12, which add up each result
//! as one chain of fused multiply-adds. What a chain begins with, in which order it goes on, and how
//! it is split over threads depends on the CPU, the batch and the threads; [`order`] finds out by
//! asking libtorch, and where nothing that is known here gives its bits, libtorch computes. So the
//! layouts that oneDNN converts to and from, and the passes over memory between the operations, are
//! saved, and no bit is changed.
//!
//! What it refuses to do: other shapes than LeNet-5's.

mod backward;
mod by_input;
mod by_weight;
mod features;
pub mod order;
pub(crate) mod shape;

pub use backward::gradients;
pub use features::{Features, features};
