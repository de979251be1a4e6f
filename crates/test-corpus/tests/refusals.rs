//! A corpus of files that are not what they should be, made from good ones of every kind that is
//! read: each is refused with a sentence of the class that its damage calls for.

use std::io::Cursor;
use std::path::Path;

use fashion_mnist::{ImageShape, idx, picture};
use stitch_run::{Checkpoint, Metrics, RunConfig, csv};
use tensor_files::read_weights;
use test_corpus::message;

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

fn said<T>(read: Result<T, impl std::error::Error>) -> Result<(), String> {
    read.map(drop).map_err(|error| message(&error))
}

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
const JSON: &[&str] = &["EOF while parsing"];
const PICTURE: &[&str] = &["not an image that can be read", "a damaged image"];

fn kinds() -> Vec<Kind> {
    let weights: Reader = |bytes| said(read_weights(bytes));
    let of = |name, good, read, truncated| Kind { name, good, read, truncated };
    vec![
        of(
            "IDX images",
            test_corpus::idx_images(),
            |bytes| said(idx::read_images(Cursor::new(bytes))),
            &["truncated: "],
        ),
        of(
            "IDX labels",
            test_corpus::idx_labels(),
            |bytes| said(idx::read_labels(Cursor::new(bytes))),
            &["truncated: "],
        ),
        of("state_dict", test_corpus::state_dict(), weights, TENSORS),
        of("TorchScript", test_corpus::torchscript(), weights, TENSORS),
        of("safetensors", test_corpus::safetensors(), weights, TENSORS),
        of("npz", test_corpus::npz(), weights, TENSORS),
        of("npy", test_corpus::npy(), weights, TENSORS),
        of("legacy", test_corpus::legacy(), weights, TENSORS),
        of("checkpoint", test_corpus::checkpoint(), |bytes| said(Checkpoint::read(bytes)), TENSORS),
        of(
            "picture",
            test_corpus::png(),
            |bytes| {
                let like = picture::Preprocessing::FashionMnist { invert: true };
                said(picture::convert(bytes, ImageShape::FASHION_MNIST, like))
            },
            PICTURE,
        ),
        of(
            "config.json",
            test_corpus::config_json(),
            |bytes| said(RunConfig::read(bytes)),
            &["it is not the config.json of a run"],
        ),
        of(
            "metrics.json",
            test_corpus::metrics_json(),
            |bytes| said(serde_json::from_slice::<Metrics>(bytes)),
            JSON,
        ),
        of(
            "trace",
            test_corpus::trace(),
            trace,
            &["line 1 is not the header", "it is not complete"],
        ),
        of(
            "predictions",
            test_corpus::predictions(),
            |bytes| said(csv::read_predictions(bytes)),
            &[],
        ),
        of(
            "confusion matrix",
            test_corpus::confusion_matrix(),
            |bytes| said(csv::read_confusion_matrix(bytes)),
            &[],
        ),
        of("history", test_corpus::history(), |bytes| said(csv::read_history(bytes)), &[]),
        of(
            "report",
            test_corpus::classification_report(),
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
    files += damaged_checkpoints() + damaged_idx_files() + damaged_json() + damaged_tables();
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
        let magic = test_corpus::idx(&[0x803 ^ (1 << i), 2, 28, 28], &[0; 2 * 784]);
        refused(&images, &magic, &["wrong magic number"], &case);
        let size = test_corpus::idx(&[0x803, 2, 28 + i + 1, 28], &[0; 2 * 784]);
        refused(&images, &size, &["truncated: the header promises"], &case);
        let side = if i % 2 == 0 { 0 } else { 4096 + i };
        let size = test_corpus::idx(&[0x803, 2, side, 28], &vec![0; 2 * 28 * side as usize]);
        refused(&images, &size, &["images of "], &case);
        let promised = test_corpus::idx(&[0x803, u32::MAX >> i, 28, 28], &[0; 2 * 784]);
        refused(&images, &promised, &["truncated: the header promises"], &case);
        let longer = [&labels.good[..], &vec![0; i as usize + 1]].concat();
        refused(&labels, &longer, &["trailing bytes"], &case);
        let promised = test_corpus::idx(&[0x801, u32::MAX >> i], &[0; 2]);
        refused(&labels, &promised, &["truncated: the header promises"], &case);
    }
    120
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
                0 => &["not a row of", "expected"],
                _ => &["not a row of", "is not an integer"],
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

/// A value of another type under each key of `config.json` and `metrics.json`.
fn damaged_json() -> usize {
    damaged_values(&kind("config.json"), &["it must be"])
        + damaged_values(&kind("metrics.json"), &["invalid type", "unknown field"])
}

fn damaged_values(kind: &Kind, classes: &[&str]) -> usize {
    let good: serde_json::Value = serde_json::from_slice(&kind.good).unwrap();
    let mut files = 0;
    for key in good.as_object().unwrap().keys() {
        for value in [serde_json::json!([[1]]), serde_json::json!({"a": {}})] {
            let mut other = good.clone();
            other[key] = value;
            let file = serde_json::to_vec(&other).unwrap();
            refused(kind, &file, classes, key);
            files += 1;
        }
    }
    files
}
