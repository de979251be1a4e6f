//! Checks the settings of a run against its model, the seeds of the model's library, and the engines.

use stitch_run::{Device, Engine, SettingError, TrainConfig};

#[cfg(feature = "libtorch")]
use crate::dataset::Split;
#[cfg(feature = "libtorch")]
use crate::engine::Fast;
use crate::models::{self, Library, ModelEntry, UnknownModel};

/// A setting that is unknown, out of range, or does not suit the model or its engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A setting is out of its range.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The registry does not have the model.
    #[error(transparent)]
    Model(#[from] UnknownModel),
}

/// Checks the settings and returns their model.
///
/// ```
/// use stitch::models;
/// use stitch::train::{TrainConfig, check};
///
/// let lenet5 = models::named("lenet5")?;
/// assert_eq!(check(&lenet5.config())?, lenet5);
/// let wrong = TrainConfig { batch_size: 0, ..lenet5.config() };
/// let error = check(&wrong).unwrap_err().to_string();
/// assert_eq!(error, "batch_size is 0: it must be an integer of at least 1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ConfigError`] for the first invalid setting.
pub fn check(config: &TrainConfig) -> Result<&'static ModelEntry, ConfigError> {
    config.check()?;
    let model = models::named(&config.model)?;
    let largest = model.library.largest_seed();
    if config.seed > largest {
        let expected = format!("an integer from 0 to {largest} for {model}");
        return Err(SettingError::wrong("seed", &config.seed.to_string(), &expected).into());
    }
    check_options(model, config)?;
    let engine = config.engine();
    let is_usable = |it: &Engine| supports(*it, model, config) && it.runs_on(config.device);
    if !is_usable(&engine) {
        let names = Engine::ALL.into_iter().filter(is_usable).map(Engine::name);
        let device = if config.device == Device::Cpu { "the CPU" } else { "a GPU" };
        let with = if model.is_script() { "" } else { " with these settings" };
        let names = names.collect::<Vec<_>>().join(" or ");
        let expected = format!("{names} for {model}{with} on {device}");
        return Err(SettingError::wrong("engine", engine.name(), &expected).into());
    }
    Ok(model)
}

/// Whether the engine supports the model with the options of the settings.
#[cfg(feature = "libtorch")]
pub fn supports(engine: Engine, model: &ModelEntry, config: &TrainConfig) -> bool {
    if model.is_script() {
        return engine != Engine::Fast;
    }
    engine != Engine::Fast || Fast::supports(&model.graph(&config.into()), model.kind())
}

/// Whether the engine may support the model. Without libtorch there is no fast engine to ask about its layers: the run checks
/// them.
#[cfg(not(feature = "libtorch"))]
pub fn supports(engine: Engine, model: &ModelEntry, _config: &TrainConfig) -> bool {
    engine != Engine::Fast || (!model.is_script() && model.dtype == tensor_files::Dtype::F32)
}

/// Refuses a normalization of another number of channels than the images have.
#[cfg(feature = "libtorch")]
pub(super) fn check_channels(config: &TrainConfig, data: &Split) -> Result<(), SettingError> {
    let (found, images) = (config.normalize.channels().len(), data.shape.channels);
    if [0, images].contains(&found) {
        return Ok(());
    }
    let expected = match images {
        1 => "none or MEAN,STD: the images have one channel".into(),
        _ => format!("none, or {images} means and {images} standard deviations, one per channel"),
    };
    Err(SettingError::wrong("normalize", &config.normalize.to_string(), &expected))
}

/// Refuses options of PyTorch's training for a model of scikit-learn.
fn check_options(model: &ModelEntry, config: &TrainConfig) -> Result<(), SettingError> {
    if model.is_script() {
        const OF_NETWORK: [&str; 4] = ["batch_norm", "dropout", "classes", "init"];
        let options = config.options();
        let wrong = options.iter().find(|(name, _)| OF_NETWORK.contains(&name.as_str()));
        return wrong.map_or(Ok(()), |(name, found)| {
            let expected = format!("omitted for {model}: its network and weights are in the file");
            let found = found.get("file").unwrap_or(found);
            Err(SettingError::wrong(name, &found.to_string(), &expected))
        });
    }
    match config.options().into_iter().next() {
        Some((name, found)) if model.library == Library::ScikitLearn => {
            let expected =
                format!("omitted for {model}, which is trained as {} does", model.library);
            // Of initial values, the file.
            let found = found.get("file").unwrap_or(&found);
            Err(SettingError::wrong(&name, &found.to_string(), &expected))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::MODELS;

    #[test]
    fn the_defaults_of_every_model_are_valid() {
        for model in MODELS {
            assert_eq!(check(&model.config()), Ok(*model));
            let on_gpu = TrainConfig { device: Device::Cuda(1), ..model.config() };
            assert_eq!(check(&on_gpu), Ok(*model));
        }
    }

    #[test]
    fn settings_that_a_model_or_device_does_not_support_are_errors_that_list_the_supported_ones() {
        let result = |model: &str, change: fn(&mut TrainConfig)| {
            let mut config = models::named(model).unwrap().config();
            change(&mut config);
            check(&config).map_err(|error| error.to_string())
        };
        assert!(result("lenet5", |it| it.engine = Some(Engine::Fast)).is_ok());
        let fast =
            "engine is fast: it must be eager or exact for mlp with these settings on the CPU";
        assert_eq!(result("mlp", |it| it.engine = Some(Engine::Fast)), Err(fast.into()));
        let exact = "engine is exact: it must be eager for lenet5 with these settings on a GPU";
        let on_gpu = |it: &mut TrainConfig| {
            (it.device, it.engine) = (Device::Cuda(0), Some(Engine::Exact));
        };
        assert_eq!(result("lenet5", on_gpu), Err(exact.into()));
        let seed = "seed is 4294967296: it must be an integer from 0 to 4294967295 for mlp";
        assert_eq!(result("mlp", |it| it.seed = 1 << 32), Err(seed.into()));
        let unknown = result("mlp", |it| it.model = "resnet".into()).unwrap_err();
        assert!(unknown.starts_with("unknown model \"resnet\": the models are"), "{unknown}");
    }
}
