//! Studies: many runs over seeds and settings, and their results.
//!
//! A study is a folder: `plan.csv` has one row per run, `results/ID.json` is the result of a run. Rows are independent,
//! so any number of processes on any number of machines can work on them; results are written atomically.

pub mod grids;
pub(crate) mod id;
pub mod merge;
pub mod plan;
pub mod results;
pub(crate) mod statistics;
