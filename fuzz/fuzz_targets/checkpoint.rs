//! Reads any bytes as a checkpoint: as they are, and under a right SHA-256.

#![no_main]
#![allow(dead_code, unused_imports)]

#[path = "../../src/checkpoint/file.rs"]
mod file;
#[path = "../../src/formats/mod.rs"]
mod formats;
#[path = "../../src/metrics.rs"]
mod metrics;
#[path = "../../src/sha256.rs"]
mod sha256;
#[path = "../../src/run_folder/config.rs"]
mod run_folder;
#[path = "../../src/train/progress.rs"]
mod train;
mod dataset {
    pub const CLASSES: usize = 10;
}

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = file::Checkpoint::read(bytes);
    let mut sealed = bytes.to_vec();
    file::seal(&mut sealed);
    let _ = file::Checkpoint::read(&sealed);
});
