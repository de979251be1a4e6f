//! An axis: which numbers are marked on it, and where a number lies.

use super::canvas::{Anchor, Canvas, GRID, MUTED, Style, TEXT};

/// Values from `low` to `high` over pixels.
#[derive(Debug, Clone)]
pub struct Axis {
    low: f64,
    high: f64,
    from: i32,
    to: i32,
    step: f64,
}

impl Axis {
    /// An axis of round numbers that has `low` and `high` on it, with some `marks` steps, from the pixel
    /// `from` to the pixel `to`. `low` and `high` are finite, in whatever relation.
    pub fn new((low, high): (f64, f64), marks: u32, (from, to): (i32, i32)) -> Self {
        // Nothing that is measured is as great; a round number beyond it would be infinite.
        let [low, high] = [low, high].map(|value| value.clamp(-1e300, 1e300));
        // Halved, so that the extremes of float64 do not overflow.
        let range = (high / 2.0 - low / 2.0).max(low.abs() * 1e-6).max(1e-12);
        let step = round_step(range / f64::from(marks) * 2.0);
        let low = (low / step).floor() * step;
        let high = ((high / step).ceil() * step).max(low + step);
        Self { low, high, from, to, step }
    }

    /// Where `value` lies.
    pub fn pixel(&self, value: f64) -> i32 {
        let share = (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0);
        self.from + (share * f64::from(self.to - self.from)).round() as i32
    }

    /// The pixels of its ends.
    pub fn ends(&self) -> (i32, i32) {
        (self.from, self.to)
    }

    /// The marked values, each with its text.
    pub fn marks(&self) -> Vec<(f64, String)> {
        let steps = ((self.high / 2.0 - self.low / 2.0) / (self.step / 2.0)).round() as usize;
        let decimals = (-self.step.log10().floor()).clamp(0.0, 12.0) as usize;
        let text = |value: f64| match value.abs() {
            1e6.. => format!("{value:.1e}"),
            _ => format!("{value:.decimals$}"),
        };
        let values = (0..=steps).map(|i| self.low + i as f64 * self.step);
        values.map(|value| (value, text(value))).collect()
    }

    /// Draws it as one of test accuracies: a line down from `top` to `bottom` for each mark, its text
    /// and, about the column `middle`, what is measured below.
    pub fn draw_accuracies(&self, canvas: &Canvas, (top, bottom): (i32, i32), middle: i32) {
        let muted = Style { color: MUTED, anchor: Anchor::Middle, ..TEXT };
        for (value, text) in self.marks() {
            let x = self.pixel(value);
            canvas.line(vec![(x, top), (x, bottom)], GRID, 1);
            canvas.text(text, (x, bottom + 18), muted);
        }
        let what = "share of the test images classified correctly";
        canvas.text(what, (middle, bottom + 42), muted);
    }
}

/// 1, 2 or 5 times a power of ten, not below `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().map(|factor| factor * power).find(|step| *step >= least);
    step.unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::Axis;

    fn texts(low: f64, high: f64) -> Vec<String> {
        let marks = Axis::new((low, high), 5, (0, 100)).marks();
        marks.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn marks_are_round_numbers_around_the_values() {
        assert_eq!(texts(0.0, 0.678), ["0.0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(
            texts(0.8709, 0.8953),
            ["0.870", "0.875", "0.880", "0.885", "0.890", "0.895", "0.900"]
        );
        assert_eq!(texts(0.0, 0.0).len(), 2);
    }

    #[test]
    fn no_pair_of_finite_numbers_is_too_much() {
        let extremes = [0.0, -0.0, 5e-324, 1e-9, 1.0, 1e17, 1e300, f64::MAX, f64::MIN];
        for low in extremes {
            for high in extremes {
                let axis = Axis::new((low, high), 5, (300, 0));
                assert!((1..=20).contains(&axis.marks().len()), "{low:e} to {high:e}");
                let _ = axis.pixel(high);
            }
        }
    }
}
