//! Random transforms of training images, as `torchvision.transforms.v2` 0.28 draws and applies them.
//!
//! The draws are libtorch's own operations on its global generator, as in torchvision, so their bits agree on every
//! CPU. torchvision transforms float32 images; here the bytes are moved before they are divided by 255. Padding and
//! erasing write zeros, which are 0.0 as well, so the images are the same.

use stitch_run::{Augment, Transform};
use tch::{Device, Kind, Tensor};

use super::ImageShape;

/// Area that `RandomErasing` erases, as a share of the image.
const SCALE: [f64; 2] = [0.02, 0.33];
/// Its aspect ratio: height over width.
const RATIO: [f32; 2] = [0.3, 3.3];
/// Rectangles that it tries.
const ATTEMPTS: usize = 10;

/// Applies the transforms to an image of this shape, all channels alike; draws what torchvision draws.
pub fn apply(augment: &Augment, image: &mut [u8], shape: ImageShape) {
    for transform in &augment.0 {
        match *transform {
            Transform::RandomCrop { padding } => random_crop(image, shape, padding),
            Transform::RandomHorizontalFlip { p } => {
                if rand() < p as f32 {
                    image.chunks_mut(shape.width).for_each(<[u8]>::reverse);
                }
            }
            Transform::RandomErasing { p } => {
                if rand() < p as f32 {
                    random_erasing(image, shape);
                }
            }
        }
    }
}

/// `RandomCrop((height, width), padding=padding)`: pads with zeros, and crops at a random place. Without padding nothing is drawn.
fn random_crop(image: &mut [u8], shape: ImageShape, padding: usize) {
    if padding == 0 {
        return;
    }
    let [top, left] = [(); 2].map(|()| randint(2 * padding + 1));
    let ImageShape { height, width, .. } = shape;
    let source = image.to_vec();
    let planes = image.chunks_mut(height * width).zip(source.chunks(height * width));
    for (plane, source) in planes {
        for (y, row) in plane.chunks_mut(width).enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                // In the padded image, minus the padding.
                let [y, x] = [(y + top).checked_sub(padding), (x + left).checked_sub(padding)];
                *pixel = match (y, x) {
                    (Some(y), Some(x)) if y < height && x < width => source[y * width + x],
                    _ => 0,
                };
            }
        }
    }
}

/// `RandomErasing` with its defaults: a rectangle of zeros, or nothing if none of ten fits.
fn random_erasing(image: &mut [u8], shape: ImageShape) {
    let log_ratio = Tensor::from_slice(&RATIO).log();
    let [low, high] = [0, 1].map(|i| log_ratio.double_value(&[i]));
    for _ in 0..ATTEMPTS {
        let area =
            (shape.height * shape.width) as f64 * uniform(SCALE[0], SCALE[1]).double_value(&[0]);
        let ratio = uniform(low, high).exp().double_value(&[0]);
        // Python's round() rounds halves to even.
        let side = |square: f64| square.sqrt().round_ties_even() as usize;
        let (height, width) = (side(area * ratio), side(area / ratio));
        if height >= shape.height || width >= shape.width {
            continue;
        }
        let top = randint(shape.height - height + 1);
        let left = randint(shape.width - width + 1);
        for plane in image.chunks_mut(shape.height * shape.width) {
            for row in plane.chunks_mut(shape.width).skip(top).take(height) {
                row[left..left + width].fill(0);
            }
        }
        return;
    }
}

/// `torch.rand(1)`.
fn rand() -> f32 {
    Tensor::rand([1], (Kind::Float, Device::Cpu)).double_value(&[0]) as f32
}

/// `torch.randint(0, end, size=())`.
fn randint(end: usize) -> usize {
    Tensor::randint(end as i64, [] as [i64; 0], (Kind::Int64, Device::Cpu)).int64_value(&[])
        as usize
}

/// `torch.empty(1).uniform_(low, high)`, float32.
fn uniform(low: f64, high: f64) -> Tensor {
    Tensor::empty([1], (Kind::Float, Device::Cpu)).uniform_(low, high)
}
