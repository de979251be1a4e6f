//! Writes the seeds that fuzzing starts from: one small file of each kind.
//!
//! Run in the project's root: `cargo run --manifest-path fuzz/Cargo.toml --bin seeds`

#![allow(dead_code, unused_imports)]

#[path = "../src/formats/mod.rs"]
mod formats;
#[path = "../src/metrics.rs"]
mod metrics;
mod dataset {
    pub const CLASSES: usize = 10;
}

use std::error::Error;
use std::fs;
use std::io::{Cursor, Read};

use formats::{Dtype, Metadata, NamedTensor, csv, npz, safetensors, state_dict, torchscript};

fn main() -> Result<(), Box<dyn Error>> {
    let tensor = |name: &str, dtype: Dtype, shape: &[usize]| {
        let bytes = shape.iter().product::<usize>() * dtype.size();
        let data = (0..bytes).map(|byte| byte as u8).collect();
        NamedTensor { name: name.into(), dtype, shape: shape.to_vec(), data }
    };
    let tensors = [tensor("fc.weight", Dtype::F32, &[2, 3]), tensor("fc.bias", Dtype::F64, &[2])];
    let (state_dict, script) =
        (state_dict::write(&tensors)?, torchscript::write("M", "    return x\n", &tensors)?);
    let arrays = npz::write(&tensors)?;
    let matrix = metrics::ConfusionMatrix::new(&[0, 1, 2, 2], &[0, 1, 2, 3]);
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    for (path, bytes) in [
        ("pickle/state_dict.pkl", record(&state_dict, "state_dict/data.pkl")?),
        ("pickle/torchscript.pkl", record(&script, "torchscript/data.pkl")?),
        ("npy/weight.npy", record(&arrays, "fc.weight.npy")?),
        ("tensor_file/state_dict.pt", state_dict),
        ("tensor_file/torchscript.pt", script),
        ("tensor_file/weights.safetensors", safetensors::write(&tensors, &Metadata::new())?),
        ("tensor_file/arrays.npz", arrays),
        ("csv/history.csv", csv::history([(1, 0.5, 2.0), (2, 0.25, 2.0)].into_iter())),
        ("csv/predictions.csv", csv::predictions(&[0, 1, 2], &[0, 2, 2])),
        ("csv/confusion_matrix.csv", csv::confusion_matrix(&matrix, &names)),
        ("csv/classification_report.csv", csv::classification_report(&matrix.report(), &names)),
    ] {
        let path = std::path::Path::new("fuzz/seeds").join(path);
        fs::create_dir_all(path.parent().ok_or("a path in a folder")?)?;
        fs::write(path, bytes)?;
    }
    Ok(())
}

/// The bytes of a record of an archive.
fn record(archive: &[u8], name: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = Vec::new();
    zip::ZipArchive::new(Cursor::new(archive))?.by_name(name)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}
