//! The result of a run that is finished already.

use tensor_files::read_weights;

use super::files::{evaluated, images};
use super::{EventsError, Options, Prepared, RunError, Trained};
use crate::report::folder::{damaged, parity, read, read_file};
use crate::report::{Parity, Section};
use crate::run_folder::{BEST_SAFETENSORS, EVENTS_FILE, METRICS, Metrics, RunFolder, SAFETENSORS};

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
        return Err(damaged(&path, what).into());
    }
    let mut section = None;
    if options.figures.is_some() {
        let run = read(folder.path())?;
        section = Some(Section {
            images: images(&run, &model, &prepared.dataset, &evaluation),
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
