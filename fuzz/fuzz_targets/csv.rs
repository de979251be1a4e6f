//! Reads any bytes as each of the CSV files of a run folder.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stitch_run::csv;

fuzz_target!(|bytes: &[u8]| {
    let _ = csv::read_table(bytes);
    let _ = csv::read_history(bytes);
    let _ = csv::read_report(bytes);
});
