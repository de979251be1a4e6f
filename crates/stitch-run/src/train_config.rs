//! The settings of a run, with their checks.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::setting_error::{SettingError, find_wrong};
use crate::{
    Augment, Device, Engine, Init, Loss, LrSchedule, Normalize, Optimizer, Transform, json, sha256,
};

/// The settings of a run: everything that its numbers depend on besides data set, machine and libraries.
///
/// `config.json`, checkpoints, and plans and results of studies use the names of the fields; the flags of `stitch train`
/// are the same names with hyphens. To add a setting, add a field, its line in `new`, `example` and `expected`,
/// its range in `check`, and its flag in `src/cli/train.rs` and `notebook.py`; files, comparisons and reports then include it.
///
/// An option that is off is not written, and a missing one is read as off, whatever the model's default is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Name of the model in the registry.
    pub model: String,
    /// SHA-256 of the TorchScript file that `model` is the path of, in hex; `None` for a model of the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_sha256: Option<String>,
    /// Passes over the training images, at least 1; `max_iter` in scikit-learn.
    pub epochs: usize,
    /// Images per step, at least 1; the last batch of an epoch may be shorter.
    pub batch_size: usize,
    /// Learning rate, finite and above 0; the maximum of the schedule `onecycle`.
    pub lr: f64,
    /// Seed of the initial parameters and of every shuffle.
    pub seed: u64,
    /// Number of threads within an operation of libtorch, 1 to 4096; `None`: libtorch's own choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// The device to compute on.
    pub device: Device,
    /// The engine; `None`: the device's default, or unknown in the `config.json` of another program. See
    /// [`TrainConfig::engine`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// Number of training images to hold out (the last ones), at least 1; `None`: no validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val: Option<usize>,
    /// Number of epochs without a lower validation loss after which training stops, at least 1; only with `val`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Whether the network has batch normalization.
    #[serde(default, skip_serializing_if = "is_default")]
    pub batch_norm: bool,
    /// Probability of the network's dropout, 0 to 1; 0: no dropout.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dropout: f64,
    /// Number of classes: the outputs of the network's last layer, 1 to 256.
    #[serde(default = "ten", skip_serializing_if = "is_ten")]
    pub classes: usize,
    /// Initial values from a file; `None`: those that are drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<Init>,
    /// Random transforms of the training images.
    #[serde(default, skip_serializing_if = "is_default")]
    pub augment: Augment,
    /// Mean and standard deviation with which all images are normalized, after `augment`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub normalize: Normalize,
    /// Whether each epoch has a new random order; it is written if it is off.
    #[serde(default = "on", skip_serializing_if = "Clone::clone")]
    pub shuffle: bool,
    /// Whether an epoch leaves out its last batch if that is shorter than the others.
    #[serde(default, skip_serializing_if = "is_default")]
    pub drop_last: bool,
    /// The optimizer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub optimizer: Optimizer,
    /// Momentum of SGD and RMSprop, at least 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub momentum: f64,
    /// Nesterov momentum of SGD; needs momentum.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nesterov: bool,
    /// Weight decay, at least 0; `None`: PyTorch's default for the optimizer, which is read as `None` too. See
    /// [`TrainConfig::weight_decay`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// The loss function.
    #[serde(default, skip_serializing_if = "is_default")]
    pub loss: Loss,
    /// Label smoothing of the cross-entropy, 0 to 1.
    #[serde(default, skip_serializing_if = "is_default")]
    pub label_smoothing: f64,
    /// How the learning rate changes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lr_schedule: LrSchedule,
}

fn on() -> bool {
    true
}

/// Whether an option is off.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The number of classes of the paper's models.
fn ten() -> usize {
    10
}

fn is_ten(classes: &usize) -> bool {
    *classes == ten()
}

impl TrainConfig {
    /// Settings for the CPU with seed 0, no validation and all options off.
    ///
    /// Of the ways to get settings, this and deserializing do not check ranges: [`TrainConfig::check`] does.
    ///
    /// ```
    /// use stitch_run::{Engine, TrainConfig};
    ///
    /// let config = TrainConfig { seed: 7, ..TrainConfig::new("lenet5", 5, 64, 1e-3) };
    /// assert_eq!((config.epochs, config.batch_size, config.engine()), (5, 64, Engine::Exact));
    /// assert_eq!(config.check(), Ok(()));
    /// ```
    pub fn new(model: &str, epochs: usize, batch_size: usize, lr: f64) -> Self {
        Self {
            model: model.into(),
            model_sha256: None,
            epochs,
            batch_size,
            lr,
            seed: 0,
            threads: None,
            device: Device::Cpu,
            engine: None,
            val: None,
            patience: None,
            batch_norm: false,
            dropout: 0.0,
            classes: ten(),
            init: None,
            augment: Augment::default(),
            normalize: Normalize::default(),
            shuffle: true,
            drop_last: false,
            optimizer: Optimizer::Adam,
            momentum: 0.0,
            nesterov: false,
            weight_decay: None,
            loss: Loss::CrossEntropy,
            label_smoothing: 0.0,
            lr_schedule: LrSchedule::None,
        }
    }

    /// Settings in which every field has a value and is written. Not all options are valid together.
    pub(crate) fn example() -> Self {
        Self {
            model_sha256: Some(sha256::of("")),
            threads: Some(1),
            engine: Some(Engine::Eager),
            val: Some(1),
            patience: Some(1),
            batch_norm: true,
            dropout: 0.5,
            classes: 47,
            init: Some(Init { file: "state_dict.pt".into(), sha256: sha256::of("") }),
            augment: Augment(vec![Transform::RandomCrop { padding: 2 }]),
            normalize: "0.5,0.5".parse().unwrap_or_default(),
            shuffle: false,
            drop_last: true,
            optimizer: Optimizer::Sgd,
            momentum: 0.9,
            nesterov: true,
            weight_decay: Some(1e-4),
            loss: Loss::Nll,
            label_smoothing: 0.1,
            lr_schedule: LrSchedule::Cosine,
            ..Self::new("lenet5", 5, 64, 1e-3)
        }
    }

    /// The names of all settings, in the order of the fields.
    pub fn names() -> Vec<String> {
        Self::example().to_map().into_iter().map(|(name, _)| name).collect()
    }

    /// The engine, or the device's default if none is set.
    pub fn engine(&self) -> Engine {
        self.engine.unwrap_or(Engine::default_on(self.device))
    }

    /// The weight decay, or PyTorch's default for the optimizer if none is set.
    pub fn weight_decay(&self) -> f64 {
        self.weight_decay.unwrap_or(self.optimizer.default_weight_decay())
    }

    /// The value of a setting, also if it is not written because it is PyTorch's default; null if it is off.
    pub fn value(&self, name: &str) -> Value {
        match name {
            "classes" if self.model_sha256.is_none() => self.classes.into(),
            "shuffle" => self.shuffle.into(),
            "optimizer" => self.optimizer.name().into(),
            "weight_decay" if self.weight_decay() > 0.0 => self.weight_decay().into(),
            "loss" => self.loss.name().into(),
            _ => self.to_map().remove(name).unwrap_or_default(),
        }
    }

    /// The number of steps per epoch with this many training images.
    pub fn steps(&self, images: usize) -> usize {
        match self.drop_last {
            true => images / self.batch_size.max(1),
            false => images.div_ceil(self.batch_size.max(1)),
        }
    }

    /// The options of network, data and training that are on, by name, in the order of the fields: `batch_norm`, `dropout`,
    /// and so on. A run without options has only what [`TrainConfig::new`] takes, seed, machine and validation.
    pub fn options(&self) -> Map<String, Value> {
        let mut options = self.to_map();
        let without = Self {
            model_sha256: self.model_sha256.clone(),
            seed: self.seed,
            threads: self.threads,
            device: self.device,
            engine: self.engine,
            val: self.val,
            patience: self.patience,
            ..Self::new(&self.model, self.epochs, self.batch_size, self.lr)
        };
        let without = without.to_map();
        options.retain(|name, _| !without.contains_key(name));
        options
    }

    /// The settings without those that do not change which kernels a training step uses: seed, initial values, epochs,
    /// learning rate and its schedule, transforms and order of the images, and validation.
    pub fn of_one_step(&self) -> Self {
        Self {
            seed: 0,
            epochs: 1,
            lr: 1e-3,
            lr_schedule: LrSchedule::None,
            init: None,
            augment: Augment::default(),
            normalize: Normalize::default(),
            shuffle: true,
            drop_last: false,
            val: None,
            patience: None,
            ..self.clone()
        }
    }

    /// The settings that have a value, by name, in the order of the fields.
    pub fn to_map(&self) -> Map<String, Value> {
        json::to_object(self)
    }

    /// Reads and checks settings by name; `null` is the same as omitting an optional setting.
    ///
    /// # Errors
    /// [`SettingError`], for the first setting that is unknown, missing or invalid.
    pub fn from_map(map: Map<String, Value>) -> Result<Self, SettingError> {
        let read = serde_json::from_value::<Self>(Value::Object(map.clone()));
        let mut config =
            read.map_err(|error| find_wrong::<Self>(&map, Self::example().to_map(), &error))?;
        if config.weight_decay == Some(config.optimizer.default_weight_decay()) {
            config.weight_decay = None;
        }
        config.check()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example without the option that excludes another.
    fn valid() -> TrainConfig {
        TrainConfig { label_smoothing: 0.0, ..TrainConfig::example() }
    }

    #[test]
    fn settings_read_back_and_every_setting_is_in_the_example() {
        let config = valid();
        assert_eq!(TrainConfig::from_map(config.to_map()), Ok(config));
        let fewest = TrainConfig::new("mlp", 20, 200, 1e-3);
        for (optimizer, default) in [(Optimizer::AdamW, 0.01), (Optimizer::Sgd, 0.0)] {
            let given = TrainConfig { optimizer, weight_decay: Some(default), ..fewest.clone() };
            let read = TrainConfig::from_map(given.to_map()).unwrap();
            assert_eq!((read.weight_decay, read.weight_decay()), (None, default));
        }
        assert_eq!(TrainConfig::from_map(fewest.to_map()), Ok(fewest));
        // Debug shows all fields, so the example has no `None`.
        assert!(!format!("{:?}", TrainConfig::example()).contains("None"));
    }

    #[test]
    fn each_invalid_setting_is_named() {
        for (name, value, part) in [
            ("epochs", Value::from(0), "epochs is 0: it must be an integer of at least 1"),
            ("batch_size", "64".into(), "batch_size is \"64\": it must be an integer"),
            ("lr", (-1.0).into(), "lr is -1: it must be a number above 0"),
            ("lr", Value::Null, "lr is null"),
            ("seed", (-1).into(), "seed is -1"),
            ("threads", 4097.into(), "threads is 4097: it must be an integer from 1 to 4096"),
            ("device", "tpu".into(), "device is \"tpu\": it must be \"cpu\" or \"cuda:N\""),
            ("engine", "quick".into(), "engine is \"quick\": it must be eager, exact or fast"),
            ("val", Value::Null, "patience is 1: it must be omitted without val"),
            ("dropout", 1.5.into(), "dropout is 1.5: it must be a number from 0 to 1"),
            ("batch_norm", "yes".into(), "batch_norm is \"yes\": it must be true or false"),
            (
                "augment",
                "rotate".into(),
                "augment is \"rotate\": it must be none, or a list of crop",
            ),
            (
                "optimizer",
                "lion".into(),
                "optimizer is \"lion\": it must be adam, adamw, sgd, adadelta or rmsprop",
            ),
            ("loss", "mse".into(), "loss is \"mse\": it must be cross-entropy or nll"),
            ("label_smoothing", 0.1.into(), "label_smoothing is 0.1: it must be 0, unless loss"),
            ("normalize", "0.5,0".into(), "normalize is \"0.5,0\": it must be none, or MEAN,STD"),
            ("shuffle", 1.into(), "shuffle is 1: it must be true or false"),
            ("init", "a.pt".into(), "init is \"a.pt\": it must be an object"),
            ("optimizer", "adam".into(), "momentum is 0.9: it must be 0, unless optimizer is sgd"),
            ("momentum", 0.into(), "nesterov is true: it must be false, unless"),
            ("weight_decay", (-1).into(), "weight_decay is -1: it must be a number of at least 0"),
            ("lr_schedule", "linear".into(), "lr_schedule is \"linear\": it must be none, step:"),
            ("pace", 0.5.into(), "unknown field \"pace\""),
        ] {
            let mut map = valid().to_map();
            map.insert(name.into(), value);
            let sentence = TrainConfig::from_map(map).unwrap_err().to_string();
            assert!(sentence.starts_with(part), "{sentence}");
        }
        for name in ["model", "epochs", "batch_size", "lr", "seed", "device"] {
            let mut map = valid().to_map();
            map.shift_remove(name);
            let missing = SettingError::Missing(name.into());
            assert_eq!(TrainConfig::from_map(map), Err(missing));
        }
    }
}
