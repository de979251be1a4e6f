//! Reads any bytes as a picture, and makes it what a model takes.

#![no_main]

use fashion_mnist::picture;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = picture::convert(bytes, true);
});
