//! The names of the files in a run folder.

/// Settings, versions and data set of the run.
pub const CONFIG: &str = "config.json";
/// Losses by epoch.
pub const HISTORY: &str = "history.csv";
/// Scores on the test images, time and memory.
pub const METRICS: &str = "metrics.json";
/// The predicted class of each test image.
pub const PREDICTIONS: &str = "predictions.csv";
/// Counts of test images: rows are true classes, columns predictions.
pub const CONFUSION_MATRIX: &str = "confusion_matrix.csv";
/// Scores by class.
pub const CLASSIFICATION_REPORT: &str = "classification_report.csv";
/// Weights for `torch.load`.
pub const STATE_DICT: &str = "state_dict.pt";
/// Weights and forward pass for `torch.jit.load`.
pub const TORCHSCRIPT: &str = "torchscript.pt";
/// Weights for other readers.
pub const SAFETENSORS: &str = "weights.safetensors";

/// Figure of the losses by epoch.
pub const HISTORY_SVG: &str = "history.svg";
/// Figure of the confusion matrix.
pub const CONFUSION_MATRIX_SVG: &str = "confusion_matrix.svg";
/// The same as PNG.
pub const CONFUSION_MATRIX_PNG: &str = "confusion_matrix.png";
/// The report of the run, or of both runs of `stitch reproduce`.
pub const REPORT: &str = "report.html";

/// The verdict of `stitch parity` on the run; see [`ParityVerdict`](super::ParityVerdict).
pub const PARITY: &str = "parity.json";

/// The files of `stitch reproduce` in the parent of its run folders.
pub const COMPARISON_FILES: [&str; 3] = [ACCURACY_SVG, ACCURACY_PNG, REPORT];
/// Figure of the accuracies and those of the paper.
pub const ACCURACY_SVG: &str = "accuracy_comparison.svg";
/// The same as PNG.
pub const ACCURACY_PNG: &str = "accuracy_comparison.png";

/// Weights of the best epoch for `torch.load`, if images are held out.
pub const BEST_STATE_DICT: &str = "best_state_dict.pt";
/// Weights of the best epoch and forward pass for `torch.jit.load`, if images are held out.
pub const BEST_TORCHSCRIPT: &str = "best_torchscript.pt";
/// Weights of the best epoch for other readers, if images are held out.
pub const BEST_SAFETENSORS: &str = "best_weights.safetensors";

/// The additional files of a run with held-out images, in the order in which they are written.
pub const VALIDATION_FILES: [&str; 3] = [BEST_STATE_DICT, BEST_TORCHSCRIPT, BEST_SAFETENSORS];

/// All files with weights.
pub const WEIGHTS: [&str; 6] =
    [STATE_DICT, TORCHSCRIPT, SAFETENSORS, BEST_STATE_DICT, BEST_TORCHSCRIPT, BEST_SAFETENSORS];

/// Folder of the TensorBoard events; see [`crate::run`].
pub const TENSORBOARD: &str = "tensorboard";
/// The events file of a complete run. TensorBoard reads files with `tfevents` in their names.
pub(crate) const EVENTS: &str = "events.out.tfevents.stitch";
/// The events file of a run in progress.
pub(crate) const EVENTS_PART: &str = "events.out.tfevents.stitch.part";
/// The additional file of a run with events.
pub const EVENTS_FILE: &str = "tensorboard/events.out.tfevents.stitch";

/// Folder of the checkpoints of an incomplete run; see [`crate::run`].
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

/// Folder of the trace of a run in progress. It stays if the run does not end.
pub const TRACE_PART: &str = "trace.part";

/// The files of a trace, relative to the run folder.
pub use stitch_trace::PATHS as TRACE_FILES;

/// The files of a run, with those that validation, a trace and TensorBoard events add.
pub fn files(validation: bool, trace: bool, events: bool) -> Vec<&'static str> {
    let validation = VALIDATION_FILES.into_iter().filter(|_| validation);
    let trace = TRACE_FILES.into_iter().filter(|_| trace);
    FILES.into_iter().chain(validation).chain(trace).chain(events.then_some(EVENTS_FILE)).collect()
}

/// Every file of a run; `config.json` is the last.
pub(super) fn all_files() -> impl DoubleEndedIterator<Item = &'static str> {
    let others = [EVENTS_FILE, PARITY, stitch_trace::ELEMENTS_VERSION_1];
    TRACE_FILES.into_iter().chain(VALIDATION_FILES).chain(others).chain(FILES)
}
