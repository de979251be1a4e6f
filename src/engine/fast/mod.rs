//! The fast engine: LeNet-5's training step on the CPU, with an order of summation of its own.
//!
//! It computes the same as [`crate::train::Lenet5Learner`] in float32: the same initial parameters,
//! batches, gradients of the mean loss and Adam. Only the order of summation differs, so the last bits
//! differ; they depend on the number of threads and on the vector length of the CPU. Two runs on one
//! machine with the same number of threads give the same bits.
//!
//! A block is as many images as a vector has lanes. An activation (C, H, W) of a block is an array
//! `[[[V; W]; H]; C]` of vectors with one image per lane, so the forward pass never crosses lanes. A
//! block runs forward and backward through the whole network while its activations are in the cache.
//! Each thread takes an equal share of the blocks of a batch and sums its own gradients; these are
//! added in the order of the shares, and Adam updates all parameters.
//!
//! Only LeNet-5's shapes on the CPU are supported, and no traces.

mod adam;
mod convolution;
mod linear;
mod loss;
mod replica;
mod shape;
mod step;

pub use step::State;
