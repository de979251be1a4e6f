//! The figure of test accuracies and those of the paper.

use super::axis::{Axis, accuracy_bounds};
use super::canvas::{
    Anchor, BACKGROUND, BLUE, MUTED, Style, TEXT, TITLE, VERMILION, draw, width_of,
};
use super::{Drawn, Figure};

/// The test accuracy of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Accuracy {
    /// Name of the run.
    pub name: String,
    /// Accuracy, 0 to 1.
    pub value: f64,
    /// The paper's accuracy, if it has one for this model.
    pub paper: Option<f64>,
}

const TOP: i32 = 92;
const ROW: i32 = 72;
const BELOW: i32 = 60;

/// Draws one row per run: a dot for the run and a diamond for the paper, each with its value. The axis does not start
/// at 0.
pub fn accuracies(rows: &[Accuracy], drawn: Drawn) -> Figure {
    let width = drawn.width();
    let longest = rows.iter().map(|row| width_of(&row.name)).max().unwrap_or(0);
    // Names are beside the rows if they fit, else above them.
    let beside = drawn == Drawn::Wide && longest < width / 3;
    let left = if beside { 24 + longest } else { 20 };
    let (row_height, marks) = if beside { (ROW, 5) } else { (ROW + 28, 2) };
    let bottom = TOP + row_height * rows.len() as i32;
    let range = accuracy_bounds(rows.iter().flat_map(|row| [Some(row.value), row.paper]).flatten());
    let x = Axis::new(range, marks, (left + 12, width - 40));
    draw((width as u32, (bottom + BELOW) as u32), &label(rows), |canvas| {
        canvas.text("Test accuracy", (20, 22), TITLE);
        canvas.dot((26, 54), 6, BLUE);
        canvas.text("this run", (40, 54), TEXT);
        if rows.iter().any(|row| row.paper.is_some()) {
            canvas.diamond((126, 54), 8, VERMILION);
            canvas.text("the paper", (142, 54), TEXT);
        }
        // On a rectangle of the background color, which hides the grid lines.
        let number = |value: f64, (x, y): (i32, i32)| {
            canvas.rectangle((x - 26, y - 9), (x + 26, y + 9), BACKGROUND);
            let style = Style { anchor: Anchor::Middle, bold: true, ..TEXT };
            canvas.text(format!("{value:.4}"), (x, y), style);
        };
        x.draw_accuracies(canvas, (TOP - 8, bottom), (left + width) / 2);
        for (i, row) in rows.iter().enumerate() {
            let y = TOP + row_height * (i as i32 + 1) - ROW / 2;
            let name = Style { bold: true, ..TEXT };
            match beside {
                true => {
                    canvas.text(&row.name, (left - 4, y), Style { anchor: Anchor::End, ..name })
                }
                false => canvas.text(&row.name, (left, y - 52), name),
            }
            let at = (x.pixel(row.value), y);
            if let Some(paper) = row.paper {
                let of_paper = (x.pixel(paper), y);
                canvas.line(vec![at, of_paper], MUTED, 2);
                canvas.diamond(of_paper, 9, VERMILION);
                number(paper, (of_paper.0, y + 23));
            }
            canvas.dot(at, 6, BLUE);
            number(row.value, (at.0, y - 22));
        }
    })
}

/// The text alternative of the figure.
fn label(rows: &[Accuracy]) -> String {
    let rows = rows.iter().map(|Accuracy { name, value, paper }| match paper {
        Some(paper) => format!("{name} {value:.4}, in the paper {paper:.4}"),
        None => format!("{name} {value:.4}"),
    });
    format!("Test accuracy: {}.", rows.collect::<Vec<_>>().join("; "))
}
