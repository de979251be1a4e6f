//! Data sets other than Fashion-MNIST: other classes, other sizes.

use std::fs;
use std::path::Path;

use predicates::prelude::*;
use predicates::str::contains;
use stitch::dataset::classes::Classes;
use stitch::dataset::{ImageShape, Split};

use crate::{common, refused, stderr_of, stdout_of, stitch, temporary_folder};

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// The first real images with labels 0 to 46 in turn.
fn of_47_classes(n: usize) -> Split {
    let labels = (0..n).map(|i| (i * 7 % 47) as u8).collect();
    Split { labels, classes: Classes::numbered(47), ..common::first(&common::dataset().train, n) }
}

/// Writes a data set of 47 classes to `data`, with names or without.
fn write_47_classes(folder: &Path, names: bool) {
    common::write_dataset(&folder.join("data"), &of_47_classes(400), &of_47_classes(150));
    let path = folder.join("data/classes.txt");
    fs::remove_file(&path).unwrap();
    if names {
        let names: Vec<String> = (0..47).map(|label| format!("letter {label}")).collect();
        fs::write(path, names.join("\n")).unwrap();
    }
}

#[test]
fn a_run_on_47_classes_is_the_notebooks() {
    for names in [false, true] {
        let folder = temporary_folder();
        write_47_classes(folder.path(), names);
        let flags = ["--classes", "47", "--epochs", "2", "--batch-size", "37", "--threads", "1"];
        let script = common::root().join("tests/reference/notebook.py");
        let notebook = std::process::Command::new(common::python())
            .arg(script)
            .args(["--model", "deepcnn", "--data", "data", "--out", "notebook"])
            .args(flags)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(notebook.status.success(), "{}", String::from_utf8_lossy(&notebook.stderr));
        let train = ["train", "deepcnn", "--data", "data", "--out", "stitch"];
        stitch(folder.path()).args(train).args(flags).assert().code(0);
        stitch(folder.path())
            .args(["parity", "notebook/state_dict.pt", "stitch/state_dict.pt"])
            .assert()
            .code(0);
        for file in ["predictions.csv", "confusion_matrix.csv", "classification_report.csv"] {
            let [expected, found] =
                ["notebook", "stitch"].map(|run| read(&folder.path().join(run).join(file)));
            assert_eq!(found, expected, "{file}");
        }
        let first_class = if names { "letter 0" } else { "0" };
        assert!(
            read(&folder.path().join("stitch/confusion_matrix.csv"))
                .starts_with(&format!(",{first_class},"))
        );
        // The names travel with the weights.
        let images = "data/t10k-images-idx3-ubyte";
        for weights in
            ["stitch/state_dict.pt", "stitch/weights.safetensors", "notebook/state_dict.pt"]
        {
            let predict = ["predict", weights, images, "--index", "3", "--top-k", "47"];
            let assert = stitch(folder.path()).args(predict).assert().code(0);
            let last = if names { "letter 46 0." } else { "46 0." };
            assert!(stdout_of(&assert).contains(last), "{}", stdout_of(&assert));
            assert!(!stderr_of(&assert).contains("do not name"), "{}", stderr_of(&assert));
        }
        let evaluate = ["evaluate", "stitch/state_dict.pt", "--data", "data"];
        stitch(folder.path()).args(evaluate).assert().code(0).stdout(contains(first_class));
    }
}

#[test]
fn labels_without_an_output_are_refused_with_the_flag_that_adds_them() {
    let folder = temporary_folder();
    write_47_classes(folder.path(), false);
    let train = |model: &str| {
        let mut command = stitch(folder.path());
        command.args(["train", model, "--data", "data", "--epochs", "1", "--threads", "1"]);
        command
    };
    refused(&mut train("lenet5"), 2, &["--classes is 10: it must be at least 47", "label 46"]);
    refused(&mut train("mlp"), 2, &["mlp has 10 classes", "label 46", "at least 47"]);
    refused(train("mlp").args(["--classes", "47"]), 2, &["--classes", "omitted for mlp"]);
    refused(train("lenet5").args(["--classes", "257"]), 2, &["--classes is 257", "1 to 256"]);
    train("lenet5").args(["--classes", "47", "--fast"]).assert().code(0);
}

#[test]
fn a_model_says_which_images_it_takes() {
    let folder = temporary_folder();
    let shape = ImageShape { channels: 3, height: 32, width: 32 };
    for (file, bytes) in [("train", 20), ("t10k", 20)] {
        let header = |numbers: &[u32]| -> Vec<u8> {
            numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
        };
        let images = [header(&[0x804, bytes, 32, 32, 3]), vec![7; 20 * shape.bytes()]].concat();
        fs::write(folder.path().join(format!("{file}-images-idx4-ubyte")), images).unwrap();
        let labels = [header(&[0x801, bytes]), (0..20).map(|i| i % 10).collect()].concat();
        fs::write(folder.path().join(format!("{file}-labels-idx1-ubyte")), labels).unwrap();
    }
    let what = "of 28x28 pixels, but those of the data set have 32x32 pixels in 3 channels";
    for model in ["lenet5", "deepcnn", "mlp"] {
        let train = ["train", model, "--data", "."];
        refused(stitch(folder.path()).args(train), 2, &[&format!("{model} takes images {what}")]);
    }
    let weights = common::root().join("models/lenet5/state_dict.pt");
    refused(stitch(folder.path()).arg("evaluate").arg(weights).args(["--data", "."]), 2, &[what]);
    stitch(folder.path()).args(["data", "--data", "."]).assert().code(0).stdout(
        contains("20 images of 32x32 pixels in 3 channels").and(contains("10 classes: 0, 1,")),
    );
}
