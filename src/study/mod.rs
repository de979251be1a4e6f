//! Many runs: a grid of settings, a row a run, and what each of them came to.
//!
//! A study is a folder: `plan.csv` says what is to be run, `results/ID.json` what a run came to. The
//! rows know nothing of each other, so any number of processes, on any number of machines, may work
//! on them; a row's result is written whole or not at all.

pub mod grids;
pub mod plan;
pub mod results;
pub mod statistics;
