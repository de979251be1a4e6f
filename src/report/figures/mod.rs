//! Figures: the confusion matrix, the losses by epoch, and the accuracies beside the paper's.
//!
//! plotters draws each as SVG, resvg makes the PNG of it, with the font beside this file, so that both
//! are the same picture and the same bytes on every machine. Colors are told apart by people who are
//! color-blind, and never carry anything alone: there is a number, a mark or a word with each.

mod accuracy;
mod axis;
mod canvas;
mod confusion;
pub mod heat;
mod history;
mod png;
mod samples;

pub use accuracy::{Accuracy, accuracies};
pub use confusion::{Normalize, confusion_matrix};
pub use history::{Curves, losses};
pub use samples::{Sample, samples};

/// How wide a figure is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drawn {
    /// For a page: 760 pixels.
    Wide,
    /// For a telephone: 340 pixels.
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

/// A drawn figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    svg: String,
}

impl Figure {
    /// As an SVG document of its own, which is also fit to stand within HTML. It has the role of an
    /// image and says in words what it shows.
    pub fn svg(&self) -> &str {
        &self.svg
    }

    /// As a PNG of twice the width and height.
    pub fn png(&self) -> Vec<u8> {
        png::render(&self.svg)
    }
}

/// `12345` as `12,345`.
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
    use super::thousands;

    #[test]
    fn thousands_are_parted_by_commas() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        cases.into_iter().for_each(|(number, text)| assert_eq!(thousands(number), text));
    }
}
