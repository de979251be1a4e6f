//! Causes of a difference in the output of a module, or in the gradient of its input.

use stitch_trace::stage;

use super::Evidence;
use crate::fit::{difference, factor, fit, norm};

impl Evidence<'_> {
    /// The output of a module whose inputs are equal, as far as they are recorded.
    pub(super) fn of_layer(&self, one: &[f64], other: &[f64]) -> Vec<String> {
        let class = self.first.class.as_deref().unwrap_or_default();
        let shape = &self.first.shape;
        if class.contains("Dropout") {
            return of_dropout(one, other);
        }
        if class.contains("BatchNorm") {
            return of_batch_norm(one, other, shape);
        }
        if class == "GELU" && norm(&difference(other, one)) < 0.01 * norm(one) {
            return vec![
                "the other form of GELU: approximate is 'tanh' on one side and 'none' on the other"
                    .into(),
            ];
        }
        if class.contains("AvgPool") && one.iter().zip(other).all(|(a, b)| b >= a) {
            return vec!["the maximum instead of the average".into()];
        }
        if class.contains("MaxPool") && one.iter().zip(other).all(|(a, b)| b <= a) {
            return vec!["the average instead of the maximum".into()];
        }
        if class.ends_with("ReLU") && one.iter().zip(other).any(|(&a, &b)| a == 0.0 && b != 0.0) {
            return vec!["another activation: it is not 0 where the reference's is".into()];
        }
        if at_border(one, other, shape) {
            return vec![
                "padding: only elements at the border differ (padding, padding_mode, or ceil_mode of a pooling before)".into(),
            ];
        }
        Vec::new()
    }

    /// The gradient of what maximum pooling reads: its windows pass it to other elements.
    pub(super) fn of_ties(&self, one: &[f64], other: &[f64]) -> Option<String> {
        let layers =
            self.tensors.iter().filter(|it| it.stage == stage::FORWARD && it.step == self.step());
        let mut after = layers.skip_while(|it| it.name != self.first.name).skip(1);
        let pool = after.next().filter(|_| self.first.stage == stage::BACKWARD)?;
        let class = pool.class.as_deref().filter(|class| class.contains("MaxPool"))?;
        let planes = |values: &[f64]| -> Vec<f64> {
            let size = self.first.shape.iter().skip(2).product::<usize>().max(1);
            values.chunks(size).map(|plane| plane.iter().sum()).collect()
        };
        let (before, now) = (planes(one), planes(other));
        let is_moved = |(a, b): (&f64, &f64)| (*a == 0.0) != (*b == 0.0);
        let differing = one.iter().zip(other).filter(|(a, b)| a != b).count();
        let moved = one.iter().zip(other).filter(|&pair| is_moved(pair)).count();
        let is_kept = norm(&difference(&now, &before)) <= 1e-4 * norm(one);
        let name = &pool.name;
        (is_kept && 2 * moved > differing).then(|| {
            format!("the tie rule of {name} ({class}): the gradient goes to another one of several equal elements of a window")
        })
    }
}

fn of_dropout(one: &[f64], other: &[f64]) -> Vec<String> {
    let zeros =
        |values: &[f64]| values.iter().filter(|&&x| x == 0.0).count() as f64 / values.len() as f64;
    let (before, after) = (zeros(one), zeros(other));
    let same = one.iter().zip(other).all(|(&a, &b)| (a == 0.0) == (b == 0.0));
    if same && let Some(scale) = factor(one, other) {
        return vec![format!(
            "the mask is the same, and the rest is {scale:.6} times the reference's: the scale 1 / (1 - p)"
        )];
    }
    // With nested masks, what both keep tells the rates.
    let kept: (Vec<f64>, Vec<f64>) =
        one.iter().zip(other).filter(|(a, b)| **a != 0.0 && **b != 0.0).unzip();
    let scale = factor(&kept.0, &kept.1).filter(|scale| {
        let dropped = before > 0.0 && after > 0.0;
        dropped && !same && (scale - 1.0).abs() > 1e-3
    });
    if let Some(scale) = scale {
        return vec![format!(
            "the rate: elements that both keep are {scale:.6} times the reference's, {:.1} % of the elements are 0, in the \
             reference {:.1} %",
            100.0 * after,
            100.0 * before
        )];
    }
    // Four standard deviations of the number of zeros.
    let spread = 4.0 * (before * (1.0 - before) / one.len() as f64).sqrt() + 0.01;
    vec![match (after - before).abs() > spread {
        true => format!(
            "the rate, or evaluation mode on one side: {:.1} % of the elements are 0, in the reference {:.1} %",
            100.0 * after,
            100.0 * before
        ),
        false => {
            "another mask: the generator's state, or the order of its draws (seed, device, operations before that draw)"
                .into()
        }
    }]
}

/// Compares the channels (N, C, …), each of which batch normalization scales and moves.
fn of_batch_norm(one: &[f64], other: &[f64], shape: &[usize]) -> Vec<String> {
    let [n, channels, rest @ ..] = shape else { return Vec::new() };
    let size: usize = rest.iter().product();
    let channel = |values: &[f64], c: usize| -> Vec<f64> {
        let parts = (0..*n).map(|i| &values[(i * channels + c) * size..][..size]);
        parts.flatten().copied().collect()
    };
    let mut scales = Vec::new();
    for c in 0..*channels {
        let (a, b) = (channel(one, c), channel(other, c));
        let Some([scale, offset]) = fit([&a, &vec![1.0; a.len()]], &b) else { return Vec::new() };
        scales.push((scale, offset.abs() > 1e-3));
    }
    let count = (n * size) as f64;
    let unbiased = ((count - 1.0) / count).sqrt();
    let is = |expected: f64| {
        scales.iter().all(|&(scale, moved)| {
            !moved && (scale - expected).abs() < 0.2 * (1.0 - expected).abs() + 1e-7
        })
    };
    if is(unbiased) {
        return vec![
            "the variance: the candidate divides by the number of elements minus 1".into(),
        ];
    }
    if is(1.0 / unbiased) {
        return vec![
            "the variance: the reference divides by the number of elements minus 1".into(),
        ];
    }
    let near = scales.iter().all(|&(scale, moved)| !moved && (scale - 1.0).abs() < 0.3);
    match near {
        true => vec!["epsilon: each channel is scaled by another factor, and not moved".into()],
        false => vec![
            "evaluation mode: each channel is scaled and moved, as with running statistics instead of those of the batch".into(),
        ],
    }
}

/// Whether only elements within 3 of the border of the last two dimensions differ.
fn at_border(one: &[f64], other: &[f64], shape: &[usize]) -> bool {
    let &[_, _, height, width] = shape else { return false };
    let inside = |i: usize, size: usize| (3..size.saturating_sub(3)).contains(&i);
    let differing = (0..one.len()).filter(|&i| one[i] != other[i]);
    let mut count = 0;
    for i in differing {
        count += 1;
        if inside(i / width % height, height) && inside(i % width, width) {
            return false;
        }
    }
    count > 0 && height > 6 && width > 6
}
