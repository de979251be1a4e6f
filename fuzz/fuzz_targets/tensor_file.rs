//! Reads any bytes as a file of tensors, each tensor to its end.

#![no_main]

use std::io;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut file) = tensor_files::TensorFile::open(io::Cursor::new(bytes)) else { return };
    for i in 0..file.specs().len() {
        let Ok(mut stream) = file.stream(i) else { continue };
        let _ = io::copy(&mut stream, &mut io::sink());
    }
});
