//! Writes the files of a finished run.

use tensor_files::{safetensors, state_dict};

use super::events::EventLog;
use super::{RunError, clear_checkpoints, tensorboard};
use crate::dataset::{Dataset, Split};
use crate::evaluate::{Evaluation, evaluate};
use crate::formats::csv;
use crate::models::ModelEntry;
use crate::nn::{Model, catch_forward};
use crate::parity::recorder::Recorder;
use crate::report::figures::{self, Curves, Drawn, Normalize};
use crate::report::{self, Images, ImagesError, Parity, Run, Section};
use crate::run_folder::{
    self, FolderError, Metrics, RunConfig, RunFolder, TrainingMetrics, ValidationMetrics,
};
use crate::train::{Best, History};

/// Finished training, before its files are written.
pub struct Trained<'a> {
    pub config: RunConfig,
    pub history: History,
    pub entry: &'static ModelEntry,
    pub model: Model,
    pub log: Option<EventLog<'a>>,
    pub recorder: Option<Recorder>,
}

impl Trained<'_> {
    /// Evaluates the model and writes the run folder, `config.json` last.
    pub fn write(
        self,
        folder: &RunFolder,
        dataset: &Dataset,
        figures: Option<Normalize>,
    ) -> Result<super::Trained, RunError> {
        let evaluation = evaluated(&self.model, &dataset.test)?;
        let metrics = self.metrics(dataset)?;
        let Self { config, history, entry, model, mut log, recorder } = self;
        let is_traced = recorder.is_some();
        // Before an earlier run is cleared, since the trace may fail.
        if let Some(recorder) = recorder {
            let unwritten = |error| RunError::Trace {
                folder: folder.path().join(run_folder::TRACE_PART),
                error,
            };
            recorder.finish(&model, &evaluation).map_err(unwritten)?;
        }
        if let Some(log) = &mut log {
            tensorboard::add_result(log, &evaluation, metrics.epochs_run)?;
        }
        folder.clear()?;
        log.map_or(Ok(()), EventLog::finish)?;
        folder.write(run_folder::HISTORY, &csv::history(&history.epochs))?;
        write_evaluation(folder, dataset.test.labels.as_slice(), &evaluation, Some(metrics))?;
        write_weights(folder, &config, &model, evaluation.report.accuracy)?;
        if let (Some(best), Some(metrics)) = (&history.best, &metrics.validation) {
            write_best(folder, &config, &model, best, metrics)?;
        }
        let mut section = None;
        if let Some(normalize) = figures {
            let curves = Curves::of(&history.epochs);
            let labels = (dataset.test.labels.clone(), evaluation.predicted.clone());
            let classes = evaluation.classes.clone();
            let run = Run::new(entry, config.clone(), curves, classes, labels);
            let section = section.insert(Section {
                images: images(&run, &model, dataset, &evaluation),
                run,
                parity: Parity::Unchecked,
                folder: folder.path().display().to_string(),
            });
            write_figures(folder, section, normalize)?;
        }
        match is_traced {
            true => folder.publish_trace()?,
            false => folder.discard_trace()?,
        }
        folder.write_json(run_folder::CONFIG, &config)?;
        clear_checkpoints(folder)?;
        Ok(super::Trained { evaluation, metrics, section })
    }

    /// Training loss, epochs, seconds and validation scores for `metrics.json`.
    fn metrics(&self, dataset: &Dataset) -> Result<TrainingMetrics, RunError> {
        let epochs = &self.history.epochs;
        Ok(TrainingMetrics {
            train_loss: epochs.last().map_or(f64::NAN, |epoch| epoch.loss),
            epochs_run: epochs.len(),
            train_seconds: epochs.iter().map(|epoch| epoch.seconds).sum(),
            validation: self.validation(dataset)?,
        })
    }

    /// The validation metrics; evaluates the best epoch's weights on the test images.
    fn validation(&self, dataset: &Dataset) -> Result<Option<ValidationMetrics>, RunError> {
        let last = self.history.epochs.last();
        let last = last.and_then(|epoch| epoch.val_loss.zip(epoch.val_accuracy));
        let (Some(best), Some(held_out), Some((loss, accuracy))) =
            (&self.history.best, &dataset.validation, last)
        else {
            return Ok(None);
        };
        let best_model = self.model.with_state_dict(&best.parameters)?;
        Ok(Some(ValidationMetrics {
            images: held_out.len(),
            loss,
            accuracy,
            best_epoch: best.epoch.epoch,
            best_loss: best.epoch.val_loss.unwrap_or(f64::NAN),
            best_accuracy: best.epoch.val_accuracy.unwrap_or(f64::NAN),
            best_test_accuracy: evaluated(&best_model, &dataset.test)?.report.accuracy,
        }))
    }
}

/// The evaluation of a network, whose forward pass may raise if it is that of a TorchScript file.
pub fn evaluated(model: &Model, data: &Split) -> Result<Evaluation, RunError> {
    catch_forward(|| evaluate(model, data)).map_err(RunError::Forward)
}

/// Writes the weights in three formats.
fn write_weights(
    folder: &RunFolder,
    config: &RunConfig,
    model: &Model,
    test_accuracy: f64,
) -> Result<(), RunError> {
    let tensors = model.state_dict();
    let metadata = config.weights_metadata(test_accuracy);
    folder.write(run_folder::STATE_DICT, &state_dict::write(&tensors)?)?;
    folder.write(run_folder::TORCHSCRIPT, &model.torchscript()?)?;
    folder.write(run_folder::SAFETENSORS, &safetensors::write(&tensors, &metadata)?)?;
    Ok(())
}

/// Writes the weights of the best epoch; `model` is the trained network.
fn write_best(
    folder: &RunFolder,
    config: &RunConfig,
    model: &Model,
    best: &Best,
    metrics: &ValidationMetrics,
) -> Result<(), RunError> {
    let mut metadata = config.weights_metadata(metrics.best_test_accuracy);
    metadata.insert("epochs".into(), best.epoch.epoch.to_string());
    folder.write(run_folder::BEST_STATE_DICT, &state_dict::write(&best.parameters)?)?;
    let model = model.with_state_dict(&best.parameters)?;
    folder.write(run_folder::BEST_TORCHSCRIPT, &model.torchscript()?)?;
    let tensors = safetensors::write(&best.parameters, &metadata)?;
    folder.write(run_folder::BEST_SAFETENSORS, &tensors)?;
    Ok(())
}

/// Writes the files of an evaluation, and returns the metrics.
///
/// # Errors
/// [`FolderError`].
pub fn write_evaluation(
    folder: &RunFolder,
    truth: &[u8],
    evaluation: &Evaluation,
    training: Option<TrainingMetrics>,
) -> Result<Metrics, FolderError> {
    let Evaluation { predicted, matrix, report, classes, .. } = evaluation;
    let metrics = Metrics::new(report, training);
    folder.write_json(run_folder::METRICS, &metrics)?;
    folder.write(run_folder::PREDICTIONS, &csv::predictions(truth, predicted))?;
    let matrix = csv::confusion_matrix(matrix, classes.names());
    folder.write(run_folder::CONFUSION_MATRIX, &matrix)?;
    let report = csv::classification_report(report, classes.names());
    folder.write(run_folder::CLASSIFICATION_REPORT, &report)?;
    Ok(metrics)
}

/// Writes the figures and the report.
fn write_figures(
    folder: &RunFolder,
    section: &Section,
    normalize: Normalize,
) -> Result<(), FolderError> {
    let Run { matrix, curves, classes, .. } = &section.run;
    let matrix = figures::confusion_matrix(matrix, classes, normalize);
    folder.write(run_folder::HISTORY_SVG, figures::losses(curves, Drawn::Wide).svg().as_bytes())?;
    folder.write(run_folder::CONFUSION_MATRIX_SVG, matrix.svg().as_bytes())?;
    folder.write(run_folder::CONFUSION_MATRIX_PNG, &matrix.png())?;
    let page = report::page(&[section], None, normalize);
    folder.write(run_folder::REPORT, page.as_bytes())?;
    Ok(())
}

/// The images of a report, or why it has none.
pub fn images(
    run: &Run,
    model: &Model,
    dataset: &Dataset,
    evaluation: &Evaluation,
) -> Result<Images, ImagesError> {
    Images::new(run, model, &dataset.test, &evaluation.logits)
}
