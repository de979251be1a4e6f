//! The figures of `stitch parity`: relative errors by tensor and by step, on logarithmic axes.

use super::axis::Axis;
use super::canvas::{
    Anchor, BACKGROUND, BLUE, Canvas, GRID, MUTED, Style, TEXT, TITLE, VERMILION, draw, width_of,
};
use super::{Drawn, Figure};

/// The relative error of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorError {
    /// Name of the tensor, with its stage.
    pub name: String,
    /// Where in the run it is: `step 2`; may be empty.
    pub at: String,
    /// Relative error; may be infinite.
    pub value: f64,
}

/// The greatest relative error of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepError {
    /// Step, counted from 1.
    pub step: usize,
    /// Relative error, which may be infinite; `None` if all tensors of the step are equal.
    pub value: Option<f64>,
}

const TOP: i32 = 48;
/// Height of a row whose name is beside it, and of one whose name is above it.
const ROWS: [i32; 2] = [26, 42];
const BELOW: i32 = 60;
/// Height of the panel of steps.
const PANEL: i32 = 220;
/// Space below it for the steps that are equal.
const EQUAL: i32 = 30;
const LEFT: i32 = 56;
/// Most points of a line; of more, the greatest of each group of steps is drawn.
const POINTS: usize = 600;

/// Draws one row per tensor: a dot, with its value beside it. The first is the first divergence.
pub fn tensor_errors(rows: &[TensorError], drawn: Drawn) -> Figure {
    let width = drawn.width();
    let longest = rows.iter().map(|row| width_of(&row.name)).max().unwrap_or(0);
    let is_beside = drawn == Drawn::Wide;
    let left = if is_beside { 24 + longest.min(width * 2 / 5) } else { 20 };
    let row_height = ROWS[usize::from(!is_beside)];
    let bottom = TOP + row_height * rows.len() as i32;
    let ticks = if is_beside { 6 } else { 4 };
    let x = axis(rows.iter().map(|row| row.value), ticks, (left + 12, width - 40));
    let label = tensors_label(rows);
    draw((width as u32, (bottom + BELOW) as u32), &label, |canvas| {
        canvas.text("Relative error where it begins", (20, 22), TITLE);
        for (value, text) in powers(&x) {
            let at = x.pixel(value);
            canvas.line(vec![(at, TOP - 6), (at, bottom)], GRID, 1);
            canvas.text(text, (at, bottom + 18), muted(Anchor::Middle));
        }
        let middle = ((left + width) / 2, bottom + 42);
        canvas.text("relative error", middle, muted(Anchor::Middle));
        for (i, row) in rows.iter().enumerate() {
            let y = TOP + row_height * (i as i32 + 1) - 13;
            let style = Style { bold: i == 0, ..TEXT };
            if is_beside {
                let name = shortened(&row.name, left - 20);
                canvas.text(name, (left - 4, y), Style { anchor: Anchor::End, ..style });
            } else {
                canvas.rectangle((0, y - 28), (width, y - 10), BACKGROUND);
                canvas.text(shortened(&row.name, width - 30), (left, y - 19), style);
            }
            draw_row(canvas, row, (&x, y), i == 0);
        }
    })
}

/// Draws the dot of a row and its value, on the side where there is room.
fn draw_row(canvas: &Canvas, row: &TensorError, (x, y): (&Axis, i32), is_first: bool) {
    let (from, to) = x.ends();
    let at = place(x, row.value);
    let text = match row.at.as_str() {
        "" => number(row.value),
        step => format!("{}, {step}", number(row.value)),
    };
    let length = width_of(&text);
    let is_left = at + 12 + length > to + 36 && at - 12 - length > from - 12;
    let start = if is_left { at - 12 - length } else { at + 12 };
    canvas.rectangle((start - 2, y - 9), (start + length + 2, y + 9), BACKGROUND);
    let style = if is_left { muted(Anchor::End) } else { muted(Anchor::Start) };
    canvas.text(text, (if is_left { at - 12 } else { start }, y), style);
    match is_first {
        true => canvas.diamond((at, y), 8, VERMILION),
        false => canvas.dot((at, y), 5, BLUE),
    }
}

/// Draws a line over the steps. Steps whose tensors are all equal are dots on a row of their own, below the axis.
pub fn step_errors(all: &[StepError], drawn: Drawn) -> Figure {
    let points = &reduced(all)[..];
    let (width, bottom) = (drawn.width(), TOP + PANEL);
    let right = width - 24;
    let y = axis(points.iter().filter_map(|point| point.value), 5, (bottom, TOP));
    let equal = bottom + EQUAL;
    draw((width as u32, (equal + BELOW) as u32), &steps_label(all), |canvas| {
        canvas.text("Greatest relative error by step", (20, 22), TITLE);
        for (value, text) in powers(&y) {
            let at = y.pixel(value);
            canvas.line(vec![(LEFT, at), (right, at)], GRID, 1);
            canvas.text(text, (LEFT - 10, at), muted(Anchor::End));
        }
        if points.iter().any(|point| point.value.is_none()) {
            canvas.text("equal", (LEFT - 10, equal), muted(Anchor::End));
        }
        let ends = [points.first(), points.last()].map(|point| point.map_or(0, |it| it.step));
        let x = |step: usize| {
            let share = match ends[1] - ends[0] {
                0 => 0.5,
                steps => (step - ends[0]) as f64 / steps as f64,
            };
            LEFT + 14 + (share * f64::from(right - LEFT - 28)).round() as i32
        };
        let at = |point: &StepError| match point.value {
            None => (x(point.step), equal),
            Some(value) => (x(point.step), place(&y, value)),
        };
        for run in points.split(|point| point.value.is_none()).filter(|run| run.len() > 1) {
            canvas.line(run.iter().map(at).collect(), BLUE, 2);
        }
        let with_dots = points.len() <= 60;
        for point in points.iter().filter(|point| with_dots || point.value.is_none()) {
            canvas.dot(at(point), 3, if point.value.is_none() { MUTED } else { BLUE });
        }
        let mut steps = vec![ends[0], ends[1]];
        if points.len() <= 12 {
            steps.extend(points.iter().map(|point| point.step));
        }
        let first = points.iter().find(|point| point.value.is_some());
        if let Some(first) = first {
            canvas.diamond(at(first), 8, VERMILION);
            steps.push(first.step);
        }
        let last = points.last().filter(|last| first.is_some_and(|first| first.step < last.step));
        for point in [first, last].into_iter().flatten() {
            if let Some(value) = point.value {
                write_value(canvas, value, at(point), (LEFT, right));
            }
        }
        write_steps(canvas, steps, x, equal + 20);
        let middle = ((LEFT + right) / 2, equal + 42);
        canvas.text("step", middle, muted(Anchor::Middle));
    })
}

/// Writes a value above its point, within the panel.
fn write_value(canvas: &Canvas, value: f64, (x, y): (i32, i32), (from, to): (i32, i32)) {
    let text = number(value);
    let half = width_of(&text) / 2;
    let x = x.clamp(from + half, to - half);
    let y = if y - 20 < TOP { y + 20 } else { y - 20 };
    canvas.rectangle((x - half, y - 9), (x + half, y + 9), BACKGROUND);
    canvas.text(text, (x, y), Style { bold: true, anchor: Anchor::Middle, ..TEXT });
}

/// Writes the numbers of steps below the axis, without those that would overlap the one before.
fn write_steps(canvas: &Canvas, mut steps: Vec<usize>, x: impl Fn(usize) -> i32, y: i32) {
    steps.sort_unstable();
    steps.dedup();
    let mut free = i32::MIN;
    for step in steps {
        let (at, half) = (x(step), width_of(&step.to_string()) / 2);
        if at - half >= free {
            canvas.text(step.to_string(), (at, y), muted(Anchor::Middle));
            free = at + half + 8;
        }
    }
}

/// At most [`POINTS`] steps: the one with the greatest difference of each group, and the first that differs.
fn reduced(all: &[StepError]) -> Vec<StepError> {
    let groups = all.chunks(all.len().div_ceil(POINTS).max(1));
    let greatest = |group: &[StepError]| {
        let greater = |a: StepError, b: &StepError| if b.value > a.value { *b } else { a };
        group.iter().fold(group[0], greater)
    };
    let mut points: Vec<StepError> = groups.map(greatest).collect();
    let ends = [all.iter().find(|point| point.value.is_some()), all.last()];
    points.extend(ends.into_iter().flatten());
    points.sort_by_key(|point| point.step);
    points.dedup_by_key(|point| point.step);
    points
}

/// An axis of the exponents of ten that includes all values but 0 and infinity, of at least as many decades as `ticks`.
fn axis(values: impl Iterator<Item = f64>, ticks: u32, ends: (i32, i32)) -> Axis {
    let exponents = values.filter(|value| *value > 0.0 && value.is_finite()).map(f64::log10);
    let bounds = exponents.fold(None, |bounds: Option<(f64, f64)>, it| {
        Some(bounds.map_or((it, it), |(low, high)| (low.min(it), high.max(it))))
    });
    let (low, high) = bounds.map_or((-1.0, 0.0), |(low, high)| (low.floor(), high.ceil()));
    Axis::new((low.min(high - f64::from(ticks)), high), ticks, ends)
}

/// The ticks of an axis of exponents, as powers of ten.
fn powers(axis: &Axis) -> Vec<(f64, String)> {
    axis.ticks().into_iter().map(|(value, _)| (value, format!("1e{value}"))).collect()
}

/// The pixel of a value on an axis of exponents: 0 at its low end, infinity at its high end.
fn place(axis: &Axis, value: f64) -> i32 {
    let (from, to) = axis.ends();
    match value.log10() {
        it if it.is_finite() => axis.pixel(it),
        it if it < 0.0 => from,
        _ => to,
    }
}

fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:.1e}") } else { "infinite".into() }
}

fn muted(anchor: Anchor) -> Style {
    Style { color: MUTED, anchor, ..TEXT }
}

/// `text` without its middle, if it is wider than `width`.
fn shortened(text: &str, width: i32) -> String {
    if width_of(text) <= width {
        return text.into();
    }
    let letters: Vec<char> = text.chars().collect();
    // Widths are proportional to the number of letters; one is replaced by the ellipsis.
    let kept = (letters.len() as i32 * width / width_of(text) - 1).max(2) as usize;
    let (start, end) = (kept / 2, letters.len() - kept.div_ceil(2));
    format!("{}…{}", String::from_iter(&letters[..start]), String::from_iter(&letters[end..]))
}

/// The text alternative of [`tensor_errors`].
fn tensors_label(rows: &[TensorError]) -> String {
    let row = |row: &TensorError| match row.at.as_str() {
        "" => format!("{} {}", row.name, number(row.value)),
        at => format!("{} {} ({at})", row.name, number(row.value)),
    };
    let rows: Vec<String> = rows.iter().map(row).collect();
    format!("Relative error of each tensor where it first differs: {}.", rows.join("; "))
}

/// The text alternative of [`step_errors`].
fn steps_label(points: &[StepError]) -> String {
    let differ: Vec<_> = points.iter().filter_map(|it| Some((it.step, it.value?))).collect();
    let of = |(step, value): (usize, f64)| format!("{} in step {step}", number(value));
    let ends = match differ[..] {
        [] => return format!("All {} steps are equal.", points.len()),
        [only] => of(only),
        [first, .., last] => format!("{}, {}", of(first), of(last)),
    };
    let (count, all) = (differ.len(), points.len());
    format!("Greatest relative error by step: {count} of {all} steps differ; {ends}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(values: &[f64]) -> Vec<StepError> {
        let value = |value: f64| (value != 0.0).then_some(value);
        (1..).zip(values).map(|(step, &it)| StepError { step, value: value(it) }).collect()
    }

    #[test]
    fn every_difference_can_be_drawn() {
        for value in [0.0, 5e-324, 1e-7, 1.0, f64::MAX, f64::INFINITY, f64::NAN] {
            let row = TensorError { name: "w".into(), at: "step 1".into(), value };
            for drawn in [Drawn::Wide, Drawn::Narrow] {
                assert!(tensor_errors(std::slice::from_ref(&row), drawn).svg().contains("step 1"));
                assert!(step_errors(&errors(&[0.0, value]), drawn).svg().contains(">step</text>"));
            }
        }
    }

    #[test]
    fn of_many_steps_the_greatest_and_the_first_that_differs_are_kept() {
        let mut values = vec![0.0; 10_000];
        (values[4321], values[4322], values[7777]) = (1e-9, 1e-5, 0.5);
        let points = reduced(&errors(&values));
        assert!(points.len() <= POINTS + 2, "{}", points.len());
        let kept: Vec<usize> = [4322, 4323, 7778, 10_000]
            .into_iter()
            .filter(|step| points.iter().any(|point| point.step == *step))
            .collect();
        assert_eq!(kept, [4322, 4323, 7778, 10_000]);
    }

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(shortened("short", 200), "short");
        let name = "gradient of encoder.layers.11.attention.self.query.weight";
        let short = shortened(name, 200);
        assert!(
            width_of(&short) <= 200 && short.starts_with("gradient") && short.ends_with("weight")
        );
    }
}
