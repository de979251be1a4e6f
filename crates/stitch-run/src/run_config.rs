//! The format of `config.json`, and differences between two of them.

use std::collections::{BTreeMap, BTreeSet};

use fashion_mnist::classes::{Classes, ClassesError};
use fashion_mnist::idx::LONGEST_SIDE;
use fashion_mnist::source::{FileOrigin, Identity};
use fashion_mnist::{Dataset, ImageShape};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tensor_files::Metadata;

use crate::json;
use crate::setting_error::{expected, find_wrong, shortened};
use crate::{Device, Engine, Normalize, SettingError, TrainConfig, sha256};

/// Names of settings in the metadata of weights.
const DROPOUT: &str = "dropout";
/// Name of the list of class names in the metadata of weights, in JSON.
const CLASSES: &str = "classes";
const NORMALIZE: &str = "normalize";

/// The content of `config.json`: settings, program, versions, kernels and data set of a run.
// serde ignores `deny_unknown_fields` of a flattened struct; the attribute of the outer struct covers all fields (tested
// below).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// `stitch` or `notebook.py`.
    pub program: String,
    /// The settings; `threads` has a value.
    #[serde(flatten)]
    pub settings: TrainConfig,
    /// The instruction set that libtorch's kernels use: `DEFAULT`, `AVX2`, `AVX512`, …
    #[serde(default)]
    pub cpu_capability: Option<String>,
    /// Fingerprint of the kernels' results, see `stitch::train::kernels_sha256`; absent in runs of other programs or
    /// older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernels_sha256: Option<String>,
    /// Versions of the program and its libraries, by name.
    pub versions: BTreeMap<String, String>,
    /// Checksums of the four files of the data set.
    pub data: DataConfig,
}

/// The data set of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Whether all four files are the official ones.
    pub official: bool,
    /// SHA-256 of the unpacked files in hex, by file name.
    pub sha256: BTreeMap<String, String>,
    /// The names of the classes; not written if they are those of Fashion-MNIST.
    #[serde(default, skip_serializing_if = "is_fashion_mnist")]
    pub classes: ClassNames,
    /// The size of the images; not written if it is 28x28 in gray. Older versions never wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<ImageSize>,
}

/// The size of images other than 28x28 in gray, a list of channels, height and width in `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[usize; 3]", into = "[usize; 3]")]
pub struct ImageSize(pub ImageShape);

impl TryFrom<[usize; 3]> for ImageSize {
    type Error = &'static str;

    fn try_from([channels, height, width]: [usize; 3]) -> Result<Self, Self::Error> {
        let is_side = |side: usize| (1..=LONGEST_SIDE as usize).contains(&side);
        match matches!(channels, 1 | 3) && is_side(height) && is_side(width) {
            true => Ok(Self(ImageShape { channels, height, width })),
            false => Err("1 or 3 channels, and the height and width in pixels"),
        }
    }
}

impl From<ImageSize> for [usize; 3] {
    fn from(ImageSize(shape): ImageSize) -> Self {
        shape.sizes()
    }
}

/// The names of the classes of a data set, a list in `config.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct ClassNames(pub Classes);

impl TryFrom<Vec<String>> for ClassNames {
    type Error = ClassesError;

    fn try_from(names: Vec<String>) -> Result<Self, ClassesError> {
        Classes::new(names).map(Self)
    }
}

impl From<ClassNames> for Vec<String> {
    fn from(classes: ClassNames) -> Self {
        classes.0.names().to_vec()
    }
}

fn is_fashion_mnist(classes: &ClassNames) -> bool {
    *classes == ClassNames::default()
}

/// Why bytes are not the `config.json` of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunConfigError {
    /// Not JSON, not an object, or with a duplicate field.
    #[error("it is not the config.json of a run: {0}")]
    Json(String),
    /// A field is unknown, missing or invalid.
    #[error(transparent)]
    Setting(#[from] SettingError),
}

impl RunConfig {
    /// Reads a `config.json` of stitch or `notebook.py`. On a GPU, the engine `exact` or none, as written by older versions
    /// of stitch, is read as `eager`. The model's name is not checked.
    ///
    /// # Errors
    /// [`RunConfigError`], with the first field that is unknown, missing or invalid.
    pub fn read(bytes: &[u8]) -> Result<Self, RunConfigError> {
        let json = |error: serde_json::Error| RunConfigError::Json(shortened(&error.to_string()));
        let map = json::read_object(bytes).map_err(json)?;
        // serde reads a struct from an array, too.
        if let Some(data) = map.get("data").filter(|value| value.is_array()) {
            return Err(SettingError::wrong("data", &data.to_string(), expected("data")).into());
        }
        let read = Self::deserialize(&Value::Object(map.clone()));
        let mut config = read.map_err(|error| find_wrong::<Self>(&map, Self::example(), &error))?;
        config.check()?;
        let settings = &mut config.settings;
        if settings.device != Device::Cpu && settings.engine.is_none_or(|it| it == Engine::Exact) {
            settings.engine = Some(Engine::Eager);
        }
        Ok(config)
    }

    /// Whether an object is meant as the `config.json` of a run: it has a field that no table of settings has, such as the
    /// program. `data` may also be the path of a data set.
    pub(crate) fn is_run_config(map: &Map<String, Value>) -> bool {
        let mut fields = Self::example();
        fields.retain(|name, _| name != "data" && !TrainConfig::names().contains(name));
        map.keys().any(|name| fields.contains_key(name))
    }

    /// Checks everything but the model.
    pub(crate) fn check(&self) -> Result<(), SettingError> {
        let wrong = |name, found: &String| {
            let found = Value::from(found.as_str()).to_string();
            Err(SettingError::wrong(name, &found, expected(name)))
        };
        if !["stitch", "notebook.py"].contains(&self.program.as_str()) {
            return wrong("program", &self.program);
        }
        if self.settings.threads.is_none() {
            return Err(SettingError::Missing("threads".into()));
        }
        if let Some(sum) = self.kernels_sha256.as_ref().filter(|sum| !sha256::is_hex(sum)) {
            return wrong("kernels_sha256", sum);
        }
        self.settings.check()
    }

    /// A valid object with all fields.
    fn example() -> Map<String, Value> {
        let mut map = Map::from_iter([("program".into(), "stitch".into())]);
        map.extend(TrainConfig::example().to_map());
        map.extend([
            ("cpu_capability".into(), Value::Null),
            ("kernels_sha256".into(), Value::Null),
            ("versions".into(), Map::new().into()),
            (
                "data".into(),
                serde_json::json!({ "official": false, "sha256": {}, "classes": ["a"], "shape": [3, 32, 32] }),
            ),
        ]);
        map
    }

    /// The metadata of `weights.safetensors`: model, settings, test accuracy and checksums of the data set. Options that are
    /// off are omitted.
    pub fn weights_metadata(&self, test_accuracy: f64) -> Metadata {
        let settings = &self.settings;
        let mut metadata = Metadata::from([
            ("model".into(), settings.model.clone()),
            ("seed".into(), settings.seed.to_string()),
            ("epochs".into(), settings.epochs.to_string()),
            ("test_accuracy".into(), test_accuracy.to_string()),
        ]);
        metadata.extend(settings.engine.map(|engine| ("engine".into(), engine.to_string())));
        if settings.dropout > 0.0 {
            metadata.insert(DROPOUT.into(), settings.dropout.to_string());
        }
        if !is_fashion_mnist(&self.data.classes) {
            let names = serde_json::json!(self.data.classes).to_string();
            metadata.insert(CLASSES.into(), names);
        }
        if !settings.normalize.is_none() {
            metadata.insert(NORMALIZE.into(), settings.normalize.to_string());
        }
        let files = self.data.sha256.iter();
        metadata.extend(files.map(|(file, sha256)| (format!("sha256:{file}"), sha256.clone())));
        metadata
    }

    /// The dropout of the network whose weights have this metadata, which their tensors do not tell; `None` if the metadata is
    /// not that of a run, see [`RunConfig::weights_metadata`].
    ///
    /// # Errors
    /// [`SettingError::Wrong`] if it is not a probability.
    pub fn dropout_of(metadata: &Metadata) -> Result<Option<f64>, SettingError> {
        if !metadata.contains_key("epochs") {
            return Ok(None);
        }
        let Some(text) = metadata.get(DROPOUT) else { return Ok(Some(0.0)) };
        match text.parse() {
            Ok(p) if (0.0..=1.0).contains(&p) => Ok(Some(p)),
            _ => Err(SettingError::wrong(DROPOUT, text, expected(DROPOUT))),
        }
    }

    /// The names of the classes of weights with this metadata; `None` if the metadata is not that of a run, see
    /// [`RunConfig::weights_metadata`].
    ///
    /// # Errors
    /// [`SettingError::Wrong`] if they are not a list of names.
    pub fn classes_of(metadata: &Metadata) -> Result<Option<Classes>, SettingError> {
        match metadata.get(CLASSES) {
            Some(text) => {
                let wrong = |_| SettingError::wrong(CLASSES, text, "a list of class names in JSON");
                serde_json::from_str(text).map(|ClassNames(names)| Some(names)).map_err(wrong)
            }
            None => Ok(metadata.contains_key("epochs").then(Classes::fashion_mnist)),
        }
    }

    /// The normalization of the images for the network whose weights have this metadata; `None` as for
    /// [`RunConfig::dropout_of`].
    ///
    /// # Errors
    /// [`SettingError::Wrong`] if it is not a normalization.
    pub fn normalize_of(metadata: &Metadata) -> Result<Option<Normalize>, SettingError> {
        let is_run = metadata.contains_key("epochs");
        match metadata.get(NORMALIZE) {
            None => Ok(is_run.then(Normalize::default)),
            Some(text) if is_run => {
                let wrong = |_| SettingError::wrong(NORMALIZE, text, expected(NORMALIZE));
                text.parse().map(Some).map_err(wrong)
            }
            // An export of weights whose other settings are unknown, or the metadata of another program.
            Some(text) => Ok(text.parse().ok().filter(|_| metadata.contains_key("model"))),
        }
    }

    /// The version of libtorch or PyTorch; `None` for a run without it.
    pub fn libtorch(&self) -> Option<String> {
        let version = self.versions.get("libtorch").or(self.versions.get("torch"))?;
        // PyTorch's version contains the build: 2.13.0+cu130.
        Some(version.split('+').next().unwrap_or_default().to_owned())
    }

    /// The fingerprint of the kernels, if it is comparable with that of `other`: it depends on all settings but those of
    /// [`TrainConfig::of_one_step`].
    pub fn comparable_kernels(&self, other: &Self) -> Option<String> {
        let [key, of_other] = [self, other].map(|it| it.settings.of_one_step());
        self.kernels_sha256.clone().filter(|_| key == of_other)
    }

    /// The differences between an interrupted run and the run `now` that would resume it, one phrase per field. A higher
    /// number of epochs is not a difference, unless the learning rates depend on it.
    pub fn resume_differences(&self, now: &Self) -> Vec<String> {
        let (then, mut settings) = (&self.settings, now.settings.clone());
        // The path of a network's file does not matter.
        if then.model_sha256.is_some() && then.model_sha256 == settings.model_sha256 {
            settings.model.clone_from(&then.model);
        }
        let extends = !then.lr_schedule.depends_on_epochs();
        if extends && settings.epochs > then.epochs {
            settings.epochs = then.epochs;
        }
        let changed =
            |name: &String| difference(name, Some(&then.value(name)), Some(&settings.value(name)));
        let mut lines: Vec<String> = TrainConfig::names().iter().filter_map(changed).collect();
        if !extends && now.settings.epochs > self.settings.epochs {
            let schedule = self.settings.lr_schedule;
            lines.push(format!("the learning rates of {schedule} depend on the number of epochs"));
        }
        let text = |text: &Option<String>| text.clone().map(Value::from);
        let (before, after) = (text(&self.cpu_capability), text(&now.cpu_capability));
        lines.extend(difference("cpu_capability", before.as_ref(), after.as_ref()));
        for name in keys(&self.versions, &now.versions) {
            let version = |of: &BTreeMap<String, String>| of.get(name).cloned().map(Value::from);
            let (before, after) = (version(&self.versions), version(&now.versions));
            lines.extend(difference(name, before.as_ref(), after.as_ref()));
        }
        for name in keys(&self.data.sha256, &now.data.sha256) {
            if self.data.sha256.get(name) != now.data.sha256.get(name) {
                lines.push(format!("the content of the data file {name}"));
            }
        }
        if self.data.classes != now.data.classes {
            lines.push("the names of the classes".into());
        }
        // Other settings explain a different fingerprint.
        if lines.is_empty() && self.kernels_sha256 != now.kernels_sha256 {
            lines.push(kernels_differ(&self.kernels_sha256, &now.kernels_sha256));
        }
        lines
    }
}

/// `NAME NOW instead of THEN` if the two values differ; a missing value or null is `none`.
fn difference(name: &str, then: Option<&Value>, now: Option<&Value>) -> Option<String> {
    let shown = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "none".into(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    (then != now).then(|| format!("{name} {} instead of {}", shown(now), shown(then)))
}

/// The phrase about different fingerprints.
fn kernels_differ(then: &Option<String>, now: &Option<String>) -> String {
    let short = |sum: &Option<String>| match sum {
        Some(sum) => sum.chars().take(12).collect(),
        None => "unknown".to_owned(),
    };
    format!(
        "the results of the kernels of libtorch and its libraries (fingerprint {} instead of {}): use the same kind of \
         CPU or GPU, and the same values of MKL_CBWR, ONEDNN_MAX_CPU_ISA and similar variables",
        short(now),
        short(then)
    )
}

/// The keys of both maps, sorted.
fn keys<'a>(
    a: &'a BTreeMap<String, String>,
    b: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = &'a String> {
    a.keys().chain(b.keys()).collect::<BTreeSet<_>>().into_iter()
}

impl DataConfig {
    /// One SHA-256 for all files: that of the lines `SHA-256  NAME` in the order of the names, as printed by `sha256sum`.
    pub fn digest(&self) -> String {
        digest(&self.sha256)
    }
}

/// [`DataConfig::digest`] of files with these SHA-256, by name.
pub fn digest(sums: &BTreeMap<String, String>) -> String {
    let line = |(name, sum): (&String, &String)| format!("{sum}  {name}\n");
    sha256::of(sums.iter().map(line).collect::<String>())
}

impl From<&Dataset> for DataConfig {
    fn from(dataset: &Dataset) -> Self {
        let sum = |file: &FileOrigin| (file.name.into(), file.sha256.clone());
        let Dataset { origin, train, .. } = dataset;
        Self {
            official: origin.identity() == Identity::Official,
            sha256: origin.files.iter().map(sum).collect(),
            classes: ClassNames(train.classes.clone()),
            shape: (train.shape != ImageShape::FASHION_MNIST).then_some(ImageSize(train.shape)),
        }
    }
}

#[cfg(test)]
impl RunConfig {
    /// A run of stitch with these settings, for tests.
    pub(crate) fn of_settings(settings: TrainConfig) -> Self {
        Self {
            program: "stitch".into(),
            settings,
            cpu_capability: None,
            kernels_sha256: None,
            versions: BTreeMap::new(),
            data: DataConfig {
                official: false,
                sha256: BTreeMap::new(),
                classes: ClassNames::default(),
                shape: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(engine: Option<Engine>, device: Device) -> RunConfig {
        let settings = TrainConfig {
            engine,
            device,
            threads: Some(1),
            ..TrainConfig::new("lenet5", 5, 32, 2e-3)
        };
        RunConfig::of_settings(settings)
    }

    fn bytes(config: &RunConfig) -> Vec<u8> {
        serde_json::to_vec(config).unwrap()
    }

    #[test]
    fn gpu_runs_of_older_versions_have_the_eager_engine() {
        let gpu = Device::Cuda(1);
        for (engine, device, today) in [
            (None, Device::Cpu, None),
            (Some(Engine::Exact), Device::Cpu, Some(Engine::Exact)),
            (Some(Engine::Fast), Device::Cpu, Some(Engine::Fast)),
            (None, gpu, Some(Engine::Eager)),
            (Some(Engine::Exact), gpu, Some(Engine::Eager)),
            (Some(Engine::Eager), gpu, Some(Engine::Eager)),
        ] {
            let read = RunConfig::read(&bytes(&config(engine, device))).unwrap();
            assert_eq!(read.settings.engine, today, "{engine:?} on {device}");
        }
        let then = config(None, Device::Cpu);
        let differences = then.resume_differences(&config(Some(Engine::Exact), Device::Cpu));
        assert_eq!(differences, ["engine exact instead of none"]);
    }

    #[test]
    fn other_kernels_are_a_difference_and_are_compared_between_equal_settings_only() {
        let of = |sum: &str, threads| {
            let mut config = config(Some(Engine::Exact), Device::Cpu);
            config.kernels_sha256 = Some(sum.repeat(64));
            config.settings.threads = Some(threads);
            config
        };
        assert_eq!(of("a", 1).resume_differences(&of("a", 1)), Vec::<String>::new());
        let lines = of("a", 1).resume_differences(&of("b", 1));
        assert!(lines.len() == 1 && lines[0].contains("bbbb instead of aaaa"), "{lines:?}");
        let unknown = config(Some(Engine::Exact), Device::Cpu).resume_differences(&of("a", 1));
        assert!(unknown.len() == 1 && unknown[0].contains("instead of unknown"), "{unknown:?}");
        assert_eq!(of("a", 1).resume_differences(&of("b", 2)), ["threads 2 instead of 1"]);
        let [mut here, mut there] = ["a.pt", "../a.pt"]
            .map(|path| RunConfig::of_settings(TrainConfig::new(path, 1, 1, 1.0)));
        assert_eq!(here.resume_differences(&there), ["model ../a.pt instead of a.pt"]);
        (here.settings.model_sha256, there.settings.model_sha256) =
            (Some("0".into()), Some("0".into()));
        assert!(here.resume_differences(&there).is_empty());
        assert_eq!(of("a", 1).comparable_kernels(&of("b", 1)), Some("a".repeat(64)));
        assert_eq!(of("a", 1).comparable_kernels(&of("b", 2)), None);
    }

    #[test]
    fn more_epochs_are_not_a_difference_but_fewer_are() {
        let of = |epochs| {
            let mut config = config(Some(Engine::Exact), Device::Cpu);
            config.settings.epochs = epochs;
            config
        };
        assert_eq!(of(5).resume_differences(&of(6)), Vec::<String>::new());
        assert_eq!(of(5).resume_differences(&of(4)), ["epochs 4 instead of 5"]);
        let cosine = |epochs| {
            let mut config = of(epochs);
            config.settings.lr_schedule = crate::LrSchedule::Cosine;
            config
        };
        assert_eq!(cosine(5).resume_differences(&cosine(5)), Vec::<String>::new());
        let reason = "the learning rates of cosine depend on the number of epochs";
        let lines = cosine(5).resume_differences(&cosine(6));
        assert_eq!(lines, ["epochs 6 instead of 5", reason]);
    }

    #[test]
    fn unknown_fields_are_refused() {
        let with = |name: &str, value: Value| {
            let mut json = serde_json::to_value(config(None, Device::Cpu)).unwrap();
            json[name] = value;
            RunConfig::read(json.to_string().as_bytes())
        };
        assert!(with("val", 3.into()).is_ok());
        let unknown = with("pace", 0.5.into()).unwrap_err().to_string();
        assert!(unknown.starts_with("unknown field \"pace\""), "{unknown}");
        let data = serde_json::json!({ "official": true, "sha256": {}, "path": "x" });
        let sentence = with("data", data).unwrap_err().to_string();
        assert!(sentence.starts_with("data is {"), "{sentence}");
        let shape = |sizes: [usize; 3]| {
            with("data", serde_json::json!({ "official": false, "sha256": {}, "shape": sizes }))
        };
        let read = shape([3, 32, 20]).unwrap().data.shape.map(|ImageSize(shape)| shape.sizes());
        assert_eq!(read, Some([3, 32, 20]));
        assert!(shape([2, 32, 20]).is_err() && shape([1, 0, 20]).is_err());
    }

    #[test]
    fn duplicate_fields_are_refused() {
        let good = String::from_utf8(bytes(&config(None, Device::Cpu))).unwrap();
        for field in ["\"epochs\":5,", "\"program\":\"stitch\","] {
            let twice = good.replacen(field, &field.repeat(2), 1);
            let error = RunConfig::read(twice.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("duplicate field"), "{error}");
        }
    }
}
