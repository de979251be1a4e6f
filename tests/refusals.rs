//! A corpus of files that are not what they should be, made from good ones of every kind that is
//! read: each is refused with a sentence of the class that its damage calls for.

use std::io::Cursor;
use std::path::Path;

use stitch::dataset::idx;
use stitch::dataset::picture;
use stitch::formats::csv;
use stitch::metrics::ConfusionMatrix;
use stitch::run_folder::{DataConfig, RunConfig};
use stitch::stitch_run::Checkpoint;
use stitch::tensor_files::{
    Dtype, Metadata, NamedTensor, npz, read_weights, safetensors, state_dict, torchscript,
};
use stitch::train::{Engine, EpochRecord, Progress, TrainConfig, TrainState};

/// Reads to the end; the sentence of a refusal.
type Reader = fn(&[u8]) -> Result<(), String>;

/// A kind of file: a good one, its reader, and what is said of one that ends early; nothing where it
/// may end after any line.
struct Kind {
    name: &'static str,
    good: Vec<u8>,
    read: Reader,
    truncated: &'static [&'static str],
}

fn said<T>(read: Result<T, impl std::error::Error + Send + Sync + 'static>) -> Result<(), String> {
    read.map(drop).map_err(|error| format!("{:#}", anyhow::Error::from(error)))
}

fn tensors() -> Vec<NamedTensor> {
    let tensor = |name: &str, dtype: Dtype, shape: &[usize]| {
        let bytes = shape.iter().product::<usize>() * dtype.size();
        let data = (0..bytes).map(|byte| byte as u8).collect();
        NamedTensor { name: name.into(), dtype, shape: shape.to_vec(), data }
    };
    vec![tensor("fc.weight", Dtype::F32, &[10, 7]), tensor("fc.bias", Dtype::F64, &[10])]
}

fn idx_file(numbers: &[u32], bytes: &[u8]) -> Vec<u8> {
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
        cpu_capability: None,
        kernels_sha256: None,
        versions: [("stitch".into(), "0.1.0".into())].into(),
        data: DataConfig { official: false, sha256: [("a".into(), "00".into())].into() },
    }
}

fn checkpoint() -> Vec<u8> {
    let epochs =
        vec![EpochRecord { epoch: 1, loss: 0.5, seconds: 2.0, val_loss: None, val_accuracy: None }];
    let progress =
        Progress { epochs, steps: 2, loss_sum: 60.0, seconds: 0.5, best_parameters: Vec::new() };
    let state = TrainState { updates: 12, tensors: tensors() };
    Checkpoint { config: config(), progress, state, events: None }.write().unwrap()
}

fn program() -> torchscript::Program {
    let (class, forward) = ("M".into(), "    return x\n".into());
    torchscript::Program { class, forward, ..Default::default() }
}

fn npy() -> Vec<u8> {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), &[1; 24]].concat()
}

/// A file of the format before PyTorch 1.6, as fuzzing has it.
const LEGACY: &[u8] = include_bytes!("../fuzz/seeds/tensor_file/legacy.pt");

const TRACE: &str = "{\"format\": \"stitch-trace\", \"version\": 2, \"model\": \"mlp\"}\n\
    {\"stage\": \"init\", \"name\": \"0.bias\", \"epoch\": null, \"step\": 1, \"dtype\": \
    \"float64\", \"shape\": [0], \"sha256\": \
    \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"}\n\
    {\"end\": \"stitch-trace\", \"records\": 1}";

/// A trace that was cut is read up to there, and says that it is not complete.
fn trace(bytes: &[u8]) -> Result<(), String> {
    let trace = stitch_trace::parse(bytes, Path::new("trace.jsonl"));
    let trace = trace.map_err(|error| error.to_string())?;
    if trace.complete { Ok(()) } else { Err("it is not complete".into()) }
}

const TENSORS: &[&str] = &[
    "it is empty",
    "not a file of tensors",
    "a damaged",
    "an .npy file that cannot be read: it ends",
    "it cannot be read",
    "it ends too early",
];
const PICTURE: &[&str] = &["not an image that can be read", "a damaged image"];

fn kinds() -> Vec<Kind> {
    let matrix = ConfusionMatrix::new(&[0, 1, 2, 2], &[0, 1, 2, 3]);
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let pixels: [u8; 784] = std::array::from_fn(|i| i as u8);
    let row =
        |epoch, loss| EpochRecord { epoch, loss, seconds: 2.0, val_loss: None, val_accuracy: None };
    let history = [row(1, 0.5), row(2, 0.25)];
    let weights: Reader = |bytes| said(read_weights(bytes));
    let of = |name, good, read, truncated| Kind { name, good, read, truncated };
    vec![
        of(
            "IDX images",
            idx_file(&[0x803, 2, 28, 28], &[7; 2 * 784]),
            |bytes| said(idx::read_images(Cursor::new(bytes))),
            &["truncated: "],
        ),
        of(
            "IDX labels",
            idx_file(&[0x801, 50], &[7; 50]),
            |bytes| said(idx::read_labels(Cursor::new(bytes))),
            &["truncated: "],
        ),
        of("state_dict", state_dict::write(&tensors()).unwrap(), weights, TENSORS),
        of("TorchScript", torchscript::write(&program(), &tensors()).unwrap(), weights, TENSORS),
        of(
            "safetensors",
            safetensors::write(&tensors(), &Metadata::new()).unwrap(),
            weights,
            TENSORS,
        ),
        of("npz", npz::write(&tensors()).unwrap(), weights, TENSORS),
        of("npy", npy(), weights, TENSORS),
        of("legacy", LEGACY.into(), weights, TENSORS),
        of("checkpoint", checkpoint(), |bytes| said(Checkpoint::read(bytes)), TENSORS),
        of(
            "picture",
            picture::to_png(&pixels).unwrap(),
            |bytes| said(picture::convert(bytes, true)),
            PICTURE,
        ),
        of(
            "config.json",
            serde_json::to_vec(&config()).unwrap(),
            |bytes| said(RunConfig::read(bytes)),
            &["it is not the config.json of a run"],
        ),
        of("trace", TRACE.into(), trace, &["line 1 is not the header", "it is not complete"]),
        of(
            "predictions",
            csv::predictions(&[0, 1, 2], &[0, 1, 3]),
            |bytes| said(csv::read_predictions(bytes)),
            &[],
        ),
        of(
            "confusion matrix",
            csv::confusion_matrix(&matrix, &names),
            |bytes| said(csv::read_confusion_matrix(bytes)),
            &[],
        ),
        of("history", csv::history(&history), |bytes| said(csv::read_history(bytes)), &[]),
        of(
            "report",
            csv::classification_report(&matrix.report(), &names),
            |bytes| said(csv::read_report(bytes)),
            &[],
        ),
    ]
}

/// Refused, with a sentence of one of these classes.
#[track_caller]
fn refused(kind: &Kind, file: &[u8], classes: &[&str], case: &str) {
    let sentence = (kind.read)(file).expect_err(&format!("{}, {case}: it is read", kind.name));
    let known = classes.iter().any(|class| sentence.contains(class));
    assert!(known, "{}, {case}: {sentence:?} is none of {classes:?}", kind.name);
    assert!(!sentence.is_empty() && sentence.len() < 1000, "{}, {case}: {sentence}", kind.name);
}

/// Whether the reader of one kind of file reads the other too.
fn reads(reader: &str, file: &str) -> bool {
    // Each is recognized by its content; a checkpoint is a safetensors file.
    let weights = ["state_dict", "TorchScript", "safetensors", "npz", "npy", "legacy"];
    let both = |kinds: &[&str]| kinds.contains(&reader) && kinds.contains(&file);
    reader == file || both(&weights) || weights.contains(&reader) && file == "checkpoint"
}

/// Lengths to cut a file to, spread over it.
fn lengths(file: &[u8], count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |i| i * (file.len() - 1) / count)
}

#[test]
fn at_least_500_files_are_refused_with_the_sentence_of_their_damage() {
    let (mut files, mut others) = (0, 0);
    for kind in kinds() {
        assert_eq!((kind.read)(&kind.good), Ok(()), "{}", kind.name);
        let cut = if kind.truncated.is_empty() { 0 } else { 40 };
        for length in lengths(&kind.good, cut) {
            refused(&kind, &kind.good[..length], kind.truncated, &format!("cut to {length}"));
            files += 1;
        }
        // Another kind of file in its place.
        for other in kinds() {
            let read = (kind.read)(&other.good).is_ok();
            assert_eq!(read, reads(kind.name, other.name), "{} as {}", other.name, kind.name);
            others += usize::from(!read);
        }
    }
    files += damaged_checkpoints() + damaged_idx_files() + damaged_settings() + damaged_tables();
    println!("{} files, {files} with the sentence of their damage", files + others);
    assert!(files >= 500, "{files}");
}

fn kind(name: &str) -> Kind {
    kinds().into_iter().find(|kind| kind.name == name).unwrap()
}

/// A flipped bit anywhere in a checkpoint.
fn damaged_checkpoints() -> usize {
    let kind = kind("checkpoint");
    let classes = [TENSORS, &["it is damaged", "not a checkpoint"]].concat();
    for (i, at) in lengths(&kind.good, 60).enumerate() {
        let mut file = kind.good.clone();
        file[at] ^= 1 << (i % 8);
        refused(&kind, &file, &classes, &format!("a bit of byte {at}"));
    }
    60
}

fn damaged_idx_files() -> usize {
    let (images, labels) = (kind("IDX images"), kind("IDX labels"));
    for i in 0..20u32 {
        let case = format!("case {i}");
        let magic = idx_file(&[0x803 ^ (1 << i), 2, 28, 28], &[0; 2 * 784]);
        refused(&images, &magic, &["wrong magic number"], &case);
        let size = idx_file(&[0x803, 2, 28 + i + 1, 28], &[0; 2 * 784]);
        refused(&images, &size, &["images of "], &case);
        let promised = idx_file(&[0x803, u32::MAX >> i, 28, 28], &[0; 2 * 784]);
        refused(&images, &promised, &["truncated: the header promises"], &case);
        let longer = [&labels.good[..], &vec![0; i as usize + 1]].concat();
        refused(&labels, &longer, &["trailing bytes"], &case);
        let mut other = labels.good.clone();
        other[8 + i as usize] = 10 + i as u8;
        refused(&labels, &other, &[&format!("label {} at index {i}", 10 + i)], &case);
    }
    100
}

/// Each line of a table with a cell that is none, one more, and one less; no line at all.
fn damaged_tables() -> usize {
    let mut files = 0;
    for name in ["predictions", "confusion matrix", "history", "report"] {
        let kind = kind(name);
        let text = String::from_utf8(kind.good.clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for at in 0..lines.len() {
            let (first, rest) = lines[at].split_once(',').unwrap();
            let classes: &[&str] = match at {
                0 => &["unknown field", "missing field", "expected", "not a confusion"],
                _ => &["invalid type", "is not an integer", "expected"],
            };
            let cell = format!("{first},no,{}", rest.split_once(',').unwrap().1);
            let more = format!("{},7", lines[at]);
            for (line, classes) in [
                (cell.as_str(), classes),
                (&more, &["found record with"]),
                ("one cell", &["found record with"]),
                ("\u{fffd}\0\"", &["found record with"]),
            ] {
                let mut damaged = lines.clone();
                damaged[at] = line;
                refused(&kind, damaged.join("\n").as_bytes(), classes, &format!("{line:?}"));
                files += 1;
            }
        }
        refused(&kind, b"", &["it is empty"], "no line");
        files += 1;
    }
    files
}

/// A value of another type under each key of `config.json`.
fn damaged_settings() -> usize {
    let kind = kind("config.json");
    let good: serde_json::Value = serde_json::from_slice(&kind.good).unwrap();
    let mut files = 0;
    for key in good.as_object().unwrap().keys() {
        for value in [serde_json::json!([[1]]), serde_json::json!({"a": {}})] {
            let mut other = good.clone();
            other[key] = value;
            let file = serde_json::to_vec(&other).unwrap();
            refused(&kind, &file, &["it must be"], key);
            files += 1;
        }
    }
    files
}
