//! The trace of a run, and a run as one side of a comparison: [`recorder`] writes the trace while the run trains,
//! [`run`] reads run folders, traces and files for [`stitch_parity`].

pub mod recorder;
pub mod run;
