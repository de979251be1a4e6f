//! Reads any bytes as each of the CSV files of a run folder.

#![no_main]
#![allow(dead_code, unused_imports)]

#[path = "../../src/formats/mod.rs"]
mod formats;
#[path = "../../src/metrics.rs"]
mod metrics;
mod dataset {
    pub const CLASSES: usize = 10;
}

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = formats::csv::read_table(bytes);
    let _ = formats::csv::read_history(bytes);
    let _ = formats::csv::read_report(bytes);
});
