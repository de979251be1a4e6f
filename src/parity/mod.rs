//! Comparing two runs: the first thing that differs, by name.
//!
//! [`trace`] is what a run leaves for it, [`side`] reads what there is of a run, [`compare`]
//! compares two tensors as streams, [`tolerance`] holds what may differ and why, and [`verdict`]
//! puts it together.

pub mod compare;
pub mod side;
pub mod task;
pub mod tolerance;
pub mod trace;
pub mod verdict;
