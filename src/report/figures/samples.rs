//! The figure of a study: a histogram and one dot per run for each configuration, and the paper's accuracy.

use super::axis::Axis;
use super::canvas::{
    Anchor, BACKGROUND, BLUE, Canvas, FOREGROUND, GRID, Style, TEXT, TITLE, VERMILION, draw,
    width_of,
};
use super::{Drawn, Figure};

/// The runs of one configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Name of the configuration.
    pub name: String,
    /// Test accuracies, 0 to 1.
    pub values: Vec<f64>,
    /// Mean with the bounds of its 95 % confidence interval; `None` for one run.
    pub mean: Option<(f64, f64, f64)>,
    /// The paper's accuracy, if it has one for this model.
    pub paper: Option<f64>,
}

const TOP: i32 = 96;
const BELOW: i32 = 60;
/// Height of a row: histogram, dots, interval.
const ROW: i32 = 84;
/// Height of the histogram.
const BARS: i32 = 26;
/// Number of histogram bins over the whole axis.
const BINS: usize = 40;
/// Radius of a dot.
const DOT: i32 = 3;

/// Draws one row per configuration.
pub fn samples(rows: &[Sample], drawn: Drawn) -> Figure {
    let width = drawn.width();
    let longest = rows.iter().map(|row| width_of(&row.name)).max().unwrap_or(0);
    let beside = drawn == Drawn::Wide && longest < width / 3;
    let left = if beside { 24 + longest } else { 20 };
    let row_height = if beside { ROW } else { ROW + 24 };
    let bottom = TOP + row_height * rows.len() as i32;
    let values = || rows.iter().flat_map(|row| row.values.iter().copied().chain(row.paper));
    let range = (values().fold(1.0, f64::min), values().fold(0.0, f64::max));
    let ticks = if drawn == Drawn::Wide { 6 } else { 3 };
    let x = Axis::new(range, ticks, (left + 12, width - 40));
    draw((width as u32, (bottom + BELOW) as u32), &label(rows), |canvas| {
        canvas.text("Test accuracy by configuration", (20, 22), TITLE);
        legend(canvas, drawn);
        x.draw_accuracies(canvas, (TOP - 8, bottom), (left + width) / 2);
        for (i, row) in rows.iter().enumerate() {
            let below = TOP + row_height * (i as i32 + 1);
            let name = Style { bold: true, ..TEXT };
            match beside {
                true => {
                    let end = Style { anchor: Anchor::End, ..name };
                    canvas.text(&row.name, (left - 4, below - ROW / 2), end);
                }
                false => {
                    let (from, to) = ((left, below - ROW - 20), (width, below - ROW - 2));
                    canvas.rectangle(from, to, BACKGROUND);
                    canvas.text(&row.name, (left, below - ROW - 11), name);
                }
            }
            draw_row(canvas, row, &x, below - ROW);
        }
    })
}

fn legend(canvas: &Canvas, drawn: Drawn) {
    canvas.dot((26, 50), DOT + 1, BLUE);
    canvas.text("a run", (38, 50), TEXT);
    canvas.diamond((96, 50), 6, VERMILION);
    canvas.text("the paper", (110, 50), TEXT);
    let (x, y) = if drawn == Drawn::Wide { (200, 50) } else { (20, 72) };
    canvas.line(vec![(x, y), (x + 24, y)], FOREGROUND, 2);
    canvas.text("95 % interval of the mean", (x + 32, y), TEXT);
}

/// Draws a row with its upper edge at `top`.
fn draw_row(canvas: &Canvas, row: &Sample, x: &Axis, top: i32) {
    let (bars, dots, interval) = (top + 6 + BARS, top + 6 + BARS + 8, top + ROW - 12);
    let (from, to) = x.ends();
    let bin = |pixel: i32| {
        let share = f64::from(pixel - from) / f64::from((to - from).max(1));
        ((share * BINS as f64) as usize).min(BINS - 1)
    };
    let mut counts = [0; BINS];
    row.values.iter().for_each(|&value| counts[bin(x.pixel(value))] += 1);
    let greatest = counts.iter().copied().max().unwrap_or(0).max(1);
    let edge = |bin: usize| from + (to - from) * bin as i32 / BINS as i32;
    for (i, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
        let height = (BARS * count / greatest).max(2);
        canvas.rectangle((edge(i), bars - height), (edge(i + 1) - 1, bars), GRID);
    }
    let paper = row.paper.map(|paper| x.pixel(paper));
    if let Some(paper) = paper {
        canvas.line(vec![(paper, top + 6), (paper, interval + 4)], VERMILION, 1);
    }
    // Dots that would overlap are stacked.
    let mut drawn: Vec<(i32, i32)> = Vec::new();
    for &value in &row.values {
        let at = x.pixel(value);
        let levels = 0..4;
        let free = levels.clone().find(|&level| {
            drawn.iter().all(|&(x, other)| other != level || (x - at).abs() > 2 * DOT)
        });
        let level = free.unwrap_or(levels.end - 1);
        drawn.push((at, level));
        canvas.dot((at, dots + level * (2 * DOT + 1)), DOT, BLUE);
    }
    if let Some(paper) = paper {
        canvas.diamond((paper, interval), 6, VERMILION);
    }
    if let Some((mean, low, high)) = row.mean {
        let ends = [x.pixel(low), x.pixel(high)];
        canvas.line(vec![(ends[0], interval), (ends[1], interval)], FOREGROUND, 2);
        for end in ends.into_iter().chain([x.pixel(mean)]) {
            canvas.line(vec![(end, interval - 4), (end, interval + 4)], FOREGROUND, 2);
        }
    }
}

/// The text alternative of the figure.
fn label(rows: &[Sample]) -> String {
    let rows = rows.iter().map(|Sample { name, values, mean, paper }| {
        let mean = mean.map_or(String::new(), |(mean, low, high)| {
            format!(", mean {mean:.4}, 95 % interval {low:.4} to {high:.4}")
        });
        let paper = paper.map_or(String::new(), |paper| format!(", in the paper {paper:.4}"));
        format!("{name}: {} runs{mean}{paper}", values.len())
    });
    format!("Test accuracy by configuration. {}.", rows.collect::<Vec<_>>().join("; "))
}
