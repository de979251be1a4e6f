//! The random number generators of NumPy and PyTorch; every draw equals the original's.
//!
//! Both are MT19937 (crate `rand_mt`) and differ in the conversion of draws to numbers. They have no global state: a
//! generator is a value that depends only on its seed.

pub mod numpy;
pub mod torch;
