//! Comparing two runs: the first thing that differs, by name.
//!
//! [`trace`] is what a run leaves for it, written by [`recorder`], [`side`] reads what there is of a run, [`compare`]
//! compares two tensors as streams, [`element`] by [`element`], [`tolerance`] holds what may differ
//! and why, [`task`] says what the answers see of it, and [`verdict`] puts it together.

pub mod compare;
pub mod element;
mod rank;
pub mod recorder;
pub mod side;
pub mod spread;
mod tally;
pub mod task;
pub mod tolerance;
pub mod trace;
pub mod verdict;
