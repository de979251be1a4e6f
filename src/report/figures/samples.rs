//! The figure of a study: a histogram and one dot per run for each configuration, and the paper's accuracy. The values
//! are written in the row: the least, the greatest and the mean, and the paper's where it changes. Configurations that
//! differ only in their options are a group below a heading.

use super::axis::{Axis, accuracy_bounds};
use super::canvas::{
    Anchor, BACKGROUND, BLUE, Canvas, FOREGROUND, GRID, MUTED, Style, TEXT, TITLE, VERMILION, draw,
    width_of,
};
use super::{Drawn, Figure};

/// The runs of one configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Name of the configuration; in a group, its options.
    pub name: String,
    /// The group that consecutive rows with the same heading are in.
    pub group: Option<Group>,
    /// Test accuracies, 0 to 1.
    pub values: Vec<f64>,
    /// Mean with the bounds of its 95 % confidence interval; `None` for one run.
    pub mean: Option<(f64, f64, f64)>,
    /// The paper's accuracy, if it has one for this model.
    pub paper: Option<f64>,
}

/// Configurations that differ only in their options.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// What they have in common.
    pub heading: String,
    /// Mean test accuracy of the one without options.
    pub plain: Option<f64>,
}

const TOP: i32 = 96;
const BELOW: i32 = 16;
/// Height of the labels of the axis, above the first row.
const TICKS: i32 = 24;
/// Width of a value: `0.8953`.
const VALUE: i32 = 46;
/// Height of a row: histogram, dots, interval.
const ROW: i32 = 84;
/// Height of the histogram.
const BARS: i32 = 26;
/// Number of histogram bins over the whole axis.
const BINS: usize = 40;
/// Height of a line of a name or heading.
const LINE: i32 = 18;
/// Maximum number of lines of a name beside its row.
const MAX_LINES: usize = 4;
/// Radius of a dot.
const DOT: i32 = 3;

const MUTED_TEXT: Style = Style { color: MUTED, ..TEXT };

/// Draws one row per configuration.
pub fn samples(rows: &[Sample], drawn: Drawn) -> Figure {
    let width = drawn.width();
    let layout = Layout::new(rows, drawn);
    let Layout { left, bottom, .. } = layout;
    let values = rows.iter().flat_map(|row| row.values.iter().copied().chain(row.paper));
    // The interval of two runs may be far wider than their distance: it is cut off.
    let several = rows.iter().filter(|row| row.values.len() > 2);
    let bounds = several.filter_map(|row| row.mean).flat_map(|(_, low, high)| [low, high]);
    let range = accuracy_bounds(values.chain(bounds));
    let ticks = if drawn == Drawn::Wide { 6 } else { 3 };
    // At both ends there is room for the value of a dot.
    let x = Axis::new(range, ticks, (left + 16 + VALUE, width - 16 - VALUE));
    draw((width as u32, (bottom + BELOW) as u32), &label(rows), |canvas| {
        canvas.text("Test accuracy by configuration", (20, 22), TITLE);
        legend(canvas, drawn, rows);
        x.draw_accuracies_above(canvas, (layout.first - 8, bottom));
        let mut written = None;
        for (row, place) in rows.iter().zip(&layout.places) {
            if let Some(heading) = &place.heading {
                let above = place.top - place.above;
                let top = above - LINE * heading.len() as i32;
                canvas.rectangle((0, top - 12), (width, above), BACKGROUND);
                write(canvas, heading, (20, top), Style { bold: true, ..TEXT });
            }
            let style = Style { bold: row.group.is_none(), ..TEXT };
            let height = LINE * place.name.len() as i32;
            if layout.is_beside {
                let end = Style { anchor: Anchor::End, ..style };
                write(canvas, &place.name, (left - 4, place.top + (ROW - height) / 2), end);
            } else {
                let (from, to) = ((left, place.top - place.above), (width, place.top - 2));
                canvas.rectangle(from, to, BACKGROUND);
                write(canvas, &place.name, (left, place.top - place.above + 2), style);
            }
            // The paper's value is written once for consecutive rows that have the same.
            let is_new = row.paper != written;
            written = row.paper;
            draw_row(canvas, row, &x, place.top, is_new);
        }
    })
}

/// Where rows and their names are.
struct Layout {
    /// The left edge of the axis.
    left: i32,
    /// The upper edge of the first row, with its name and heading if they are above it.
    first: i32,
    /// The lower edge of the last row.
    bottom: i32,
    /// Whether names are beside their rows, not above them.
    is_beside: bool,
    places: Vec<Place>,
}

/// Where a row is.
struct Place {
    /// The upper edge of the row, below its name.
    top: i32,
    /// Height of the name above the row.
    above: i32,
    /// Lines of the name.
    name: Vec<String>,
    /// Lines of the heading, above the first row of a group.
    heading: Option<Vec<String>>,
}

impl Layout {
    fn new(rows: &[Sample], drawn: Drawn) -> Self {
        let (width, third) = (drawn.width(), drawn.width() / 3);
        let all_within = |limit: i32| -> Vec<Vec<String>> {
            rows.iter().map(|row| wrapped(&row.name, limit)).collect()
        };
        let mut names = all_within(third);
        let longest = names.iter().flatten().map(|line| width_of(line)).max().unwrap_or(0);
        let fits = longest < third && names.iter().all(|name| name.len() <= MAX_LINES);
        let is_beside = drawn == Drawn::Wide && fits;
        if !is_beside {
            names = all_within(width - 40);
        }
        let is_grouped = rows.iter().any(|row| row.group.is_some());
        let top = if is_grouped && drawn == Drawn::Narrow { TOP + 22 } else { TOP };
        let first = top + TICKS;
        let mut bottom = first;
        let mut places = Vec::new();
        for (i, name) in names.into_iter().enumerate() {
            let is_first = i == 0 || rows[i - 1].group != rows[i].group;
            let heading = rows[i].group.as_ref().filter(|_| is_first);
            let heading = heading.map(|group| wrapped(&group.heading, width - 40));
            let above = if is_beside { 0 } else { LINE * name.len() as i32 + 6 };
            let heading_height = heading.as_ref().map_or(0, |it| LINE * it.len() as i32 + 12);
            let top = bottom + heading_height + above;
            bottom = top + ROW;
            places.push(Place { top, above, name, heading });
        }
        let left = if is_beside { 24 + longest } else { 20 };
        Self { left, first, bottom, is_beside, places }
    }
}

/// Splits a list of settings into lines of at most `limit` pixels, if its parts are that short.
fn wrapped(text: &str, limit: i32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in text.split_inclusive(", ") {
        match lines.last_mut() {
            Some(line) if width_of((line.clone() + part).trim_end()) <= limit => *line += part,
            _ => lines.push(part.into()),
        }
    }
    lines.into_iter().map(|line| line.trim_end().into()).collect()
}

/// Writes lines below `top`.
fn write(canvas: &Canvas, lines: &[String], (x, top): (i32, i32), style: Style) {
    for (i, line) in lines.iter().enumerate() {
        canvas.text(line, (x, top + LINE * i as i32 + LINE / 2), style);
    }
}

fn legend(canvas: &Canvas, drawn: Drawn, rows: &[Sample]) {
    canvas.dot((26, 50), DOT + 1, BLUE);
    canvas.text("a run", (38, 50), TEXT);
    if rows.iter().any(|row| row.paper.is_some()) {
        canvas.diamond((96, 50), 6, VERMILION);
        canvas.text("the paper", (110, 50), TEXT);
    }
    let is_wide = drawn == Drawn::Wide;
    let (x, y) = if is_wide { (200, 50) } else { (20, 72) };
    canvas.line(vec![(x, y), (x + 24, y)], FOREGROUND, 2);
    canvas.text("95 % interval of the mean", (x + 32, y), TEXT);
    if rows.iter().any(|row| row.group.is_some()) {
        let (x, y) = if is_wide { (430, 50) } else { (20, 94) };
        canvas.line(vec![(x + 12, y - 8), (x + 12, y + 8)], MUTED, 1);
        canvas.text("mean without options", (x + 32, y), TEXT);
    }
}

/// Draws a row with its upper edge at `top`, and the paper's value if it is new.
fn draw_row(canvas: &Canvas, row: &Sample, x: &Axis, top: i32, is_new: bool) {
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
    if let Some(plain) = row.group.as_ref().and_then(|group| group.plain) {
        let plain = x.pixel(plain);
        canvas.line(vec![(plain, top), (plain, top + ROW)], MUTED, 1);
    }
    let paper = row.paper.map(|paper| x.pixel(paper));
    if let Some(paper) = paper {
        canvas.line(vec![(paper, top + 6), (paper, interval + 4)], VERMILION, 1);
    }
    draw_dots(canvas, &row.values, x, dots);
    if let Some(paper) = paper {
        canvas.diamond((paper, interval), 6, VERMILION);
    }
    let mut drawn: Vec<(i32, i32)> = paper.map(|at| (at - 8, at + 8)).into_iter().collect();
    if let Some((mean, low, high)) = row.mean {
        let marks = [x.pixel(low), x.pixel(mean), x.pixel(high)];
        let line = [marks[0], marks[2]].map(|end| (end.clamp(from, to), interval));
        canvas.line(line.into(), FOREGROUND, 2);
        for end in marks.into_iter().filter(|mark| (from..=to).contains(mark)) {
            canvas.line(vec![(end, interval - 4), (end, interval + 4)], FOREGROUND, 2);
        }
        let taken = (line[0].0 - 6, line[1].0 + 6);
        write_beside(
            canvas,
            mean,
            (taken, interval),
            (x, &mut drawn),
            Style { bold: true, ..TEXT },
        );
    }
    if let (Some(at), Some(value), true) = (paper, row.paper, is_new) {
        write_beside(canvas, value, ((at - 10, at + 10), interval), (x, &mut drawn), MUTED_TEXT);
    }
}

/// Draws a dot per value; those that would overlap are stacked. Writes the least and the greatest value beside them.
fn draw_dots(canvas: &Canvas, values: &[f64], x: &Axis, top: i32) {
    if values.is_empty() {
        return;
    }
    let mut drawn: Vec<(i32, i32)> = Vec::new();
    for &value in values {
        let at = x.pixel(value);
        let levels = 0..4;
        let free = levels.clone().find(|&level| {
            drawn.iter().all(|&(x, other)| other != level || (x - at).abs() > 2 * DOT)
        });
        drawn.push((at, free.unwrap_or(levels.end - 1)));
    }
    let (low, high) = bounds(values);
    write_value(canvas, low, (x.pixel(low) - 2 * DOT, top + 2 * DOT), Anchor::End, MUTED_TEXT);
    if high > low {
        let at = (x.pixel(high) + 2 * DOT, top + 2 * DOT);
        write_value(canvas, high, at, Anchor::Start, MUTED_TEXT);
    }
    for (at, level) in drawn {
        canvas.dot((at, top + level * (2 * DOT + 1)), DOT, BLUE);
    }
}

fn bounds(values: &[f64]) -> (f64, f64) {
    let ends = (f64::INFINITY, f64::NEG_INFINITY);
    values.iter().fold(ends, |(low, high), &it| (low.min(it), high.max(it)))
}

/// Writes a value on the right of what takes the columns `taken` in line `y`, on the left if others are there, or on the left
/// of all of them.
fn write_beside(
    canvas: &Canvas,
    value: f64,
    (taken, y): ((i32, i32), i32),
    (x, drawn): (&Axis, &mut Vec<(i32, i32)>),
    style: Style,
) {
    let (right, left) = ((taken.1, taken.1 + VALUE), (taken.0 - VALUE, taken.0));
    let is_free = |place: (i32, i32)| {
        place.1 <= x.ends().1 + VALUE + 8
            && drawn.iter().all(|it| it.1 <= place.0 || it.0 >= place.1)
    };
    let leftmost = drawn.iter().map(|it| it.0).min().unwrap_or(taken.0);
    let outside = (leftmost - VALUE, leftmost);
    let place = [right, left].into_iter().find(|&it| is_free(it)).unwrap_or(outside);
    let (at, anchor) =
        if place == right { (place.0, Anchor::Start) } else { (place.1, Anchor::End) };
    write_value(canvas, value, (at, y), anchor, style);
    drawn.extend([taken, place]);
}

/// Writes a value on a rectangle of the background color, which hides the grid lines.
fn write_value(canvas: &Canvas, value: f64, (x, y): (i32, i32), anchor: Anchor, style: Style) {
    let left = if matches!(anchor, Anchor::End) { x - VALUE } else { x };
    canvas.rectangle((left, y - 8), (left + VALUE, y + 8), BACKGROUND);
    canvas.text(format!("{value:.4}"), (x, y), Style { anchor, ..style });
}

/// The text alternative of the figure.
fn label(rows: &[Sample]) -> String {
    let rows = rows.iter().map(|Sample { name, group, values, mean, paper }| {
        let group = group.as_ref().map_or(String::new(), |it| format!("{}, ", it.heading));
        let mean = mean.map_or(String::new(), |(mean, low, high)| {
            format!(", mean {mean:.4}, 95 % interval {low:.4} to {high:.4}")
        });
        let paper = paper.map_or(String::new(), |paper| format!(", in the paper {paper:.4}"));
        format!("{group}{name}: {} runs{mean}{paper}", values.len())
    });
    format!("Test accuracy by configuration. {}.", rows.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, group: Option<&str>, mean: (f64, f64, f64)) -> Sample {
        let group = group.map(|heading| Group { heading: heading.into(), plain: Some(0.87) });
        let values = vec![0.86, 0.87, 0.88];
        Sample { name: name.into(), group, values, mean: Some(mean), paper: None }
    }

    #[test]
    fn a_heading_is_above_the_first_row_of_its_group() {
        let mean = (0.87, 0.85, 0.89);
        let rows = [
            row("alone, with a name", None, mean),
            row("no options", Some("LeNet-5, batch 32"), mean),
            row("batch norm, dropout 0.5, crop:2,flip:0.5", Some("LeNet-5, batch 32"), mean),
        ];
        for drawn in [Drawn::Wide, Drawn::Narrow] {
            let svg = samples(&rows, drawn).svg().to_owned();
            assert_eq!(svg.matches(">LeNet-5, batch 32</text>").count(), 1, "{svg}");
            // Within the figure's width, in two lines.
            assert!(svg.contains(">batch norm, dropout 0.5,</text>"), "{svg}");
            assert!(svg.contains(">mean without options</text>") && !svg.contains("the paper<"));
            assert!(svg.contains("no options: 3 runs, mean 0.8700, 95 % interval"));
        }
    }

    #[test]
    fn the_interval_of_two_runs_is_cut_off_at_the_axis() {
        let mut two = row("two", None, (0.87, 0.0, 1.0));
        two.values.pop();
        let figure = |row| samples(&[row], Drawn::Wide).svg().to_owned();
        assert!(!figure(two.clone()).contains(">0.0</text>"));
        two.values.push(0.88);
        assert!(figure(two).contains(">0.0</text>"));
    }
}
