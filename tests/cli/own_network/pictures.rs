//! Pictures of a data set that was imported: `predict` sees the pixels that the run was trained and evaluated on.

use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};

use super::{run_script, train};
use crate::{refused, stderr_of, stdout_of, stitch, temporary_folder};

/// The classes of the pictures.
const CLASSES: [&str; 3] = ["bird", "cat", "dog"];

/// Colour pictures of several sizes, a dark object on a light background, in `pictures/HALF/CLASS`.
fn write_pictures(folder: &Path) {
    for (half, count) in [("train", 16), ("test", 6)] {
        for (label, class) in (0..).zip(CLASSES) {
            let class = folder.join("pictures").join(half).join(class);
            fs::create_dir_all(&class).unwrap();
            for i in 0..count {
                let (left, top) = (5 + 12 * label + i % 4, 8 + i % 7);
                let picture = RgbImage::from_fn(60 + 10 * (i % 3), 50, |x, y| {
                    let is_object =
                        (left..left + 10 + 8 * label).contains(&x) && (top..top + 25).contains(&y);
                    let noise = (x * 7 + y * 13 + i * 5) % 23;
                    Rgb(if is_object {
                        [20 + noise, 60 * label, 40]
                    } else {
                        [230, 244 - noise, 220]
                    }
                    .map(|it| it as u8))
                });
                picture.save(class.join(format!("{i:02}.png"))).unwrap();
            }
        }
    }
}

/// Saves a network for images with this many channels and any size as model.pt, and writes the pictures.
fn folder_with_pictures(channels: usize) -> tempfile::TempDir {
    let folder = temporary_folder();
    write_pictures(folder.path());
    run_script(
        folder.path(),
        &format!(
            "import torch; from torch import nn; torch.manual_seed(7)\n\
             net = nn.Sequential(nn.Conv2d({channels}, 8, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), \
             nn.Linear(32, 3))\ntorch.jit.script(net).save('model.pt')"
        ),
    );
    folder
}

/// The rows of `stitch predict ARGUMENTS --csv` from the rank on: one per image and class.
fn rows(folder: &Path, arguments: &[&str]) -> Vec<String> {
    let assert = stitch(folder).arg("predict").args(arguments).arg("--csv").assert().code(0);
    let row = |line: &str| line.splitn(3, ',').nth(2).unwrap().to_owned();
    stdout_of(&assert).lines().skip(1).map(row).collect()
}

#[test]
fn predict_scales_the_pictures_as_the_import_did_and_no_more() {
    let halves = CLASSES.map(|class| format!("pictures/test/{class}"));
    let pictures = halves.each_ref().map(String::as_str);
    for (channels, size, images) in [(1, "28x28", "idx3"), (3, "24x32", "idx4")] {
        let place = folder_with_pictures(channels);
        let folder = place.path();
        let import = ["data", "import", "pictures", "-o", "data", "--size", size, "--channels"];
        stitch(folder).args(import).arg(channels.to_string()).assert().code(0);
        train(folder).args(["--batch-size", "8", "--lr", "0.01", "--out", "run"]).assert().code(0);
        let mut runs = vec!["run/torchscript.pt"];
        if channels == 1 {
            let lenet5 = ["train", "lenet5", "--data", "data", "--epochs", "2", "--out", "lenet5"];
            stitch(folder).args(lenet5).assert().code(0);
            runs.push("lenet5/state_dict.pt");
        }
        let idx = format!("data/t10k-images-{images}-ubyte");
        for weights in runs {
            let run = Path::new(weights).parent().unwrap();
            let predictions = fs::read_to_string(folder.join(run).join("predictions.csv")).unwrap();
            let expected = predictions.lines().skip(1).map(|line| line.rsplit(',').next().unwrap());
            let found = rows(folder, &[&[weights][..], &pictures, &["--top-k", "3"]].concat());
            // The first of three classes per image.
            let best = found.iter().step_by(3).map(|row| row.split(',').nth(1).unwrap());
            assert!(best.eq(expected), "{weights}: {found:?}\n{predictions}");
            assert_eq!(found, rows(folder, &[weights, &idx, "--top-k", "3"]), "{weights}");
            let mut predict = stitch(folder);
            predict.arg("predict").arg(weights).args(pictures);
            let said = stderr_of(&predict.assert().code(0)).to_owned();
            let scaled = format!("note: scaled 18 of 18 images to {size} pixels");
            assert!(said.contains(&scaled) && !said.contains("light"), "{said}");
            refused(predict.arg("--no-invert"), 2, &["--no-invert", "never inverted", weights]);
            check_evaluate(folder, weights);
            check_report(folder, run.to_str().unwrap());
        }
        match channels {
            1 => check_official(folder, pictures[0]),
            _ => check_sizes(folder, pictures[0], &idx),
        }
    }
}

/// `evaluate` tells that classes have other names, and only then.
fn check_evaluate(folder: &Path, weights: &str) {
    let mut evaluate = stitch(folder);
    evaluate.args(["evaluate", weights, "--data", "data"]);
    evaluate.assert().code(0).stderr(contains("in the weights").not());
    let names = folder.join("data/classes.txt");
    fs::write(&names, "bird\ndog\ncat\n").unwrap();
    let said = "note: class 1 is \"cat\" in the weights and \"dog\" in the data set: the accuracy compares labels";
    evaluate.assert().code(0).stderr(contains(said));
    fs::write(&names, "bird\ncat\ndog\n").unwrap();
}

/// The report of a run on other images than Fashion-MNIST's does not compare it with the paper.
fn check_report(folder: &Path, run: &str) {
    stitch(folder).args(["report", run, "--data", "data"]).assert().code(0);
    let page = fs::read_to_string(folder.join(run).join("report.html")).unwrap();
    assert!(page.contains("Test accuracy of this run. The axis"), "{page}");
    assert!(!page.contains("paper") && !page.contains("Fashion-MNIST:"), "{page}");
}

/// A network that was trained on the official images takes pictures that are preprocessed like them.
fn check_official(folder: &Path, pictures: &str) {
    let path = folder.join("run/config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(config["data"]["shape"], Value::Null);
    config["data"]["official"] = true.into();
    fs::write(path, config.to_string()).unwrap();
    stitch(folder).args(["predict", "run/torchscript.pt", pictures]).assert().code(0).stderr(
        contains("note: preprocessed 6 of 6 images like Fashion-MNIST")
            .and(contains("inverted 6 of 6")),
    );
}

/// The size of colour images is that of the run, of the IDX file, or given.
fn check_sizes(folder: &Path, pictures: &str, idx: &str) {
    let config: Value =
        serde_json::from_slice(&fs::read(folder.join("run/config.json")).unwrap()).unwrap();
    assert_eq!(config["data"]["shape"], json!([3, 24, 32]));
    fs::copy(folder.join("run/torchscript.pt"), folder.join("alone.pt")).unwrap();
    fs::copy(folder.join("data/classes.txt"), folder.join("classes.txt")).unwrap();
    let of_run = rows(folder, &["run/torchscript.pt", pictures]);
    assert_eq!(rows(folder, &["alone.pt", pictures, "--image-size", "24x32x3"]), of_run);
    assert_eq!(rows(folder, &["alone.pt", idx]), rows(folder, &["run/torchscript.pt", idx]));
    let advice = "--image-size: HEIGHTxWIDTH for gray, HEIGHTxWIDTHx3 for color";
    refused(stitch(folder).args(["predict", "alone.pt", pictures]), 2, &["alone.pt", advice]);
    let export = |file: &str, flags: &[&str]| {
        let mut command = stitch(folder);
        command.args(["export", file, "--format", "onnx", "--force", "-o", "x.onnx"]).args(flags);
        command
    };
    refused(&mut export("alone.pt", &[]), 2, &["alone.pt", advice]);
    export("alone.pt", &["--image-size", "24x32x3"]).assert().code(0);
    let given = fs::read(folder.join("x.onnx")).unwrap();
    export("run/torchscript.pt", &[]).assert().code(0);
    assert!(fs::read(folder.join("x.onnx")).unwrap() == given);
}
