//! The engines: which code computes a step, and in which order it sums.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Device;
use crate::closest::UnknownName;

/// How the steps of a run are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// libtorch's operations and its autograd, on any device.
    Eager,
    /// Kernels for the CPU with eager's bits: the notebook's numbers.
    Exact,
    /// Kernels for the CPU that sum in another order: faster, other low-order bits.
    Fast,
}

impl Engine {
    /// All engines.
    pub const ALL: [Engine; 3] = [Engine::Eager, Engine::Exact, Engine::Fast];

    /// The engine of that name.
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

    /// One line for `--help`.
    pub fn description(self) -> &'static str {
        match self {
            Engine::Eager => "libtorch's operations and autograd, on any device",
            Engine::Exact => {
                "kernels for the CPU with the same bits as eager (scikit-learn's models: within 1e-12)"
            }
            Engine::Fast => {
                "kernels for the CPU that sum in another order: not the notebook's bits"
            }
        }
    }

    /// The engine of a run whose settings name none.
    pub fn default_on(device: Device) -> Self {
        if device == Device::Cpu { Engine::Exact } else { Engine::Eager }
    }

    /// Whether it computes on the device.
    pub fn runs_on(self, device: Device) -> bool {
        self == Engine::Eager || device == Device::Cpu
    }

    /// Whether a step's tensors can be traced.
    pub fn traces(self) -> bool {
        self != Engine::Fast
    }
}

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
