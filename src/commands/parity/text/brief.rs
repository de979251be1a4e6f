//! What `stitch parity` shows of stages and predictions without `--verbose`.

use stitch_parity::{Report, StageCounts, TaskView, Tolerance};

use super::{Printer, SHOWN, accuracies};

impl Printer {
    /// The stages that differ, those that differ within the tolerance, and those that are equal, with their numbers of
    /// tensors: a line each.
    pub(super) fn stages_in_brief(&mut self, report: &Report) {
        let stages = report.stages();
        let listed = |kind: usize| {
            let parts =
                stages.iter().filter_map(|&StageCounts { stage, equal, within, different }| {
                    let counts = [equal, within, different];
                    let (count, all) = (counts[kind], counts.iter().sum::<usize>());
                    match count {
                        0 => None,
                        _ if count == all => Some(format!("{stage} {all}")),
                        // Equal tensors of a stage with others are the rest.
                        _ if kind == 0 => None,
                        _ => Some(format!("{stage} {count} of {all}")),
                    }
                });
            parts.collect::<Vec<_>>().join(", ")
        };
        for (kind, label) in [(2, "different"), (1, "within tolerance"), (0, "equal bits")] {
            let listed = listed(kind);
            if !listed.is_empty() {
                self.line(&format!("{label}: {listed}"));
            }
        }
    }

    /// The predictions, cells of the confusion matrix and losses that differ if they are few, else the number of those of one
    /// kind; and the accuracy.
    pub(super) fn task_in_brief(&mut self, task: &TaskView) {
        let counts = [
            (task.predictions.len(), "predictions"),
            (task.cells.len(), "cells of the confusion matrix"),
            (task.losses.len(), "losses of epochs"),
        ];
        if counts.iter().map(|(count, _)| count).sum::<usize>() <= SHOWN {
            return self.task(task);
        }
        if let Some((count, what)) = counts.iter().find(|(count, _)| *count > 0) {
            let accuracy = accuracies(task).map_or(String::new(), |[expected, actual]| {
                format!("; accuracy: expected {expected:.6}, got {actual:.6}")
            });
            self.line(&format!("results that differ: {count} {what}{accuracy}"));
        }
    }
}

/// Rounds a tolerance up to three digits, which is easier to read and to type.
pub(super) fn round_up(tolerance: &mut Tolerance) {
    let up = |value: &mut f64| {
        let rounded = format!("{value:.2e}");
        let (digits, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
        let parsed = |digits: f64| format!("{digits:.2}e{exponent}").parse().unwrap_or(*value);
        let digits: f64 = digits.parse().unwrap_or(*value);
        let nearest = parsed(digits);
        let rounded = if nearest < *value { parsed(digits + 0.01) } else { nearest };
        *value = if rounded.is_finite() { rounded } else { *value };
    };
    if let Tolerance::Within { atol, rtol, .. } = tolerance {
        up(atol);
        up(rtol);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_are_rounded_up_to_the_next_of_three_digits() {
        for (exact, expected) in [
            (1.0000020265579224e-3, 1.01e-3),
            (1e-3, 1e-3),
            (9.999e-8, 1e-7),
            (9.991e-8, 1e-7),
            (0.0, 0.0),
            (12345.0, 12400.0),
            (5e-324, 5e-324),
            (f64::MAX, f64::MAX),
        ] {
            let mut tolerance = Tolerance::Within { atol: exact, rtol: exact, ulp: 7 };
            round_up(&mut tolerance);
            assert_eq!(tolerance, Tolerance::Within { atol: expected, rtol: expected, ulp: 7 });
        }
    }
}
