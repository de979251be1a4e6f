//! The figure of losses by epoch, and of the validation accuracy.

use stitch_run::{EpochRecord, counted};

use plotters::style::RGBColor;

use super::axis::{Axis, accuracy_bounds};
use super::canvas::{Anchor, BLUE, Canvas, GRID, MUTED, Style, TEXT, TITLE, VERMILION, draw};
use super::{Drawn, Figure};

/// The columns of `history.csv`, one finite value per epoch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Curves {
    /// Mean training loss.
    pub loss: Vec<f64>,
    /// Mean validation loss, if images were held out.
    pub val_loss: Option<Vec<f64>>,
    /// Validation accuracy, 0 to 1.
    pub val_accuracy: Option<Vec<f64>>,
}

impl Curves {
    /// The columns of these epochs; a column that an epoch lacks is `None`.
    pub fn of(epochs: &[EpochRecord]) -> Self {
        let column = |value: fn(&EpochRecord) -> Option<f64>| epochs.iter().map(value).collect();
        Self {
            loss: epochs.iter().map(|epoch| epoch.loss).collect(),
            val_loss: column(|epoch| epoch.val_loss),
            val_accuracy: column(|epoch| epoch.val_accuracy),
        }
    }
}

const LEFT: i32 = 52;
const TOP: i32 = 56;
/// Height of one panel.
const PANEL: i32 = 250;
/// Space below a panel.
const BELOW: i32 = 64;
/// Space above the second panel for its title.
const BETWEEN: i32 = 52;
/// Additional space above a narrow panel for its legend.
const LEGEND: i32 = 24;

/// Draws the losses on an axis from 0, and a panel of the validation accuracy below if there is one.
pub fn losses(curves: &Curves, drawn: Drawn) -> Figure {
    let top = TOP + if drawn == Drawn::Narrow { LEGEND } else { 0 };
    let second = top + PANEL + BELOW + BETWEEN + (top - TOP);
    let height = match curves.val_accuracy {
        None => top + PANEL + BELOW,
        Some(_) => second + PANEL + BELOW,
    };
    draw((drawn.width() as u32, height as u32), &label(curves), |canvas| {
        canvas.text("Loss by epoch", (LEFT, 22), TITLE);
        let mut losses = vec![Series { name: "training", values: &curves.loss, color: BLUE }];
        if let Some(values) = &curves.val_loss {
            losses.push(Series { name: "validation", values, color: VERMILION });
        }
        let values = losses.iter().flat_map(|series| series.values.iter().copied());
        let bounds =
            values.fold((0.0, 0.0), |(low, high), it| (f64::min(low, it), f64::max(high, it)));
        panel(canvas, (top, drawn), bounds, &losses);
        if let Some(values) = &curves.val_accuracy {
            canvas.text(
                "Accuracy on the validation images",
                (LEFT, second - 34 - (top - TOP)),
                TITLE,
            );
            let series = [Series { name: "validation", values, color: VERMILION }];
            let bounds = accuracy_bounds(values.iter().copied());
            panel(canvas, (second, drawn), bounds, &series);
        }
    })
}

/// The text alternative of the figure.
fn label(curves: &Curves) -> String {
    let ends = |values: &[f64]| match values {
        [] => "no value".into(),
        [only] => format!("{only:.4}"),
        [first, .., last] => format!("from {first:.4} to {last:.4}"),
    };
    let mut label = format!(
        "Loss by epoch over {}: {}",
        counted(curves.loss.len(), "epoch"),
        ends(&curves.loss)
    );
    let others = [("validation loss", &curves.val_loss), ("accuracy", &curves.val_accuracy)];
    for (name, values) in others {
        label += &values.as_ref().map_or(String::new(), |it| format!("; {name} {}", ends(it)));
    }
    label + "."
}

/// A line of a panel.
struct Series<'a> {
    name: &'a str,
    values: &'a [f64],
    color: RGBColor,
}

/// Draws a panel with its upper edge at `top` and an axis with these bounds.
fn panel(canvas: &Canvas, (top, drawn): (i32, Drawn), bounds: (f64, f64), series: &[Series]) {
    let epochs = series.iter().map(|series| series.values.len()).max().unwrap_or(0);
    if epochs == 0 {
        return;
    }
    // Wide figures have the names at the ends of the lines.
    let right = drawn.width() - if drawn == Drawn::Wide { 150 } else { 12 };
    let bottom = top + PANEL;
    let y = Axis::new(bounds, 5, (bottom, top));
    let muted = Style { color: MUTED, ..TEXT };
    for (value, text) in y.ticks() {
        let at = y.pixel(value);
        canvas.line(vec![(LEFT, at), (right, at)], GRID, 1);
        canvas.text(text, (LEFT - 10, at), Style { anchor: Anchor::End, ..muted });
    }
    let x = |epoch: usize| match epochs {
        1 => (LEFT + right) / 2,
        _ => {
            let share = epoch as f64 / (epochs - 1) as f64;
            LEFT + 14 + (share * f64::from(right - LEFT - 28)).round() as i32
        }
    };
    // Few enough labels that they do not overlap.
    let every = epochs.div_ceil(if drawn == Drawn::Wide { 20 } else { 8 });
    for epoch in (0..epochs).step_by(every) {
        let at = (x(epoch), bottom + 18);
        canvas.text((epoch + 1).to_string(), at, Style { anchor: Anchor::Middle, ..muted });
    }
    let middle = ((LEFT + right) / 2, bottom + 40);
    canvas.text("epoch", middle, Style { anchor: Anchor::Middle, ..muted });
    let ends = ends_apart(series, &y);
    for (i, (series, end)) in series.iter().zip(ends).enumerate() {
        let points = series.values.iter().enumerate();
        let points: Vec<_> = points.map(|(epoch, &value)| (x(epoch), y.pixel(value))).collect();
        canvas.line(points.clone(), series.color, 2);
        if epochs <= 60 {
            points.iter().for_each(|&at| canvas.dot(at, 4, series.color));
        }
        if let (Some(&(at, _)), Some(last)) = (points.last(), series.values.last()) {
            let text = format!("{} {last:.4}", series.name);
            let style = Style { bold: true, ..TEXT };
            match drawn {
                Drawn::Wide => canvas.text(text, (at + 14, end), style),
                Drawn::Narrow => {
                    let (left, above) = (LEFT + 6 + 132 * i as i32, top - LEGEND);
                    canvas.dot((left, above), 4, series.color);
                    canvas.text(text, (left + 10, above), style);
                }
            }
        }
    }
}

/// Vertical positions of the names at the ends of the lines: at the last values, at least a line of text apart.
fn ends_apart(series: &[Series], y: &Axis) -> Vec<i32> {
    let last = |series: &Series| series.values.last().map_or(0, |&value| y.pixel(value));
    let mut ends: Vec<i32> = series.iter().map(last).collect();
    if let [first, second] = &mut ends[..] {
        let near = (*second - *first).abs() < 18;
        if near {
            let middle = (*first + *second) / 2;
            let sign = if second >= first { 1 } else { -1 };
            (*first, *second) = (middle - 9 * sign, middle + 9 * sign);
        }
    }
    ends
}
