//! Figures: confusion matrix, losses by epoch, accuracies and those of the paper, relative errors by tensor and step.
//!
//! plotters draws each figure as SVG, and resvg renders it as PNG with the fonts in `report/fonts`, so that both are
//! the same bytes on every machine. Color-blind people can distinguish the colors, and no information is in colors
//! alone. The SVG follows the viewer's preference for a light or a dark background; the PNG is light.

mod accuracy;
mod axis;
mod canvas;
mod confusion;
mod errors;
pub mod heat;
mod history;
#[cfg(feature = "libtorch")]
mod png;
mod samples;

pub use accuracy::{Accuracy, accuracies};
pub use confusion::{Normalize, confusion_matrix};
pub use errors::{StepError, TensorError, step_errors, tensor_errors};
pub use history::{Curves, losses};
pub use samples::{Group, Sample, samples};

/// Width of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drawn {
    /// 760 pixels, for wide screens.
    Wide,
    /// 340 pixels, for phones.
    Narrow,
}

impl Drawn {
    fn width(self) -> i32 {
        match self {
            Drawn::Wide => 760,
            Drawn::Narrow => 340,
        }
    }
}

/// A figure as SVG text; `png` renders it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    svg: String,
}

impl Figure {
    /// The SVG document. It has the role of an image and a text alternative.
    pub fn svg(&self) -> &str {
        &self.svg
    }

    /// The SVG element for HTML, without a namespace, and without a style sheet, whose rules would be those of the page.
    pub fn embedded(&self) -> String {
        self.light().replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1)
    }

    /// The figure as PNG, with twice the width and height.
    #[cfg(feature = "libtorch")]
    pub fn png(&self) -> Vec<u8> {
        png::render(&self.light())
    }

    /// The SVG document on a light background in every viewer.
    fn light(&self) -> String {
        self.svg.replacen(canvas::STYLE.as_str(), "", 1)
    }
}

/// A figure in both widths, for HTML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Widths {
    /// For wide screens.
    pub wide: String,
    /// For phones.
    pub narrow: String,
}

impl Widths {
    /// Draws the figure in both widths.
    pub fn new(draw: impl Fn(Drawn) -> Figure) -> Self {
        Self { wide: draw(Drawn::Wide).embedded(), narrow: draw(Drawn::Narrow).embedded() }
    }
}

/// Formats an integer with thousands separators: `12,345`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::{Accuracy, Drawn, accuracies, thousands};

    #[cfg(feature = "libtorch")]
    #[test]
    fn only_the_document_follows_the_color_scheme() {
        let row = Accuracy { name: "MLP".into(), value: 0.87, paper: None };
        let figure = accuracies(&[row], Drawn::Wide);
        let dark = "@media (prefers-color-scheme:dark){rect[fill=\"#FFFFFF\"]{fill:#0D1117}";
        assert_eq!(figure.svg().matches(dark).count(), 1, "{}", figure.svg());
        assert!(!figure.embedded().contains("<style"));
        let pixels = image::load_from_memory(&figure.png()).unwrap().into_rgb8();
        assert_eq!(pixels.get_pixel(0, 0).0, [255; 3]);
    }

    #[test]
    fn thousands_are_separated_by_commas() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        cases.into_iter().for_each(|(number, text)| assert_eq!(thousands(number), text));
    }
}
