//! What the images that are held out say of a run, and the weights of its best epoch.

use anyhow::Result;
use stitch::dataset::Dataset;
use stitch::evaluate::evaluate;
use stitch::formats::csv;
use stitch::models::{ModelEntry, weights};
use stitch::run_folder::{self, Config, RunFolder, ValidationMetrics};
use stitch::tensor_files::{safetensors, state_dict};
use stitch::train::{Best, EpochRecord, History, TrainConfig};

/// The metrics of a run with held-out images; the best epoch's weights are evaluated on the test images.
pub fn metrics(
    model: &'static ModelEntry,
    config: &TrainConfig,
    history: &History,
    dataset: &Dataset,
) -> Result<Option<ValidationMetrics>> {
    let last = history.epochs.last().and_then(|epoch| epoch.validation);
    let (Some(best), Some(held_out), Some(last)) = (&history.best, &dataset.validation, last)
    else {
        return Ok(None);
    };
    let best_model = weights::from_named(&best.parameters, Some(model), config.device)?;
    Ok(Some(ValidationMetrics {
        images: held_out.len(),
        loss: last.loss,
        accuracy: last.accuracy,
        best_epoch: best.epoch,
        best_loss: best.validation.loss,
        best_accuracy: best.validation.accuracy,
        best_test_accuracy: evaluate(&best_model.model, &dataset.test).report.accuracy,
    }))
}

/// Writes the weights of the best epoch beside the last ones.
pub fn write_best(
    folder: &RunFolder,
    config: &Config,
    best: &Best,
    metrics: &ValidationMetrics,
) -> Result<()> {
    let mut metadata = config.weights_metadata(metrics.best_test_accuracy);
    metadata.insert("epochs".into(), best.epoch.to_string());
    folder.write(run_folder::BEST_STATE_DICT, &state_dict::write(&best.parameters)?)?;
    let tensors = safetensors::write(&best.parameters, &metadata)?;
    folder.write(run_folder::BEST_SAFETENSORS, &tensors)?;
    Ok(())
}

/// `history.csv`, with what the held-out images say where there are some.
pub fn history_csv(history: &History) -> Vec<u8> {
    let validated = |record: &EpochRecord| {
        let validation = record.validation?;
        let numbers = [record.loss, record.seconds, validation.loss, validation.accuracy];
        Some((record.epoch, numbers))
    };
    let rows: Option<Vec<_>> = history.epochs.iter().map(validated).collect();
    match rows {
        Some(rows) => csv::validated_history(rows.into_iter()),
        None => csv::history(
            history.epochs.iter().map(|record| (record.epoch, record.loss, record.seconds)),
        ),
    }
}

/// A line for people.
pub fn sentence(metrics: &ValidationMetrics) -> String {
    format!(
        "best epoch {} by validation loss: loss {:.4}, accuracy {:.4} on {} images; its weights, with \
         test accuracy {:.4}, are in {}",
        metrics.best_epoch,
        metrics.best_loss,
        metrics.best_accuracy,
        metrics.images,
        metrics.best_test_accuracy,
        run_folder::BEST_SAFETENSORS
    )
}
