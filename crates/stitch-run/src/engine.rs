//! The engines that compute the steps of a run; they differ in speed and in the order of summation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Device;
use crate::closest::UnknownName;

/// An engine, which computes the steps of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Engine {
    /// libtorch's operations and its autograd, on any device.
    Eager,
    /// CPU kernels whose results are bit-identical to eager.
    Exact,
    /// Faster CPU kernels that sum in a different order; results are not bit-identical to the notebook.
    Fast,
}

impl Engine {
    /// All engines.
    pub const ALL: [Engine; 3] = [Engine::Eager, Engine::Exact, Engine::Fast];

    /// The engine with a name.
    ///
    /// # Errors
    /// [`UnknownName`], which lists the engines.
    pub fn named(name: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|engine| engine.name() == name);
        found.ok_or_else(|| UnknownName::new("engine", name, Self::ALL.map(Self::name)))
    }

    /// The name on the command line and in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Eager => "eager",
            Engine::Exact => "exact",
            Engine::Fast => "fast",
        }
    }

    /// The description for `--help`.
    pub fn description(self) -> &'static str {
        match self {
            Engine::Eager => "libtorch's operations and autograd, on any device",
            Engine::Exact => {
                "CPU kernels, bit-identical to eager (scikit-learn's models: within 1e-12)"
            }
            Engine::Fast => {
                "faster CPU kernels that sum in a different order; not bit-identical to the notebook"
            }
        }
    }

    /// The default engine on a device.
    pub fn default_on(device: Device) -> Self {
        if device == Device::Cpu { Engine::Exact } else { Engine::Eager }
    }

    /// Whether the engine supports the device.
    pub fn runs_on(self, device: Device) -> bool {
        self == Engine::Eager || device == Device::Cpu
    }

    /// Whether the engine can record the tensors of a step.
    pub fn traces(self) -> bool {
        self != Engine::Fast
    }
}

impl FromStr for Engine {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::named(name)
    }
}

crate::string_conversions!(Engine);

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_are_an_error_that_lists_them() {
        Engine::ALL.into_iter().for_each(|it| {
            assert_eq!(Engine::named(it.name()), Ok(it));
            assert_eq!(serde_json::to_value(it).unwrap(), it.name());
        });
        assert_eq!(
            Engine::named("exactly").unwrap_err().to_string(),
            "unknown engine \"exactly\": the engines are eager, exact, fast; did you mean exact?"
        );
    }

    #[test]
    fn every_device_has_an_engine() {
        for device in [Device::Cpu, Device::Cuda(1)] {
            assert!(Engine::default_on(device).runs_on(device));
        }
        assert!(!Engine::Exact.runs_on(Device::Cuda(0)) && !Engine::Fast.runs_on(Device::Cuda(0)));
    }
}
