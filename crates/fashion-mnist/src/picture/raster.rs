//! Pixels as Pillow's `Image.open(file)` decodes them, its `convert("L")`, `convert("RGB")` and `resize(size, BILINEAR)`.

use image::DynamicImage;

use super::{PictureError, decode};

/// Rows of pixels of one byte per channel, (H, W, C).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raster {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// `height * width * channels` bytes, row-major, the channels of a pixel side by side.
    pub pixels: Vec<u8>,
}

impl Raster {
    /// Decodes an image file without its transparency and without applying its EXIF orientation, as torchvision's
    /// `ImageFolder` does. PNG, BMP, GIF and lossless WebP files have the pixels that Pillow reads; those of JPEG and lossy
    /// WebP differ by a few steps, since the decoder is another one.
    ///
    /// # Errors
    /// [`PictureError`]; grey images of 16 bits are refused, since Pillow replaces all above 255 by 255.
    pub fn decode(file: &[u8]) -> Result<Self, PictureError> {
        Self::of(decode::decode(file, false)?)
    }

    pub(super) fn of(image: DynamicImage) -> Result<Self, PictureError> {
        let [height, width] = [image.height(), image.width()].map(|side| side as usize);
        // Of a pixel with `stored` channels, the first `kept`.
        let (pixels, stored, kept) = match image {
            DynamicImage::ImageLuma8(image) => (image.into_raw(), 1, 1),
            DynamicImage::ImageLumaA8(image) => (image.into_raw(), 2, 1),
            DynamicImage::ImageRgb8(image) => (image.into_raw(), 3, 3),
            DynamicImage::ImageRgba8(image) => (image.into_raw(), 4, 3),
            DynamicImage::ImageLumaA16(image) => (high_bytes(&image), 2, 1),
            DynamicImage::ImageRgb16(image) => (high_bytes(&image), 3, 3),
            DynamicImage::ImageRgba16(image) => (high_bytes(&image), 4, 3),
            _ => return Err(PictureError::Deep),
        };
        let pixels = match stored == kept {
            true => pixels,
            false => {
                pixels.chunks_exact(stored).flat_map(|pixel| &pixel[..kept]).copied().collect()
            }
        };
        Ok(Self { height, width, channels: kept, pixels })
    }

    /// Whether red, green and blue are equal in every pixel.
    pub fn is_grey(&self) -> bool {
        let (pixels, _) = self.pixels.as_chunks::<3>();
        self.channels == 1 || pixels.iter().all(|[red, green, blue]| red == green && green == blue)
    }

    /// Converts to grey, or to red, green and blue, as Pillow's `convert("L")` and `convert("RGB")`.
    pub fn convert(self, channels: usize) -> Self {
        let pixels = match (self.channels, channels) {
            (3, 1) => self.pixels.as_chunks().0.iter().copied().map(luma).collect(),
            (1, 3) => self.pixels.iter().flat_map(|&grey| [grey; 3]).collect(),
            _ => return self,
        };
        Self { channels, pixels, ..self }
    }

    /// Scales to another size, as Pillow's `resize((width, height), Image.Resampling.BILINEAR)`, which torchvision's
    /// `transforms.Resize((height, width))` calls. When an image gets smaller, all of its pixels count.
    pub fn resize(self, height: usize, width: usize) -> Self {
        let Self { height: rows, width: columns, channels, pixels } = self;
        // A row is a line of pixels, then a column is a line of rows.
        let pixels = resample(&pixels, columns, width, channels);
        let pixels = resample(&pixels, rows, height, width * channels);
        Self { height, width, channels, pixels }
    }
}

/// Lightness by ITU-R 601-2, 0.299 R + 0.587 G + 0.114 B, with weights in units of 1/65536 as Pillow's.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let [red, green, blue] = [red, green, blue].map(u32::from);
    ((red * 19_595 + green * 38_470 + blue * 7_471 + 0x8000) >> 16) as u8
}

/// Pillow keeps the high byte of 16 bits.
fn high_bytes(values: &[u16]) -> Vec<u8> {
    values.iter().map(|value| (value >> 8) as u8).collect()
}

/// Fractional bits of a weight.
const FRACTION: u32 = 22;

/// Scales each line of `from` items of `item` bytes to `to` items by a triangle filter. Weights are rounded to integers,
/// and each result to a byte, as in Pillow.
fn resample(pixels: &[u8], from: usize, to: usize, item: usize) -> Vec<u8> {
    if from == to {
        return pixels.to_vec();
    }
    let weights: Vec<_> = (0..to).map(|i| weights(from, to, i)).collect();
    let mut scaled = Vec::with_capacity(pixels.len() / from * to);
    for line in pixels.chunks_exact(from * item) {
        for (start, weights) in &weights {
            for byte in 0..item {
                let values = line[start * item + byte..].iter().step_by(item);
                let sum: i64 =
                    values.zip(weights).map(|(&value, weight)| i64::from(value) * weight).sum();
                scaled.push(((sum + (1 << (FRACTION - 1))) >> FRACTION).clamp(0, 255) as u8);
            }
        }
    }
    scaled
}

/// The first of the `from` items that count for item `i` of `to`, and the weights of it and the following ones.
fn weights(from: usize, to: usize, i: usize) -> (usize, Vec<i64>) {
    let scale = from as f64 / to as f64;
    let reach = scale.max(1.0);
    let centre = (i as f64 + 0.5) * scale;
    // `as` cuts off the fraction, and makes 0 of what is negative.
    let start = (centre - reach + 0.5) as usize;
    let end = ((centre + reach + 0.5) as usize).min(from);
    let triangle = |at: usize| (1.0 - ((at as f64 - centre + 0.5) * (1.0 / reach)).abs()).max(0.0);
    let weights: Vec<f64> = (start..end).map(triangle).collect();
    let sum: f64 = weights.iter().sum();
    let rounded = |weight: &f64| (weight / sum * f64::from(1 << FRACTION) + 0.5) as i64;
    (start, weights.iter().map(rounded).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_has_the_weights_of_pillow() {
        assert_eq!([[255, 0, 0], [0, 255, 0], [0, 0, 255], [7, 7, 7]].map(luma), [76, 150, 29, 7]);
    }

    #[test]
    fn sizes_are_scaled_and_a_plain_image_stays_plain() {
        for (height, width) in [(1, 1), (3, 5), (28, 28), (40, 3)] {
            let plain = Raster { height: 7, width: 11, channels: 3, pixels: vec![200; 7 * 11 * 3] };
            let scaled = plain.resize(height, width);
            assert_eq!(scaled.pixels, vec![200; height * width * 3]);
        }
    }
}
