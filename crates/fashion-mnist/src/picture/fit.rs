//! Scales a grey image of any size to 28x28 pixels, light on dark.

use image::imageops::{self, FilterType};
use image::{GrayImage, Luma};

use super::background::{self, Object};
use super::{Converted, SIDE_U32};
use crate::PIXELS;

/// An image of 28x28 pixels: it is neither cropped nor scaled.
pub(super) fn keep(grey: &GrayImage, invert: bool) -> Converted {
    let inverted = invert && background::is_light(background::of(grey));
    let mut pixels = [0; PIXELS];
    for (pixel, &value) in pixels.iter_mut().zip(grey.iter()) {
        *pixel = if inverted { 255 - value } else { value };
    }
    Converted { pixels, inverted }
}

/// Crops the background, scales the longer side to 28 pixels, centres the result, and makes the background black.
///
/// Two steps differ from the paper. It subsampled pixels and sharpened the result; a Lanczos filter is as sharp and
/// uses every pixel. And its photographs had a white background; a grey one would stay grey, which no image of the
/// data set has.
pub(super) fn fit(mut grey: GrayImage, invert: bool) -> Converted {
    let mut background = background::of(&grey);
    let object = Object::find(&grey, background);
    let inverted = invert && object.darker;
    if inverted {
        grey.iter_mut().for_each(|value| *value = 255 - *value);
        background = 255.0 - background;
    }
    let mut canvas = centred(&grey, &object, background);
    if inverted || !object.darker {
        blacken(&mut canvas, background.round());
    }
    let mut pixels = [0; PIXELS];
    pixels.copy_from_slice(&canvas);
    Converted { pixels, inverted }
}

fn centred(grey: &GrayImage, object: &Object, background: f64) -> GrayImage {
    let &Object { left, top, width, height, .. } = object;
    let longest = f64::from(width.max(height));
    let scaled = |n: u32| ((f64::from(n) * f64::from(SIDE_U32) / longest).round() as u32).max(1);
    let (columns, rows) = (scaled(width), scaled(height));
    let cut = imageops::crop_imm(grey, left, top, width, height);
    let small = imageops::resize(&*cut, columns, rows, FilterType::Lanczos3);
    let mut canvas = GrayImage::from_pixel(SIDE_U32, SIDE_U32, Luma([background.round() as u8]));
    let [x, y] = [columns, rows].map(|n| i64::from((SIDE_U32 - n) / 2));
    imageops::replace(&mut canvas, &small, x, y);
    canvas
}

/// Maps `background..=255` linearly to `0..=255`.
fn blacken(canvas: &mut GrayImage, background: f64) {
    for value in canvas.iter_mut() {
        // `as` saturates: less than 0 becomes 0.
        *value = ((f64::from(*value) - background) * 255.0 / (255.0 - background)).round() as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A black rectangle on a white background.
    fn rectangle(size: (u32, u32), at: (u32, u32), of: (u32, u32)) -> GrayImage {
        GrayImage::from_fn(size.0, size.1, |x, y| {
            let inside = (at.0..at.0 + of.0).contains(&x) && (at.1..at.1 + of.1).contains(&y);
            Luma([if inside { 0 } else { 255 }])
        })
    }

    /// Columns and rows that are not all black.
    fn lit(pixels: &[u8; PIXELS]) -> (Vec<usize>, Vec<usize>) {
        let (rows, _) = pixels.as_chunks::<28>();
        let columns = (0..28).filter(|&x| rows.iter().any(|row| row[x] > 0)).collect();
        (columns, (0..28).filter(|&y| rows[y].iter().any(|&value| value > 0)).collect())
    }

    #[test]
    fn the_longest_side_is_scaled_to_28_and_the_rest_is_in_the_centre() {
        let wide = fit(rectangle((300, 200), (17, 90), (200, 100)), true);
        assert!(wide.inverted);
        assert_eq!(lit(&wide.pixels), ((0..28).collect(), (7..21).collect()));
        let tall = fit(rectangle((300, 900), (17, 90), (56, 560)), true);
        assert_eq!(lit(&tall.pixels), ((12..15).collect(), (0..28).collect()));
    }

    #[test]
    fn an_image_that_is_not_inverted_keeps_its_background() {
        let kept = fit(rectangle((300, 200), (17, 90), (200, 100)), false);
        assert!(!kept.inverted);
        assert_eq!(kept.pixels[0], 255);
    }

    #[test]
    fn a_grey_background_becomes_black_and_white_stays_white() {
        for (background, object) in [(200, 0), (40, 255), (180, 255), (100, 0)] {
            let mut grey = rectangle((280, 280), (70, 70), (140, 140));
            grey.iter_mut()
                .for_each(|value| *value = if *value == 0 { object } else { background });
            // Makes the crop larger than the square, so that it has a corner of background.
            grey.put_pixel(60, 60, Luma([object]));
            let fitted = fit(grey, true);
            assert_eq!(fitted.inverted, object == 0, "{background}");
            assert_eq!((fitted.pixels[27], fitted.pixels[14 * 28 + 14]), (0, 255), "{background}");
        }
    }

    #[test]
    fn any_size_gives_28x28() {
        for (width, height) in [(1, 1), (1, 2), (3000, 10), (10, 3000), (27, 28), (29, 28), (2, 1)]
        {
            for value in [0, 100, 255] {
                let plain = GrayImage::from_pixel(width, height, Luma([value]));
                let fitted = fit(plain, true);
                assert_eq!(fitted.inverted, value == 255);
                assert_eq!(fitted.pixels, [0; PIXELS], "{width}x{height} of {value}");
            }
        }
    }
}
