//! Scales a grey image of any size to a given size, light on dark.

use image::imageops::{self, FilterType};
use image::{GrayImage, Luma};

use super::Converted;
use super::background::{self, Object};

/// An image of the right size: it is neither cropped nor scaled.
pub(super) fn keep(grey: &GrayImage, invert: bool) -> Converted {
    let inverted = invert && background::is_light(background::of(grey));
    let value = |&value: &u8| if inverted { 255 - value } else { value };
    Converted { pixels: grey.iter().map(value).collect(), inverted, scaled: false }
}

/// Crops the background, scales the object to the width or height of `size`, whichever is smaller, centres the result, and
/// makes the background black.
///
/// Two steps differ from the paper. It subsampled pixels and sharpened the result; a Lanczos filter is as sharp and
/// uses every pixel. And its photographs had a white background; a grey one would stay grey, which no image of the
/// data set has.
pub(super) fn fit(mut grey: GrayImage, size: (u32, u32), invert: bool) -> Converted {
    let mut background = background::of(&grey);
    let object = Object::find(&grey, background);
    let inverted = invert && object.darker;
    if inverted {
        grey.iter_mut().for_each(|value| *value = 255 - *value);
        background = 255.0 - background;
    }
    let mut canvas = centred(&grey, &object, size, background);
    if inverted || !object.darker {
        blacken(&mut canvas, background.round());
    }
    Converted { pixels: canvas.into_raw(), inverted, scaled: true }
}

fn centred(grey: &GrayImage, object: &Object, size: (u32, u32), background: f64) -> GrayImage {
    let &Object { left, top, width, height, .. } = object;
    // The side that reaches the edge of the canvas first.
    let wide = u64::from(width) * u64::from(size.1) >= u64::from(height) * u64::from(size.0);
    let (to, from) = if wide { (size.0, width) } else { (size.1, height) };
    let scaled = |n: u32| ((f64::from(n) * f64::from(to) / f64::from(from)).round() as u32).max(1);
    let (columns, rows) = (scaled(width).min(size.0), scaled(height).min(size.1));
    let cut = imageops::crop_imm(grey, left, top, width, height);
    let small = imageops::resize(&*cut, columns, rows, FilterType::Lanczos3);
    let mut canvas = GrayImage::from_pixel(size.0, size.1, Luma([background.round() as u8]));
    let [x, y] = [(size.0, columns), (size.1, rows)].map(|(of, n)| i64::from((of - n) / 2));
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
    use crate::PIXELS;

    /// Scales to the size of Fashion-MNIST's images.
    fn fit(grey: GrayImage, invert: bool) -> Converted {
        super::fit(grey, (28, 28), invert)
    }

    #[test]
    fn an_object_fills_the_shorter_way_of_an_oblong_image() {
        let fitted = super::fit(rectangle((100, 100), (20, 20), (60, 60)), (20, 40), true);
        let lit = |i: &usize| fitted.pixels[*i] > 0;
        assert_eq!((fitted.pixels.len(), (0..800).filter(lit).count()), (800, 400));
        assert_eq!((0..800).find(lit), Some(200));
    }

    /// A black rectangle on a white background.
    fn rectangle(size: (u32, u32), at: (u32, u32), of: (u32, u32)) -> GrayImage {
        GrayImage::from_fn(size.0, size.1, |x, y| {
            let inside = (at.0..at.0 + of.0).contains(&x) && (at.1..at.1 + of.1).contains(&y);
            Luma([if inside { 0 } else { 255 }])
        })
    }

    /// Columns and rows that are not all black.
    fn lit(pixels: &[u8]) -> (Vec<usize>, Vec<usize>) {
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
                assert_eq!(fitted.pixels, vec![0; PIXELS], "{width}x{height} of {value}");
            }
        }
    }
}
