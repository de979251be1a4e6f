//! Traces and comparisons of runs: [`recorder`] records the trace of a training run, [`run`] reads run folders, traces
//! and files for [`stitch_parity`].

pub mod recorder;
pub mod run;
