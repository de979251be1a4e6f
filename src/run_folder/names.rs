//! The names of the files in a run folder, each declared here alone.

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

/// What `stitch parity` found of the run; see [`ParityVerdict`](stitch_run::ParityVerdict).
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

/// Folder of TensorBoard's events; see [`crate::run`].
pub const TENSORBOARD: &str = "tensorboard";
/// The file of a complete run in it. TensorBoard reads files with `tfevents` in their names.
pub const EVENTS: &str = "events.out.tfevents.stitch";
/// The same of a run in progress.
pub const EVENTS_PART: &str = "events.out.tfevents.stitch.part";
/// The file that a run with events adds.
pub const EVENTS_FILE: &str = "tensorboard/events.out.tfevents.stitch";

/// Folder of the checkpoints of a run that is not complete; see [`crate::run`].
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

/// The files that a traced run adds; see [`stitch_trace`].
pub const TRACE_FILES: [&str; 2] = ["trace/trace.jsonl", "trace/trace.bin"];

/// What version 1 of the trace format had in place of `trace.bin`.
pub(super) const TRACE_VERSION_1: &str = "trace/trace.safetensors";

/// Every file that a run may have; `config.json` is the last.
pub(super) fn all_files() -> impl DoubleEndedIterator<Item = &'static str> {
    let others = [EVENTS_FILE, PARITY, TRACE_VERSION_1];
    TRACE_FILES.into_iter().chain(VALIDATION_FILES).chain(others).chain(FILES)
}
