//! `config.json`, and in what two of them differ.

use std::collections::{BTreeMap, BTreeSet};

use fashion_mnist::source::{FileOrigin, Identity, Origin};
use serde::{Deserialize, Serialize};
use tensor_files::Metadata;

use crate::sha256;

/// `config.json`: what made the numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// `stitch` or `notebook.py`.
    pub program: String,
    /// The model's name.
    pub model: String,
    /// Passes over the training images.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// Learning rate.
    pub lr: f64,
    /// Seed.
    pub seed: u64,
    /// Threads of libtorch within an operation.
    pub threads: usize,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// The engine's name, of a run of stitch; see [`Config::engine_name`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Training images that were held out, the last ones; absent when none were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val: Option<usize>,
    /// Epochs in a row without a lower validation loss that end the run; absent when none do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// The instruction set that libtorch's kernels use: `DEFAULT`, `AVX2`, `AVX512`, …
    #[serde(default)]
    pub cpu_capability: Option<String>,
    /// What the kernels compute, see `stitch::train::kernels_sha256`; absent on a GPU, in runs of other programs
    /// and of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernels_sha256: Option<String>,
    /// What computed, by name.
    pub versions: BTreeMap<String, String>,
    /// The files that were learned from and tested on.
    pub data: DataConfig,
}

impl Config {
    /// The engine's name today; `None` for a run on the CPU that names none, one of another program. What
    /// older versions of stitch called `exact` on a GPU, or did not name, is `eager`.
    pub fn engine_name(&self) -> Option<&str> {
        match self.engine.as_deref() {
            None | Some("exact") if self.device != "cpu" => Some("eager"),
            named => named,
        }
    }

    /// What `weights.safetensors` says of its weights: the model, how it was trained, on which
    /// files, and the accuracy on the test images.
    pub fn weights_metadata(&self, test_accuracy: f64) -> Metadata {
        let mut metadata = Metadata::from([
            ("model".into(), self.model.clone()),
            ("seed".into(), self.seed.to_string()),
            ("epochs".into(), self.epochs.to_string()),
            ("test_accuracy".into(), test_accuracy.to_string()),
        ]);
        metadata.extend(self.engine.iter().map(|engine| ("engine".into(), engine.clone())));
        let files = self.data.sha256.iter();
        metadata.extend(files.map(|(file, sha256)| (format!("sha256:{file}"), sha256.clone())));
        metadata
    }

    /// The version of libtorch, in PyTorch too; `None` of a run without it.
    pub fn libtorch(&self) -> Option<String> {
        let version = self.versions.get("libtorch").or(self.versions.get("torch"))?;
        // PyTorch names its build too: 2.13.0+cu130.
        Some(version.split('+').next().unwrap_or_default().to_owned())
    }

    /// The fingerprint of the kernels, where that of a run with the settings of `other` says whether both computed
    /// with the same kernels: another model, engine, batch size or number of threads has another one on the
    /// same machine.
    pub fn comparable_kernels(&self, other: &Config) -> Option<String> {
        let what = |config: &Config| {
            let engine = config.engine_name().map(str::to_owned);
            (config.model.clone(), engine, config.batch_size, config.threads)
        };
        self.kernels_sha256.clone().filter(|_| what(self) == what(other))
    }

    /// In what a run of these settings differs from one that is to go on with `now`. More epochs are
    /// no difference: they come after.
    pub fn differences(&self, now: &Config) -> Vec<String> {
        let row = |config: &Config| {
            let or_unknown = |value: &Option<String>| value.clone().unwrap_or("unknown".into());
            let or_off = |value: Option<usize>| value.map_or("off".into(), |n| n.to_string());
            [
                ("model", config.model.clone()),
                ("batch size", config.batch_size.to_string()),
                ("learning rate", config.lr.to_string()),
                ("seed", config.seed.to_string()),
                ("threads", config.threads.to_string()),
                ("device", config.device.clone()),
                ("engine", config.engine_name().unwrap_or("unknown").into()),
                ("validation images", or_off(config.val)),
                ("patience", or_off(config.patience)),
                ("CPU capability", or_unknown(&config.cpu_capability)),
            ]
        };
        let mut lines = Vec::new();
        let mut compare = |what: &str, then: &str, now: &str| {
            if then != now {
                lines.push(format!("{what} {now}, there {then}"));
            }
        };
        if now.epochs < self.epochs {
            compare("epochs", &self.epochs.to_string(), &now.epochs.to_string());
        }
        for ((what, then), (_, now)) in row(self).iter().zip(&row(now)) {
            compare(what, then, now);
        }
        for name in names(&self.versions, &now.versions) {
            let version =
                |of: &BTreeMap<String, String>| of.get(name).cloned().unwrap_or("none".into());
            compare(name, &version(&self.versions), &version(&now.versions));
        }
        for name in names(&self.data.sha256, &now.data.sha256) {
            if self.data.sha256.get(name) != now.data.sha256.get(name) {
                lines.push(format!("the content of the data file {name}"));
            }
        }
        // With other settings it differs too, and they say more.
        if lines.is_empty() && self.kernels_sha256 != now.kernels_sha256 {
            lines.push(kernels_differ(&self.kernels_sha256, &now.kernels_sha256));
        }
        lines
    }
}

/// The sentence of two fingerprints that differ.
fn kernels_differ(then: &Option<String>, now: &Option<String>) -> String {
    let short = |sum: &Option<String>| match sum {
        Some(sum) => sum.chars().take(12).collect(),
        None => "unknown".to_owned(),
    };
    format!(
        "the bits that the kernels of libtorch, MKL and oneDNN compute (fingerprint {}, there {}): set MKL_CBWR, \
         ONEDNN_MAX_CPU_ISA and similar variables as the run had them, on the same kind of CPU",
        short(now),
        short(then)
    )
}

/// The keys of either, sorted.
fn names<'a>(
    a: &'a BTreeMap<String, String>,
    b: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = &'a String> {
    a.keys().chain(b.keys()).collect::<BTreeSet<_>>().into_iter()
}

/// Which data set a run used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataConfig {
    /// Whether all four files are the official ones.
    pub official: bool,
    /// SHA-256 of each file's unpacked content, by the file's name.
    pub sha256: BTreeMap<String, String>,
}

impl DataConfig {
    /// One SHA-256 for all files: that of the lines `SHA-256  NAME`, in the order of the names, as
    /// `sha256sum` prints them.
    pub fn digest(&self) -> String {
        let line = |(name, sum): (&String, &String)| format!("{sum}  {name}\n");
        sha256::of(self.sha256.iter().map(line).collect::<String>())
    }
}

impl From<&Origin> for DataConfig {
    fn from(origin: &Origin) -> Self {
        let sum = |file: &FileOrigin| (file.name.into(), file.sha256.clone());
        Self {
            official: origin.identity() == Identity::Official,
            sha256: origin.files.iter().map(sum).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(engine: Option<&str>, device: &str) -> Config {
        Config {
            program: "stitch".into(),
            model: "lenet5".into(),
            epochs: 5,
            batch_size: 32,
            lr: 2e-3,
            seed: 0,
            threads: 1,
            device: device.into(),
            engine: engine.map(str::to_owned),
            val: None,
            patience: None,
            cpu_capability: None,
            kernels_sha256: None,
            versions: BTreeMap::new(),
            data: DataConfig { official: false, sha256: BTreeMap::new() },
        }
    }

    #[test]
    fn a_run_on_a_gpu_of_older_versions_is_one_of_the_eager_engine() {
        for (engine, device, today) in [
            (None, "cpu", None),
            (Some("exact"), "cpu", Some("exact")),
            (Some("fast"), "cpu", Some("fast")),
            (Some("eager"), "cpu", Some("eager")),
            (None, "cuda:0", Some("eager")),
            (Some("exact"), "cuda:1", Some("eager")),
            (Some("eager"), "cuda:0", Some("eager")),
        ] {
            assert_eq!(config(engine, device).engine_name(), today, "{engine:?} on {device}");
        }
        let now = config(Some("eager"), "cuda:0");
        for older in [None, Some("exact")] {
            assert_eq!(config(older, "cuda:0").differences(&now), Vec::<String>::new());
        }
        let differences = config(None, "cpu").differences(&config(Some("exact"), "cpu"));
        assert_eq!(differences, ["engine exact, there unknown"]);
    }
    #[test]
    fn other_kernels_are_a_difference_and_are_compared_between_equal_settings_alone() {
        let of = |sum: &str, threads| {
            let kernels_sha256 = Some(sum.repeat(64));
            Config { kernels_sha256, threads, ..config(Some("exact"), "cpu") }
        };
        assert_eq!(of("a", 1).differences(&of("a", 1)), Vec::<String>::new());
        let lines = of("a", 1).differences(&of("b", 1));
        assert!(lines.len() == 1 && lines[0].contains("bbbb, there aaaa"), "{lines:?}");
        let unknown = config(Some("exact"), "cpu").differences(&of("a", 1));
        assert!(unknown.len() == 1 && unknown[0].contains("there unknown"), "{unknown:?}");
        assert_eq!(of("a", 1).differences(&of("b", 2)), ["threads 2, there 1"]);
        assert_eq!(of("a", 1).comparable_kernels(&of("b", 1)), Some("a".repeat(64)));
        assert_eq!(of("a", 1).comparable_kernels(&of("b", 2)), None);
    }
}
