//! `--lr-schedule`: how the learning rate changes during a run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A learning rate scheduler of `torch.optim.lr_scheduler`, written as on the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum LrSchedule {
    /// `none`: a constant learning rate.
    #[default]
    None,
    /// `step:EVERY,GAMMA`: `StepLR(step_size=EVERY, gamma=GAMMA)`, per epoch.
    Step {
        /// Epochs between two changes, at least 1.
        every: usize,
        /// Factor of each change; finite and above 0.
        gamma: f64,
    },
    /// `cosine`: `CosineAnnealingLR(T_max=epochs)`, per epoch.
    Cosine,
    /// `onecycle`: `OneCycleLR(max_lr=lr, total_steps=all steps of the run)`, per step; cycles the momentum, or
    /// beta1, too.
    OneCycle,
}

impl LrSchedule {
    /// Whether the learning rates of the first epochs depend on the number of epochs.
    pub fn depends_on_epochs(self) -> bool {
        matches!(self, Self::Cosine | Self::OneCycle)
    }
}

/// A text that names no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it must be none, step:EVERY,GAMMA (such as step:5,0.1), cosine or onecycle")]
pub struct UnknownSchedule;

impl fmt::Display for LrSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.pad("none"),
            Self::Step { every, gamma } => f.pad(&format!("step:{every},{gamma}")),
            Self::Cosine => f.pad("cosine"),
            Self::OneCycle => f.pad("onecycle"),
        }
    }
}

impl FromStr for LrSchedule {
    type Err = UnknownSchedule;

    fn from_str(text: &str) -> Result<Self, UnknownSchedule> {
        match text {
            "none" => return Ok(Self::None),
            "cosine" => return Ok(Self::Cosine),
            "onecycle" => return Ok(Self::OneCycle),
            _ => {}
        }
        let (every, gamma) = text
            .strip_prefix("step:")
            .and_then(|rest| rest.split_once(','))
            .ok_or(UnknownSchedule)?;
        match (every.parse(), gamma.parse()) {
            (Ok(every), Ok(gamma)) if every >= 1 && f64::is_finite(gamma) && gamma > 0.0 => {
                Ok(Self::Step { every, gamma })
            }
            _ => Err(UnknownSchedule),
        }
    }
}

crate::string_conversions!(LrSchedule);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_read_back_and_others_are_refused() {
        let step = LrSchedule::Step { every: 5, gamma: 0.1 };
        for schedule in [LrSchedule::None, step, LrSchedule::Cosine, LrSchedule::OneCycle] {
            assert_eq!(schedule.to_string().parse(), Ok(schedule));
        }
        for text in
            ["", "step", "step:5", "step:0,0.1", "step:5,0", "step:5,nan", "step:-1,0.1", "linear"]
        {
            assert_eq!(text.parse::<LrSchedule>(), Err(UnknownSchedule), "{text:?}");
        }
    }
}
