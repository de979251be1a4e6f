//! Comparing two runs: the first thing that differs, by name.
//!
//! [`trace`] is what a run leaves for it, written by [`recorder`]; [`side`] reads what there is of a
//! run. [`compare`] compares two tensors as streams (`stream`), block by block (`tally`), element
//! by [`element`], counts how their differences are spread (`spread`) and finds the median of them
//! (`rank`); [`comparison`] is what comes of it. [`tolerance`] holds what may differ and why,
//! [`task`] says what the answers see of it, and [`verdict`] puts it together.

pub mod compare;
pub mod comparison;
pub mod element;
mod rank;
pub mod recorder;
pub mod side;
mod spread;
mod stream;
mod tally;
pub mod task;
pub mod tolerance;
pub mod trace;
pub mod verdict;

pub use spread::DECADES;
