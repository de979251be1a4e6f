//! The engines: which code computes a step, and in which order it sums.

use std::fmt;

use tch::Device;

use super::ConfigError;
use crate::closest::UnknownName;
use crate::engine::Fast;
use crate::models::{MODELS, ModelEntry};

/// How a run's steps are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// [`UnknownEngine`], which lists the names that there are.
    pub fn named(name: &str) -> Result<Self, UnknownEngine> {
        let found = Self::ALL.into_iter().find(|engine| engine.name() == name);
        Ok(found.ok_or_else(|| UnknownName::new("engine", name, Self::ALL.map(Self::name)))?)
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

    /// The engine that a run has where none is given.
    pub fn default_on(device: Device) -> Self {
        if device == Device::Cpu { Engine::Exact } else { Engine::Eager }
    }

    /// Whether the engine trains the model.
    pub fn supports(self, model: &ModelEntry) -> bool {
        match self {
            Engine::Eager | Engine::Exact => true,
            Engine::Fast => Fast::supports(&model.graph(), model.kind),
        }
    }

    /// Whether a step's tensors can be traced.
    pub fn traces(self) -> bool {
        self != Engine::Fast
    }

    /// Checks that the engine trains the model on the device.
    ///
    /// # Errors
    /// [`ConfigError::EngineModel`], [`ConfigError::EngineDevice`].
    pub fn check(self, model: &'static ModelEntry, device: Device) -> Result<(), ConfigError> {
        if !self.supports(model) {
            return Err(ConfigError::EngineModel(self, model));
        }
        if self != Engine::Eager && device != Device::Cpu {
            return Err(ConfigError::EngineDevice(self, device));
        }
        Ok(())
    }

    /// The models that the engine trains.
    pub(super) fn models(self) -> impl Iterator<Item = &'static ModelEntry> {
        MODELS.iter().copied().filter(move |model| self.supports(model))
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no engine has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct UnknownEngine(#[from] UnknownName);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::named;

    #[test]
    fn names_read_back_and_others_are_an_error_that_lists_them() {
        Engine::ALL.into_iter().for_each(|it| assert_eq!(Engine::named(it.name()), Ok(it)));
        assert_eq!(
            Engine::named("exactly").unwrap_err().to_string(),
            "unknown engine \"exactly\": the engines are eager, exact, fast; did you mean exact?"
        );
    }

    #[test]
    fn what_an_engine_cannot_do_is_an_error_that_says_what_it_can() {
        let refused = |engine: Engine, model, device| {
            engine.check(model, device).map_err(|error| error.to_string())
        };
        let gpu = Device::Cuda(1);
        let [mlp, lenet5] = ["mlp", "lenet5"].map(|name| named(name).unwrap());
        for model in MODELS {
            assert_eq!(refused(Engine::default_on(Device::Cpu), model, Device::Cpu), Ok(()));
            assert_eq!(refused(Engine::default_on(gpu), model, gpu), Ok(()));
            let sentence = refused(Engine::Exact, model, gpu).unwrap_err();
            for part in ["--engine exact", "--device cuda:1", "--engine eager"] {
                assert!(sentence.contains(part), "no {part} in {sentence}");
            }
        }
        assert_eq!(refused(Engine::Fast, lenet5, Device::Cpu), Ok(()));
        assert!(refused(Engine::Fast, lenet5, gpu).is_err());
        let sentence = refused(Engine::Fast, mlp, Device::Cpu).unwrap_err();
        for part in ["--engine fast", "mlp", "supports lenet5"] {
            assert!(sentence.contains(part), "no {part} in {sentence}");
        }
    }
}
