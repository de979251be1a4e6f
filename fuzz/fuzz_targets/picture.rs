//! Reads any bytes as a picture, and makes it what a model takes.

#![no_main]
#![allow(dead_code, unused_imports)]

#[path = "../../src/picture/mod.rs"]
mod picture;
mod dataset {
    pub const SIDE: usize = 28;
    pub const PIXELS: usize = SIDE * SIDE;
}

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = picture::convert(bytes, true);
});
