//! `.npz` files of NumPy: Keras's `x_train`, `y_train`, `x_test`, `y_test`, or `train_images`, `train_labels` ….

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use tensor_files::{Dtype, ReadError, TensorFile, TensorSpec};

use super::ImportError;
use super::halves::Halves;
use crate::idx::LONGEST_SIDE;
use crate::picture::Raster;
use crate::source::Half;

/// Names of the arrays of images and labels, of the training and the test half.
const NAMES: [[[&str; 2]; 2]; 2] = [
    [["x_train", "y_train"], ["x_test", "y_test"]],
    [["train_images", "train_labels"], ["test_images", "test_labels"]],
];

/// Reads both halves.
pub(super) fn read(path: &Path, into: &mut Halves) -> Result<(), ImportError> {
    let file = File::open(path).map_err(|error| ImportError::Read(path.into(), error))?;
    let damaged = |error: ReadError| ImportError::at(path, error.to_string());
    let mut arrays =
        Arrays { path, file: TensorFile::open(BufReader::new(file)).map_err(damaged)? };
    let present = |name: &str| arrays.file.specs().iter().any(|spec| spec.name == name);
    let names = NAMES.into_iter().find(|[train, _]| train.iter().all(|name| present(name)));
    let Some([train, test]) = names else {
        let found = arrays.file.specs().iter().take(8).map(|spec| spec.name.clone());
        let reason = format!(
            "the arrays x_train, y_train, x_test and y_test, or train_images, train_labels, test_images and test_labels are \
             expected, but it has {}",
            found.collect::<Vec<_>>().join(", ")
        );
        return Err(ImportError::at(path, reason));
    };
    let has_test = test.iter().all(|name| present(name));
    let unused = arrays.file.specs().iter().map(|spec| spec.name.as_str());
    let unused = unused.filter(|name| ![train, test].concat().contains(name)).take(8);
    let unused: Vec<&str> = unused.collect();
    if !unused.is_empty() {
        into.notes.push(format!("not imported from {}: {}", path.display(), unused.join(", ")));
    }
    arrays.read(Half::Train, train, into)?;
    match (has_test, into.options.test_last) {
        (true, _) => arrays.read(Half::Test, test, into),
        (false, Some(_)) => Ok(()),
        (false, None) => Err(ImportError::NoTest(
            path.display().to_string(),
            "test half, arrays such as x_test and y_test",
        )),
    }
}

struct Arrays<'a> {
    path: &'a Path,
    file: TensorFile<BufReader<File>>,
}

impl Arrays<'_> {
    fn read(
        &mut self,
        half: Half,
        [images, labels]: [&str; 2],
        into: &mut Halves,
    ) -> Result<(), ImportError> {
        let (path, label_name) = (self.path, labels);
        let labels = self.labels(labels)?;
        let (index, spec) = self.spec(images)?;
        let wrong = |expected: &str| {
            let reason = format!("{images} has the shape {:?}: {expected}", spec.shape);
            ImportError::at(path, reason)
        };
        if spec.dtype != Dtype::U8 {
            let reason = format!(
                "{images} is of the type {}: uint8 from 0 (black) to 255 (white) is expected, so convert it first",
                spec.dtype
            );
            return Err(ImportError::at(path, reason));
        }
        let (count, height, width, channels) = match spec.shape[..] {
            [count, height, width] => (count, height, width, 1),
            [count, height, width, channels @ (1 | 3)] => (count, height, width, channels),
            _ => return Err(wrong("(N, H, W), or (N, H, W, C) with 1 or 3 channels is expected")),
        };
        if count != labels.len() {
            return Err(wrong(&format!(
                "as many images as {label_name} has labels, {}, are expected",
                labels.len()
            )));
        }
        // Before memory is reserved for an image.
        if [height, width].iter().any(|side| !(1..=LONGEST_SIDE as usize).contains(side)) {
            return Err(wrong(&format!("1 to {LONGEST_SIDE} pixels per side are expected")));
        }
        let mut from =
            self.file.stream(index).map_err(|error| ImportError::at(path, error.to_string()))?;
        for (i, label) in labels.into_iter().enumerate() {
            let mut pixels = vec![0; height * width * channels];
            from.read_exact(&mut pixels).map_err(|error| ImportError::Read(path.into(), error))?;
            let image = Raster { height, width, channels, pixels };
            into.add(
                half,
                image,
                label,
                &format_args!("{}, {images}[{i}]", path.display()),
                Some(count),
            )?;
        }
        // The checksum is checked at the end.
        io::copy(&mut from, &mut io::sink())
            .map_err(|error| ImportError::Read(path.into(), error))?;
        Ok(())
    }

    fn spec(&self, name: &str) -> Result<(usize, TensorSpec), ImportError> {
        let mut specs = self.file.specs().iter().enumerate();
        let found = specs.find(|(_, spec)| spec.name == name).map(|(i, spec)| (i, spec.clone()));
        found.ok_or_else(|| ImportError::at(self.path, format!("it has no array {name}")))
    }

    fn labels(&mut self, name: &str) -> Result<Vec<u8>, ImportError> {
        let (index, spec) = self.spec(name)?;
        if !matches!(spec.shape[..], [_] | [_, 1]) || !spec.dtype.is_integer() {
            let reason = format!(
                "{name} has the type {} and the shape {:?}: integers of the shape (N) or (N, 1) are expected",
                spec.dtype, spec.shape
            );
            return Err(ImportError::at(self.path, reason));
        }
        let array =
            self.file.load(index).map_err(|error| ImportError::at(self.path, error.to_string()))?;
        let label = |(i, bytes): (usize, &[u8])| {
            // Little-endian, with the sign in the last byte.
            let rest = &bytes[1..];
            match rest.iter().all(|&byte| byte == 0) && !(spec.dtype == Dtype::I8 && bytes[0] > 127)
            {
                true => Ok(bytes[0]),
                false => {
                    let negative = !spec.dtype.name().starts_with('u') && bytes.last() > Some(&127);
                    let found = if negative { "negative" } else { "above 255" };
                    Err(ImportError::Label(
                        format!("{}, {name}[{i}]", self.path.display()),
                        found.into(),
                    ))
                }
            }
        };
        array.data.chunks_exact(spec.dtype.size()).enumerate().map(label).collect()
    }
}
