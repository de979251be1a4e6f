//! `--optimizer`: the optimizer of a PyTorch model.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::closest::UnknownName;

/// An optimizer of `torch.optim`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Optimizer {
    /// `Adam`; weight decay is an L2 penalty.
    #[default]
    Adam,
    /// `AdamW`: decoupled weight decay, 0.01 by default.
    AdamW,
    /// `SGD`, with or without momentum.
    Sgd,
    /// `Adadelta`.
    Adadelta,
    /// `RMSprop`, with or without momentum, not centered.
    RmsProp,
}

impl Optimizer {
    /// All optimizers.
    pub const ALL: [Self; 5] = [Self::Adam, Self::AdamW, Self::Sgd, Self::Adadelta, Self::RmsProp];

    /// The name on the command line and in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Adam => "adam",
            Self::AdamW => "adamw",
            Self::Sgd => "sgd",
            Self::Adadelta => "adadelta",
            Self::RmsProp => "rmsprop",
        }
    }

    /// The weight decay that PyTorch uses if none is given.
    pub fn default_weight_decay(self) -> f64 {
        if self == Self::AdamW { 0.01 } else { 0.0 }
    }
}

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Optimizer {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|optimizer| optimizer.name() == text);
        found.ok_or_else(|| UnknownName::new("optimizer", text, Self::ALL.map(Self::name)))
    }
}

crate::string_conversions!(Optimizer);
