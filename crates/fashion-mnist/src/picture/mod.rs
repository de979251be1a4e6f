//! Images preprocessed like Fashion-MNIST: 28x28 pixels, a light object on a dark background.
//!
//! Follows section 2 of the data set's paper (Xiao, Rasul, Vollgraf, arXiv:1708.07747): crop the background, scale the
//! longer side to 28 pixels, centre, invert, convert to greyscale. Takes and returns bytes; opens no files.

mod background;
mod decode;
mod fit;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

pub use decode::{LARGEST_FILE, PictureError, is_picture};

use crate::{PIXELS, SIDE};

const SIDE_U32: u32 = SIDE as u32;

/// File name extensions of the supported formats, in lower case.
pub const EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "bmp", "gif", "webp"];

/// An image preprocessed like Fashion-MNIST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// Row-major; 0 is black (the background), 255 white.
    pub pixels: [u8; PIXELS],
    /// Whether the image was inverted.
    pub inverted: bool,
}

/// Decodes an image file (PNG, JPEG, BMP, GIF or WebP) and preprocesses it like Fashion-MNIST. With `invert`, an image
/// whose object is darker than its background is inverted. 28x28 grey pixels on a dark background are unchanged.
///
/// # Errors
/// See [`PictureError`].
pub fn convert(file: &[u8], invert: bool) -> Result<Converted, PictureError> {
    let grey = background::flatten(decode::decode(file)?);
    Ok(match grey.dimensions() {
        (SIDE_U32, SIDE_U32) => fit::keep(&grey, invert),
        _ => fit::fit(grey, invert),
    })
}

/// Encodes 28x28 grey pixels as a PNG file. The same pixels give the same bytes.
///
/// # Errors
/// [`PictureError::Damaged`] if the encoder fails, which no pixels make it do.
pub fn to_png(pixels: &[u8; PIXELS]) -> Result<Vec<u8>, PictureError> {
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(pixels, SIDE_U32, SIDE_U32, ExtendedColorType::L8)?;
    Ok(png)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
    use proptest::prelude::*;

    use super::*;

    const FORMATS: [ImageFormat; 5] = [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Bmp,
        ImageFormat::Gif,
        ImageFormat::WebP,
    ];

    fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        image.into().write_to(&mut file, format).unwrap();
        file.into_inner()
    }

    fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
        encode(image, ImageFormat::Png)
    }

    proptest! {
        #[test]
        fn damaged_bytes_give_an_image_or_an_error_and_never_a_panic(
            format in prop::sample::select(&FORMATS[..]),
            damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let image = RgbImage::from_fn(40, 30, |x, y| Rgb([(x * 6) as u8, (y * 8) as u8, 90]));
            let mut file = encode(image, format);
            for (at, byte) in damages {
                let at = at.index(file.len());
                file[at] = byte;
            }
            if let Some(cut) = cut {
                file.truncate(cut.index(file.len()));
            }
            if let Err(error) = convert(&file, true) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    /// 28x28 pixels of every grey, on a black background.
    fn greys() -> GrayImage {
        GrayImage::from_fn(28, 28, |x, y| {
            let corner = [0, 27].contains(&x) && [0, 27].contains(&y);
            Luma([if corner { 0 } else { (x * 28 + y) as u8 }])
        })
    }

    fn unchanged(image: impl Into<DynamicImage>) {
        let converted = convert(&png(image), true).unwrap();
        assert!(converted.pixels[..] == *greys(), "{:?}", converted.pixels);
        assert!(!converted.inverted);
    }

    #[test]
    fn pixels_of_the_right_size_on_a_dark_background_are_unchanged_in_every_pixel_type() {
        let grey = DynamicImage::from(greys());
        unchanged(greys());
        unchanged(grey.to_luma16());
        unchanged(grey.to_luma_alpha8());
        unchanged(grey.to_rgb8());
        unchanged(grey.to_rgba8());
        unchanged(grey.to_rgb16());
        unchanged(grey.to_rgba16());
        let converted =
            convert(&to_png(&convert(&png(greys()), true).unwrap().pixels).unwrap(), true);
        assert!(converted.unwrap().pixels[..] == *greys());
    }

    #[test]
    fn pixels_of_the_right_size_on_a_light_background_are_inverted_unless_told_otherwise() {
        let mut negative = greys();
        image::imageops::invert(&mut negative);
        let converted = convert(&png(negative.clone()), true).unwrap();
        assert!(converted.inverted && converted.pixels[..] == *greys());
        let kept = convert(&png(negative.clone()), false).unwrap();
        assert!(!kept.inverted && kept.pixels[..] == *negative);
    }

    #[test]
    fn colours_become_grey_by_their_lightness() {
        let at = |colour: [u8; 3]| {
            let mut image = RgbImage::new(28, 28);
            image.put_pixel(5, 0, Rgb(colour));
            convert(&png(image), true).unwrap().pixels[5]
        };
        assert!(at([0, 0, 255]) < at([255, 0, 0]) && at([255, 0, 0]) < at([0, 255, 0]));
    }

    #[test]
    fn a_transparent_background_is_black_or_white_whichever_differs_more_from_the_object() {
        for (object, inverted) in [(0, true), (255, false)] {
            let mut image = RgbaImage::from_pixel(280, 280, Rgba([128, 9, 77, 0]));
            for (x, y) in (0..100 * 100).map(|i| (90 + i % 100, 90 + i / 100)) {
                image.put_pixel(x, y, Rgba([object, object, object, 255]));
            }
            image.put_pixel(80, 80, Rgba([object, object, object, 255]));
            let converted = convert(&png(image), true).unwrap();
            assert_eq!(converted.inverted, inverted);
            // The filter rings a little beside a sharp edge.
            assert!(converted.pixels[27] < 10 && converted.pixels[14 * 28 + 14] == 255);
        }
    }

    #[test]
    fn a_transparent_pixel_within_an_opaque_image_has_the_colour_of_its_background() {
        let mut image = RgbaImage::from_pixel(28, 28, Rgba([10, 10, 10, 255]));
        image.put_pixel(14, 14, Rgba([255, 255, 255, 0]));
        assert_eq!(convert(&png(image), true).unwrap().pixels, [10; PIXELS]);
    }

    #[test]
    fn a_gif_without_a_row_or_a_column_is_refused() {
        let good = encode(RgbaImage::from_pixel(7, 5, Rgba([10, 10, 10, 255])), ImageFormat::Gif);
        assert_eq!(good[6..10], [7, 0, 5, 0]);
        for side in [6, 8] {
            let mut file = good.clone();
            file[side] = 0;
            let sentence = convert(&file, true).err().unwrap().to_string();
            assert!(sentence.contains("it has no pixels"), "{sentence}");
        }
    }

    #[test]
    fn the_same_pixels_give_the_same_png() {
        assert_eq!(to_png(&[7; PIXELS]).unwrap(), to_png(&[7; PIXELS]).unwrap());
    }
}
