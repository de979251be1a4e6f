//! Imported data sets: Parquet files that pyarrow wrote (`tests/hub`), and input that cannot be imported.

#![cfg(feature = "import")]

use std::fs;
use std::path::Path;

use fashion_mnist::import::{self, Form, ImportError, Imported, ImportedHalf, Options};
use fashion_mnist::{ImageShape, picture, source};
use proptest::prelude::*;
use tempfile::TempDir;
use tensor_files::{Dtype, NamedTensor, npz};

fn read(from: &Path, options: &Options) -> Result<Imported, ImportError> {
    import::read(from, options, &mut |_| {})
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn put(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The import fails, and the message has these parts.
fn refused_with(from: &Path, options: &Options, parts: &[&str]) {
    let message = read(from, options).map(|_| ()).unwrap_err().to_string();
    assert!(parts.iter().all(|part| message.contains(part)), "{parts:?}: {message}");
}

fn refused(from: &Path, parts: &[&str]) {
    refused_with(from, &Options::default(), parts);
}

fn hub() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hub"))
}

#[test]
fn parquet_of_the_hub_has_its_pixels_labels_and_names() {
    let imported = read(hub(), &Options::default()).unwrap();
    assert_eq!(imported.form, Form::Parquet);
    assert_eq!(imported.shape, ImageShape { channels: 3, height: 4, width: 5 });
    assert_eq!(imported.classes.unwrap().names(), ["cat", "dog", "maple tree"]);
    for (half, images) in imported.halves.iter().zip([0..13, 13..19]) {
        let pixel =
            |i: usize, p: usize| (31 * i + 7 * (p / 15) + 3 * (p / 3 % 5) + 50 * (p % 3)) as u8;
        let pixels: Vec<u8> =
            images.clone().flat_map(|i| (0..60).map(move |p| pixel(i, p))).collect();
        assert!(half.pixels == pixels);
        assert_eq!(half.labels, images.map(|i| (i % 3) as u8).collect::<Vec<_>>());
    }
    let coarse = Options { label: Some("coarse".into()), ..Options::default() };
    let imported = read(hub(), &coarse).unwrap();
    assert_eq!((imported.halves[1].labels[..3].to_vec(), imported.classes), (vec![1, 0, 1], None));
    let none = Options { label: Some("fine".into()), ..Options::default() };
    refused_with(hub(), &none, &["no column `fine`", "image.bytes, image.path, label, coarse"]);
}

#[test]
fn parquet_needs_all_of_its_files_and_a_test_half() {
    let folder = folder();
    let copy =
        |name: &str| fs::copy(hub().join("data").join(name), folder.path().join(name)).unwrap();
    let [first, second] = [0, 1].map(|i| format!("train-0000{i}-of-00002.parquet"));
    copy(&first);
    refused(folder.path(), &[&first, "one of 00002 files, but 1 are there"]);
    copy(&second);
    refused(folder.path(), &["no test half"]);
    let last = Options { test_last: Some(4), ..Options::default() };
    let labels = read(folder.path(), &last).unwrap().halves.map(|half| half.labels.len());
    assert_eq!(labels, [9, 4]);
    let too_many = Options { test_last: Some(13), ..Options::default() };
    refused_with(folder.path(), &too_many, &["13 of 13 training images"]);
    refused_with(hub(), &last, &["has a test half"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn a_damaged_parquet_file_is_read_or_refused(
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        file in prop::sample::select(vec!["train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"]),
    ) {
        let mut bytes = fs::read(hub().join(format!("data/{file}.parquet"))).unwrap();
        for (at, byte) in damages {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let folder = folder();
        put(folder.path(), "any", bytes);
        if let Err(error) = read(&folder.path().join("any"), &Options { test_last: Some(1), ..Options::default() }) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

/// A table with one row, of 2x2 pixels.
fn csv(header: &str, row: &str) -> TempDir {
    let folder = folder();
    put(folder.path(), "train.csv", format!("{header}\n0,1,2,3,4\n{row}\n"));
    put(folder.path(), "test.csv", "label,p0,p1,p2,p3\n1,5,6,7,8\n");
    folder
}

#[test]
fn tables_are_read_with_the_label_in_any_column_and_without_a_header() {
    let pixels = |folder: TempDir| {
        let [train, test] = read(folder.path(), &Options::default()).unwrap().halves;
        (train.pixels, train.labels, test.pixels)
    };
    let expected = (vec![1, 2, 3, 4, 255, 0, 9, 9], vec![0, 7], vec![5, 6, 7, 8]);
    assert_eq!(pixels(csv("label,1x1,1x2,2x1,2x2", "7,255,0, 9,9")), expected);
    assert_eq!(
        pixels(csv("\u{feff}Label,pixel8,pixel9,pixel10,pixel11\r", "7,255,0,9,9\r")),
        expected
    );
    let folder = csv("0,1,2,3,4", "1,5,6,7,8");
    let imported = read(folder.path(), &Options::default()).unwrap();
    assert_eq!(imported.halves[0].labels, [0, 0, 1]);
    assert!(imported.notes[0].contains("has no header"), "{:?}", imported.notes);
    let last = Options { label: Some("p3".into()), size: Some((4, 1)), ..Options::default() };
    let folder = csv("p0,p1,p2,x,p3", "1,5,6,7,8");
    refused_with(folder.path(), &last, &["the column `x` is neither the label nor a pixel"]);
}

#[test]
fn tables_that_are_not_images_are_refused_with_file_and_line() {
    let header = "label,p0,p1,p2,p3";
    let wrong: [(&str, &str, &[&str]); 12] = [
        (header, "256,1,2,3,4", &["train.csv, line 3", "the label is 256", "0 to 255"]),
        (header, "-1,1,2,3,4", &["line 3", "the label is -1"]),
        (header, "1.0,1,2,3,4", &["line 3", "the label is 1.0"]),
        (header, ",1,2,3,4", &["line 3", "the label is empty"]),
        (header, "1,1,2,3,256", &["line 3", "a pixel is 256", "0 to 255"]),
        (header, "1,1,0.5,3,4", &["line 3", "a pixel is 0.5"]),
        (header, "1,1,2,3", &["line 3", "4 cells, where the first line has 5"]),
        (header, "1,1,2,3,4,5", &["line 3", "6 cells"]),
        ("label,p0,p1,p2,p2", "1,1,2,3,4", &["`p2` follows `p2`", "in order"]),
        ("label,p0,p1,p10,p2", "1,1,2,3,4", &["`p2` follows `p10`"]),
        ("class,p0,p1,p2,p3", "1,1,2,3,4", &["train.csv", "no column `label`"]),
        ("label,p0,p1,p2", "1,1,2,3", &["train.csv has 3 pixel columns", "a square number"]),
    ];
    for (header, row, parts) in wrong {
        refused(csv(header, row).path(), parts);
    }
    let folder = csv(header, "1,1,2,3,4");
    let size = Options { size: Some((2, 3)), ..Options::default() };
    refused_with(folder.path(), &size, &["4 pixel columns", "2x3 is 6"]);
    put(folder.path(), "test.csv", "p0,p1,p2,p3\n1,2,3,4\n");
    refused(folder.path(), &["test.csv has no labels"]);
    let last = Options { test_last: Some(1), ..Options::default() };
    let imported = read(folder.path(), &last).unwrap();
    assert_eq!(imported.halves.map(|half| half.labels), [vec![0], vec![1]]);
    assert!(imported.notes[0].contains("not imported: it has no labels"), "{:?}", imported.notes);
    put(folder.path(), "test.csv", "label,p0\n1,2\n");
    refused(folder.path(), &["2x2 pixels", "test.csv, line 2", "1x1 pixels"]);
    put(folder.path(), "test.csv", "label,p0,p1,p2,p3\n");
    refused(folder.path(), &["no test images"]);
    put(folder.path(), "train_more.csv", "label,p0,p1,p2,p3\n");
    refused(folder.path(), &["train.csv, train_more.csv are several files for the same half"]);
}

fn array(name: &str, dtype: Dtype, shape: &[usize]) -> NamedTensor {
    let data = vec![0; shape.iter().product::<usize>() * dtype.size()];
    NamedTensor { name: name.into(), dtype, shape: shape.to_vec(), data }
}

#[test]
fn arrays_of_another_type_or_shape_are_refused() {
    let good = [
        array("x_train", Dtype::U8, &[3, 4, 5]),
        array("y_train", Dtype::I64, &[3, 1]),
        array("x_test", Dtype::U8, &[2, 4, 5]),
        array("y_test", Dtype::U8, &[2]),
    ];
    let folder = folder();
    let with = |i: usize, other: NamedTensor| {
        let mut arrays = good.clone();
        arrays[i] = other;
        put(folder.path(), "a", npz::write(&arrays).unwrap());
        read(&folder.path().join("a"), &Options::default())
    };
    let labels = |values: [i64; 3]| NamedTensor {
        data: values.map(i64::to_le_bytes).concat(),
        ..array("y_train", Dtype::I64, &[3])
    };
    assert_eq!(with(1, labels([255, 0, 1])).unwrap().halves[0].labels, [255, 0, 1]);
    let wrong: [(usize, NamedTensor, &[&str]); 9] = [
        (0, array("x_train", Dtype::F32, &[3, 4, 5]), &["x_train", "float32", "uint8"]),
        (
            0,
            array("x_train", Dtype::U8, &[3, 4]),
            &["x_train has the shape [3, 4]", "(N, H, W, C)"],
        ),
        (0, array("x_train", Dtype::U8, &[3, 3, 4, 5]), &["[3, 3, 4, 5]", "(N, H, W, C)"]),
        (0, array("x_train", Dtype::U8, &[2, 4, 5]), &["as many images as y_train has labels, 3"]),
        (0, array("x_train", Dtype::U8, &[3, 4, 0]), &["1 to 4096 pixels per side"]),
        (1, array("y_train", Dtype::F64, &[3]), &["y_train", "float64", "integers"]),
        (1, array("y_train", Dtype::U8, &[3, 10]), &["y_train", "[3, 10]", "(N, 1)"]),
        (1, labels([0, 256, 1]), &["y_train[1]", "above 255"]),
        (1, labels([0, 1, -1]), &["y_train[2]", "negative"]),
    ];
    for (i, other, parts) in wrong {
        let message = with(i, other).map(|_| ()).unwrap_err().to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{parts:?}: {message}");
    }
    put(folder.path(), "a", npz::write(&good[..2]).unwrap());
    refused(&folder.path().join("a"), &["has no test half"]);
    put(folder.path(), "a", npz::write(&good[1..]).unwrap());
    refused(&folder.path().join("a"), &["x_train", "it has y_train, x_test, y_test"]);
    let mut bytes = npz::write(&good).unwrap();
    // An element of x_train, whose data come first: the checksum is that of another.
    bytes[200] ^= 1;
    put(folder.path(), "a", bytes);
    refused(&folder.path().join("a"), &["a cannot be read"]);
}

/// A grey image of this size, as PNG.
fn png(height: usize, width: usize, value: u8) -> Vec<u8> {
    let shape = ImageShape { channels: 1, height, width };
    picture::to_png(&vec![value; shape.bytes()], shape).unwrap()
}

/// Class folders with one image of 2x3 pixels each.
fn class_folders() -> TempDir {
    let folder = folder();
    for (i, path) in ["train/cat/0", "train/dog/0", "test/cat/0", "test/dog/0"].iter().enumerate() {
        put(folder.path(), &format!("{path}.png"), png(2, 3, i as u8));
    }
    folder
}

#[test]
fn class_folders_that_are_not_those_of_one_data_set_are_refused() {
    let folder = class_folders();
    let path = folder.path();
    assert_eq!(read(path, &Options::default()).unwrap().halves.map(|half| half.pixels[5]), [0, 2]);
    put(path, "train/dog/1.png", png(3, 3, 0));
    refused(path, &["train/cat/0.png has 2x3 pixels", "train/dog/1.png has 3x3 pixels"]);
    fs::remove_file(path.join("train/dog/1.png")).unwrap();
    fs::create_dir(path.join("train/empty")).unwrap();
    refused(path, &["train/empty: it contains no images"]);
    fs::remove_dir(path.join("train/empty")).unwrap();
    put(path, "test/Cat/0.png", png(2, 3, 0));
    refused(path, &["test/Cat: ", "has no class of this name, but cat"]);
    // Two classes, like a and A.
    put(path, "train/Cat/0.png", png(2, 3, 0));
    let imported = read(path, &Options::default()).unwrap();
    assert_eq!(imported.classes.unwrap().names(), ["Cat", "cat", "dog"]);
    fs::remove_dir_all(path.join("test/dog")).unwrap();
    let imported = read(path, &Options::default()).unwrap();
    assert_eq!(
        (imported.notes, imported.halves[1].labels.clone()),
        (vec!["the test half has no images of dog".into()], vec![0, 1])
    );
    fs::rename(path.join("train/dog"), path.join("train/ dog")).unwrap();
    refused(path, &["class names must not start or end with a space"]);
    fs::rename(path.join("train/ dog"), path.join("train/a\nb")).unwrap();
    refused(path, &["class names of", "is not a name"]);
    fs::remove_dir_all(path.join("test")).unwrap();
    refused(path, &["has class folders, but there is no test half"]);
}

#[test]
fn the_last_images_of_each_class_become_the_test_half() {
    for (from, half) in [("flat", ""), ("halves", "train/")] {
        let folder = folder();
        let counts = [("a", 5), ("b", 2), ("c", 1), ("d", 4)];
        for (label, (class, count)) in (0..).zip(counts) {
            for i in 0..count {
                let path = format!("{from}/{half}{class}/{i}.png");
                put(folder.path(), &path, png(2, 3, 10 * label + i));
            }
        }
        let path = folder.path().join(from);
        refused(&path, &["has class folders, but there is no test half"]);
        let with = |n: usize| {
            let options = Options { test_last: Some(n), ..Options::default() };
            read(&path, &options).map(|it| it.halves.map(|half| (first_pixels(&half), half.labels)))
        };
        let [train, test] = with(6).unwrap();
        assert_eq!(train, (vec![0, 1, 2, 10, 30, 31], vec![0, 0, 0, 1, 3, 3]));
        assert_eq!(test, (vec![3, 4, 11, 20, 32, 33], vec![0, 0, 1, 2, 3, 3]));
        for n in 1..12 {
            assert_eq!(with(n).unwrap().map(|(_, labels)| labels.len()), [12 - n, n]);
        }
        assert!(matches!(with(12), Err(ImportError::TestLast { asked: 12, images: 12 })));
    }
}

/// The first pixel of each image of 2x3 pixels.
fn first_pixels(half: &ImportedHalf) -> Vec<u8> {
    half.pixels.iter().step_by(6).copied().collect()
}

#[test]
fn what_cannot_be_read_is_listed_or_left_out() {
    let folder = class_folders();
    let path = folder.path();
    let whole = picture::to_png(&vec![9; 784], ImageShape::FASHION_MNIST).unwrap();
    put(path, "train/cat/1.png", &whole[..whole.len() - 20]);
    put(path, "train/cat/2.jpg", "<html>");
    put(path, "test/dog/3.TIFF", "II*\0");
    put(path, "test/dog/notes.txt", "no image");
    put(path, "test/dog/image", png(2, 3, 0));
    let Err(ImportError::Unreadable(unreadable)) = read(path, &Options::default()) else {
        panic!()
    };
    let names = |of: &[import::Unreadable]| -> Vec<_> {
        of.iter().map(|it| it.file.rsplit('/').next().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&unreadable), ["1.png", "2.jpg", "3.TIFF"]);
    assert!(unreadable[1].reason.contains("PNG, JPEG, BMP, GIF or WebP is expected"));
    let skip = Options { skip_unreadable: true, ..Options::default() };
    let imported = read(path, &skip).unwrap();
    assert_eq!(imported.unreadable, unreadable);
    assert_eq!(imported.halves.map(|half| half.labels), [vec![0, 1], vec![0, 1, 1]]);
    assert!(
        imported.notes[0].contains("skipped files that are not images: 1, such as"),
        "{:?}",
        imported.notes
    );
    assert!(
        imported.notes[1].contains("imported images whose extension ImageFolder would skip: 1")
    );
}

#[cfg(unix)]
#[test]
fn links_are_followed_but_not_in_circles() {
    use std::os::unix::fs::symlink;
    let folder = class_folders();
    let path = folder.path();
    symlink(path.join("train/dog/0.png"), path.join("train/cat/link.png")).unwrap();
    symlink(path.join("test/dog"), path.join("train/cat/more")).unwrap();
    let labels = read(path, &Options::default()).unwrap().halves[0].labels.clone();
    assert_eq!(labels, [0, 0, 0, 1]);
    symlink(path.join("nowhere"), path.join("train/cat/broken.png")).unwrap();
    symlink("self.png", path.join("train/cat/self.png")).unwrap();
    let _socket =
        std::os::unix::net::UnixListener::bind(path.join("train/cat/socket.png")).unwrap();
    let Err(ImportError::Unreadable(unreadable)) = read(path, &Options::default()) else {
        panic!()
    };
    assert_eq!(unreadable.len(), 3, "{unreadable:?}");
    symlink(path.join("train"), path.join("train/cat/loop")).unwrap();
    refused(path, &["train/cat/loop: it links to a folder that contains it"]);
}

#[test]
fn other_files_are_called_by_their_name() {
    let folder = folder();
    let path = folder.path();
    let zip = [b"PK\x03\x04".as_slice(), &[0; 40]].concat();
    let wrong: [(&[u8], &str); 7] = [
        (&zip, "a ZIP archive: unpack it first"),
        (b"<!DOCTYPE html>", "a web page (HTML or XML): CSV, .npz or Parquet is expected"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"", "an empty file"),
        (&[0, 0, 8, 3, 0, 0, 0, 1], "an IDX file, which needs no import"),
        (&png(2, 2, 0), "it is one image"),
    ];
    for (bytes, what) in wrong {
        put(path, "train.csv", bytes);
        refused(&path.join("train.csv"), &["train.csv", what]);
        if what != "an empty file" {
            refused(path, &["it contains the files train.csv", "are expected"]);
        }
    }
    refused(&path.join("none"), &["none cannot be read"]);
    put(path, "train.csv", "label,p0\n0,1\n");
    put(path, "more.npz", npz::write(&[array("x", Dtype::U8, &[1])]).unwrap());
    refused(path, &["files of several forms (train.csv; more.npz)"]);
}

#[test]
fn files_are_written_whole_and_the_same_each_time() {
    let imported = read(hub(), &Options::default()).unwrap();
    let folder = folder();
    let out = folder.path().join("new/out");
    let paths = import::write(&imported, &out, false).unwrap();
    assert_eq!(paths.len(), 5);
    let contents = || paths.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>();
    let first = contents();
    let again = import::write(&imported, &out, false).unwrap_err().to_string();
    assert!(again.ends_with("out is not empty"), "{again}");
    // Files that would be read in place of the new ones, and one that is not of a data set.
    for name in ["train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte", "notes.txt"] {
        put(&out, name, "old");
    }
    import::write(&imported, &out, true).unwrap();
    assert!(contents() == first);
    let mut names: Vec<_> = (fs::read_dir(&out).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = ["classes.txt", "notes.txt", "t10k-images-idx4-ubyte", "t10k-labels-idx1-ubyte"];
    assert_eq!(names[..4], expected);
    let read_back = source::load(source::named(&out, "").unwrap()).unwrap();
    assert_eq!(
        (read_back.train.shape, read_back.train.labels),
        (imported.shape, imported.halves[0].labels.clone())
    );
    put(&out, "emnist-letters-train-images-idx3-ubyte", "another");
    let error = import::write(&imported, &out, true).unwrap_err().to_string();
    assert!(
        error.contains("emnist-letters-train-images-idx3-ubyte, which belongs to another data set"),
        "{error}"
    );
    assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 1);
}
