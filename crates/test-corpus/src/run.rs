//! Files of a run and of the data set.

use stitch_run::metrics::ConfusionMatrix;
use stitch_run::{
    Checkpoint, DataConfig, Engine, EpochRecord, Metrics, Progress, RunConfig, TrainConfig,
    TrainState, TrainingMetrics, csv,
};

/// Names of ten classes.
const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

/// An IDX file of these numbers and bytes.
pub fn idx(numbers: &[u32], bytes: &[u8]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).chain(bytes.iter().copied()).collect()
}

/// A grey image of the data set's size.
fn pixels() -> [u8; fashion_mnist::PIXELS] {
    std::array::from_fn(|i| i as u8)
}

/// An IDX file of one image.
pub fn idx_images() -> Vec<u8> {
    idx(&[0x803, 1, 28, 28], &pixels())
}

/// An IDX file of 30 labels.
pub fn idx_labels() -> Vec<u8> {
    let labels: [u8; 30] = std::array::from_fn(|i| (i % 10) as u8);
    idx(&[0x801, 30], &labels)
}

/// A PNG of 28x28 pixels.
pub fn png() -> Vec<u8> {
    fashion_mnist::picture::to_png(&pixels(), fashion_mnist::ImageShape::FASHION_MNIST).unwrap()
}

/// Settings of a run.
pub fn config() -> RunConfig {
    let settings = TrainConfig {
        threads: Some(2),
        engine: Some(Engine::Exact),
        ..TrainConfig::new("mlp", 3, 60, 1e-3)
    };
    RunConfig {
        program: "stitch".into(),
        settings,
        cpu_capability: Some("AVX2".into()),
        kernels_sha256: None,
        versions: [("stitch".into(), "0.1.0".into())].into(),
        data: DataConfig {
            official: false,
            sha256: [("train-labels-idx1-ubyte".into(), "00".into())].into(),
            classes: Default::default(),
            shape: None,
        },
    }
}

/// `config.json`.
pub fn config_json() -> Vec<u8> {
    serde_json::to_vec_pretty(&config()).unwrap()
}

/// `metrics.json` of a training run.
pub fn metrics_json() -> Vec<u8> {
    let report = matrix().report();
    let training =
        TrainingMetrics { train_loss: 0.25, epochs_run: 2, train_seconds: 4.0, validation: None };
    let metrics = Metrics {
        test_accuracy: report.accuracy,
        macro_avg: report.macro_avg.into(),
        weighted_avg: report.weighted_avg.into(),
        training: Some(training),
        peak_rss_bytes: Some(1 << 20),
    };
    serde_json::to_vec_pretty(&metrics).unwrap()
}

/// Epochs of these losses.
fn epochs(losses: &[f64]) -> Vec<EpochRecord> {
    let mut progress = Progress::default();
    for &loss in losses {
        progress.seconds = 2.0;
        progress.end_epoch(loss, 1e-3, None);
    }
    progress.epochs
}

/// A checkpoint within the second epoch.
pub fn checkpoint() -> Vec<u8> {
    let epochs = epochs(&[0.5]);
    let progress =
        Progress { epochs, steps: 2, loss_sum: 60.0, seconds: 0.5, ..Default::default() };
    let state = TrainState { updates: 12, tensors: crate::tensors() };
    Checkpoint { config: config(), progress, state, events: None }.write().unwrap()
}

/// `trace.jsonl`, with one record.
pub fn trace() -> Vec<u8> {
    let lines = concat!(
        "{\"format\": \"stitch-trace\", \"version\": 2, \"model\": \"mlp\"}\n",
        "{\"stage\": \"init\", \"name\": \"0.bias\", \"epoch\": null, \"step\": 1, ",
        "\"dtype\": \"float64\", \"shape\": [0], \"sha256\": ",
        "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\", \"nan\": 0, \"offset\": 0}\n",
        "{\"end\": \"stitch-trace\", \"records\": 1}\n"
    );
    lines.into()
}

/// `history.csv` of two epochs.
pub fn history() -> Vec<u8> {
    csv::history(&epochs(&[0.5, 0.25]))
}

/// `predictions.csv` of three images.
pub fn predictions() -> Vec<u8> {
    csv::predictions(&[0, 1, 2], &[0, 2, 2])
}

fn matrix() -> ConfusionMatrix {
    ConfusionMatrix::new(10, &[0, 1, 2, 2], &[0, 1, 2, 3])
}

/// `confusion_matrix.csv`.
pub fn confusion_matrix() -> Vec<u8> {
    csv::confusion_matrix(&matrix(), &NAMES)
}

/// `classification_report.csv`.
pub fn classification_report() -> Vec<u8> {
    csv::classification_report(&matrix().report(), &NAMES)
}
