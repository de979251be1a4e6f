//! Reads any bytes as the records of a trace, as the metrics of a run, and as its settings.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use stitch_run::{Metrics, RunConfig};

fuzz_target!(|bytes: &[u8]| {
    let _ = serde_json::from_slice::<Metrics>(bytes);
    if let Ok(RunConfig { settings, .. }) = RunConfig::read(bytes) {
        assert!(settings.epochs >= 1 && settings.batch_size >= 1 && settings.lr > 0.0);
    }
    if let Ok(trace) = stitch_trace::parse(bytes, Path::new("")) {
        trace.records.iter().for_each(|record| drop(record.key()));
    }
});
