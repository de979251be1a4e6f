//! The background of an image, which is the lightness of its corners, and the object on it.

use image::{DynamicImage, GrayAlphaImage, GrayImage, Luma, LumaA};

/// Lightness above which a background is light, and opacity above which it is opaque.
const HALF: f64 = 127.5;
/// The shorter side of an image in units of a corner's side, at least one pixel.
const CORNERS: u32 = 28;
/// Largest difference of lightness between a pixel of the background and the background: 5 % of the range, as in the
/// paper.
const CLOSE: f64 = 0.05 * 255.0;

/// Converts to greyscale; transparent pixels take the colour of the background.
pub(super) fn flatten(image: DynamicImage) -> GrayImage {
    if !image.color().has_alpha() {
        return image.into_luma8();
    }
    let image = image.into_luma_alpha8();
    let transparent = transparent(&image);
    GrayImage::from_fn(image.width(), image.height(), |x, y| {
        let LumaA([grey, alpha]) = *image.get_pixel(x, y);
        let alpha = f64::from(alpha) / 255.0;
        Luma([(f64::from(grey) * alpha + transparent * (1.0 - alpha)).round() as u8])
    })
}

/// The lightness of transparent pixels: that of the background if it is opaque, else black or white, whichever differs
/// more from the object.
fn transparent(image: &GrayAlphaImage) -> f64 {
    let size = image.dimensions();
    if corners(size, |x, y| image.get_pixel(x, y)[1]) > HALF {
        return corners(size, |x, y| image.get_pixel(x, y)[0]);
    }
    let (mut sum, mut weight) = (0.0, 0.0);
    for &LumaA([grey, alpha]) in image.pixels() {
        sum += f64::from(grey) * f64::from(alpha);
        weight += f64::from(alpha);
    }
    if sum >= HALF * weight { 0.0 } else { 255.0 }
}

/// The lightness of the background, 0 to 255.
pub(super) fn of(grey: &GrayImage) -> f64 {
    corners(grey.dimensions(), |x, y| grey.get_pixel(x, y)[0])
}

/// Whether a background is light. No image of the data set has a light one: of its 70,000 images, seven have one light
/// corner, none has two.
pub(super) fn is_light(background: f64) -> bool {
    background > HALF
}

/// The mean of the middle two of the four corners, so that one of them may belong to the object. A corner is as large
/// as one pixel of an image of 28x28.
fn corners((width, height): (u32, u32), value: impl Fn(u32, u32) -> u8) -> f64 {
    let side = (width.min(height) / CORNERS).max(1);
    let mean = |left: u32, top: u32| {
        let pixels = (0..side * side).map(|i| value(left + i % side, top + i / side));
        pixels.map(f64::from).sum::<f64>() / f64::from(side * side)
    };
    let (right, bottom) = (width - side, height - side);
    let mut means = [mean(0, 0), mean(right, 0), mean(0, bottom), mean(right, bottom)];
    means.sort_by(f64::total_cmp);
    (means[1] + means[2]) / 2.0
}

/// The bounding box of all pixels that are not background; the whole image if all are.
pub(super) struct Object {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
    /// Whether its pixels that are not background are darker than it on average.
    pub darker: bool,
}

impl Object {
    pub fn find(grey: &GrayImage, background: f64) -> Self {
        let (mut left, mut top, mut right, mut bottom) = (u32::MAX, u32::MAX, 0, 0);
        let mut lighter = 0.0;
        for (x, y, &Luma([value])) in grey.enumerate_pixels() {
            let above = f64::from(value) - background;
            if above.abs() > CLOSE {
                (left, top) = (left.min(x), top.min(y));
                (right, bottom) = (right.max(x), bottom.max(y));
                lighter += above;
            }
        }
        if left == u32::MAX {
            let (width, height) = grey.dimensions();
            return Self { left: 0, top: 0, width, height, darker: is_light(background) };
        }
        let (width, height) = (right - left + 1, bottom - top + 1);
        Self { left, top, width, height, darker: lighter < 0.0 }
    }
}
