//! Reads any bytes as each of the CSV files of a run folder.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stitch_run::{csv, rows};

fuzz_target!(|bytes: &[u8]| {
    let _ = csv::read_predictions(bytes);
    let _ = csv::read_confusion_matrix(bytes);
    let _ = csv::read_history(bytes);
    let _ = csv::read_report(bytes);
    let _ = rows::read(bytes);
});
