//! Colors of the confusion matrix: background and text of a cell, in the figure and on the terminal.

use colorous::VIRIDIS;

/// Red, green and blue.
pub type Rgb = [u8; 3];

const BLACK: Rgb = [0; 3];
const WHITE: Rgb = [255; 3];

/// The background color of a share from 0 to 1: viridis of its square root. On a linear scale, 1 % and 3 % would look
/// the same.
pub fn color(share: f64) -> Rgb {
    let color = VIRIDIS.eval_continuous(share.clamp(0.0, 1.0).sqrt());
    [color.r, color.g, color.b]
}

/// Black or white, whichever has the greater contrast (at least 4.5).
pub fn readable_on(background: Rgb) -> Rgb {
    if contrast(background, BLACK) >= contrast(background, WHITE) { BLACK } else { WHITE }
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
    fn every_number_is_readable_on_its_background() {
        for percent in 0..=1000 {
            let background = color(f64::from(percent) / 1000.0);
            assert!(
                contrast(background, readable_on(background)) >= 4.5,
                "{percent} of a thousand"
            );
        }
    }
}
