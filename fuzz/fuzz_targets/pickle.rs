//! Reads any bytes as the pickle of a `.pt` file, under a right checksum, each tensor to its end.

#![no_main]

use std::io::{self, Cursor, Write};

use libfuzzer_sys::fuzz_target;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn archive(bytes: &[u8]) -> zip::result::ZipResult<Cursor<Vec<u8>>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    zip.start_file("a/data.pkl", options)?;
    zip.write_all(bytes)?;
    zip.start_file("a/data/0", options)?;
    zip.write_all(&[0; 64])?;
    zip.finish()
}

fuzz_target!(|bytes: &[u8]| {
    let archive = archive(bytes).expect("any bytes can be stored");
    let Ok(mut file) = tensor_files::TensorFile::open(archive) else { return };
    for i in 0..file.specs().len() {
        let Ok(mut stream) = file.stream(i) else { continue };
        let _ = io::copy(&mut stream, &mut io::sink());
    }
});
