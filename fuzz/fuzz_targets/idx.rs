//! Reads any bytes as each of the IDX files, packed or not, and the images one at a time.

#![no_main]

use fashion_mnist::idx;
use flate2::read::MultiGzDecoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = idx::read_images(bytes);
    let _ = idx::read_labels(bytes);
    let _ = idx::read_images(MultiGzDecoder::new(bytes));
    let Ok(mut images) = idx::ImageReader::open(bytes) else { return };
    for index in 0..images.count().min(10) {
        let _ = images.image(index);
    }
});
