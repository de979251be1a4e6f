//! The figure of the confusion matrix (rows: true class, columns: predicted).

use plotters::style::RGBColor;

use super::canvas::{Anchor, Canvas, MUTED, Style, TEXT, TITLE, draw, width_of};
use super::{Figure, heat, thousands};
use crate::dataset::classes::Classes;
use crate::metrics::ConfusionMatrix;

/// What the cells of a confusion matrix show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalize {
    /// Numbers of images.
    Counts,
    /// Percent of the images of the true class: each row sums to 100.
    Rows,
}

/// Height of a row.
const ROW: i32 = 44;
/// Space above the cells for the title, axis label and column names.
const TOP: i32 = 104;
const GAP: i32 = 12;
/// Width of the color bar.
const COLOR_BAR: i32 = 14;

/// Most classes whose names and numbers are drawn; of more, only the colors.
const MOST_NAMED: usize = 64;
/// Height and width of a cell without a number.
const PLAIN_CELL: i32 = 6;

/// Draws the matrix with all its numbers, up to 64 classes. Colors are viridis over the square root of a cell's share of its row, so that
/// rare confusions are visible. Columns are as wide as the longest name.
pub fn confusion_matrix(
    matrix: &ConfusionMatrix,
    classes: &Classes,
    normalize: Normalize,
) -> Figure {
    let names = classes.names();
    let longest = names.iter().map(|name| width_of(name)).max().unwrap_or(0);
    let named = matrix.classes() <= MOST_NAMED;
    let (left, column, row) = match named {
        true => (44 + longest, (longest - 4).max(56), ROW),
        false => (44, PLAIN_CELL, PLAIN_CELL),
    };
    let layout = Layout { left, column, row, classes: matrix.classes() as i32, named };
    let size = ((layout.right() + 96) as u32, (layout.bottom() + 20) as u32);
    draw(size, &label(matrix, names), |canvas| {
        layout.names(canvas, names, matrix, normalize);
        if !named {
            let corner = (layout.right() - 1, layout.bottom() - 1);
            canvas.rectangle((layout.left, TOP), corner, color(0.0));
        }
        for (row, counts) in matrix.counts.iter().enumerate() {
            let total: u64 = counts.iter().sum();
            // Only the background of cells without a number is the same everywhere.
            for (column, &count) in counts.iter().enumerate().filter(|&(_, &n)| named || n > 0) {
                layout.cell(canvas, (row, column), count, total, normalize);
            }
        }
        layout.color_bar(canvas);
    })
}

/// The text alternative of the figure.
fn label(matrix: &ConfusionMatrix, names: &[String]) -> String {
    let [total, correct] = [matrix.total(), matrix.correct()].map(thousands);
    let most = matrix.most_confused(3).into_iter().map(|pair| {
        let [truth, predicted] = [pair.truth, pair.predicted].map(|class| &names[class]);
        format!("{truth} predicted as {predicted}, {} times", pair.count)
    });
    let most: Vec<String> = most.collect();
    let most = if most.is_empty() { "none".into() } else { most.join("; ") };
    format!(
        "Confusion matrix of {total} test images, {correct} of them classified correctly. Most \
         frequent confusions: {most}."
    )
}

/// Horizontal layout in pixels.
struct Layout {
    left: i32,
    /// Width of a column.
    column: i32,
    /// Height of a row.
    row: i32,
    /// Number of rows and of columns.
    classes: i32,
    /// Whether names and numbers are drawn.
    named: bool,
}

impl Layout {
    fn right(&self) -> i32 {
        self.left + self.column * self.classes
    }

    fn bottom(&self) -> i32 {
        TOP + self.row * self.classes
    }

    fn names(
        &self,
        canvas: &Canvas,
        names: &[String],
        matrix: &ConfusionMatrix,
        normalize: Normalize,
    ) {
        let what = match normalize {
            Normalize::Counts => "images",
            Normalize::Rows => "percent of the images of the true class",
        };
        let [total, correct] = [matrix.total(), matrix.correct()].map(thousands);
        let title = format!("Confusion matrix, {what}: {correct} of {total} correct");
        canvas.text(title, (self.left, 22), TITLE);
        let axis = Style { color: MUTED, anchor: Anchor::Middle, ..TEXT };
        canvas.text("predicted class", ((self.left + self.right()) / 2, 58), axis);
        let middle = (TOP + self.bottom()) / 2;
        canvas.text("true class", (24, middle), Style { upward: true, ..axis });
        for (class, name) in names.iter().enumerate().filter(|_| self.named) {
            let [x, y] = [self.left + self.column * class as i32, TOP + self.row * class as i32];
            let column = Style { anchor: Anchor::Middle, ..TEXT };
            canvas.text(name, (x + self.column / 2, TOP - GAP), column);
            let row = Style { anchor: Anchor::End, ..TEXT };
            canvas.text(name, (self.left - GAP, y + self.row / 2), row);
        }
    }

    fn cell(
        &self,
        canvas: &Canvas,
        (row, column): (usize, usize),
        count: u64,
        total: u64,
        normalize: Normalize,
    ) {
        let share = if total == 0 { 0.0 } else { count as f64 / total as f64 };
        let background = color(share);
        let corner = (self.left + self.column * column as i32, TOP + self.row * row as i32);
        // One pixel between cells.
        let opposite = (corner.0 + self.column - 1, corner.1 + self.row - 1);
        canvas.rectangle(corner, opposite, background);
        if !self.named {
            return;
        }
        let text = match normalize {
            Normalize::Counts => count.to_string(),
            Normalize::Rows => format!("{:.1}", 100.0 * share),
        };
        let text_color = readable_on(background);
        let style =
            Style { color: text_color, anchor: Anchor::Middle, bold: row == column, ..TEXT };
        canvas.text(text, (corner.0 + self.column / 2, corner.1 + self.row / 2), style);
    }

    /// Draws the color bar, from 0 to 100 % of a class.
    fn color_bar(&self, canvas: &Canvas) {
        let (left, height) = (self.right() + 18, self.row * self.classes - 1);
        for step in 0..height / 2 {
            // Rectangles overlap by one pixel, so that no gap is visible at any scale.
            let [bottom, top] = [step * 2 - 1, step * 2 + 2].map(|y| TOP + height - y.max(0));
            let place = f64::from(step * 2) / f64::from(height);
            canvas.rectangle((left, top), (left + COLOR_BAR, bottom), color(place * place));
        }
        let text = Style { color: MUTED, ..TEXT };
        canvas.text("share of", (left, 58), text);
        canvas.text("true class", (left, 75), text);
        for percent in [0, 1, 5, 10, 25, 50, 75, 100] {
            let place = f64::from(percent).sqrt() / 10.0;
            let y = TOP + height - (place * f64::from(height)).round() as i32;
            canvas.text(format!("{percent} %"), (left + COLOR_BAR + 6, y), text);
        }
    }
}

/// The background color of a share.
fn color(share: f64) -> RGBColor {
    let [r, g, b] = heat::color(share);
    RGBColor(r, g, b)
}

/// Black or white, whichever is readable on this background.
fn readable_on(RGBColor(r, g, b): RGBColor) -> RGBColor {
    let [r, g, b] = heat::readable_on([r, g, b]);
    RGBColor(r, g, b)
}
