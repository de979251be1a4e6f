//! The colors of a share: a ground, and what is read on it. Of the figure and of the terminal's table.

use colorous::VIRIDIS;

/// Red, green and blue.
pub type Rgb = [u8; 3];

const BLACK: Rgb = [0; 3];
const WHITE: Rgb = [255; 3];

/// The ground of a share, 0 to 1. Its square root tells 1 % from 3 %: a linear scale would show the
/// diagonal of a confusion matrix alone.
pub fn color(share: f64) -> Rgb {
    let color = VIRIDIS.eval_continuous(share.clamp(0.0, 1.0).sqrt());
    [color.r, color.g, color.b]
}

/// Black or white, whichever has the greater contrast, which is then at least 4.5.
pub fn readable_on(ground: Rgb) -> Rgb {
    if contrast(ground, BLACK) >= contrast(ground, WHITE) { BLACK } else { WHITE }
}

/// The contrast ratio of WCAG 2.2, 1 to 21.
pub fn contrast(a: Rgb, b: Rgb) -> f64 {
    let [a, b] = [a, b].map(luminance);
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

fn luminance(color: Rgb) -> f64 {
    let [r, g, b] = color.map(|byte| {
        let value = f64::from(byte) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

#[cfg(test)]
mod tests {
    use super::{color, contrast, readable_on};

    #[test]
    fn every_number_is_readable_on_its_ground() {
        for percent in 0..=1000 {
            let ground = color(f64::from(percent) / 1000.0);
            assert!(contrast(ground, readable_on(ground)) >= 4.5, "{percent} of a thousand");
        }
    }
}
