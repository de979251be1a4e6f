//! Traces and comparisons of runs: [`recorder`] records the trace of a training run, [`run`] reads run folders, traces
//! and files for [`stitch_parity`].

#[cfg(feature = "libtorch")]
pub mod recorder;
pub mod run;
mod traced_steps;

pub use traced_steps::TracedSteps;
