//! Writes the seeds that fuzzing starts from: one small file of each kind.
//!
//! Run in the project's root: `cargo run --manifest-path fuzz/Cargo.toml --bin seeds`

use std::error::Error;
use std::fs;
use std::path::Path;

use test_corpus::*;

fn main() -> Result<(), Box<dyn Error>> {
    for (path, bytes) in [
        ("checkpoint/checkpoint.safetensors", checkpoint()),
        ("csv/classification_report.csv", classification_report()),
        ("csv/confusion_matrix.csv", confusion_matrix()),
        ("csv/history.csv", history()),
        ("csv/predictions.csv", predictions()),
        ("idx/images", idx_images()),
        ("idx/labels", idx_labels()),
        ("json/config.json", config_json()),
        ("json/metrics.json", metrics_json()),
        ("json/trace.jsonl", trace()),
        ("npy/turned.npy", big_endian_npy()),
        ("npy/weight.npy", npy()),
        ("pickle/state_dict.pkl", record(&state_dict(), "state_dict/data.pkl")),
        ("pickle/torchscript.pkl", record(&torchscript(), "torchscript/data.pkl")),
        ("picture/grey.png", png()),
        ("tensor_file/array.npy", npy()),
        ("tensor_file/arrays.npz", npz()),
        ("tensor_file/legacy.pt", legacy()),
        ("tensor_file/state_dict.pt", state_dict()),
        ("tensor_file/torchscript.pt", torchscript()),
        ("tensor_file/weights.safetensors", safetensors()),
    ] {
        let path = Path::new("fuzz/seeds").join(path);
        fs::create_dir_all(path.parent().ok_or("a path in a folder")?)?;
        fs::write(path, bytes)?;
    }
    Ok(())
}
