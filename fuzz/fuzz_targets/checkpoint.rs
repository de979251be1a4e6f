//! Reads any bytes as a checkpoint: as they are, and under a right SHA-256.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stitch_run::checkpoint::{Checkpoint, seal};

fuzz_target!(|bytes: &[u8]| {
    let _ = Checkpoint::read(bytes);
    let mut sealed = bytes.to_vec();
    seal(&mut sealed);
    let _ = Checkpoint::read(&sealed);
});
