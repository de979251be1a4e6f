//! The run folder: its files, what the two JSON files hold, and how files come to be in it.
//!
//! Every file is written to a temporary name and renamed, so it is whole or not there.
//! `config.json` is written last: a folder that has it holds a complete run.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::dataset::source::{Identity, Origin};
use crate::formats::Metadata;
use crate::metrics::{ClassificationReport, Scores};

/// Settings, versions and data of the run.
pub const CONFIG: &str = "config.json";
/// Loss by epoch.
pub const HISTORY: &str = "history.csv";
/// Scores on the test images, time and memory.
pub const METRICS: &str = "metrics.json";
/// The answer for each test image.
pub const PREDICTIONS: &str = "predictions.csv";
/// True against predicted classes.
pub const CONFUSION_MATRIX: &str = "confusion_matrix.csv";
/// Scores by class.
pub const CLASSIFICATION_REPORT: &str = "classification_report.csv";
/// Weights for `torch.load`.
pub const STATE_DICT: &str = "state_dict.pt";
/// Weights and forward pass for `torch.jit.load`.
pub const TORCHSCRIPT: &str = "torchscript.pt";
/// Weights for everything else.
pub const SAFETENSORS: &str = "weights.safetensors";

/// The files of a run, in the order in which they are written.
pub const FILES: [&str; 9] = [
    HISTORY,
    METRICS,
    PREDICTIONS,
    CONFUSION_MATRIX,
    CLASSIFICATION_REPORT,
    STATE_DICT,
    TORCHSCRIPT,
    SAFETENSORS,
    CONFIG,
];

/// The files that a traced run adds; see [`crate::parity::trace`].
pub const TRACE_FILES: [&str; 2] = ["trace/trace.jsonl", "trace/trace.safetensors"];

/// `config.json`: what made the numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// `stitch` or `notebook.py`.
    pub program: String,
    /// `mlp` or `lenet5`.
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
    /// `exact` or `fast`, of a run of stitch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The instruction set that libtorch's kernels use: `DEFAULT`, `AVX2`, `AVX512`, …
    #[serde(default)]
    pub cpu_capability: Option<String>,
    /// What computed, by name.
    pub versions: BTreeMap<String, String>,
    /// The files that were learned from and tested on.
    pub data: DataConfig,
}

impl Config {
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
}

/// Which data set a run used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataConfig {
    /// Whether all four files are the official ones.
    pub official: bool,
    /// SHA-256 of each file's unpacked content, by the file's name.
    pub sha256: BTreeMap<String, String>,
}

impl From<&Origin> for DataConfig {
    fn from(origin: &Origin) -> Self {
        let sum =
            |file: &crate::dataset::source::FileOrigin| (file.name.into(), file.sha256.clone());
        Self {
            official: origin.identity() == Identity::Official,
            sha256: origin.files.iter().map(sum).collect(),
        }
    }
}

/// `metrics.json`: what the numbers are worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Correct answers over all answers on the test images.
    pub test_accuracy: f64,
    /// Plain mean over the classes.
    pub macro_avg: Average,
    /// Mean over the classes, weighted by support.
    pub weighted_avg: Average,
    /// What training took; absent in an evaluation alone.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingMetrics>,
    /// Greatest memory of the process so far in bytes, where the system tells.
    pub peak_rss_bytes: Option<u64>,
}

/// Precision, recall and F1, averaged over the classes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Average {
    /// Averaged precision.
    pub precision: f64,
    /// Averaged recall.
    pub recall: f64,
    /// Averaged F1.
    pub f1: f64,
}

impl From<Scores> for Average {
    fn from(Scores { precision, recall, f1, .. }: Scores) -> Self {
        Self { precision, recall, f1 }
    }
}

/// The part of `metrics.json` that a training run adds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrainingMetrics {
    /// Mean loss of the last epoch.
    pub train_loss: f64,
    /// Epochs that were run: fewer than asked for when the stopping rule ended the training.
    pub epochs_run: usize,
    /// Wall-clock seconds of the epochs alone.
    pub train_seconds: f64,
}

impl Metrics {
    /// The metrics of a report, and of the process as it stands.
    pub fn new(report: &ClassificationReport, training: Option<TrainingMetrics>) -> Self {
        Self {
            test_accuracy: report.accuracy,
            macro_avg: report.macro_avg.into(),
            weighted_avg: report.weighted_avg.into(),
            training,
            peak_rss_bytes: peak_rss_bytes(),
        }
    }
}

/// The greatest resident set of this process: `VmHWM` of Linux. `None` elsewhere.
pub fn peak_rss_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// `torch.backends.cpu.get_cpu_capability()`: what libtorch picks its kernels by, and what
/// `ATEN_CPU_CAPABILITY` lowers. `None` where it is not known how it picks.
pub fn cpu_capability() -> Option<String> {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq");
        let lowered = std::env::var("ATEN_CPU_CAPABILITY").unwrap_or_default();
        Some(match lowered.as_str() {
            "default" => "DEFAULT".into(),
            "avx2" if avx2 => "AVX2".into(),
            _ if avx512 => "AVX512".into(),
            _ if avx2 => "AVX2".into(),
            _ => "DEFAULT".into(),
        })
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// Why a run folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It holds a run already.
    #[error("--out {}: it holds another run ({file}). Give another folder, or --force to replace it", .path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// A file of that run.
        file: &'static str,
    },
    /// It holds a training run, and an evaluation would be mixed with it.
    #[error("--out {}: it holds another run, a training, and an evaluation is not written into one, --force or not. Give another folder", .path.display())]
    HoldsTraining {
        /// The folder.
        path: PathBuf,
    },
    /// It cannot be made or written.
    #[error("--out {}: it cannot be written: {error}. Give another folder", .path.display())]
    NotWritable {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// A file in it cannot be written.
    #[error("{} cannot be written: {error}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
}

/// A folder that a run may be written to.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes sure, before the work starts, that `path` can be written and holds no other run
    /// (`force`: that it may be replaced). Nothing in it is changed yet.
    ///
    /// # Errors
    /// [`FolderError::Occupied`], [`FolderError::NotWritable`].
    pub fn claim(path: &Path, force: bool) -> Result<Self, FolderError> {
        let path = path.to_path_buf();
        let not_writable = |error| FolderError::NotWritable { path: path.clone(), error };
        fs::create_dir_all(&path).map_err(not_writable)?;
        tempfile::tempfile_in(&path).map_err(not_writable)?;
        match FILES.into_iter().chain(TRACE_FILES).find(|file| path.join(file).exists()) {
            Some(file) if !force => Err(FolderError::Occupied { path, file }),
            _ => Ok(Self { path }),
        }
    }

    /// As [`RunFolder::claim`], for an evaluation, which never replaces a training run.
    ///
    /// # Errors
    /// Those of [`RunFolder::claim`], and [`FolderError::HoldsTraining`].
    pub fn claim_for_evaluation(path: &Path, force: bool) -> Result<Self, FolderError> {
        if path.join(CONFIG).exists() {
            return Err(FolderError::HoldsTraining { path: path.into() });
        }
        Self::claim(path, force)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes an earlier run, `config.json` first, so that no mixture of two runs looks complete.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    pub fn clear(&self) -> Result<(), FolderError> {
        for file in FILES.into_iter().rev().chain(TRACE_FILES) {
            let path = self.path.join(file);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(FolderError::Write { path, error });
                }
                _ => {}
            }
        }
        // Only when nothing of the user's own is in it.
        let _ = fs::remove_dir(self.path.join("trace"));
        Ok(())
    }

    /// Writes `file` whole or not at all.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    pub fn write(&self, file: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let path = self.path.join(file);
        write_whole(&path, bytes).map_err(|error| FolderError::Write { path, error })
    }

    /// Writes `file` in the subfolder `below`, whole or not at all.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    pub fn write_below(&self, below: &str, file: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let folder = self.path.join(below);
        let path = folder.join(file);
        fs::create_dir_all(&folder)
            .and_then(|()| write_whole(&path, bytes))
            .map_err(|error| FolderError::Write { path, error })
    }

    /// Writes `value` as indented JSON.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    pub fn write_json(&self, file: &str, value: &impl Serialize) -> Result<(), FolderError> {
        let json = serde_json::to_string_pretty(value).map_err(|error| FolderError::Write {
            path: self.path.join(file),
            error: error.into(),
        })?;
        self.write(file, format!("{json}\n").as_bytes())
    }
}

/// Writes a temporary file beside `path`, brings it to the disk and renames it.
///
/// # Errors
/// The system's; `path` is then as it was.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // The parent of a bare name is empty.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // Made with the permissions of an ordinary file; a temporary file is private otherwise.
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.prefix(".stitch-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
