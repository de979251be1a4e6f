//! The bytes of the data set, and what the models take for them.

use stitch::dataset::PIXELS;
use stitch::dataset::loader;
use tch::{Device, Kind};

use super::{assert_equal, common, values, values_of};

#[test]
fn bytes_and_normalised_pixels_are_numpys() {
    let data = common::dataset();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("expected.safetensors");
    let directory = data.origin.found.directory.to_str().unwrap();
    common::run_python("library/parity/data/reference.py", &[out.to_str().unwrap(), directory]);
    let expected = stitch::tensor_files::read_weights(&std::fs::read(&out).unwrap()).unwrap();
    let expected = |name: &str| values(expected.iter().find(|tensor| tensor.name == name).unwrap());
    for (half, split) in [("train", &data.train), ("t10k", &data.test)] {
        let weighted = |image: &[u8]| -> u64 {
            (1..).zip(image).map(|(weight, &byte)| weight * u64::from(byte)).sum()
        };
        let images: Vec<f64> =
            split.images.chunks(PIXELS).map(|image| weighted(image) as f64).collect();
        assert_equal(&format!("{half} images"), &expected(&format!("{half} images")), &images);
        let labels: Vec<f64> = split.labels.iter().map(|&label| label.into()).collect();
        assert_equal(&format!("{half} labels"), &expected(&format!("{half} labels")), &labels);
        for (kind, dtype) in [(Kind::Double, "float64"), (Kind::Float, "float32")] {
            let name = format!("{half} {dtype}");
            let input = loader::images(&split.images[..300 * PIXELS], &[784], kind, Device::Cpu);
            assert_equal(&name, &expected(&name), &values_of(&input));
        }
    }
}
