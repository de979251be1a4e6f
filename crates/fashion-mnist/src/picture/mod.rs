//! Image files converted to the size of a data set's images. Takes and returns bytes; opens no files.
//!
//! [`Preprocessing::FashionMnist`] makes a light object on a dark background. It follows section 2 of the data set's paper (Xiao,
//! Rasul, Vollgraf, arXiv:1708.07747): crop the background, scale the object to the size of the image, centre, invert, convert
//! to greyscale. [`Preprocessing::Scale`] is that of an import, which changes the channels and the size, and nothing else.

mod background;
mod decode;
mod fit;
mod raster;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

pub use decode::{LARGEST_FILE, PictureError, is_picture};
pub use raster::Raster;

use crate::ImageShape;
use crate::idx::to_planes;

/// File name extensions of the supported formats, in lower case.
pub const EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "bmp", "gif", "webp"];

/// A converted image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// Channel after channel, row-major; 0 is black, 255 white.
    pub pixels: Vec<u8>,
    /// Whether the image was inverted.
    pub inverted: bool,
    /// Whether the image had another size.
    pub scaled: bool,
}

/// How an image file becomes an image of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preprocessing {
    /// As the images of Fashion-MNIST: the EXIF orientation is applied, and an image of another size is cropped to its object,
    /// scaled and centred. With `invert`, an image whose object is darker than its background is inverted. Grey pixels of this
    /// size on a dark background are unchanged.
    FashionMnist {
        /// Whether images with a light background are inverted.
        invert: bool,
    },
    /// As an import of a data set: [`Raster::decode`], [`Raster::convert`], [`Raster::resize`].
    Scale,
}

/// Decodes an image file (PNG, JPEG, BMP, GIF or WebP) and converts it to the size and channels of `shape`; with
/// [`Preprocessing::FashionMnist`], `shape` has one channel.
///
/// # Errors
/// See [`PictureError`].
pub fn convert(
    file: &[u8],
    shape: ImageShape,
    preprocessing: Preprocessing,
) -> Result<Converted, PictureError> {
    let Preprocessing::FashionMnist { invert } = preprocessing else {
        let raster = Raster::decode(file)?.convert(shape.channels);
        let scaled = (raster.height, raster.width) != (shape.height, shape.width);
        let mut pixels = raster.resize(shape.height, shape.width).pixels;
        to_planes(&mut pixels, shape);
        return Ok(Converted { pixels, inverted: false, scaled });
    };
    let [width, height] = [shape.width, shape.height].map(|side| side as u32);
    let grey = background::flatten(decode::decode(file, true)?);
    Ok(match grey.dimensions() == (width, height) {
        true => fit::keep(&grey, invert),
        false => fit::fit(grey, (width, height), invert),
    })
}

/// Decodes an image file, applies its EXIF orientation, and converts it to grey or red, green and blue, with its own size: the
/// bytes of its pixels, channel after channel and row-major, as `convert("L")` or `convert("RGB")` of Pillow.
///
/// # Errors
/// See [`PictureError`].
pub fn decode(file: &[u8], channels: usize) -> Result<(Vec<u8>, ImageShape), PictureError> {
    let raster = Raster::of(decode::decode(file, true)?)?.convert(channels);
    let Raster { height, width, channels, mut pixels } = raster;
    let shape = ImageShape { channels, height, width };
    to_planes(&mut pixels, shape);
    Ok((pixels, shape))
}

/// Encodes the pixels of an image, channel after channel and row-major, as a PNG file. The same pixels give the same bytes.
///
/// # Errors
/// [`PictureError::Damaged`] if the pixels are not those of such an image.
pub fn to_png(pixels: &[u8], shape: ImageShape) -> Result<Vec<u8>, PictureError> {
    let [width, height] = [shape.width, shape.height].map(|side| side as u32);
    if pixels.len() != shape.bytes() {
        return Err(PictureError::Damaged(format!("{} bytes for {shape}", pixels.len())));
    }
    let place = shape.width * shape.height;
    let (color, interleaved) = match shape.channels {
        3 => {
            let pixel = |i: usize| [0, 1, 2].map(|channel| pixels[channel * place + i]);
            (ExtendedColorType::Rgb8, (0..place).flat_map(pixel).collect())
        }
        _ => (ExtendedColorType::L8, pixels.to_vec()),
    };
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(&interleaved, width, height, color)?;
    Ok(png)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
    use proptest::prelude::*;

    use super::*;
    use crate::PIXELS;

    /// Converts to the size of Fashion-MNIST's images.
    fn convert(file: &[u8], invert: bool) -> Result<Converted, PictureError> {
        super::convert(file, ImageShape::FASHION_MNIST, Preprocessing::FashionMnist { invert })
    }

    /// Encodes an image of that size.
    fn to_png(pixels: &[u8]) -> Result<Vec<u8>, PictureError> {
        super::to_png(pixels, ImageShape::FASHION_MNIST)
    }

    #[test]
    fn colours_are_scaled_and_become_planes() {
        let shape = ImageShape { channels: 3, height: 2, width: 4 };
        let image = RgbImage::from_fn(4, 2, |x, y| Rgb([(x * 10) as u8, (y * 10) as u8, 7]));
        let convert =
            |file: &[u8], shape| super::convert(file, shape, Preprocessing::Scale).unwrap();
        let converted = convert(&png(image.clone()), shape);
        assert_eq!(converted.pixels[..8], [0, 10, 20, 30, 0, 10, 20, 30]);
        assert_eq!(converted.pixels[8..], [0, 0, 0, 0, 10, 10, 10, 10, 7, 7, 7, 7, 7, 7, 7, 7]);
        let again = super::to_png(&converted.pixels, shape).unwrap();
        assert_eq!(convert(&again, shape), converted);
        let scaled = ImageShape { height: 5, width: 3, ..shape };
        assert_eq!(convert(&png(image), scaled).pixels.len(), 45);
        assert!(super::to_png(&[0; 3], shape).is_err());
    }

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
        assert_eq!(convert(&png(image), true).unwrap().pixels, vec![10; PIXELS]);
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
