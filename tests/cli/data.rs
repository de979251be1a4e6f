//! `stitch data`, `stitch data verify`, and what `stitch train` says of unusable data.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use flate2::Compression;
use flate2::write::GzEncoder;
use predicates::prelude::*;
use predicates::str::{contains, starts_with};
use stitch::dataset::source::OFFICIAL;
use stitch::dataset::{PIXELS, classes};

use crate::{
    common, copy_real, files_in, folder_with_data, real_paths, refused, stdout_of, stitch,
    temporary_folder, train,
};

const TRAIN_IMAGES: &str = "train-images-idx3-ubyte";
const TRAIN_LABELS: &str = "train-labels-idx1-ubyte";
const TEST_IMAGES: &str = "t10k-images-idx3-ubyte";
const TEST_LABELS: &str = "t10k-labels-idx1-ubyte";
const DEBIAN: &str = "/usr/share/datasets/fashion-mnist";

fn gzip(bytes: &[u8], compression: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), compression);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Replaces `name` by `name.gz`; returns the new path.
fn pack(folder: &Path, name: &str, compression: Compression) -> PathBuf {
    let packed = folder.join(format!("{name}.gz"));
    fs::write(&packed, gzip(&fs::read(folder.join(name)).unwrap(), compression)).unwrap();
    fs::remove_file(folder.join(name)).unwrap();
    packed
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn cut_in_half(path: &Path) {
    change(path, |bytes| bytes.truncate(bytes.len() / 2));
}

fn flip_a_bit_in_the_middle(path: &Path) {
    change(path, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
}

/// Replaces an official file by its unpacked content with one pixel or label changed.
fn change_official_content(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let origin = real_paths().into_iter().find(|path| path.to_str().unwrap().contains(name));
    let index = OFFICIAL.iter().position(|file| file.name == name).unwrap();
    let real = common::dataset();
    let mut content = match index {
        0 => common::images_file(&real.train.images),
        1 => common::labels_file(&real.train.labels),
        2 => common::images_file(&real.test.images),
        _ => common::labels_file(&real.test.labels),
    };
    *content.last_mut().unwrap() ^= 1;
    fs::remove_file(folder.join(origin.unwrap().file_name().unwrap())).unwrap();
    fs::write(&path, content).unwrap();
    path
}

fn show(folder: &Path) -> Command {
    let mut command = stitch(folder);
    command.arg("data");
    command
}

fn verify(folder: &Path) -> Command {
    let mut command = stitch(folder);
    command.args(["data", "verify", "--data", "data"]);
    command
}

#[test]
fn the_real_data_set_is_said_to_be_the_official_one() {
    let folder = temporary_folder();
    let paths = real_paths();
    let directory = paths[0].parent().unwrap();
    let assert = show(folder.path()).arg("--data").arg(directory).assert().code(0).stderr("");
    let first_line = format!("{} (--data)\n", directory.display());
    let assert = assert.stdout(starts_with(first_line));
    for (path, what) in
        paths.iter().zip(["60000 images", "60000 labels", "10000 images", "10000 labels"])
    {
        let name = path.file_name().unwrap().display();
        let line = stdout_of(&assert).lines().find(|line| line.contains(&format!("{name}: ")));
        let line = line.unwrap();
        assert!(line.contains(what) && line.ends_with(", official"), "{line}");
    }
    let names = classes::NAMES.join(", ");
    assert
        .stdout(contains(format!("10 classes: {names}\n")))
        .stdout(contains("These are the official files of Fashion-MNIST."))
        .stdout(contains(OFFICIAL[0].sha256).and(contains(OFFICIAL[3].sha256)));
}

#[test]
fn a_cut_data_set_is_said_to_be_another() {
    let folder = folder_with_data();
    show(folder.path())
        .args(["--data", "data"])
        .assert()
        .code(0)
        .stderr("")
        .stdout(contains(
            "train-images-idx3-ubyte: 300 images of 28x28 pixels, not the official file",
        ))
        .stdout(contains("t10k-labels-idx1-ubyte: 100 labels, not the official file"))
        .stdout(contains(
            "Not Fashion-MNIST: none of the four checksums match the official files.",
        ));
}

#[test]
fn one_foreign_file_among_official_ones_is_pointed_out() {
    let folder = temporary_folder();
    let data = folder.path().join("data");
    copy_real(&data);
    change_official_content(&data, TEST_LABELS);
    show(folder.path())
        .args(["--data", "data"])
        .assert()
        .code(0)
        .stdout(contains("t10k-labels-idx1-ubyte: 10000 labels, not the official file"))
        .stdout(contains("Some files are official and some are not"));
}

/// Three data sets, told apart by their 20, 30 and 40 training images.
fn three_data_sets() -> tempfile::TempDir {
    let folder = temporary_folder();
    common::small_dataset(&folder.path().join("named"), 20, 10);
    common::small_dataset(&folder.path().join("variable"), 30, 10);
    common::small_dataset(&folder.path().join("data/fashion-mnist"), 40, 10);
    folder
}

#[test]
fn the_flag_beats_the_variable_and_the_working_folder() {
    let folder = three_data_sets();
    show(folder.path())
        .args(["--data", "named"])
        .env("FASHION_MNIST_DIR", "variable")
        .assert()
        .code(0)
        .stdout(starts_with("named (--data)\n").and(contains(": 20 images")));
}

#[test]
fn the_variable_beats_the_working_folder() {
    let folder = three_data_sets();
    show(folder.path())
        .env("FASHION_MNIST_DIR", "variable")
        .assert()
        .code(0)
        .stdout(starts_with("variable ($FASHION_MNIST_DIR)\n").and(contains(": 30 images")));
}

#[test]
fn the_working_folder_is_found_and_an_empty_variable_names_nothing() {
    let folder = three_data_sets();
    show(folder.path())
        .env("FASHION_MNIST_DIR", "")
        .assert()
        .code(0)
        .stdout(starts_with("data/fashion-mnist (").and(contains(": 40 images")));
}

#[test]
fn a_variable_that_names_nothing_is_an_error_although_the_working_folder_has_data() {
    let folder = three_data_sets();
    let mut command = show(folder.path());
    let parts = ["$FASHION_MNIST_DIR (elsewhere) does not exist", "folder with the four files"];
    refused(command.env("FASHION_MNIST_DIR", "elsewhere"), 2, &parts);
}

#[test]
fn an_incomplete_working_folder_is_passed_over() {
    let folder = temporary_folder();
    common::small_dataset(&folder.path().join("data/fashion-mnist"), 40, 10);
    common::small_dataset(&folder.path().join("data/FashionMNIST/raw"), 50, 10);
    fs::remove_file(folder.path().join("data/fashion-mnist").join(TEST_LABELS)).unwrap();
    let first_line = match Path::new(DEBIAN).is_dir() {
        true => DEBIAN,
        false => "data/FashionMNIST/raw (torchvision's folder)\n",
    };
    show(folder.path()).assert().code(0).stdout(starts_with(first_line));
}

#[test]
fn kerass_cache_is_found_in_the_home_folder() {
    let folder = temporary_folder();
    let cache = folder.path().join("home/.keras/datasets/fashion-mnist");
    common::small_dataset(&cache, 20, 10);
    let first_line = match Path::new(DEBIAN).is_dir() {
        true => DEBIAN.into(),
        false => format!("{} (Keras's cache)\n", cache.display()),
    };
    show(folder.path()).assert().code(0).stdout(starts_with(first_line));
}

#[test]
fn where_no_place_has_data_every_place_is_named_and_what_to_do() {
    let folder = temporary_folder();
    if Path::new(DEBIAN).is_dir() {
        show(folder.path()).assert().code(0).stdout(starts_with(DEBIAN));
        return;
    }
    let keras = folder.path().join("home/.keras/datasets/fashion-mnist");
    let parts = [
        "data/fashion-mnist: does not exist",
        DEBIAN,
        keras.to_str().unwrap(),
        "data/FashionMNIST/raw: does not exist",
        "stitch data fetch",
        "--data",
    ];
    refused(&mut show(folder.path()), 2, &parts);
}

#[test]
fn packed_files_are_read_and_hold_the_same_as_unpacked_ones() {
    let folder = folder_with_data();
    let data = folder.path().join("data");
    let sums = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.contains("SHA-256 (")).map(Into::into).collect()
    };
    let unpacked = show(folder.path()).args(["--data", "data"]).assert().code(0);
    OFFICIAL.iter().for_each(|file| drop(pack(&data, file.name, Compression::fast())));
    let packed = show(folder.path()).args(["--data", "data"]).assert().code(0);
    let packed = packed.stdout(contains("train-images-idx3-ubyte.gz: 300 images"));
    assert_eq!(sums(stdout_of(&unpacked)).len(), 4);
    assert_eq!(sums(stdout_of(&unpacked)), sums(stdout_of(&packed)));
}

#[test]
fn packed_and_unpacked_files_may_lie_side_by_side() {
    let folder = folder_with_data();
    let data = folder.path().join("data");
    pack(&data, TRAIN_IMAGES, Compression::fast());
    pack(&data, TEST_LABELS, Compression::best());
    show(folder.path())
        .args(["--data", "data"])
        .assert()
        .code(0)
        .stdout(contains("train-images-idx3-ubyte.gz: 300 images"))
        .stdout(contains("train-labels-idx1-ubyte: 300 labels"))
        .stdout(contains("t10k-images-idx3-ubyte: 100 images"))
        .stdout(contains("t10k-labels-idx1-ubyte.gz: 100 labels"));
}

#[test]
fn where_a_file_is_there_packed_and_unpacked_the_packed_one_is_read() {
    let folder = folder_with_data();
    let data = folder.path().join("data");
    let packed = pack(&data, TEST_LABELS, Compression::fast());
    fs::write(data.join(TEST_LABELS), "not a file of labels").unwrap();
    let assert = show(folder.path()).args(["--data", "data"]).assert().code(0);
    assert.stdout(contains(format!("{}: 100 labels", crate::name_of(&packed))));
}

#[test]
fn a_gzip_file_of_several_members_is_read_to_its_end() {
    let folder = folder_with_data();
    let path = folder.path().join("data").join(TRAIN_LABELS);
    let bytes = fs::read(&path).unwrap();
    let members = [&bytes[..100], &bytes[100..]].map(|part| gzip(part, Compression::fast()));
    fs::write(path.with_extension("gz"), members.concat()).unwrap();
    fs::remove_file(path).unwrap();
    show(folder.path())
        .args(["--data", "data"])
        .assert()
        .code(0)
        .stdout(contains("train-labels-idx1-ubyte.gz: 300 labels"));
}

/// Spoils the cut data set with `spoil`, which returns the path to be named, and trains on it:
/// exit code 2, the path and each of `parts` on stderr, no file of a run.
fn training_is_refused(spoil: impl FnOnce(&Path) -> PathBuf, parts: &[&str]) {
    let folder = folder_with_data();
    let culprit = spoil(&folder.path().join("data"));
    let culprit = culprit.strip_prefix(folder.path()).unwrap().to_str().unwrap();
    let parts = [&[culprit], parts].concat();
    refused(train(folder.path(), "mlp").args(["--out", "run"]), 2, &parts);
    let left: Vec<String> = files_in(&folder.path().join("run")).into_keys().collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn a_missing_file_is_named() {
    let spoil = |data: &Path| {
        fs::remove_file(data.join(TEST_IMAGES)).unwrap();
        data.to_path_buf()
    };
    let wanted = "neither t10k-images-idx3-ubyte nor t10k-images-idx3-ubyte.gz";
    training_is_refused(spoil, &["--data data contains", wanted, "four files"]);
}

#[test]
fn a_truncated_file_is_named_with_what_it_promises_and_holds() {
    let spoil = |data: &Path| {
        change(&data.join(TRAIN_IMAGES), |bytes| bytes.truncate(16 + 1000));
        data.join(TRAIN_IMAGES)
    };
    let promised = (300 * PIXELS).to_string();
    training_is_refused(spoil, &["truncated", &promised, "1000"]);
}

#[test]
fn a_file_that_ends_inside_its_header_is_named() {
    let spoil = |data: &Path| {
        change(&data.join(TEST_LABELS), |bytes| bytes.truncate(6));
        data.join(TEST_LABELS)
    };
    training_is_refused(spoil, &["truncated", "8-byte header"]);
}

#[test]
fn trailing_bytes_are_named() {
    let spoil = |data: &Path| {
        change(&data.join(TEST_LABELS), |bytes| bytes.push(0));
        data.join(TEST_LABELS)
    };
    training_is_refused(spoil, &["trailing bytes", "100 bytes of labels"]);
}

#[test]
fn a_wrong_magic_number_is_named_with_the_right_one() {
    let spoil = |data: &Path| {
        fs::copy(data.join(TRAIN_LABELS), data.join(TRAIN_IMAGES)).unwrap();
        data.join(TRAIN_IMAGES)
    };
    training_is_refused(spoil, &["wrong magic number 0x00000801", "images", "0x00000803"]);
}

#[test]
fn images_without_their_labels_are_named_with_both_counts() {
    let spoil = |data: &Path| {
        let labels = common::first(&common::dataset().test, 99).labels;
        fs::write(data.join(TEST_LABELS), common::labels_file(&labels)).unwrap();
        data.join(TEST_LABELS)
    };
    training_is_refused(spoil, &[TEST_IMAGES, "100 images", "99 labels", "equal"]);
}

#[test]
fn a_label_without_a_name_is_refused() {
    let spoil = |data: &Path| {
        change(&data.join(TRAIN_LABELS), |bytes| bytes[8 + 17] = 10);
        data.join("classes.txt")
    };
    training_is_refused(spoil, &["has 10 class names", "the label 10"]);
}

#[test]
fn training_images_of_another_size_than_the_test_images_are_refused() {
    let spoil = |data: &Path| {
        change(&data.join(TRAIN_IMAGES), |bytes| {
            bytes[8..16].copy_from_slice(&[0, 0, 0, 14, 0, 0, 0, 56])
        });
        data.join(TRAIN_IMAGES)
    };
    training_is_refused(spoil, &["14x56", "28x28", "the same size"]);
}

#[test]
fn a_file_of_no_images_is_named() {
    let spoil = |data: &Path| {
        fs::write(data.join(TRAIN_IMAGES), common::images_file(&[])).unwrap();
        data.join(TRAIN_IMAGES)
    };
    training_is_refused(spoil, &["holds no images"]);
}

#[test]
fn an_empty_file_is_named() {
    let spoil = |data: &Path| {
        File::create(data.join(TRAIN_IMAGES)).unwrap();
        data.join(TRAIN_IMAGES)
    };
    training_is_refused(spoil, &["16-byte header"]);
}

#[test]
fn an_empty_gzip_file_is_named() {
    let spoil = |data: &Path| {
        let packed = pack(data, TRAIN_IMAGES, Compression::fast());
        File::create(&packed).unwrap();
        packed
    };
    training_is_refused(spoil, &[]);
}

#[test]
fn a_flipped_bit_in_a_gzip_file_is_noticed() {
    let spoil = |data: &Path| {
        // Stored, so that the flip changes a pixel and nothing but the checksum can tell.
        let packed = pack(data, TRAIN_IMAGES, Compression::none());
        flip_a_bit_in_the_middle(&packed);
        packed
    };
    training_is_refused(spoil, &["broken gzip file", "fetch it again"]);
}

#[test]
fn a_truncated_gzip_file_is_named() {
    let spoil = |data: &Path| {
        let packed = pack(data, TEST_IMAGES, Compression::fast());
        cut_in_half(&packed);
        packed
    };
    training_is_refused(spoil, &["broken gzip file", "fetch it again"]);
}

#[test]
fn a_gzip_file_that_is_none_is_named() {
    let spoil = |data: &Path| {
        let packed = pack(data, TRAIN_LABELS, Compression::fast());
        fs::write(&packed, "<html>Not found, but politely so.</html>").unwrap();
        packed
    };
    training_is_refused(spoil, &["a web page", "the download failed"]);
}

#[test]
fn gzip_data_are_recognized_whatever_the_name_is() {
    let folder = folder_with_data();
    let data = folder.path().join("data");
    let unpacked = fs::read(data.join(TRAIN_IMAGES)).unwrap();
    let once = gzip(&unpacked, Compression::fast());
    let twice = gzip(&once, Compression::fast());
    let sum = |command: &mut assert_cmd::Command| {
        let assert = command.args(["--data", "data"]).assert().code(0);
        stdout_of(&assert).lines().find(|line| line.contains("SHA-256 (")).map(String::from)
    };
    let expected = sum(&mut show(folder.path()));
    fs::write(data.join(TRAIN_IMAGES), once).unwrap();
    assert_eq!(sum(&mut show(folder.path())), expected);
    for content in [unpacked, twice] {
        fs::write(data.join(format!("{TRAIN_IMAGES}.gz")), content).unwrap();
        assert_eq!(sum(&mut show(folder.path())), expected);
    }
}

#[test]
fn a_folder_in_place_of_a_file_is_named() {
    let spoil = |data: &Path| {
        fs::remove_file(data.join(TRAIN_LABELS)).unwrap();
        fs::create_dir(data.join(TRAIN_LABELS)).unwrap();
        data.join(TRAIN_LABELS)
    };
    training_is_refused(spoil, &["is a folder", "IDX file"]);
}

#[test]
fn a_file_in_place_of_the_folder_is_named() {
    let spoil = |data: &Path| {
        fs::remove_dir_all(data).unwrap();
        fs::write(data, "a file").unwrap();
        data.to_path_buf()
    };
    training_is_refused(spoil, &["--data data is a file", "must be a folder"]);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let spoil = |data: &Path| {
        fs::remove_dir_all(data).unwrap();
        data.to_path_buf()
    };
    training_is_refused(spoil, &["--data data does not exist", "must be a folder"]);
}

#[test]
fn an_empty_folder_is_named() {
    let spoil = |data: &Path| {
        fs::remove_dir_all(data).unwrap();
        fs::create_dir(data).unwrap();
        data.to_path_buf()
    };
    training_is_refused(spoil, &["--data data contains neither train-images-idx3-ubyte nor"]);
}

#[test]
fn verify_finds_the_real_data_set_intact() {
    let folder = temporary_folder();
    let paths = real_paths();
    let assert = stitch(folder.path())
        .args(["data", "verify", "--data"])
        .arg(paths[0].parent().unwrap())
        .assert()
        .code(0)
        .stderr("")
        .stdout(contains("DAMAGED").not())
        .stdout(contains("These are the official files of Fashion-MNIST."));
    for path in paths {
        let line = format!("ok {}", path.display());
        assert!(stdout_of(&assert).lines().any(|l| l == line), "no line {line:?}");
    }
}

#[test]
fn verify_finds_another_data_set_well_formed() {
    let folder = folder_with_data();
    verify(folder.path()).assert().code(0).stderr("").stdout(contains("DAMAGED").not()).stdout(
        contains("Not Fashion-MNIST: none of the four checksums match the official files."),
    );
}

/// The lines that call a file damaged.
fn damaged(stdout: &str) -> Vec<&str> {
    stdout.lines().filter(|line| line.starts_with("DAMAGED ")).collect()
}

#[test]
fn verify_notices_one_changed_pixel_in_an_official_file() {
    let folder = temporary_folder();
    let data = folder.path().join("data");
    copy_real(&data);
    change_official_content(&data, TEST_IMAGES);
    let assert = verify(folder.path()).assert().code(1).stderr("");
    let lines = damaged(stdout_of(&assert));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("SHA-256") && lines[0].ends_with("data/t10k-images-idx3-ubyte"));
    assert_eq!(stdout_of(&assert).lines().filter(|line| line.starts_with("ok ")).count(), 3);
}

#[test]
fn verify_notices_a_truncated_official_file() {
    let folder = temporary_folder();
    let data = folder.path().join("data");
    copy_real(&data);
    let path = change_official_content(&data, TEST_LABELS);
    cut_in_half(&path);
    let assert = verify(folder.path()).assert().code(1).stderr("");
    let lines = damaged(stdout_of(&assert));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("data/t10k-labels-idx1-ubyte: truncated"), "{lines:?}");
    assert_eq!(stdout_of(&assert).lines().filter(|line| line.starts_with("ok ")).count(), 3);
}

#[test]
fn verify_names_every_damaged_file_not_only_the_first() {
    let folder = folder_with_data();
    let data = folder.path().join("data");
    flip_a_bit_in_the_middle(&pack(&data, TRAIN_IMAGES, Compression::none()));
    cut_in_half(&pack(&data, TEST_LABELS, Compression::fast()));
    let assert = verify(folder.path()).assert().code(1).stderr("");
    let lines = damaged(stdout_of(&assert));
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("data/train-images-idx3-ubyte.gz is a broken gzip file"));
    assert!(lines[1].contains("data/t10k-labels-idx1-ubyte.gz is a broken gzip file"));
}

#[test]
fn verify_notices_images_and_labels_that_do_not_belong_together() {
    let folder = folder_with_data();
    let labels = common::labels_file(&common::first(&common::dataset().train, 299).labels);
    fs::write(folder.path().join("data").join(TRAIN_LABELS), labels).unwrap();
    let assert = verify(folder.path()).assert().code(1).stderr("");
    let lines = damaged(stdout_of(&assert));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("300 images") && lines[0].contains("299 labels"), "{lines:?}");
}

#[test]
fn verify_of_a_folder_that_is_not_there_is_wrong_usage() {
    let folder = temporary_folder();
    refused(&mut verify(folder.path()), 2, &["--data data does not exist"]);
}
