//! Reads any bytes as a picture, and makes it what a model takes.

#![no_main]

use fashion_mnist::ImageShape;
use fashion_mnist::picture::{self, Preprocessing};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for preprocessing in [Preprocessing::FashionMnist { invert: true }, Preprocessing::Scale] {
        let _ = picture::convert(bytes, ImageShape::FASHION_MNIST, preprocessing);
    }
});
