//! Reads any bytes as the records of a trace and as the settings of a run, to show and to repeat.

#![no_main]
#![allow(dead_code, unused_imports)]

#[path = "../../src/formats/mod.rs"]
mod formats;
#[path = "../../src/metrics.rs"]
mod metrics;
#[path = "../../src/sha256.rs"]
mod sha256;
#[path = "../../src/run_folder/config.rs"]
mod run_folder;
#[path = "../../src/run_folder/recipe.rs"]
mod recipe;
mod dataset {
    pub const CLASSES: usize = 10;
}

use std::path::Path;

use libfuzzer_sys::fuzz_target;
// Where the recipe looks for them.
use run_folder::{Config, DataConfig};

fuzz_target!(|bytes: &[u8]| {
    let _ = serde_json::from_slice::<Config>(bytes);
    if let Ok(config) = recipe::parse(bytes) {
        assert!(config.epochs >= 1 && config.batch_size >= 1 && config.lr > 0.0);
    }
    if let Ok(trace) = stitch_trace::parse(bytes, Path::new("")) {
        trace.records.iter().for_each(|record| drop(record.key()));
    }
});
