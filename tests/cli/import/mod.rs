//! `stitch data import`: the bytes that torchvision, pandas and numpy read, and what is said and left behind otherwise.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};

use stitch::dataset::{picture, source};

use crate::{
    common, files_in, folder_with_data, name_of, refused, stderr_of, stdout_of, stitch,
    temporary_folder,
};

/// `stitch data import FROM -o out`.
fn import(folder: &Path, from: &str) -> assert_cmd::Command {
    let mut command = stitch(folder);
    command.args(["data", "import", from, "-o", "out"]);
    command
}

/// The files of `out` have the pixels and labels of `FORM.HALF.pixels` and `FORM.HALF.labels`, after headers of these bytes.
fn same_as(folder: &Path, form: &str, images: &str, header: usize) {
    let out = files_in(&folder.join("out"));
    for (half, name) in [("train", "train"), ("t10k", "test")] {
        let expected = |what: &str| fs::read(folder.join(format!("{form}.{name}.{what}"))).unwrap();
        assert!(
            out[&format!("{half}-images-{images}-ubyte")][header..] == expected("pixels"),
            "{form}"
        );
        assert!(out[&format!("{half}-labels-idx1-ubyte")][8..] == expected("labels"), "{form}");
    }
}

#[test]
fn every_form_has_the_bytes_that_python_reads() {
    let place = folder_with_data();
    let folder = place.path();
    common::run_python(
        "cli/import/made.py",
        &[folder.to_str().unwrap(), folder.join("data").to_str().unwrap()],
    );
    let run = |from: &str, flags: &[&str]| {
        let assert = import(folder, from).arg("--force").args(flags).assert().code(0);
        (stdout_of(&assert).to_owned(), stderr_of(&assert).to_owned())
    };
    let (shown, noted) = run("colours", &[]);
    assert!(shown.starts_with(
        "imported 185 training and 125 test images of 9x13 pixels in 3 channels from colours"
    ));
    assert!(shown.contains("5 classes: 10, 2, B, a, é\n"), "{shown}");
    assert_eq!(noted, "");
    same_as(folder, "colours", "idx4", 20);
    for size in ["4x5", "9x30", "28x28", "3x13"] {
        run("colours", &["--size", size]);
        same_as(folder, size, "idx4", 20);
    }
    run("colours", &["--channels", "1"]);
    same_as(folder, "luma", "idx3", 16);
    run("colours", &["--channels", "1", "--size", "7x6"]);
    same_as(folder, "luma7x6", "idx3", 16);

    let (shown, noted) = run("grey", &[]);
    assert!(shown.contains("16 training and 8 test images of 28x28 pixels from grey"), "{shown}");
    assert!(noted.contains("note: val becomes the test half"), "{noted}");
    let (_, noted) = run("med.npz", &[]);
    assert!(noted.contains("not imported from med.npz: val_images, val_labels"), "{noted}");
    for from in ["csv", "keras.npz", "med.npz"] {
        run(from, &[]);
        let [data, out] = ["data", "out"].map(|name| files_in(&folder.join(name)));
        for (name, bytes) in out {
            let header = if name.contains("images") { 16 } else { 8 };
            assert!(data[&name][header..].starts_with(&bytes[header..]), "{from} {name}");
        }
    }
}

/// Class folders `FROM/HALF/CLASS` with images of the cut data set in `data`, as PNG.
fn class_folders(folder: &Path, from: &str) {
    let data = source::load(source::named(&folder.join("data"), "").unwrap()).unwrap();
    for (half, split) in [("train", &data.train), ("test", &data.test)] {
        for i in 0..split.len() {
            let class = folder.join(from).join(half).join(split.labels[i].to_string());
            fs::create_dir_all(&class).unwrap();
            let png = picture::to_png(split.image(i), split.shape).unwrap();
            fs::write(class.join(format!("{i:03}.png")), png).unwrap();
        }
    }
}

/// The first file in a folder.
fn class_file(folder: &Path, class: &str) -> PathBuf {
    let paths = fs::read_dir(folder.join(class)).unwrap().map(|entry| entry.unwrap().path());
    paths.min().unwrap()
}

#[test]
fn what_was_imported_is_shown_and_trained_on() {
    let place = folder_with_data();
    let folder = place.path();
    class_folders(folder, "pictures");
    import(folder, "pictures").assert().code(0).stderr("");
    let first = files_in(&folder.join("out"));
    import(folder, "pictures").arg("--force").assert().code(0);
    assert!(files_in(&folder.join("out")) == first);
    let shown = contains("train-images-idx3-ubyte: 300 images of 28x28 pixels")
        .and(contains("10 classes: 0, 1, 2"));
    stitch(folder).args(["data", "--data", "out"]).assert().code(0).stdout(shown);
    let train = ["train", "lenet5", "--data", "out", "--epochs", "1", "--threads", "1"];
    stitch(folder).args(train).assert().code(0).stdout(contains("accuracy"));
}

#[test]
fn nothing_is_written_unless_everything_is_read() {
    let place = folder_with_data();
    let folder = place.path();
    class_folders(folder, "pictures");
    let image = fs::read(class_file(folder, "pictures/train/0")).unwrap();
    fs::write(folder.join("pictures/train/0/cut.png"), &image[..100]).unwrap();
    import(folder, "pictures").assert().code(1).stderr("").stdout(
        contains("UNREADABLE pictures/train/0/cut.png: a damaged image")
            .and(contains("1 of the images cannot be read: nothing was written"))
            .and(contains("--skip-unreadable")),
    );
    let document = |flags: &[&str], code: i32| -> Value {
        let assert = import(folder, "pictures").args(flags).arg("--json").assert().code(code);
        serde_json::from_str(stdout_of(&assert)).unwrap()
    };
    let failed = document(&[], 1);
    assert_eq!((&failed["files"], &failed["directory"]), (&json!([]), &Value::Null));
    assert_eq!(failed["unreadable"][0]["file"], "pictures/train/0/cut.png");
    assert!(!folder.join("out").exists());
    let skipped = document(&["--skip-unreadable"], 0);
    assert_eq!(skipped["unreadable"], failed["unreadable"]);
    assert_eq!(
        (&skipped["form"], &skipped["train"], &skipped["test"], &skipped["shape"]),
        (&json!("class folders"), &json!(300), &json!(100), &json!([1, 28, 28]))
    );
    assert_eq!(skipped["classes"][9], "9");
    assert_eq!(skipped["files"][4], "out/classes.txt");
    let entries = fs::read_dir(folder).unwrap().map(|entry| name_of(&entry.unwrap().path()));
    assert_eq!(
        entries.collect::<BTreeSet<_>>(),
        ["data", "out", "pictures"].map(str::to_owned).into()
    );
    import(folder, "pictures")
        .args(["--skip-unreadable", "--force"])
        .assert()
        .code(0)
        .stderr(contains("warning: left out pictures/train/0/cut.png: a damaged image"))
        .stdout(contains("left out 1 images that cannot be read"));
    import(folder, "pictures")
        .args(["--skip-unreadable", "--force", "-q"])
        .assert()
        .code(0)
        .stderr("");
    // A folder that is empty is filled, one that is not stays as it is.
    let before = files_in(&folder.join("out"));
    refused(&mut import(folder, "pictures"), 2, &["--output out is not empty", "--force"]);
    import(folder, "pictures").arg("--force").assert().code(1);
    assert!(files_in(&folder.join("out")) == before);
    fs::create_dir(folder.join("empty")).unwrap();
    let into_empty = ["data", "import", "pictures", "-o", "empty", "--skip-unreadable"];
    stitch(folder).args(into_empty).assert().code(0);
    assert!(files_in(&folder.join("empty")) == before);
}

#[test]
fn class_folders_without_a_test_half_are_split_class_by_class() {
    let place = folder_with_data();
    let folder = place.path();
    class_folders(folder, "pictures");
    fs::remove_dir_all(folder.join("pictures/test")).unwrap();
    for from in ["pictures", "pictures/train"] {
        let parts = ["pictures/train has class folders", "no test half", "--test-last N"];
        refused(&mut import(folder, from), 2, &parts);
        let split = ["--test-last", "60", "--force"];
        let shown =
            contains("imported 240 training and 60 test images").and(contains("10 classes"));
        import(folder, from).args(split).assert().code(0).stderr("").stdout(shown);
        let labels = &files_in(&folder.join("out"))["t10k-labels-idx1-ubyte"][8..];
        let all = source::load(source::named(&folder.join("data"), "").unwrap()).unwrap().train;
        for label in 0..10 {
            let [part, whole] = [labels, &all.labels]
                .map(|labels| labels.iter().filter(|it| **it == label).count());
            assert!(part.abs_diff(whole / 5) <= 1, "{label}: {part} of {whole}");
        }
        fs::remove_dir_all(folder.join("out")).unwrap();
    }
}

#[test]
fn errors_name_the_flag_that_helps() {
    let place = temporary_folder();
    let folder = place.path();
    fs::create_dir(folder.join("tables")).unwrap();
    let put = |name: &str, text: &str| fs::write(folder.join("tables").join(name), text).unwrap();
    put("train.csv", "label,p0,p1,p2\n0,1,2,3\n1,2,3,4\n");
    let run = |flags: &[&str], parts: &[&str]| {
        refused(import(folder, "tables").args(flags), 2, parts);
        assert!(!folder.join("out").exists());
    };
    run(&[], &["train.csv has 3 pixel columns", "--size HEIGHTxWIDTH"]);
    run(&["--size", "1x3"], &["no test half", "--test-last N"]);
    run(&["--size", "1x3", "--test-last", "2"], &["--test-last: 2 of 2 training images"]);
    run(&["--label", "class"], &["no column `class`", "--label NAME"]);
    run(&["--size", "28"], &["--size", "HEIGHTxWIDTH", "28x28"]);
    run(&["--size", "0x28"], &["1 to 4096"]);
    run(&["--channels", "2"], &["--channels"]);
    run(&["--test-last", "0"], &["--test-last"]);
    put("test.csv", "label,p0\n0,1\n");
    run(&["--size", "1x3"], &["test.csv has 1 pixel columns", "1x3 is 3"]);
    put("test.csv", "label,p0,p1,p2\n0,1,2,3\n");
    run(
        &["--size", "1x3", "--test-last", "1"],
        &["--test-last: tables has a test half", "Omit --test-last"],
    );
    refused(&mut import(folder, "tabels"), 2, &["tabels cannot be read", "did you mean tables?"]);
    let reads = ["data", "import", "tables", "-o", "tables/train.csv", "--size", "1x3"];
    refused(stitch(folder).args(reads), 2, &["tables/train.csv cannot be read"]);
    import(folder, "tables").args(["--size", "1x3"]).assert().code(0);
}
