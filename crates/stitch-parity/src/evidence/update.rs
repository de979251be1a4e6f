//! Causes of a difference in an update of the optimizer, its state, or a buffer.

use stitch_trace::stage;

use super::{Evidence, values};
use crate::error::SideError;
use crate::fit::{difference, factor, fit, fit_difference};

impl Evidence<'_> {
    /// The state of an optimizer or a parameter after a step from equal gradients.
    pub(super) fn of_update(
        &mut self,
        one: &[f64],
        other: &[f64],
    ) -> Result<Vec<String>, SideError> {
        let (stage, name, step) = (self.first.stage.clone(), self.first.name.clone(), self.step());
        let Some(step) = step else { return Ok(Vec::new()) };
        let mut causes = Vec::new();
        let gradient = self.here(stage::GRADIENT, &name)?.map(|[gradient, _]| gradient);
        let before = match step {
            1 => self.both(stage::INIT, None, &name)?,
            step => self.both(stage::PARAMETER, Some(step - 1), &name)?,
        };
        let before = before.map(|[before, _]| before);
        let updates = (before.as_ref().filter(|_| stage == stage::PARAMETER))
            .map(|before| [one, other].map(|after| difference(after, before)));
        if let (Some(before), Some(updates), Some(gradient)) = (&before, &updates, &gradient) {
            causes.extend(of_sgd(updates, gradient, before));
        }
        if let Some([rate, of_candidate]) = self.here(stage::LEARNING_RATE, "0")?
            && let (&[rate], &[of_candidate]) = (&rate[..], &of_candidate[..])
            && rate != of_candidate
        {
            causes.push(format!(
                "the learning rate: {:e} in the reference, {:e} in the candidate (lr, or the schedule)",
                rate, of_candidate
            ));
        }
        let state_before = match step {
            1 => None,
            step => self.both(&stage, Some(step - 1), &name)?.map(|[state, _]| state),
        };
        let gap = difference(other, one);
        if stage != stage::PARAMETER {
            causes.extend(of_state(
                &stage,
                (one, other),
                &gap,
                before.as_deref(),
                gradient.as_deref(),
                state_before.as_deref(),
            ));
            return Ok(causes);
        }
        let Some((before, updates)) = before.zip(updates) else { return Ok(causes) };
        let rate = values(self.reference, stage::LEARNING_RATE, Some(step), "0")?
            .and_then(|rate| rate.first().copied());
        causes.extend(self.of_decay(&gap, &before, &updates, gradient.as_deref(), rate)?);
        if let Some(gradient) = &gradient {
            causes.extend(self.of_momentum(&name, &before, &updates, gradient)?);
            let momentum = self.here("momentum_buffer", &name)?.map(|[buffer, _]| buffer);
            if let Some(buffer) = momentum {
                // In the first step the buffer is the gradient, and Nesterov's update 1 + momentum times it.
                let is_nesterov = |update: &[f64]| match fit_difference([&buffer], update, &before)
                {
                    Some([scale]) => {
                        rate.is_some_and(|rate| (1.01..2.0).contains(&(-scale / rate)))
                    }
                    None => fit_difference([gradient, &buffer], update, &before).is_some(),
                };
                if is_nesterov(&updates[0]) != is_nesterov(&updates[1]) {
                    causes.push("Nesterov momentum on one side only".into());
                }
            }
        }
        if let Some(scale) = factor(&updates[0], &updates[1]) {
            // Nesterov's first update is 1 + momentum times that of SGD with momentum.
            let nesterov = match (scale, 1.0 / scale) {
                (more, _) if step == 1 && (1.01..2.0).contains(&more) => {
                    ", or Nesterov momentum in the candidate"
                }
                (_, more) if step == 1 && (1.01..2.0).contains(&more) => {
                    ", or Nesterov momentum in the reference"
                }
                _ => "",
            };
            causes.push(format!("every update is {scale:.6} times the reference's: the learning rate, or the correction of the bias{nesterov}"));
        }
        if causes.is_empty()
            && let (Some([first, _]), Some([second, _])) =
                (self.here(stage::EXP_AVG, &name)?, self.here(stage::EXP_AVG_SQ, &name)?)
        {
            causes.extend(of_epsilon(&first, &second, &updates, step, rate));
        }
        Ok(causes)
    }

    pub(super) fn of_buffer(
        &mut self,
        name: &str,
        one: &[f64],
        other: &[f64],
    ) -> Result<Vec<String>, SideError> {
        let before = match self.here(stage::BUFFER_BEFORE, name)? {
            Some([before, _]) => before,
            // The initial variances are 1, the initial means 0.
            None => vec![if name.ends_with("running_var") { 1.0 } else { 0.0 }; one.len()],
        };
        if let Some(scale) = factor(&difference(one, &before), &difference(other, &before)) {
            return Ok(vec![format!("momentum: the buffer has moved {scale:.6} times as far")]);
        }
        let biased =
            "biased instead of unbiased variance (divided by n instead of n - 1), or momentum";
        Ok(if name.ends_with("running_var") { vec![biased.into()] } else { Vec::new() })
    }
}

/// One side's update is a multiple of the gradient, the other side's is not, and is not that of SGD with weight decay
/// either. In the first step, momentum changes nothing.
fn of_sgd(updates: &[Vec<f64>; 2], gradient: &[f64], before: &[f64]) -> Option<String> {
    let [one, other] = updates.each_ref().map(|update| fit([gradient], update));
    let decays = |update: &[f64]| fit_difference([gradient, before], update, before).is_some();
    match (one, other) {
        (None, Some([rate])) if !decays(&updates[0]) => Some(format!(
            "another optimizer: the candidate's update is -{:.6} times the gradient, as of SGD",
            -rate
        )),
        (Some(_), None) if !decays(&updates[1]) => Some(
            "another optimizer: the reference's update is a multiple of the gradient, as of SGD"
                .into(),
        ),
        _ => None,
    }
}

fn of_state(
    stage: &str,
    (one, other): (&[f64], &[f64]),
    gap: &[f64],
    parameter: Option<&[f64]>,
    gradient: Option<&[f64]>,
    before: Option<&[f64]>,
) -> Vec<String> {
    let mut causes = Vec::new();
    if let Some([decay]) = parameter.and_then(|parameter| fit([parameter], gap)) {
        causes.push(format!(
            "coupled weight decay: a multiple ({decay:.3e}) of the parameters is added to the gradient (weight_decay; AdamW adds none)"
        ));
    }
    if let (Some(gradient), Some(before)) = (gradient, before)
        && stage == "momentum_buffer"
        && let (Some([m, d]), Some([m2, d2])) =
            (fit([before, gradient], one), fit([before, gradient], other))
    {
        if (m - m2).abs() > 1e-3 {
            causes.push(format!("momentum: {m:.4} in the reference, {m2:.4} in the candidate"));
        }
        if (d - d2).abs() > 1e-3 {
            causes.push(format!(
                "dampening: {:.4} in the reference, {:.4} in the candidate",
                (1.0 - d).max(0.0),
                (1.0 - d2).max(0.0)
            ));
        }
    }
    if causes.is_empty()
        && stage == "momentum_buffer"
        && let Some([more]) = before.and_then(|before| fit([before], gap))
    {
        causes.push(format!("momentum: {more:+.4} in the candidate"));
    }
    if causes.is_empty()
        && let Some(scale) = factor(one, other)
    {
        let what = match stage {
            stage::EXP_AVG => "beta1",
            stage::EXP_AVG_SQ => "beta2",
            "square_avg" => "alpha or rho",
            _ => "the factor of the gradient",
        };
        causes.push(format!("{what}: the state is {scale:.6} times the reference's"));
    }
    causes
}

/// Adam's update from equal moments: another epsilon, or in another place.
fn of_epsilon(
    first: &[f64],
    second: &[f64],
    updates: &[Vec<f64>; 2],
    step: usize,
    rate: Option<f64>,
) -> Vec<String> {
    let Some(rate) = rate else { return Vec::new() };
    let correction = |beta: f64| 1.0 - beta.powf(step as f64);
    // What the denominator must have been, without epsilon: PyTorch's default betas are assumed, and checked by the reference.
    let epsilons = updates.each_ref().map(|update| {
        let mut found: Vec<f64> = (first.iter().zip(second).zip(update))
            .filter(|(_, update)| **update != 0.0)
            .map(|((m, v), update)| {
                -rate * m / correction(0.9) / update - (v / correction(0.999)).sqrt()
            })
            .collect();
        found.sort_by(f64::total_cmp);
        found.get(found.len() / 2).copied().unwrap_or(f64::NAN)
    });
    let [one, other] = epsilons;
    // Less than 0: the update has another part, such as weight decay.
    let is_possible = one.min(other) > -0.1 * one.max(other);
    match is_possible && (one - other).abs() > 0.3 * one.abs().max(other.abs()) {
        true => vec![format!(
            "epsilon of the optimizer, or where it is added: about {one:.1e} in the reference, {other:.1e} in the candidate"
        )],
        false => Vec::new(),
    }
}
