//! Reads any bytes as the records of a trace and as the settings of a run, to show and to repeat.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use stitch_run::RunConfig;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(RunConfig { settings, .. }) = RunConfig::read(bytes) {
        assert!(settings.epochs >= 1 && settings.batch_size >= 1 && settings.lr > 0.0);
    }
    if let Ok(trace) = stitch_trace::parse(bytes, Path::new("")) {
        trace.records.iter().for_each(|record| drop(record.key()));
    }
});
