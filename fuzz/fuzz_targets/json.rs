//! Reads any bytes as the records of a trace and as the settings of a run.

#![no_main]
#![allow(dead_code, unused_imports)]

#[path = "../../src/formats/mod.rs"]
mod formats;
#[path = "../../src/metrics.rs"]
mod metrics;
#[path = "../../src/run_folder/config.rs"]
mod run_folder;
#[path = "../../src/parity/trace.rs"]
mod trace;
mod dataset {
    pub const CLASSES: usize = 10;
}

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = serde_json::from_slice::<run_folder::Config>(bytes);
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok((_, records)) = trace::parse(text) {
        records.iter().for_each(|record| drop(record.key()));
    }
});
