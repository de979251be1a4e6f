//! Writes the seeds that fuzzing starts from: one small file of each kind.
//!
//! Run in the project's root: `cargo run --manifest-path fuzz/Cargo.toml --bin seeds`

use std::error::Error;
use std::fs;
use std::io::{Cursor, Read};

use fashion_mnist::picture;
use stitch_run::checkpoint::Checkpoint;
use stitch_run::{DataConfig, Engine, EpochRecord, Progress, RunConfig, TrainConfig, TrainState, csv, metrics};
use tensor_files::{Dtype, Metadata, NamedTensor, npz, safetensors, state_dict, torchscript};

fn main() -> Result<(), Box<dyn Error>> {
    let tensor = |name: &str, dtype: Dtype, shape: &[usize]| {
        let bytes = shape.iter().product::<usize>() * dtype.size();
        let data = (0..bytes).map(|byte| byte as u8).collect();
        NamedTensor { name: name.into(), dtype, shape: shape.to_vec(), data }
    };
    let tensors = [tensor("fc.weight", Dtype::F32, &[2, 3]), tensor("fc.bias", Dtype::F64, &[2])];
    let (class, forward) = ("M".into(), "    return x\n".into());
    let program = torchscript::Program { class, forward, ..Default::default() };
    let (state_dict, script) =
        (state_dict::write(&tensors)?, torchscript::write(&program, &tensors)?);
    let arrays = npz::write(&tensors)?;
    let config = config();
    let epochs = vec![EpochRecord { epoch: 1, loss: 0.5, seconds: 2.0, val_loss: None, val_accuracy: None }];
    let progress = Progress { epochs, steps: 2, loss_sum: 60.0, seconds: 0.5, ..Default::default() };
    let state = TrainState { updates: 12, tensors: tensors.to_vec() };
    let checkpoint = Checkpoint { config: config.clone(), progress, state, events: None }.write()?;
    let pixels: [u8; fashion_mnist::PIXELS] = std::array::from_fn(|i| i as u8);
    let trace = concat!(
        "{\"format\": \"stitch-trace\", \"version\": 2, \"model\": \"mlp\"}\n",
        "{\"stage\": \"init\", \"name\": \"0.bias\", \"epoch\": null, \"step\": 1, ",
        "\"dtype\": \"float64\", \"shape\": [0], \"sha256\": ",
        "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\", \"nan\": 0, \"offset\": 0}\n",
        "{\"end\": \"stitch-trace\", \"records\": 1}\n"
    );
    let matrix = metrics::ConfusionMatrix::new(&[0, 1, 2, 2], &[0, 1, 2, 3]);
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    for (path, bytes) in [
        ("pickle/state_dict.pkl", record(&state_dict, "state_dict/data.pkl")?),
        ("pickle/torchscript.pkl", record(&script, "torchscript/data.pkl")?),
        ("npy/weight.npy", record(&arrays, "fc.weight.npy")?),
        ("npy/turned.npy", turned(&record(&arrays, "fc.weight.npy")?)),
        ("tensor_file/array.npy", record(&arrays, "fc.weight.npy")?),
        ("tensor_file/legacy.pt", legacy()),
        ("idx/images", idx(&[0x803, 1, 28, 28], &pixels)),
        ("idx/labels", idx(&[0x801, 3], &[0, 1, 9])),
        ("json/config.json", serde_json::to_vec_pretty(&config)?),
        ("json/trace.jsonl", trace.into()),
        ("checkpoint/checkpoint.safetensors", checkpoint),
        ("picture/grey.png", picture::to_png(&pixels)?),
        ("tensor_file/state_dict.pt", state_dict),
        ("tensor_file/torchscript.pt", script),
        ("tensor_file/weights.safetensors", safetensors::write(&tensors, &Metadata::new())?),
        ("tensor_file/arrays.npz", arrays),
        ("csv/history.csv", csv::history(&[EpochRecord { epoch: 1, loss: 0.5, seconds: 2.0, val_loss: None, val_accuracy: None }])),
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

/// An array in Fortran order and big-endian, of the same length.
fn turned(array: &[u8]) -> Vec<u8> {
    let header = String::from_utf8_lossy(&array[10..]).replace("False", "True ").replace('<', ">");
    let length = header.find('\n').map_or(0, |end| end + 1);
    [&array[..10], &header.as_bytes()[..length], &array[10 + length..]].concat()
}

/// A file of the format before PyTorch 1.6, with one tensor.
fn legacy() -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
    let (version, machine) = (b"\x80\x02M\xe9\x03.", b"\x80\x02}.");
    let pickle = b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((\
                   X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04NtQ\
                   K\x00K\x04\x85K\x01\x85\x89NtRs.";
    let (keys, count) = (b"\x80\x02](X\x01\0\0\x000e.", 4u64.to_le_bytes());
    [magic, &version[..], machine, pickle, keys, &count, &[1; 16]].concat()
}

/// An IDX file of these numbers and bytes.
fn idx(numbers: &[u32], bytes: &[u8]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).chain(bytes.iter().copied()).collect()
}

fn config() -> RunConfig {
    let settings = TrainConfig {
        threads: Some(2),
        engine: Some(Engine::Exact),
        ..TrainConfig::new("mlp", 3, 60, 1e-3)
    };
    RunConfig {
        program: "stitch".into(),
        settings,
        cpu_capability: Some("AVX2".into()),
        kernels_sha256: None,
        versions: [("stitch".into(), "0.1.0".into())].into(),
        data: DataConfig {
            official: false,
            sha256: [("train-labels-idx1-ubyte".into(), "00".into())].into(),
        },
    }
}

/// The bytes of a record of an archive.
fn record(archive: &[u8], name: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = Vec::new();
    zip::ZipArchive::new(Cursor::new(archive))?.by_name(name)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}
