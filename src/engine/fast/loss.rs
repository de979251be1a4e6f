//! `F.cross_entropy` and `F.nll_loss`, and their gradients w.r.t. the logits, image by image.

use crate::engine::Criterion;

/// Replaces the logits of one block, (classes,) with one image per lane, by the gradient of the mean loss of the batch, and
/// 0 in lanes without an image. `n` is the batch size. Returns the sum of the losses.
///
/// # Panics
/// For the loss of scikit-learn, whose models are not supported.
pub fn loss(
    criterion: Criterion,
    logits: &mut [f32],
    lanes: usize,
    labels: &[u8],
    n: usize,
) -> f64 {
    match criterion {
        Criterion::CrossEntropy { label_smoothing } => {
            cross_entropy(logits, lanes, labels, label_smoothing, n)
        }
        Criterion::Nll => nll(logits, lanes, labels, n),
        Criterion::LogLoss { .. } => panic!("the loss of scikit-learn is not supported"),
    }
}

/// [`loss`] for `F.nll_loss`: the gradient is `-1 / n` at the label, else 0.
fn nll(logits: &mut [f32], lanes: usize, labels: &[u8], n: usize) -> f64 {
    let at = |lane: usize, label: u8| usize::from(label) * lanes + lane;
    let outputs = labels.iter().enumerate().map(|(lane, &label)| logits[at(lane, label)]);
    let sum: f64 = outputs.map(f64::from).sum();
    logits.fill(0.0);
    for (lane, &label) in labels.iter().enumerate() {
        logits[at(lane, label)] = -1.0 / n as f32;
    }
    -sum
}

/// [`loss`] for `F.cross_entropy`: the gradient is `(softmax - target) / n`; `target` has `1 - smoothing` at the label,
/// plus `smoothing / classes` at every class.
fn cross_entropy(logits: &mut [f32], lanes: usize, labels: &[u8], smoothing: f64, n: usize) -> f64 {
    let (mut sum, classes) = (0.0, logits.len() / lanes);
    let spread = (smoothing / classes as f64) as f32;
    let targets = [spread, (1.0 - smoothing) as f32 + spread];
    for lane in 0..lanes {
        let at = |class: usize| class * lanes + lane;
        let Some(&label) = labels.get(lane) else {
            (0..classes).for_each(|class| logits[at(class)] = 0.0);
            continue;
        };
        let max = (0..classes).map(|class| logits[at(class)]).fold(f32::NEG_INFINITY, f32::max);
        let mut total = 0.0;
        for class in 0..classes {
            let shifted = logits[at(class)] - max;
            total += shifted.exp();
        }
        let log_total = total.ln();
        for class in 0..classes {
            let log_probability = logits[at(class)] - max - log_total;
            let target = targets[usize::from(class == usize::from(label))];
            if target != 0.0 {
                sum -= f64::from(target) * f64::from(log_probability);
            }
            logits[at(class)] = (log_probability.exp() - target) / n as f32;
        }
    }
    sum
}
