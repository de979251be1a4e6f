//! Comparing runs of stitch and of `notebook.py`: [`run`] reads what there is of a run for
//! [`stitch_parity`], which compares, and [`recorder`] writes the trace of a run.

pub mod recorder;
pub mod run;
