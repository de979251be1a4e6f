//! The run folder: its files, what the two JSON files hold, and how files come to be in it.
//!
//! Every file is written to a temporary name and renamed, so it is whole or not there, after a power
//! cut too. `config.json` is written last: a folder that has it holds a complete run. As long as a
//! process has the folder, it holds a lock on it that ends with the process.

mod config;
mod known;
mod metrics;
mod parity;
mod recipe;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

pub use config::{Config, DataConfig};
pub use known::read_recipe;
pub use parity::ParityVerdict;
pub use recipe::RecipeError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::dataset::source::{Identity, Origin};
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

/// Loss by epoch, drawn.
pub const HISTORY_SVG: &str = "history.svg";
/// The confusion matrix, drawn.
pub const CONFUSION_MATRIX_SVG: &str = "confusion_matrix.svg";
/// The same as pixels.
pub const CONFUSION_MATRIX_PNG: &str = "confusion_matrix.png";
/// Everything about the run on a page.
pub const REPORT: &str = "report.html";

/// What `stitch parity` found of the run; see [`ParityVerdict`].
pub const PARITY: &str = "parity.json";

/// What lies above the run folders of `stitch reproduce`: the accuracies beside the paper's, and a
/// page about both runs.
pub const COMPARISON_FILES: [&str; 3] = [ACCURACY_SVG, ACCURACY_PNG, REPORT];
/// The accuracies beside the paper's, drawn.
pub const ACCURACY_SVG: &str = "accuracy_comparison.svg";
/// The same as pixels.
pub const ACCURACY_PNG: &str = "accuracy_comparison.png";

/// Weights of the best epoch for `torch.load`, where images are held out.
pub const BEST_STATE_DICT: &str = "best_state_dict.pt";
/// Weights of the best epoch for everything else, where images are held out.
pub const BEST_SAFETENSORS: &str = "best_weights.safetensors";

/// The files that a run with held-out images adds, in the order in which they are written.
pub const VALIDATION_FILES: [&str; 2] = [BEST_STATE_DICT, BEST_SAFETENSORS];

/// Folder of TensorBoard's events; see [`crate::events`].
pub const TENSORBOARD: &str = "tensorboard";
/// The file of a complete run in it. TensorBoard reads files with `tfevents` in their names.
pub const EVENTS: &str = "events.out.tfevents.stitch";
/// The same of a run in progress.
pub const EVENTS_PART: &str = "events.out.tfevents.stitch.part";
/// The file that a run with events adds.
pub const EVENTS_FILE: &str = "tensorboard/events.out.tfevents.stitch";

/// Folder of the checkpoints of a run that is not complete; see [`crate::checkpoint`].
pub const CHECKPOINTS: &str = "checkpoints";

/// The files of a run, in the order in which they are written.
pub const FILES: [&str; 13] = [
    HISTORY,
    METRICS,
    PREDICTIONS,
    CONFUSION_MATRIX,
    CLASSIFICATION_REPORT,
    STATE_DICT,
    TORCHSCRIPT,
    SAFETENSORS,
    HISTORY_SVG,
    CONFUSION_MATRIX_SVG,
    CONFUSION_MATRIX_PNG,
    REPORT,
    CONFIG,
];

/// The files that a traced run adds; see [`crate::parity::trace`].
pub const TRACE_FILES: [&str; 2] = ["trace/trace.jsonl", "trace/trace.safetensors"];

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
#[serde(try_from = "metrics::Fields")]
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
    /// Wall-clock seconds of the epochs' steps alone.
    pub train_seconds: f64,
    /// What the images that were held out say; absent when none were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<ValidationMetrics>,
}

/// The part of `metrics.json` about held-out images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ValidationMetrics {
    /// How many are held out.
    pub images: usize,
    /// Mean cross-entropy after the last epoch.
    pub loss: f64,
    /// Correct answers over all answers after the last epoch.
    pub accuracy: f64,
    /// The epoch with the lowest loss, the first of equals; counted from 1.
    pub best_epoch: usize,
    /// Its loss.
    pub best_loss: f64,
    /// Its accuracy.
    pub best_accuracy: f64,
    /// The accuracy of its weights on the test images.
    pub best_test_accuracy: f64,
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
    /// It holds a run that was broken off.
    #[error("--out {}: it holds a run that was broken off ({CHECKPOINTS}). Give --resume to continue it, --force to begin anew, or another folder", .path.display())]
    Interrupted {
        /// The folder.
        path: PathBuf,
    },
    /// Another process has it.
    #[error("--out {}: another process is writing a run there. Wait for it, or give another folder", .path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A JSON file of the run in it is damaged.
    #[error("{} cannot be read: {what}", .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// It is no longer the folder that was claimed.
    #[error("{}: the folder was removed or replaced while the run went on", .path.display())]
    Gone {
        /// The folder.
        path: PathBuf,
    },
    /// A file in it cannot be removed.
    #[error("{} cannot be removed: {error}", .path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
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

/// What is to become of a run that a folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// There must be none.
    New,
    /// It is replaced.
    Replace,
    /// It is looked at, and continued.
    Resume,
}

/// A folder that a run may be written to.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The lock on the folder, which ends with this handle and so with the process.
    lock: Option<File>,
}

impl RunFolder {
    /// Makes sure, before the work starts, that `path` can be written, that no other process has it,
    /// and that it holds no other run, or what `claim` allows. Nothing in it is changed yet, except
    /// that temporary files are removed which a process left that was killed.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn claim(path: &Path, claim: Claim) -> Result<Self, FolderError> {
        let path = path.to_path_buf();
        let not_writable = |error| FolderError::NotWritable { path: path.clone(), error };
        make_folders(&path).map_err(not_writable)?;
        let lock = lock(&path)?;
        tempfile::tempfile_in(&path).map_err(not_writable)?;
        // Without a lock another process may be writing them.
        if lock.is_some() {
            let below = [CHECKPOINTS, TENSORBOARD, "trace"].map(|folder| path.join(folder));
            for folder in below.iter().chain([&path]) {
                remove_temporary_files(folder)?;
            }
        }
        refuse_others(&path, claim)?;
        Ok(Self { path, lock })
    }

    /// Whether [`RunFolder::claim`] would succeed; makes and changes nothing.
    ///
    /// # Errors
    /// Those of [`RunFolder::claim`].
    pub fn check_claim(path: &Path, claim: Claim) -> Result<(), FolderError> {
        let not_writable = |error| FolderError::NotWritable { path: path.into(), error };
        let mut there = path;
        while !there.as_os_str().is_empty() && fs::symlink_metadata(there).is_err() {
            there = parent_of(there);
            if there == Path::new(".") {
                break;
            }
        }
        let folder = fs::read_dir(there).map(drop);
        folder.and_then(|()| tempfile::tempfile_in(there).map(drop)).map_err(not_writable)?;
        if there == path {
            drop(lock(path)?);
        }
        refuse_others(path, claim)
    }

    /// As [`RunFolder::claim`], for an evaluation, which never replaces a training run.
    ///
    /// # Errors
    /// Those of [`RunFolder::claim`], and [`FolderError::HoldsTraining`].
    pub fn claim_for_evaluation(path: &Path, claim: Claim) -> Result<Self, FolderError> {
        let training = || path.join(CONFIG).exists() || holds_checkpoints(path);
        let holds_training = || FolderError::HoldsTraining { path: path.into() };
        if training() {
            return Err(holds_training());
        }
        let folder = Self::claim(path, claim)?;
        // Once more, since another process may have had the folder in between.
        if training() { Err(holds_training()) } else { Ok(folder) }
    }

    /// The configuration of the complete run that it holds.
    ///
    /// # Errors
    /// [`FolderError::Config`].
    pub fn read_config(&self) -> Result<Option<Config>, FolderError> {
        self.read_json(CONFIG)
    }

    /// A JSON file of the run, if it is there.
    ///
    /// # Errors
    /// [`FolderError::Config`].
    pub fn read_json<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>, FolderError> {
        let path = self.path.join(file);
        let unreadable = |what: String| FolderError::Config { path: path.clone(), what };
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(error.to_string())),
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map(Some).map_err(|e| unreadable(e.to_string()))
            }
        }
    }

    /// A file of a run that it holds.
    pub fn existing_file(&self) -> Option<&'static str> {
        existing_file(&self.path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes an earlier run, `config.json` first, so that no mixture of two runs looks complete.
    ///
    /// # Errors
    /// [`FolderError::Remove`], [`FolderError::Gone`].
    pub fn clear(&self) -> Result<(), FolderError> {
        self.check()?;
        for file in all_files().rev() {
            self.remove(&self.path.join(file))?;
        }
        // Only when nothing of the user's own is in it.
        let _ = fs::remove_dir(self.path.join("trace"));
        let _ = fs::remove_dir(self.path.join(TENSORBOARD));
        Ok(())
    }

    /// Removes a file in the folder, if it is there.
    ///
    /// # Errors
    /// [`FolderError::Remove`], [`FolderError::Gone`].
    pub fn remove(&self, path: &Path) -> Result<(), FolderError> {
        self.check()?;
        remove(path)
    }

    /// Whether it is still the folder that was claimed.
    fn check(&self) -> Result<(), FolderError> {
        #[cfg(unix)]
        if let Some(lock) = &self.lock {
            use std::os::unix::fs::MetadataExt;
            let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
            let now = fs::metadata(&self.path).map(place).ok();
            if now.is_none() || now != lock.metadata().map(place).ok() {
                return Err(FolderError::Gone { path: self.path.clone() });
            }
        }
        Ok(())
    }

    /// Writes `file` whole or not at all.
    ///
    /// # Errors
    /// [`FolderError::Write`], [`FolderError::Gone`].
    pub fn write(&self, file: &str, bytes: &[u8]) -> Result<(), FolderError> {
        self.check()?;
        let path = self.path.join(file);
        write_whole(&path, bytes).map_err(|error| FolderError::Write { path, error })
    }

    /// Writes `file` in the subfolder `below`, whole or not at all.
    ///
    /// # Errors
    /// [`FolderError::Write`], [`FolderError::Gone`].
    pub fn write_below(&self, below: &str, file: &str, bytes: &[u8]) -> Result<(), FolderError> {
        self.check()?;
        let folder = self.path.join(below);
        let path = folder.join(file);
        make_folder(&folder)
            .and_then(|()| write_whole(&path, bytes))
            .map_err(|error| FolderError::Write { path, error })
    }

    /// Opens `file` in the subfolder `below`, to write on at its end.
    ///
    /// # Errors
    /// [`FolderError::Write`], [`FolderError::Gone`].
    pub fn open_to_append(&self, below: &str, file: &str) -> Result<File, FolderError> {
        self.check()?;
        let path = self.path.join(below).join(file);
        let opened = File::options().append(true).open(&path);
        opened.map_err(|error| FolderError::Write { path, error })
    }

    /// Adds `bytes` at the end of a file that [`RunFolder::open_to_append`] gave.
    ///
    /// # Errors
    /// [`FolderError::Write`], [`FolderError::Gone`].
    pub fn append(
        &self,
        mut to: &File,
        below: &str,
        file: &str,
        bytes: &[u8],
    ) -> Result<(), FolderError> {
        self.check()?;
        let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        let path = || self.path.join(below).join(file);
        to.write_all(bytes).map_err(|error| FolderError::Write { path: path(), error })
    }

    /// Brings such a file to the disk.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    pub fn sync(&self, of: &File, below: &str, file: &str) -> Result<(), FolderError> {
        let path = || self.path.join(below).join(file);
        of.sync_all().map_err(|error| FolderError::Write { path: path(), error })
    }

    /// Gives the file `from` in the subfolder `below` the name `to`, on the disk too.
    ///
    /// # Errors
    /// [`FolderError::Write`], [`FolderError::Gone`].
    pub fn rename_below(&self, below: &str, from: &str, to: &str) -> Result<(), FolderError> {
        self.check()?;
        let folder = self.path.join(below);
        let path = folder.join(to);
        fs::rename(folder.join(from), &path)
            .and_then(|()| sync_folder(&folder))
            .map_err(|error| FolderError::Write { path, error })
    }

    /// Removes the events of a run in progress, and their folder if nothing else is in it.
    ///
    /// # Errors
    /// [`FolderError::Remove`], [`FolderError::Gone`].
    pub fn discard_events(&self) -> Result<(), FolderError> {
        let folder = self.path.join(TENSORBOARD);
        self.remove(&folder.join(EVENTS_PART))?;
        let _ = fs::remove_dir(folder);
        Ok(())
    }

    /// Writes `value` as indented JSON.
    ///
    /// # Errors
    /// [`FolderError::Write`], [`FolderError::Gone`].
    pub fn write_json(&self, file: &str, value: &impl Serialize) -> Result<(), FolderError> {
        let json = serde_json::to_string_pretty(value).map_err(|error| FolderError::Write {
            path: self.path.join(file),
            error: error.into(),
        })?;
        self.write(file, format!("{json}\n").as_bytes())
    }
}

/// Beginning of the names of temporary files.
const TEMPORARY: &str = ".stitch-";

/// Held while a temporary file is there.
static WRITING: Mutex<()> = Mutex::new(());

/// Waits until no file is being written, but no longer than `longest`. While what it returns is held,
/// none is begun. For who ends the process.
pub fn wait_for_writes(longest: Duration) -> Option<MutexGuard<'static, ()>> {
    let start = Instant::now();
    loop {
        match WRITING.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(error)) => return Some(error.into_inner()),
            Err(TryLockError::WouldBlock) if start.elapsed() >= longest => return None,
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Writes a temporary file beside `path`, brings it to the disk, renames it, and brings that to the
/// disk. After a power cut `path` is as it was, or whole.
///
/// # Errors
/// The system's; `path` is then as it was, or whole.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = parent_of(path);
    // Made with the permissions of an ordinary file; a temporary file is private otherwise.
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.prefix(TEMPORARY).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    let temporary = file.into_temp_path();
    fs::rename(&temporary, path)?;
    // Its name is another now: there is nothing to remove.
    let _ = temporary.keep();
    sync_folder(folder)
}

/// Whether a run was broken off there.
fn holds_checkpoints(folder: &Path) -> bool {
    fs::read_dir(folder.join(CHECKPOINTS)).is_ok_and(|mut files| files.next().is_some())
}

/// Makes a folder and those above it that are not there, and brings their names to the disk.
fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    folder.parent().map_or(Ok(()), make_folders)?;
    make_folder(folder)
}

/// Makes a folder, if it is not there, and brings its name to the disk.
fn make_folder(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(parent_of(folder)),
    }
}

/// The folder that something is in. The parent of a bare name is empty.
fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Brings the names in a folder to the disk.
fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    // Elsewhere a folder cannot be opened.
    let _ = folder;
    Ok(())
}

/// Takes the lock on a folder; `None` where folders cannot be locked (some network file systems,
/// systems other than Unix).
fn lock(folder: &Path) -> Result<Option<File>, FolderError> {
    if cfg!(not(unix)) {
        return Ok(None);
    }
    let path = folder.to_path_buf();
    let file = match File::open(folder) {
        Ok(file) => file,
        Err(error) => return Err(FolderError::NotWritable { path, error }),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Err(FolderError::Locked { path }),
        Err(fs::TryLockError::Error(_)) => Ok(None),
    }
}

fn existing_file(folder: &Path) -> Option<&'static str> {
    FILES.into_iter().chain(all_files()).find(|file| folder.join(file).exists())
}

/// Every file that a run may have; `config.json` is the last.
fn all_files() -> impl DoubleEndedIterator<Item = &'static str> {
    let more = TRACE_FILES.into_iter().chain(VALIDATION_FILES).chain([EVENTS_FILE, PARITY]);
    more.chain(FILES)
}

/// Refuses a folder with a run, unless `claim` allows one.
fn refuse_others(folder: &Path, claim: Claim) -> Result<(), FolderError> {
    let path = || folder.to_path_buf();
    match claim {
        Claim::New if holds_checkpoints(folder) => Err(FolderError::Interrupted { path: path() }),
        Claim::New => existing_file(folder)
            .map_or(Ok(()), |file| Err(FolderError::Occupied { path: path(), file })),
        Claim::Replace | Claim::Resume => Ok(()),
    }
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> Result<(), FolderError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FolderError::Remove { path: path.into(), error })
        }
        _ => Ok(()),
    }
}

/// Removes what a process left that was killed while it wrote. The folder is locked: no other
/// process is writing.
fn remove_temporary_files(folder: &Path) -> Result<(), FolderError> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        let temporary = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        if temporary && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}
