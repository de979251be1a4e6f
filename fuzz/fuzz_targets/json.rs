//! Reads any bytes as the records of a trace, as the metrics of a run, and as its settings, to show and to repeat.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use stitch_run::{Config, Metrics, recipe};

fuzz_target!(|bytes: &[u8]| {
    let _ = serde_json::from_slice::<Config>(bytes);
    let _ = serde_json::from_slice::<Metrics>(bytes);
    if let Ok(config) = recipe::parse(bytes) {
        assert!(config.epochs >= 1 && config.batch_size >= 1 && config.lr > 0.0);
    }
    if let Ok(trace) = stitch_trace::parse(bytes, Path::new("")) {
        trace.records.iter().for_each(|record| drop(record.key()));
    }
});
