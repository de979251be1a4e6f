//! Reads any bytes as an array of a `.npz` file, under a right checksum, and as an `.npy` file, each
//! tensor to its end.

#![no_main]

use std::io::{self, Cursor, Write};

use libfuzzer_sys::fuzz_target;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn archive(bytes: &[u8]) -> zip::result::ZipResult<Cursor<Vec<u8>>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    zip.start_file("w.npy", options)?;
    zip.write_all(bytes)?;
    zip.finish()
}

fuzz_target!(|bytes: &[u8]| {
    read(archive(bytes).expect("any bytes can be stored"));
    read(Cursor::new(bytes.to_vec()));
});

fn read(file: Cursor<Vec<u8>>) {
    let Ok(mut file) = tensor_files::TensorFile::open(file) else { return };
    for i in 0..file.specs().len() {
        let Ok(mut stream) = file.stream(i) else { continue };
        let _ = io::copy(&mut stream, &mut io::sink());
    }
}
