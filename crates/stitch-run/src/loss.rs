//! `--loss`: the loss function of a PyTorch model.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::closest::UnknownName;

/// A loss function of `torch.nn`, the mean over the batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Loss {
    /// `CrossEntropyLoss`, for networks that return logits.
    #[default]
    CrossEntropy,
    /// `NLLLoss`: minus the output of the true class, for networks that end with `log_softmax`.
    Nll,
}

impl Loss {
    /// All loss functions.
    pub const ALL: [Self; 2] = [Self::CrossEntropy, Self::Nll];

    /// The name on the command line and in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::CrossEntropy => "cross-entropy",
            Self::Nll => "nll",
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Loss {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|loss| loss.name() == text);
        found.ok_or_else(|| UnknownName::new("loss", text, Self::ALL.map(Self::name)))
    }
}

crate::string_conversions!(Loss);
