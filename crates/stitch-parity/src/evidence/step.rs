//! Causes of a difference in the data, the loss or the gradients of a step.

use std::collections::HashMap;

use stitch_trace::stage;

use super::{Evidence, sorted};
use crate::error::SideError;
use crate::fit::{affine, difference, factor, norm};
use crate::result::TensorResult;

impl Evidence<'_> {
    /// Images of a batch or of the data: normalized in another way, or other images. Labels are compared as such.
    pub(super) fn of_batch(&self, one: &[f64], other: &[f64]) -> Vec<String> {
        if self.first.name.contains("labels") {
            return vec![match sorted(one) == sorted(other) {
                true => "the same labels in another order".into(),
                false => {
                    "other labels: other samples, or labels that are numbered in another way".into()
                }
            }];
        }
        if let Some([scale, offset]) = affine(one, other) {
            return vec![format!(
                "another normalization: each pixel of the candidate is {scale:.6} times that of the reference, plus {offset:.6}"
            )];
        }
        let rows = self.first.shape.first().copied().unwrap_or(1).max(1);
        let width = one.len() / rows;
        let row = |values: &[f64], i: usize| -> Vec<u64> {
            values[i * width..(i + 1) * width].iter().map(|x| x.to_bits()).collect()
        };
        let of_reference: HashMap<Vec<u64>, usize> = (0..rows).map(|i| (row(one, i), i)).collect();
        let found: Vec<Option<usize>> =
            (0..rows).map(|i| of_reference.get(&row(other, i)).copied()).collect();
        let moved = (0..rows).filter(|&i| found[i].is_some_and(|j| j != i)).count();
        let known = found.iter().flatten().count();
        let shifted = (1..rows).filter(|&i| found[i - 1] == Some(i)).count();
        if shifted * 2 > rows {
            return vec!["a sample was left out: the candidate's samples follow those of the reference, one place earlier".into()];
        }
        if moved * 2 > rows && known == rows {
            return vec!["the same samples in another order".into()];
        }
        if known * 10 < rows && rows > 1 {
            return vec!["other samples: the order in which the data is visited differs (seed, shuffle, sampler)".into()];
        }
        Vec::new()
    }

    pub(super) fn of_loss(&mut self, one: &[f64], other: &[f64]) -> Result<Vec<String>, SideError> {
        let (Some([logits, _]), Some([labels, _]), &[one], &[other]) =
            (self.here(stage::LOGITS, "logits")?, self.here(stage::BATCH, "labels")?, one, other)
        else {
            return Ok(Vec::new());
        };
        let n = labels.len();
        let classes = logits.len() / n.max(1);
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-5 * b.abs();
        if n > 1 && close(other, one * n as f64) {
            return Ok(vec!["reduction: the sum over the batch instead of the mean".into()]);
        }
        if n > 1 && close(one, other * n as f64) {
            return Ok(vec!["reduction: the mean over the batch instead of the sum".into()]);
        }
        let (mut of_label, mut of_all) = (0.0, 0.0);
        for (row, &label) in logits.chunks(classes.max(1)).zip(&labels) {
            let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum = max + row.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
            let Some(logit) = row.get(label as usize) else { return Ok(Vec::new()) };
            of_label += (sum - logit) / n as f64;
            of_all += (sum - row.iter().sum::<f64>() / classes as f64) / n as f64;
        }
        // loss = (1 - smoothing) * of_label + smoothing * of_all
        let [one, other] = [one, other].map(|loss| (loss - of_label) / (of_all - of_label));
        let is_smoothing = |x: f64| (-1e-4..1.0).contains(&x);
        // Where all classes are about as likely, smoothing changes nothing.
        let tells = (of_all - of_label).abs() > 1e-3;
        Ok(match tells && is_smoothing(one) && is_smoothing(other) && (one - other).abs() > 1e-4 {
            true => vec![format!(
                "label smoothing: {:.4} in the reference, {:.4} in the candidate",
                one.max(0.0),
                other.max(0.0)
            )],
            false => Vec::new(),
        })
    }

    /// All gradients of the step are scaled alike, or cut at a value.
    pub(super) fn of_gradients(
        &mut self,
        one: &[f64],
        other: &[f64],
    ) -> Result<Vec<String>, SideError> {
        if let Some(tie) = self.of_ties(one, other) {
            return Ok(vec![tie]);
        }
        let most = other.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        let cut = one.iter().zip(other).filter(|(a, b)| a != b).count();
        let is_cut =
            |(&a, &b): (&f64, &f64)| a == b || (b.abs() == most && a.abs() > most && a * b > 0.0);
        if cut > 0 && one.iter().zip(other).all(is_cut) {
            return Ok(vec![format!("the candidate clips gradients by value, at {most:.6}")]);
        }
        let (stage, step) = (self.first.stage.clone(), self.step());
        let name = self.first.name.clone();
        let before = step.and_then(|step| step.checked_sub(1)).filter(|_| stage == stage::GRADIENT);
        if let Some([_, before]) =
            before.map_or(Ok(None), |step| self.both(&stage, Some(step), &name))?
        {
            let gap = difference(other, one);
            if norm(&before) > 0.0 && norm(&difference(&gap, &before)) < 1e-4 * norm(&before) {
                return Ok(vec![
                    "the gradients of the step before are added: zero_grad is missing, or gradients are accumulated".into(),
                ]);
            }
        }
        let Some(scale) = factor(one, other) else { return Ok(Vec::new()) };
        let of_batch = self.batch_size_of_scale(scale);
        let mut squares = [0.0, 0.0];
        for name in self.names(&stage) {
            let Some([a, b]) = self.both(&stage, step, &name)? else { continue };
            if norm(&difference(&b, &a.iter().map(|x| scale * x).collect::<Vec<_>>()))
                > 1e-3 * norm(&b)
            {
                return Ok(vec![format!(
                    "the gradient is {scale:.6} times the reference's, others are not"
                )]);
            }
            squares[0] += norm(&a).powi(2);
            squares[1] += norm(&b).powi(2);
        }
        let [before, after] = squares.map(f64::sqrt);
        let clipped = format!(
            "clipping of the norm: all gradients are {scale:.6} times the reference's; their norm is {after:.6} instead of {before:.6}"
        );
        let scaled = format!(
            "a loss that is scaled by {scale:.6} (reduction, accumulation of gradients, loss scaling)"
        );
        let is_clipped = scale > 0.0 && scale < 1.0 && stage == stage::GRADIENT;
        let clipped = is_clipped.then_some(clipped);
        Ok(of_batch.into_iter().chain(clipped).chain([scaled]).collect())
    }

    /// The batch of this step is smaller than others, and the gradients are scaled as if it were not.
    fn batch_size_of_scale(&self, scale: f64) -> Option<String> {
        let size = |it: &TensorResult| it.shape.first().copied();
        let mut batches = self.tensors.iter().filter(|it| it.stage == stage::BATCH);
        let here = batches.clone().find(|it| it.step == self.step()).and_then(size)?;
        let full = batches.find_map(|it| size(it).filter(|&full| full > here))?;
        let is_it = (scale - here as f64 / full as f64).abs() < 1e-4;
        is_it.then(|| {
            format!(
                "the loss of this batch of {here} is divided by {full}, the size of other batches: all gradients are \
                 {scale:.6} times the reference's"
            )
        })
    }
}
