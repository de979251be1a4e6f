//! A linear axis: its ticks and the mapping from values to pixels.

use super::canvas::{Anchor, Canvas, GRID, MUTED, Style, TEXT};

/// A linear axis from `low` to `high` in values, and from `from` to `to` in pixels.
#[derive(Debug, Clone)]
pub struct Axis {
    low: f64,
    high: f64,
    from: i32,
    to: i32,
    step: f64,
}

impl Axis {
    /// An axis with round ticks that includes `low` and `high`, with about `ticks` steps, from pixel `from` to pixel `to`.
    /// `low` and `high` must be finite; `low` may be the greater one.
    pub fn new((low, high): (f64, f64), ticks: u32, (from, to): (i32, i32)) -> Self {
        // Limited, so that rounding up does not give infinity.
        let [low, high] = [low, high].map(|value| value.clamp(-1e300, 1e300));
        // Halved, so that the extremes of float64 do not overflow.
        let range = (high / 2.0 - low / 2.0).max(low.abs() * 1e-6).max(1e-12);
        let step = round_step(range / f64::from(ticks) * 2.0);
        let low = (low / step).floor() * step;
        let high = ((high / step).ceil() * step).max(low + step);
        Self { low, high, from, to, step }
    }

    /// The pixel of a value.
    pub fn pixel(&self, value: f64) -> i32 {
        let share = (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0);
        self.from.saturating_add((share * f64::from(self.to - self.from)).round() as i32)
    }

    /// The pixels of both ends.
    pub fn ends(&self) -> (i32, i32) {
        (self.from, self.to)
    }

    /// The values of the ticks with their labels.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let steps = ((self.high / 2.0 - self.low / 2.0) / (self.step / 2.0)).round() as usize;
        let decimals = (-self.step.log10().floor()).clamp(0.0, 12.0) as usize;
        let text = |value: f64| match value.abs() {
            1e6.. => format!("{value:.1e}"),
            _ => format!("{value:.decimals$}"),
        };
        let values = (0..=steps).map(|i| self.low + i as f64 * self.step);
        values.map(|value| (value, text(value))).collect()
    }

    /// Draws a horizontal axis of test accuracies: grid lines from `top` to `bottom`, tick labels below them, and the axis
    /// label centered at the column `middle`.
    pub fn draw_accuracies(&self, canvas: &Canvas, (top, bottom): (i32, i32), middle: i32) {
        let muted = Style { color: MUTED, anchor: Anchor::Middle, ..TEXT };
        for (value, text) in self.ticks() {
            let x = self.pixel(value);
            canvas.line(vec![(x, top), (x, bottom)], GRID, 1);
            canvas.text(text, (x, bottom + 18), muted);
        }
        canvas.text("test accuracy", (middle, bottom + 42), muted);
    }

    /// Draws a horizontal axis of test accuracies with its tick labels above it, for a figure that is many rows high.
    pub fn draw_accuracies_above(&self, canvas: &Canvas, (top, bottom): (i32, i32)) {
        for (value, text) in self.ticks() {
            let x = self.pixel(value);
            canvas.line(vec![(x, top), (x, bottom)], GRID, 1);
            canvas.text(
                text,
                (x, top - 12),
                Style { color: MUTED, anchor: Anchor::Middle, ..TEXT },
            );
        }
    }
}

/// The bounds of an axis of these accuracies, 0 to 1: at least 0.01 apart, so that equal values have readable ticks.
pub fn accuracy_bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) =
        values.fold((1.0, 0.0), |(low, high), value| (f64::min(low, value), f64::max(high, value)));
    let low = low.min(high - 0.01).max(0.0);
    (low, high.max(low + 0.01))
}

/// The least number of at least `least` that is 1, 2 or 5 times a power of ten.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().map(|factor| factor * power).find(|step| *step >= least);
    step.unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::{Axis, accuracy_bounds};

    fn texts(low: f64, high: f64) -> Vec<String> {
        let ticks = Axis::new((low, high), 5, (0, 100)).ticks();
        ticks.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_numbers_around_the_values() {
        assert_eq!(texts(0.0, 0.678), ["0.0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(
            texts(0.8709, 0.8953),
            ["0.870", "0.875", "0.880", "0.885", "0.890", "0.895", "0.900"]
        );
        assert_eq!(texts(0.0, 0.0).len(), 2);
    }

    #[test]
    fn equal_accuracies_have_an_axis_with_few_decimals() {
        let bounds = |values: &[f64]| accuracy_bounds(values.iter().copied());
        assert_eq!(bounds(&[0.0]), (0.0, 0.01));
        assert_eq!(bounds(&[0.8709, 0.8953]), (0.8709, 0.8953));
        let (low, high) = bounds(&[1.0]);
        assert_eq!(texts(low, high).last().unwrap(), "1.000");
    }

    #[test]
    fn every_pair_of_finite_numbers_gives_an_axis() {
        let extremes = [0.0, -0.0, 5e-324, 1e-9, 1.0, 1e17, 1e300, f64::MAX, f64::MIN];
        for low in extremes {
            for high in extremes {
                let axis = Axis::new((low, high), 5, (300, 0));
                assert!((1..=20).contains(&axis.ticks().len()), "{low:e} to {high:e}");
                let _ = axis.pixel(high);
            }
        }
    }
}
