//! `F.cross_entropy` and its gradient w.r.t. the logits, image by image.

/// Replaces the logits of one block, (classes,) with one image per lane, by the gradient of the mean loss of the batch:
/// `(softmax - target) / n`, and 0 in lanes without an image. `n` is the batch size; `target` has `1 - smoothing` at
/// the label, plus `smoothing / classes` at every class. Returns the sum of the losses.
pub fn cross_entropy(
    logits: &mut [f32],
    lanes: usize,
    labels: &[u8],
    smoothing: f64,
    n: usize,
) -> f64 {
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
