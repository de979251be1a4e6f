//! Causes of a difference in the parameters that follow from their values before the step: weight decay, and the momentum
//! that two updates in a row show.

use stitch_trace::stage;

use super::{Evidence, values};
use crate::error::SideError;
use crate::fit::{difference, fit, fit_difference};
use crate::locality::is_in_biases_only;

impl Evidence<'_> {
    /// The difference of the updates is a multiple of the parameters: weight decay on one side, or more of it.
    pub(super) fn of_decay(
        &mut self,
        gap: &[f64],
        before: &[f64],
        updates: &[Vec<f64>; 2],
        gradient: Option<&[f64]>,
        rate: Option<f64>,
    ) -> Result<Option<String>, SideError> {
        let Some([decay]) = fit_difference([before], gap, before) else { return Ok(None) };
        // A decay moves parameters towards 0: where the candidate's are greater, the reference has it.
        let (with, without) = if decay > 0.0 { (0, 1) } else { (1, 0) };
        let [more, less] = [with, without].map(|side| ["reference", "candidate"][side]);
        let has_none =
            gradient.is_some_and(|gradient| fit([gradient], &updates[without]).is_some());
        let whose = match has_none {
            true => format!("in the {more} alone"),
            false => format!("in the {more}, none or less in the {less}"),
        };
        let kind = self.kind_of_decay(gradient, before, updates)?;
        let decay = decay.abs();
        let of_rate = rate
            .map_or(String::new(), |rate| format!(", {:.6} times the learning rate", decay / rate));
        let only = match is_in_biases_only(self.tensors, self.first) {
            true => "; of the parameters of this step only the biases differ",
            false => "",
        };
        Ok(Some(format!(
            "{kind} {whose}: the difference is {decay:.3e} times the parameters{of_rate}{only}"
        )))
    }

    /// Whether weight decay is added to the gradient or not, as far as this step tells.
    fn kind_of_decay(
        &mut self,
        gradient: Option<&[f64]>,
        before: &[f64],
        updates: &[Vec<f64>; 2],
    ) -> Result<&'static str, SideError> {
        let (name, step) = (self.first.name.clone(), self.step());
        let Some(gradient) = gradient else { return Ok("weight decay") };
        let is_sgd = updates.iter().all(|update| {
            let decays = fit_difference([gradient, before], update, before).is_some();
            decays || fit([gradient], update).is_some()
        });
        if !is_sgd {
            return Ok("decoupled weight decay");
        }
        // In the first step the buffer is the gradient, with a coupled decay.
        for side in [&mut *self.reference, &mut *self.candidate] {
            let buffer = values(side, "momentum_buffer", step, &name)?;
            let added = buffer.map(|buffer| difference(&buffer, gradient));
            let is_coupled = |added: &Vec<f64>| fit_difference([before], added, gradient).is_some();
            if added.as_ref().is_some_and(is_coupled) {
                return Ok("coupled weight decay (added to the gradient)");
            }
        }
        Ok("weight decay (coupled or decoupled, which is the same in this step)")
    }

    /// Two updates in a row tell SGD's momentum and the weight of the gradient on both sides.
    pub(super) fn of_momentum(
        &mut self,
        name: &str,
        before: &[f64],
        updates: &[Vec<f64>; 2],
        gradient: &[f64],
    ) -> Result<Option<String>, SideError> {
        let earlier = match self.step() {
            None | Some(0 | 1) => return Ok(None),
            Some(2) => self.both(stage::INIT, None, name)?,
            Some(step) => self.both(stage::PARAMETER, Some(step - 2), name)?,
        };
        let Some([earlier, _]) = earlier else { return Ok(None) };
        let last = difference(before, &earlier);
        let [one, other] = updates.each_ref().map(|update| {
            let decaying = fit_difference([&last, gradient, before], update, before);
            let plain = || fit_difference([&last, gradient], update, before);
            decaying.map(|[momentum, weight, _]| [momentum, weight]).or_else(plain)
        });
        let Some(([m, w], [m2, w2])) = one.zip(other) else { return Ok(None) };
        let differs = |a: f64, b: f64| (a - b).abs() > 1e-2 * a.abs().max(b.abs());
        Ok(match (differs(m, m2), differs(w, w2)) {
            (true, _) => Some(format!(
                "momentum: the update is {m:.4} times the one before and {w:.4} times the gradient in the reference, {m2:.4} \
                 and {w2:.4} in the candidate"
            )),
            (false, true) => Some(format!(
                "dampening, or the learning rate: the update is {w:.4} times the gradient, plus {m:.4} times the update before, \
                 in the reference; {w2:.4} times the gradient in the candidate"
            )),
            _ => None,
        })
    }
}
