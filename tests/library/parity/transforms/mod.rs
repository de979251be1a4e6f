//! Random transforms of training images against torchvision's, bit for bit.

use stitch::dataset::loader::{DataLoader, images};
use stitch::dataset::{ImageShape, PIXELS, Split, transforms};
use stitch::libtorch::generator::random;
use tch::{Device, Kind, Tensor};

use super::{assert_equal, reference, values, values_of};

#[test]
fn images_and_draws_are_torchvisions() {
    let (_libtorch, expected) = reference("transforms");
    let lists = [
        "crop:2",
        "crop:0",
        "crop:28",
        "flip:0.5",
        "flip:0",
        "erase:1",
        "erase:0.1",
        "crop:2,flip:0.5,erase:0.1",
        "erase:0.3,flip:0.25,crop:5",
    ];
    let shape = ImageShape::FASHION_MNIST;
    for seed in [0, 7] {
        let pixels = values(&expected[&format!("pixels {seed}")]);
        let pixels: Vec<u8> = pixels.into_iter().map(|pixel| pixel as u8).collect();
        for list in lists {
            let of = format!("{list} {seed}");
            let augment = list.parse().unwrap();
            let mut changed = pixels.clone();
            tch::manual_seed(seed);
            changed.chunks_mut(PIXELS).for_each(|image| transforms::apply(&augment, image, shape));
            let actual = images(&changed, &[1, 28, 28], Kind::Float, Device::Cpu);
            assert_equal(&of, &values(&expected[&of]), &values_of(&actual));
            let next = (random() % (1 << 53)) as f64;
            assert_equal(&of, &values(&expected[&format!("{of} next")]), &[next]);
        }
    }
    let shape = ImageShape { channels: 3, height: 20, width: 31 };
    let mut changed: Vec<u8> =
        values(&expected["pixels 3x20x31"]).into_iter().map(|pixel| pixel as u8).collect();
    tch::manual_seed(5);
    let augment = "crop:3,flip:0.5,erase:0.7".parse().unwrap();
    changed.chunks_mut(shape.bytes()).for_each(|image| transforms::apply(&augment, image, shape));
    let actual = images(&changed, &[3, 20, 31], Kind::Float, Device::Cpu);
    let of = "crop:3,flip:0.5,erase:0.7 3x20x31";
    assert_equal(of, &values(&expected[of]), &values_of(&actual));
    let pixels = values(&expected["pixels 0"]).into_iter().take(50 * PIXELS);
    let pixels: Vec<u8> = pixels.map(|pixel| pixel as u8).collect();
    let split = Split::new(pixels, (0..50).collect());
    let augment = "crop:2,flip:0.5,erase:0.1".parse().unwrap();
    tch::manual_seed(3);
    let loader = DataLoader::new(&split, 16).shuffle(true).augment(augment);
    for epoch in 0..2 {
        let (images, labels): (Vec<Tensor>, Vec<Tensor>) = loader.iter().unzip();
        let [images, labels] = [images, labels].map(|parts| values_of(&Tensor::cat(&parts, 0)));
        assert_equal("order", &values(&expected[&format!("epoch {epoch} indices")]), &labels);
        assert_equal("batches", &values(&expected[&format!("epoch {epoch} images")]), &images);
    }
    assert_eq!(expected.len(), 2 * (1 + 2 * lists.len()) + 2 + 4, "something was not compared");
}
