//! The fast engine: LeNet-5's training step with a free order of summation, on the CPU.
//!
//! The mathematics is [`crate::train::Lenet5Learner`]'s: the same initial parameters, batches,
//! gradients of the mean loss and Adam, in float32. Only what is added to what, and in which order,
//! is free, so the last bits of a result differ, and depend on the number of threads and on the
//! length of the CPU's vectors; two runs on one machine with the same threads give the same bits.
//!
//! Images lie side by side: an activation (C, H, W) of as many images as a vector has lanes is an
//! array `[[[V; W]; H]; C]` of vectors, one image a lane, so no operation of the forward pass
//! crosses lanes. Such a block of images goes through the whole network, forth and back, while its
//! activations are in the cache. Each thread takes an equal share of a batch's blocks and adds up
//! its own gradients; they are summed in the order of the shares, and Adam updates all parameters.
//!
//! What it refuses to do: other shapes than LeNet-5's, other devices, traces.

mod adam;
mod convolution;
mod linear;
mod loss;
mod replica;
mod shape;
mod step;

pub use step::State;
