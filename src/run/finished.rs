//! Reads a finished run from its folder.

use std::path::Path;

use tensor_files::read_weights;

use super::files::{evaluated, pictures};
use super::{EventsError, Options, Prepared, RunError, Trained};
use crate::report::{Parity, Run, RunFiles, Section};
use crate::run_folder::{
    BEST_SAFETENSORS, CONFIG, CONFUSION_MATRIX, EVENTS_FILE, HISTORY, MAX_FILE, METRICS, Metrics,
    PARITY, PREDICTIONS, ParityVerdict, RunFolder, SAFETENSORS, read_regular,
};
use crate::sha256;

/// Reads the run in a folder.
///
/// # Errors
/// [`RunError::Read`] and [`RunError::Damaged`].
pub fn read(folder: &Path) -> Result<Run, RunError> {
    let file = |name: &str| read_file(&folder.join(name));
    let files = RunFiles {
        config: file(CONFIG)?,
        history: file(HISTORY)?,
        metrics: file(METRICS)?,
        predictions: file(PREDICTIONS)?,
        confusion_matrix: file(CONFUSION_MATRIX)?,
    };
    Run::read(&files).map_err(|error| damaged(folder, error))
}

/// The verdict of `stitch parity` in a run folder, if it is about the folder's weights.
///
/// # Errors
/// [`RunError::Read`] and [`RunError::Damaged`].
pub fn parity(folder: &Path) -> Result<Parity, RunError> {
    let path = folder.join(PARITY);
    if !path.exists() {
        return Ok(Parity::Unchecked);
    }
    let verdict: ParityVerdict = serde_json::from_slice(&read_file(&path)?)
        .map_err(|error| damaged(&path, format!("not a verdict of stitch parity: {error}")))?;
    match weights_sha256(folder) {
        Ok(sha256) if sha256 == verdict.weights_sha256 => Ok(Parity::Checked(verdict)),
        _ => Ok(Parity::Stale),
    }
}

/// SHA-256 of a run's `weights.safetensors`, in hex.
///
/// # Errors
/// [`RunError::Read`].
pub fn weights_sha256(folder: &Path) -> Result<String, RunError> {
    Ok(sha256::of(read_file(&folder.join(SAFETENSORS))?))
}

/// The result of a complete run; changes nothing.
pub fn result(
    folder: &RunFolder,
    prepared: &Prepared,
    options: &Options,
) -> Result<Trained, RunError> {
    let path = folder.path().join(SAFETENSORS);
    let tensors = read_weights(&read_file(&path)?).map_err(|error| damaged(&path, error))?;
    let model = prepared.trainer.model().with_state_dict(&tensors);
    let model = model.map_err(|error| damaged(&path, error))?;
    if prepared.config.val.is_some() {
        let path = folder.path().join(BEST_SAFETENSORS);
        read_weights(&read_file(&path)?).map_err(|error| damaged(&path, error))?;
    }
    if options.tensorboard && !folder.path().join(EVENTS_FILE).exists() {
        return Err(EventsError::None(folder.path().display().to_string()).into());
    }
    let metrics: Option<Metrics> = folder.read_json(METRICS)?;
    let path = folder.path().join(METRICS);
    let all = metrics.ok_or_else(|| damaged(&path, "it is missing"))?;
    let metrics = all.training.ok_or_else(|| damaged(&path, "it has no training metrics"))?;
    let evaluation = evaluated(&model, &prepared.dataset.test)?;
    let accuracy = evaluation.report.accuracy;
    if all.test_accuracy != accuracy {
        let what = format!(
            "test_accuracy is {}, but the weights have {accuracy}: the files are of different runs",
            all.test_accuracy
        );
        return Err(damaged(&path, what));
    }
    let mut section = None;
    if options.figures.is_some() {
        let run = read(folder.path())?;
        section = Some(Section {
            pictures: pictures(&run, &model, &prepared.dataset, &evaluation),
            run,
            parity: without_page(parity(folder.path())?),
            folder: folder.path().display().to_string(),
        });
    }
    Ok(Trained { evaluation, metrics, section })
}

/// The parity without the link to its page: where the report will be is not known here.
fn without_page(mut parity: Parity) -> Parity {
    if let Parity::Checked(verdict) = &mut parity {
        verdict.html = None;
    }
    parity
}

fn damaged(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> RunError {
    RunError::Damaged { path: path.into(), error: error.into() }
}

/// Reads a regular file of a run.
fn read_file(path: &Path) -> Result<Vec<u8>, RunError> {
    read_regular(path, MAX_FILE).map_err(|error| RunError::Read { path: path.into(), error })
}
