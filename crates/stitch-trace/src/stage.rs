//! Names of the stages that stitch records. A trace may have any others, such as the state of another
//! optimizer under its own name.

/// Normalized images and labels of the data set.
pub const DATA: &str = "data";
/// Parameters before the first step.
pub const INIT: &str = "init";
/// The order in which an epoch visits the samples.
pub const PERMUTATION: &str = "permutation";
/// Buffers before a step.
pub const BUFFER_BEFORE: &str = "buffer_before";
/// Images and labels of a step.
pub const BATCH: &str = "batch";
/// Outputs of the modules in a step, named by their paths; `path#2` is that of the second call of a module.
pub const FORWARD: &str = "forward";
/// Logits of a step.
pub const LOGITS: &str = "logits";
/// Loss of a step.
pub const LOSS: &str = "loss";
/// Gradients of the loss of a step w.r.t. the outputs of the modules, with the names of [`FORWARD`].
pub const BACKWARD: &str = "backward";
/// Gradients of a step.
pub const GRADIENT: &str = "gradient";
/// Learning rates of a step, named `0`, `1`, … by the parameter group.
pub const LEARNING_RATE: &str = "learning_rate";
/// Adam's first moment after a step.
pub const EXP_AVG: &str = "exp_avg";
/// Adam's second moment after a step.
pub const EXP_AVG_SQ: &str = "exp_avg_sq";
/// Parameters after a step.
pub const PARAMETER: &str = "parameter";
/// Buffers after a step, such as `running_mean`.
pub const BUFFER: &str = "buffer";
/// Mean loss of an epoch.
pub const EPOCH_LOSS: &str = "epoch_loss";
/// Parameters and buffers after the last step.
pub const FINAL: &str = "final";
/// Learning rate of an epoch's last step.
pub const LR: &str = "lr";
/// Logits of the test images.
pub const TEST_LOGITS: &str = "test_logits";
/// Predicted classes of the test images.
pub const PREDICTIONS: &str = "predictions";
/// Confusion matrix (rows: true, columns: predicted).
pub const CONFUSION_MATRIX: &str = "confusion_matrix";
/// Fraction of correct predictions.
pub const ACCURACY: &str = "accuracy";

/// All stages of this module in causal order.
pub const KNOWN: &[&str] = &[
    DATA,
    INIT,
    PERMUTATION,
    BUFFER_BEFORE,
    BATCH,
    FORWARD,
    LOGITS,
    LOSS,
    BACKWARD,
    GRADIENT,
    LEARNING_RATE,
    EXP_AVG,
    EXP_AVG_SQ,
    PARAMETER,
    BUFFER,
    LR,
    EPOCH_LOSS,
    FINAL,
    TEST_LOGITS,
    PREDICTIONS,
    CONFUSION_MATRIX,
    ACCURACY,
];

/// Position of a stage in [`KNOWN`]; `KNOWN.len()` for any other stage.
pub fn causal_order(stage: &str) -> usize {
    KNOWN.iter().position(|&known| known == stage).unwrap_or(KNOWN.len())
}
