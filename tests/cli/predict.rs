//! `stitch predict`: pictures of every kind, the answers in every form, and what is no picture.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use assert_cmd::Command;
use image::{DynamicImage, GrayImage, ImageFormat, Rgba, RgbaImage};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use stitch::dataset::{PIXELS, classes};
use stitch::models;
use stitch::run_folder::{PREDICTIONS, SAFETENSORS, STATE_DICT, TORCHSCRIPT};
use stitch::tensor_files::{npz, safetensors};
use tempfile::TempDir;

use crate::{
    TEST, cells, common, files_in, finished_run, put, refused, stderr_of, stdout_of, stitch,
    temporary_folder,
};

/// `stitch predict ARGUMENTS`.
fn predict(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = stitch(folder);
    command.arg("predict").args(arguments);
    command
}

/// Answers with exit code 0: stdout.
fn answers(folder: &Path, arguments: &[&str]) -> String {
    stdout_of(&predict(folder, arguments).assert().code(0)).to_owned()
}

/// The same as JSON.
fn json_answers(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    let arguments = [arguments, &["--json"]].concat();
    serde_json::from_str(&answers(folder, &arguments)).unwrap()
}

/// Test image `index` of the real data set.
fn test_image(index: usize) -> GrayImage {
    let pixels = common::dataset().test.images[index * PIXELS..(index + 1) * PIXELS].to_vec();
    GrayImage::from_raw(28, 28, pixels).unwrap()
}

/// Dark on a light ground, ten times as large, with a margin: as a photograph of it might be.
fn photograph(index: usize) -> GrayImage {
    let mut large = DynamicImage::from(test_image(index))
        .resize(280, 280, image::imageops::FilterType::CatmullRom)
        .into_luma8();
    image::imageops::invert(&mut large);
    let mut picture = GrayImage::from_pixel(400, 350, image::Luma([255]));
    image::imageops::replace(&mut picture, &large, 60, 35);
    picture
}

fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.into().write_to(&mut file, format).unwrap();
    file.into_inner()
}

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    encode(image, ImageFormat::Png)
}

/// A temporary folder with these files in `pictures`.
fn folder_with(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = temporary_folder();
    fs::create_dir(folder.path().join("pictures")).unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join("pictures").join(name), bytes).unwrap();
    }
    folder
}

/// A temporary folder with `picture.png`, answered as JSON.
fn answer_for(picture: &[u8]) -> Value {
    let folder = folder_with(&[("picture.png", picture.to_vec())]);
    json_answers(folder.path(), &["pictures/picture.png"]).remove(0)
}

#[test]
fn exported_test_images_get_the_answers_of_evaluate() {
    for model in ["mlp", "lenet5"] {
        let run = finished_run(model);
        let names: Vec<String> = (0..TEST).map(|index| format!("{index:03}.png")).collect();
        let files: Vec<_> =
            (0..TEST).map(|index| (names[index].as_str(), png(test_image(index)))).collect();
        let folder = folder_with(&files);
        put(run, &folder.path().join("run"));
        let wanted: Vec<String> =
            cells(run, PREDICTIONS)[1..].iter().map(|row| row[2].clone()).collect();
        for file in [STATE_DICT, SAFETENSORS, TORCHSCRIPT] {
            let found = json_answers(folder.path(), &[&format!("run/{file}"), "pictures"]);
            let labels: Vec<String> = found.iter().map(|a| a["label"].to_string()).collect();
            assert_eq!(labels, wanted, "{model} {file}");
            assert!(found.iter().all(|answer| answer["inverted"] == false));
        }
    }
}

#[test]
fn idx_images_get_the_answers_of_evaluate_packed_or_not() {
    let run = finished_run("lenet5");
    let pixels = &common::dataset().test.images[..TEST * PIXELS];
    let file = common::images_file(pixels);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&file).unwrap();
    let folder = folder_with(&[("images", file), ("images.gz", packed.finish().unwrap())]);
    put(run, &folder.path().join("run"));
    let wanted: Vec<String> =
        cells(run, PREDICTIONS)[1..].iter().map(|row| row[2].clone()).collect();
    for file in ["pictures/images", "pictures/images.gz"] {
        let found = json_answers(folder.path(), &["run/state_dict.pt", file]);
        let labels: Vec<String> = found.iter().map(|answer| answer["label"].to_string()).collect();
        assert_eq!(labels, wanted);
        // In the order asked for, back and forth.
        let flags = ["--index", "7", "--index", "3..6", "--index", "4"];
        let found =
            json_answers(folder.path(), &[&["run/state_dict.pt", file][..], &flags].concat());
        let indices: Vec<_> =
            found.iter().map(|answer| answer["index"].as_u64().unwrap()).collect();
        assert_eq!(indices, [7, 3, 4, 5, 4]);
        for answer in &found {
            let index = answer["index"].as_u64().unwrap() as usize;
            assert_eq!(answer["label"].to_string(), wanted[index]);
        }
    }
}

#[test]
fn an_index_that_is_not_there_or_no_number_is_refused() {
    let images = common::images_file(&common::dataset().test.images[..TEST * PIXELS]);
    let folder = folder_with(&[("images", images), ("a.png", png(test_image(0)))]);
    let wrong = |index: &str, file: &str, parts: &[&str]| {
        refused(&mut predict(folder.path(), &[file, "--index", index]), 2, parts);
    };
    wrong("100", "pictures/images", &["--index 100", "pictures/images has 100 images", "0 to 99"]);
    wrong("5..101", "pictures/images", &["--index 100", "0 to 99"]);
    for text in ["-1", "x", "3..3", "5..2", "..", "1..2..3", "99999999999999999999"] {
        wrong(text, "pictures/images", &["--index", "such as 7, or 0..5"]);
    }
    wrong("18446744073709551614", "pictures/images", &["--index"]);
    wrong("0", "pictures/a.png", &["--index", "IDX"]);
}

#[test]
fn a_picture_on_a_light_ground_is_inverted_and_that_is_said() {
    let folder = folder_with(&[("boot.png", png(photograph(0)))]);
    let assert = predict(folder.path(), &["pictures/boot.png"]).assert().code(0);
    assert!(stdout_of(&assert).starts_with("pictures/boot.png: Ankle boot 0."), "{assert}");
    let note = stderr_of(&assert);
    assert!(note.contains("pictures/boot.png") && note.contains("inverted"), "{note}");
    assert_eq!(json_answers(folder.path(), &["pictures/boot.png"])[0]["inverted"], true);
    predict(folder.path(), &["pictures", "--quiet"]).assert().code(0).stderr("");
    let mut kept = predict(folder.path(), &["pictures/boot.png", "--no-invert"]);
    let said =
        "note: preprocessed pictures/boot.png like Fashion-MNIST (cropped, scaled, centered)\n";
    kept.assert().code(0).stderr(said).stdout(contains("Ankle boot 0.9").not());
}

#[test]
fn pictures_of_the_test_images_are_known_as_well_as_the_test_images() {
    let count = 200;
    let right = |picture: &dyn Fn(usize) -> GrayImage| {
        let names: Vec<String> = (0..count).map(|index| format!("{index:03}.png")).collect();
        let files: Vec<_> = (0..count).map(|i| (names[i].as_str(), png(picture(i)))).collect();
        let folder = folder_with(&files);
        let found = json_answers(folder.path(), &["pictures", "--quiet"]);
        let labels = found.iter().map(|answer| answer["label"].as_u64().unwrap() as u8);
        labels.zip(&common::dataset().test.labels).filter(|(found, truth)| found == *truth).count()
    };
    let as_they_are = right(&test_image);
    assert!(as_they_are > count * 85 / 100, "{as_they_are}");
    for ground in [255, 180] {
        let grey = |index| {
            let mut picture = photograph(index);
            let value = |value: u8| (u32::from(value) * ground / 255) as u8;
            picture.iter_mut().for_each(|pixel| *pixel = value(*pixel));
            picture
        };
        let known = right(&grey);
        assert!(known.abs_diff(as_they_are) <= 4, "{known} on {ground}, {as_they_are} as they are");
    }
}

#[test]
fn a_negative_of_a_test_image_gets_the_answer_of_the_test_image() {
    let mut negative = test_image(5);
    image::imageops::invert(&mut negative);
    let [a, b] = [test_image(5), negative].map(|image| answer_for(&png(image)));
    assert_eq!((&a["inverted"], &b["inverted"]), (&Value::Bool(false), &Value::Bool(true)));
    assert_eq!(a["probabilities"], b["probabilities"]);
}

#[test]
fn every_format_and_pixel_type_of_a_test_image_gets_its_answer() {
    let wanted = answer_for(&png(test_image(0)))["probabilities"].clone();
    let grey = DynamicImage::from(test_image(0));
    let rgb = || DynamicImage::from(grey.to_rgb8());
    let exact = [
        png(grey.to_rgb8()),
        png(grey.to_rgba8()),
        png(grey.to_luma16()),
        png(grey.to_rgba16()),
        encode(rgb(), ImageFormat::Bmp),
        encode(rgb(), ImageFormat::WebP),
    ];
    for file in &exact {
        // The name says PNG throughout: it does not matter.
        assert_eq!(answer_for(file)["probabilities"], wanted, "{:?}", &file[..12]);
    }
    for lossy in [ImageFormat::Gif, ImageFormat::Jpeg] {
        assert_eq!(answer_for(&encode(rgb(), lossy))["class"], "Ankle boot", "{lossy:?}");
    }
}

#[test]
fn a_cut_out_shape_shows_the_ground() {
    let boot = DynamicImage::from(photograph(0)).into_luma8();
    let cut_out = RgbaImage::from_fn(boot.width(), boot.height(), |x, y| {
        let value = boot.get_pixel(x, y)[0];
        Rgba([30, 10, 0, 255 - value])
    });
    assert_eq!(answer_for(&png(cut_out))["class"], "Ankle boot");
}

/// A JPEG with the EXIF note that it must be turned.
fn turned_jpeg(image: GrayImage, orientation: u8) -> Vec<u8> {
    let jpeg = encode(image, ImageFormat::Jpeg);
    let tiff =
        [b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation], &[0; 6]];
    let exif = [b"Exif\0\0".as_slice(), &tiff.concat()].concat();
    let length = (exif.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

#[test]
fn a_jpeg_is_turned_as_the_camera_noted() {
    let lying = image::imageops::rotate270(&photograph(0));
    let right = answer_for(&turned_jpeg(lying.clone(), 6));
    assert_eq!(right["class"], "Ankle boot");
    let upright = answer_for(&encode(photograph(0), ImageFormat::Jpeg));
    assert_eq!(right["class"], upright["class"]);
    assert!(answer_for(&turned_jpeg(lying, 1))["probabilities"] != right["probabilities"]);
}

#[test]
fn odd_sizes_are_answered() {
    for (width, height) in [(1, 1), (3000, 10), (10, 3000), (28, 27), (1, 28)] {
        for value in [0, 128, 255] {
            let image = GrayImage::from_pixel(width, height, image::Luma([value]));
            assert_eq!(answer_for(&png(image))["top"].as_array().unwrap().len(), 3);
        }
    }
}

#[test]
fn a_broken_picture_is_named_and_the_others_are_answered() {
    let files = [
        ("a.png", png(test_image(0))),
        ("b.png", b"no picture".to_vec()),
        ("c.png", Vec::new()),
        ("d.png", png(test_image(1))),
    ];
    let folder = folder_with(&files);
    let arguments =
        ["pictures/a.png", "pictures/b.png", "pictures/c.png", "nowhere.png", "pictures/d.png"];
    let assert = predict(folder.path(), &arguments).assert().code(1);
    let names: Vec<_> = stdout_of(&assert).lines().map(|l| l.split(':').next().unwrap()).collect();
    assert_eq!(names, ["pictures/a.png", "pictures/d.png"]);
    let errors: Vec<&str> = stderr_of(&assert).lines().collect();
    assert!(errors[0].starts_with("error: pictures/b.png: not an image that can be read: PNG"));
    assert_eq!(errors[1], "error: pictures/c.png: it is empty");
    assert!(errors[2].starts_with("error: nowhere.png: "), "{errors:?}");
    assert_eq!(errors.len(), 3);
    // The same in a folder, and in JSON.
    let assert = predict(folder.path(), &["pictures", "--json", "--quiet"]).assert().code(1);
    let found: Vec<Value> = serde_json::from_str(stdout_of(&assert)).unwrap();
    assert_eq!(found.len(), 2);
    // Where none can be read, there is no result.
    let assert = predict(folder.path(), &["pictures/b.png", "--json"]).assert().code(2);
    let failure: Value = serde_json::from_str(stdout_of(&assert)).unwrap();
    assert_eq!(failure["exit_code"], 2);
    refused(&mut predict(folder.path(), &["nowhere.png"]), 2, &["nowhere.png: No such file"]);
    let both = ["pictures/b.png", "nowhere.png"];
    refused(&mut predict(folder.path(), &both), 2, &["none of the 2 images can be read"]);
}

#[test]
fn pictures_in_a_folder_are_answered_by_name_and_the_rest_is_passed_over() {
    let files = [
        ("b.PNG", png(test_image(0))),
        ("a.jpeg", encode(photograph(1), ImageFormat::Jpeg)),
        ("without ending", png(test_image(2))),
        ("notes.txt", b"notes".to_vec()),
        (".hidden.png", png(test_image(3))),
    ];
    let folder = folder_with(&files);
    fs::create_dir(folder.path().join("pictures/below.png")).unwrap();
    let out = answers(folder.path(), &["pictures"]);
    let names: Vec<_> = out.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(names, ["pictures/a.jpeg", "pictures/b.PNG", "pictures/without ending"]);
}

#[test]
fn an_empty_folder_is_named() {
    let folder = folder_with(&[]);
    refused(&mut predict(folder.path(), &["pictures"]), 2, &["pictures", "contains no image"]);
}

#[test]
fn as_many_classes_are_shown_as_asked_for() {
    let folder = folder_with(&[("a.png", png(test_image(0)))]);
    for (flags, count) in [(&[][..], 3), (&["--top-k", "1"], 1), (&["--top-k", "10"], 10)] {
        let out = answers(folder.path(), &[&["pictures/a.png"], flags].concat());
        assert_eq!(out.lines().count(), 1);
        assert_eq!(out.split(", ").count(), count, "{out}");
    }
    for wrong in ["0", "11", "-1", "x"] {
        let arguments = ["pictures/a.png", "--top-k", wrong];
        refused(&mut predict(folder.path(), &arguments), 2, &["--top-k", wrong]);
    }
}

#[test]
fn json_has_the_top_classes_and_ten_probabilities_that_sum_to_one() {
    let folder = folder_with(&[("a \"b\".png", png(test_image(0))), ("c.png", png(test_image(1)))]);
    let found = json_answers(folder.path(), &["pictures", "--top-k", "2"]);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["file"], "pictures/a \"b\".png");
    for answer in &found {
        let probabilities: Vec<f64> =
            serde_json::from_value(answer["probabilities"].clone()).unwrap();
        assert_eq!(probabilities.len(), 10);
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let top = answer["top"].as_array().unwrap();
        assert_eq!(top.len(), 2);
        assert_eq!(top[0]["label"], answer["label"]);
        let label = answer["label"].as_u64().unwrap() as usize;
        assert_eq!(top[0]["probability"], probabilities[label]);
        assert_eq!(answer["class"], classes::NAMES[label]);
        assert!(probabilities.iter().all(|&p| p <= probabilities[label]));
        assert_eq!(answer["index"], Value::Null);
    }
}

#[test]
fn csv_has_a_row_for_each_class_shown() {
    let folder = folder_with(&[("a, b.png", png(test_image(0)))]);
    let out = answers(folder.path(), &["pictures", "--csv", "--top-k", "2"]);
    let mut reader = csv::Reader::from_reader(out.as_bytes());
    let header = ["file", "index", "rank", "label", "class", "probability"];
    assert_eq!(reader.headers().unwrap(), &header[..]);
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        rows[0].iter().take(5).collect::<Vec<_>>(),
        ["pictures/a, b.png", "", "1", "9", "Ankle boot"]
    );
    assert_eq!(&rows[1][2], "2");
    let both = predict(folder.path(), &["pictures", "--csv", "--json"]).assert().code(2);
    both.stderr(contains("--csv").and(contains("--json")));
}

#[test]
fn what_the_model_saw_is_saved_and_gets_the_same_answers() {
    let folder = folder_with(&[
        ("a.png", png(photograph(0))),
        ("a.bmp", encode(photograph(2), ImageFormat::Bmp)),
    ]);
    fs::write(folder.path().join("A.png"), png(test_image(1))).unwrap();
    let images = common::images_file(&common::dataset().test.images[..3 * PIXELS]);
    fs::write(folder.path().join("images"), images).unwrap();
    let arguments =
        ["pictures", "A.png", "images", "--index", "2", "--index", "2", "--save-input", "new/seen"];
    let seen = json_answers(folder.path(), &arguments);
    let saved = files_in(&folder.path().join("new/seen"));
    let names: Vec<_> = saved.keys().collect();
    assert_eq!(names, ["A-3.png", "a-2.png", "a.png", "images-2-2.png", "images-2.png"]);
    assert!(saved["images-2.png"] == saved["images-2-2.png"]);
    let pixels = image::load_from_memory(&saved["images-2.png"]).unwrap();
    assert_eq!(pixels.into_luma8(), test_image(2));
    for (name, i) in [("a.png", 0), ("a-2.png", 1), ("A-3.png", 2), ("images-2.png", 3)] {
        let again = json_answers(folder.path(), &[&format!("new/seen/{name}")]);
        assert_eq!(again[0]["label"], seen[i]["label"], "{name}");
        // A batch of one is added up in another order.
        let [a, b] = [&again[0], &seen[i]].map(|answer| answer["top"][0]["probability"].as_f64());
        assert!((a.unwrap() - b.unwrap()).abs() < 1e-5, "{name}");
    }
    // Again: the same files.
    predict(folder.path(), &arguments).assert().code(0);
    assert!(files_in(&folder.path().join("new/seen")) == saved);
}

#[test]
fn a_picture_that_is_there_is_not_overwritten() {
    let picture = png(photograph(0));
    let folder = folder_with(&[("a.png", picture.clone())]);
    let arguments = ["pictures/a.png", "--save-input", "pictures"];
    refused(&mut predict(folder.path(), &arguments), 2, &["pictures/a.png", "another folder"]);
    assert!(files_in(&folder.path().join("pictures"))["a.png"] == picture);
    let arguments = ["pictures/a.png", "--save-input", "pictures/a.png"];
    refused(&mut predict(folder.path(), &arguments), 2, &["--save-input pictures/a.png"]);
}

#[test]
fn weights_that_cannot_be_used_are_refused_and_not_replaced_by_the_shipped_ones() {
    let folder = folder_with(&[("a.png", png(test_image(0))), ("b.pt", b"no weights".to_vec())]);
    let run = finished_run("lenet5");
    put(run, &folder.path().join("run"));
    let state_dict = &run[STATE_DICT];
    fs::write(folder.path().join("half.pt"), &state_dict[..state_dict.len() / 2]).unwrap();
    let wrong = |file: &str, parts: &[&str]| {
        refused(&mut predict(folder.path(), &[file, "pictures/a.png"]), 2, parts);
    };
    wrong("nowhere.pt", &["nowhere.pt cannot be read"]);
    wrong("pictures/b.pt", &["pictures/b.pt", "not a file of tensors"]);
    wrong("half.pt", &["half.pt", "damaged"]);
    for foreign in ["b.PT", "b.onnx"] {
        fs::copy(folder.path().join("pictures/b.pt"), folder.path().join(foreign)).unwrap();
        wrong(foreign, &[foreign, "not a file of tensors"]);
    }
    let mlp = ["run/state_dict.pt", "pictures/a.png", "--model", "mlp"];
    refused(
        &mut predict(folder.path(), &mlp),
        2,
        &["conv1.weight", "none of which is a tensor of mlp"],
    );
    refused(&mut predict(folder.path(), &["run/state_dict.pt"]), 2, &["give an image"]);
    let late = ["pictures/a.png", "run/state_dict.pt"];
    let assert = predict(folder.path(), &late).assert().code(1);
    assert!(stderr_of(&assert).contains("is a weights file, not an image"), "{assert}");
    refused(&mut predict(folder.path(), &[]), 2, &["<IMAGE>"]);
}

#[test]
fn what_is_no_picture_is_named_wherever_it_stands_and_the_others_are_answered() {
    let state_dict = &finished_run("lenet5")[STATE_DICT];
    let files = [
        ("empty.png", Vec::new()),
        ("empty", Vec::new()),
        ("zip.png", b"PK\x03\x04 something else".to_vec()),
        ("photos.zip", b"PK\x05\x06".iter().copied().chain([0; 18]).collect()),
        ("half", state_dict[..state_dict.len() / 2].to_vec()),
        ("brace.png", b"{\"a\": 1}".to_vec()),
    ];
    let folder = folder_with(&files);
    fs::write(folder.path().join("shoe.png"), png(test_image(0))).unwrap();
    for (name, _) in files {
        let path = format!("pictures/{name}");
        for order in [[path.as_str(), "shoe.png"], ["shoe.png", path.as_str()]] {
            let assert = predict(folder.path(), &order).assert().code(1);
            assert!(stdout_of(&assert).starts_with("shoe.png: "), "{order:?}: {assert}");
            assert_eq!(stdout_of(&assert).lines().count(), 1, "{order:?}: {assert}");
            let error = format!("error: {path}: ");
            assert!(stderr_of(&assert).starts_with(&error), "{order:?}: {assert}");
        }
    }
}

#[test]
fn the_weights_file_is_told_by_its_content() {
    let folder = folder_with(&[("a.png", png(test_image(0)))]);
    let file = folder.path().join("weights.png");
    for name in [STATE_DICT, SAFETENSORS] {
        fs::write(&file, &finished_run("mlp")[name]).unwrap();
        let out = answers(folder.path(), &["weights.png", "pictures/a.png"]);
        assert_eq!(out.lines().count(), 1);
    }
    let tensors = stitch::tensor_files::read_weights(&finished_run("mlp")[STATE_DICT]).unwrap();
    fs::write(&file, npz::write(&tensors).unwrap()).unwrap();
    assert_eq!(answers(folder.path(), &["weights.png", "pictures/a.png"]).lines().count(), 1);
    // A GIF of height 123 has a brace where safetensors files have theirs.
    let gif = encode(DynamicImage::new_rgb8(50, 123), ImageFormat::Gif);
    assert_eq!(gif[8], b'{');
    fs::write(&file, gif).unwrap();
    assert_eq!(answers(folder.path(), &["weights.png", "pictures/a.png"]).lines().count(), 2);
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    let folder = folder_with(&[("a.png", png(test_image(0)))]);
    let mut tensors = stitch::tensor_files::read_weights(&finished_run("mlp")[STATE_DICT]).unwrap();
    tensors[3].data[..8].copy_from_slice(&f64::NAN.to_le_bytes());
    let file = safetensors::write(&tensors, &Default::default()).unwrap();
    fs::write(folder.path().join("nan.safetensors"), file).unwrap();
    let arguments = ["nan.safetensors", "pictures/a.png"];
    refused(&mut predict(folder.path(), &arguments), 2, &["pictures/a.png", "NaN or infinite"]);
}

/// Each of `files` is refused as a picture, with a sentence and without a panic.
fn are_no_pictures(files: Vec<(String, Vec<u8>)>) {
    let files: Vec<_> = files.iter().map(|(name, bytes)| (&name[..], bytes.clone())).collect();
    let folder = folder_with(&files);
    let assert = predict(folder.path(), &["pictures"]).assert().code(2).stdout("");
    let mut errors: Vec<&str> = stderr_of(&assert).lines().collect();
    assert!(errors.pop().unwrap().contains("images can be read"), "{errors:#?}");
    assert_eq!(errors.len(), files.len(), "{errors:#?}");
    assert!(errors.iter().all(|error| error.starts_with("error: pictures/")), "{errors:#?}");
}

#[test]
fn truncated_pictures_are_refused() {
    let picture =
        DynamicImage::from(photograph(0)).resize(90, 70, image::imageops::FilterType::Nearest);
    let formats = [
        ("png", ImageFormat::Png),
        ("jpg", ImageFormat::Jpeg),
        ("bmp", ImageFormat::Bmp),
        ("gif", ImageFormat::Gif),
        ("webp", ImageFormat::WebP),
    ];
    let mut files = Vec::new();
    for (ending, format) in formats {
        let whole = encode(picture.to_rgb8(), format);
        // The last bytes may be an end mark that nothing depends on.
        for part in 0..60 {
            let length = (whole.len() - 13) * part / 60;
            files.push((format!("{part}.{ending}"), whole[..length].to_vec()));
        }
        files.push((format!("almost.{ending}"), whole[..whole.len() - 13].to_vec()));
    }
    are_no_pictures(files);
}

/// A PNG that claims this size and holds next to nothing.
fn png_that_claims(width: u32, height: u32) -> Vec<u8> {
    let mut file = png(GrayImage::new(1, 1));
    file[16..20].copy_from_slice(&width.to_be_bytes());
    file[20..24].copy_from_slice(&height.to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&file[12..29]);
    file[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    file
}

#[test]
fn huge_pictures_are_refused_by_their_size() {
    let mut bmp = encode(DynamicImage::new_rgb8(1, 1), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&2_000_000_000u32.to_le_bytes());
    let mut gif = encode(DynamicImage::new_rgb8(1, 1), ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0xff; 4]);
    let files = vec![
        ("a.png".into(), png_that_claims(0x7fff_ffff, 0x7fff_ffff)),
        ("b.png".into(), png_that_claims(32_768, 32_768)),
        ("c.png".into(), png_that_claims(32_769, 1)),
        ("d.png".into(), png_that_claims(0, 0)),
        ("e.bmp".into(), bmp),
        ("f.gif".into(), gif),
    ];
    are_no_pictures(files);
    let folder = folder_with(&[("b.png", png_that_claims(32_768, 32_768))]);
    let parts = ["pictures/b.png", "too large", "32768 pixels per side", "512 MiB"];
    refused(&mut predict(folder.path(), &["pictures/b.png"]), 2, &parts);
}

#[test]
fn an_idx_file_that_ends_early_or_is_of_labels_is_named_once() {
    let whole = common::images_file(&common::dataset().test.images[..5 * PIXELS]);
    let half = whole[..16 + 2 * PIXELS + 100].to_vec();
    let folder = folder_with(&[
        ("half", half),
        ("labels", common::labels_file(&[7; 100])),
        ("a.png", png(test_image(0))),
    ]);
    let arguments = ["pictures/half", "pictures/labels", "pictures/a.png"];
    let assert = predict(folder.path(), &arguments).assert().code(1);
    assert_eq!(stdout_of(&assert).lines().count(), 3);
    let errors: Vec<&str> = stderr_of(&assert).lines().collect();
    assert!(errors[0].starts_with("error: pictures/half[2]: ") && errors[0].contains("truncated"));
    assert!(errors[1].starts_with("error: pictures/labels: wrong magic number"), "{errors:?}");
    assert_eq!(errors.len(), 2);
}

#[test]
fn the_mlp_is_built_in_too() {
    let folder = folder_with(&[("a.png", png(test_image(0)))]);
    let built_in = |model: &str| {
        json_answers(folder.path(), &["pictures/a.png", "--model", model])[0]["probabilities"]
            .clone()
    };
    let shipped = |model: &str| {
        let file = common::root().join("models").join(model).join(STATE_DICT);
        json_answers(folder.path(), &[file.to_str().unwrap(), "pictures/a.png"])[0]["probabilities"]
            .clone()
    };
    for model in models::shipped() {
        assert_eq!(built_in(model.name), shipped(model.name));
    }
    assert!(built_in("mlp") != built_in("lenet5"));
}
