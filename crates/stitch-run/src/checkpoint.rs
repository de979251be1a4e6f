//! Checkpoints: safetensors files, with the settings as JSON in their metadata and a SHA-256 of the whole file, which
//! detects any damage.

use data_encoding::HEXLOWER;
use std::collections::BTreeMap;
use std::io::Read;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{EpochRecord, Progress, RunConfig, TrainState, counted};
use crate::{json, sha256};
use tensor_files::{Dtype, FileKind, Metadata, NamedTensor, ReadError, TensorFile, safetensors};

/// The version of the format, the only one that is read.
const VERSION: u32 = 3;
/// The text before the SHA-256 in the header. It cannot occur in the settings: quotes are escaped in JSON strings.
const SUM: &[u8] = b"\"sha256\":\"";
/// Placeholder of the SHA-256 in the bytes that are hashed.
const NO_SUM: [u8; 64] = [b'0'; 64];

/// The state of a run between two steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Settings, versions and data set.
    pub config: RunConfig,
    /// Progress.
    pub progress: Progress,
    /// Parameters, optimizer state and generators.
    pub state: TrainState,
    /// Position in the TensorBoard events, if the run writes them.
    pub events: Option<Events>,
}

/// The part of a TensorBoard events file that was written before a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Length in bytes.
    pub length: u64,
    /// SHA-256 in hex.
    pub sha256: String,
}

/// Why a file cannot be read as a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Not a file of tensors.
    #[error(transparent)]
    Tensors(#[from] ReadError),
    /// A file of tensors that is not a checkpoint.
    #[error("it is not a checkpoint of stitch: {0}")]
    Foreign(String),
    /// Another version of the format.
    #[error(
        "it is a checkpoint of format version {found}, written by another version of stitch; this version reads \
         {VERSION}"
    )]
    Version {
        /// The version of the file.
        found: u32,
    },
    /// Inconsistent progress.
    #[error("it is inconsistent: {0}. Remove it to resume from the previous checkpoint")]
    Contradictory(String),
    /// The checksum does not match.
    #[error("it is damaged: the SHA-256 of its content is {found}, but the file says {expected}")]
    Damaged {
        /// SHA-256 of the content.
        found: String,
        /// SHA-256 in the file.
        expected: String,
    },
}

/// The metadata entry `checkpoint`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    /// Steps of the epoch in progress.
    steps: usize,
    /// Optimizer steps.
    updates: u64,
    config: RunConfig,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    events: Option<Events>,
}

/// Prefix of the names of the best epoch's parameters.
const BEST: &str = "best/";
/// Prefix of the names of the columns of `history.csv`.
const EPOCHS: &str = "epochs/";

impl Checkpoint {
    /// The bytes of the checkpoint file. The same checkpoint gives the same bytes.
    ///
    /// # Errors
    /// If a tensor's data does not match its shape and dtype.
    pub fn write(&self) -> Result<Vec<u8>, ReadError> {
        let Progress { epochs, steps, loss_sum, seconds, best_parameters } = &self.progress;
        let TrainState { updates, tensors } = &self.state;
        let (config, events) = (self.config.clone(), self.events.clone());
        let header = Header { version: VERSION, steps: *steps, updates: *updates, config, events };
        let header = serde_json::to_string(&header)
            .map_err(|error| ReadError::Safetensors(error.to_string()))?;
        let mut others: Vec<NamedTensor> = columns(epochs);
        others.push(floats("epoch/loss_sum", &[*loss_sum]));
        others.push(floats("epoch/seconds", &[*seconds]));
        let prefixed = |tensor: &NamedTensor| NamedTensor {
            name: format!("{BEST}{}", tensor.name),
            ..tensor.clone()
        };
        others.extend(best_parameters.iter().map(prefixed));
        let no_sum = String::from_utf8_lossy(&NO_SUM).into_owned();
        let metadata = Metadata::from([("checkpoint".into(), header), ("sha256".into(), no_sum)]);
        let mut file = safetensors::write(tensors.iter().chain(&others), &metadata)?;
        seal(&mut file);
        Ok(file)
    }

    /// Reads a checkpoint file.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn read(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let mut file = match TensorFile::open(std::io::Cursor::new(bytes)) {
            // A type that no checkpoint has comes from damage.
            Err(error @ ReadError::Unsupported(_)) if place_of_sum(bytes).is_some() => {
                check_sum(bytes)?;
                return Err(error.into());
            }
            opened => opened?,
        };
        let header = file.metadata().get("checkpoint").cloned();
        let header = header.filter(|_| file.kind() == FileKind::Safetensors);
        let header = header.ok_or_else(|| foreign("its metadata has no `checkpoint`"))?;
        check_sum(bytes)?;
        let Header { version, steps, updates, config, events } =
            serde_json::from_str(&header).map_err(|error| foreign(&error.to_string()))?;
        if version != VERSION {
            return Err(CheckpointError::Version { found: version });
        }
        config.check().map_err(|error| CheckpointError::Contradictory(error.to_string()))?;
        let mut tensors = file.load_all()?;
        let epochs = take_epochs(&mut tensors)?;
        let is_validated = config.settings.val.is_some();
        if !epochs.iter().all(|epoch| epoch.has_validation(is_validated)) {
            return Err(foreign("it does not have one validation per epoch"));
        }
        let best_parameters = take_prefixed(&mut tensors, BEST);
        if best_parameters.is_empty() != (epochs.is_empty() || !is_validated) {
            return Err(foreign("it does not have the best epoch's parameters"));
        }
        let progress = Progress {
            epochs,
            steps,
            loss_sum: take_one(&mut tensors, "epoch/loss_sum")?,
            seconds: take_one(&mut tensors, "epoch/seconds")?,
            best_parameters,
        };
        Ok(Self { config, progress, state: TrainState { updates, tensors }, events })
    }
}

/// Checks that the progress in a checkpoint is consistent with its settings and the number of training images.
///
/// # Errors
/// [`CheckpointError::Contradictory`].
pub fn check_progress(checkpoint: &Checkpoint, images: usize) -> Result<(), CheckpointError> {
    let Checkpoint { config: RunConfig { settings, .. }, progress, state, .. } = checkpoint;
    let contradictory = |what: String| Err(CheckpointError::Contradictory(what));
    let (epochs, steps) = (progress.epochs.len(), progress.steps);
    if epochs > settings.epochs {
        return contradictory(format!(
            "{epochs} of {} are done",
            counted(settings.epochs, "epoch")
        ));
    }
    let per_epoch = settings.steps(images);
    if steps > per_epoch || (steps > 0 && epochs == settings.epochs) {
        return contradictory(format!(
            "{steps} steps after epoch {epochs} are done, but the run has {} of {}",
            counted(settings.epochs, "epoch"),
            counted(per_epoch, "step")
        ));
    }
    let updates = progress.count(per_epoch) as u64;
    if state.updates != updates {
        return contradictory(format!(
            "it has {}, but {} and {} make {updates}",
            counted(state.updates as usize, "optimizer step"),
            counted(epochs, "epoch"),
            counted(steps, "step")
        ));
    }
    let mut numbers = [progress.loss_sum, progress.seconds].into_iter();
    if let Some(number) = numbers.find(|number| !number.is_finite()) {
        return contradictory(not_finite(number));
    }
    let mut accuracies = progress.epochs.iter().filter_map(|epoch| epoch.val_accuracy);
    if let Some(accuracy) = accuracies.find(|accuracy| !(0.0..=1.0).contains(accuracy)) {
        return contradictory(format!("{accuracy} is not an accuracy"));
    }
    if steps == 0 && progress.loss_sum != 0.0 {
        let sum = progress.loss_sum;
        return contradictory(format!("the sum of the losses of 0 steps is {sum}"));
    }
    Ok(())
}

fn not_finite(number: f64) -> String {
    format!("{number} is not the loss, accuracy or time of a run in progress")
}

/// The finished epochs as tensors, one per column of `history.csv`.
fn columns(epochs: &[EpochRecord]) -> Vec<NamedTensor> {
    let mut columns = BTreeMap::<String, Vec<f64>>::new();
    for epoch in epochs {
        for (name, value) in json::to_object(epoch).into_iter().filter(|(name, _)| name != "epoch")
        {
            columns.entry(name).or_default().push(value.as_f64().unwrap_or(f64::NAN));
        }
    }
    columns.iter().map(|(name, values)| floats(&format!("{EPOCHS}{name}"), values)).collect()
}

/// Removes the columns of the finished epochs from the tensors, and returns the epochs.
fn take_epochs(tensors: &mut Vec<NamedTensor>) -> Result<Vec<EpochRecord>, CheckpointError> {
    let mut rows = Vec::<Map<String, Value>>::new();
    for column in take_prefixed(tensors, EPOCHS) {
        let values = numbers(&column)?;
        if rows.is_empty() {
            rows = (1..=values.len()).map(epoch_row).collect();
        }
        if rows.len() != values.len() {
            return Err(foreign("its epochs have columns of different lengths"));
        }
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(CheckpointError::Contradictory(not_finite(*value)));
        }
        for (row, value) in rows.iter_mut().zip(values) {
            // A column of integers is stored as float64 too.
            let is_integer = value.fract() == 0.0 && value.abs() < 2f64.powi(53);
            let number = if is_integer && !(value == 0.0 && value.is_sign_negative()) {
                (value as i64).into()
            } else {
                value.into()
            };
            row.insert(column.name.clone(), number);
        }
    }
    let read = |row| serde_json::from_value(Value::Object(row));
    rows.into_iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(|error| foreign(&error.to_string()))
}

fn epoch_row(epoch: usize) -> Map<String, Value> {
    Map::from_iter([("epoch".into(), epoch.into())])
}

/// Removes and returns the tensors whose names start with `prefix`, without the prefix in their names.
fn take_prefixed(tensors: &mut Vec<NamedTensor>, prefix: &str) -> Vec<NamedTensor> {
    let mut taken: Vec<_> =
        tensors.extract_if(.., |tensor| tensor.name.starts_with(prefix)).collect();
    taken.iter_mut().for_each(|tensor| drop(tensor.name.drain(..prefix.len())));
    taken
}

fn foreign(what: &str) -> CheckpointError {
    CheckpointError::Foreign(what.into())
}

fn floats(name: &str, values: &[f64]) -> NamedTensor {
    let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    NamedTensor { name: name.into(), dtype: Dtype::F64, shape: vec![values.len()], data }
}

/// The elements of a float64 tensor.
fn numbers(tensor: &NamedTensor) -> Result<Vec<f64>, CheckpointError> {
    if tensor.dtype != Dtype::F64 {
        return Err(foreign(&format!("{} is {}, expected float64", tensor.name, tensor.dtype)));
    }
    Ok(tensor.data.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect())
}

fn take_one(tensors: &mut Vec<NamedTensor>, name: &str) -> Result<f64, CheckpointError> {
    let at = tensors.iter().position(|tensor| tensor.name == name);
    let at = at.ok_or_else(|| foreign(&format!("it has no {name}")))?;
    match numbers(&tensors.remove(at))?[..] {
        [value] => Ok(value),
        _ => Err(foreign(&format!("{name} is not one number"))),
    }
}

/// The position of the SHA-256 in a safetensors file.
fn place_of_sum(file: &[u8]) -> Option<std::ops::Range<usize>> {
    let size = usize::try_from(u64::from_le_bytes(*file.first_chunk()?)).ok()?;
    let header = file.get(8..size.checked_add(8)?)?;
    let start = 8 + header.windows(SUM.len()).position(|bytes| bytes == SUM)? + SUM.len();
    (start + NO_SUM.len() <= 8 + size).then_some(start..start + NO_SUM.len())
}

/// Writes the SHA-256 of a checkpoint file into it.
pub fn seal(file: &mut [u8]) {
    if let Some(place) = place_of_sum(file) {
        file[place.clone()].copy_from_slice(&NO_SUM);
        let sum = sha256::of(&*file);
        file[place].copy_from_slice(sum.as_bytes());
    }
}

/// Checks the SHA-256 in a checkpoint file against its content, which is read as a stream.
///
/// # Errors
/// [`CheckpointError::Damaged`]; [`CheckpointError::Foreign`] for a file without the sum; an error of reading.
pub fn check_sum(mut file: impl Read) -> Result<(), CheckpointError> {
    let mut header = Vec::new();
    let io = |error| CheckpointError::Tensors(ReadError::Io(error));
    file.by_ref().take(8).read_to_end(&mut header).map_err(io)?;
    let size = header.first_chunk().map_or(0, |size| u64::from_le_bytes(*size));
    file.by_ref().take(size).read_to_end(&mut header).map_err(io)?;
    let place = place_of_sum(&header).ok_or_else(|| foreign("its metadata has no `sha256`"))?;
    let mut sum = Sha256::new();
    for part in [&header[..place.start], &NO_SUM, &header[place.end..]] {
        sum.update(part);
    }
    sha256::for_each_part(&mut file, &mut |part| sum.update(part)).map_err(io)?;
    let found = HEXLOWER.encode(&sum.finalize());
    if found.as_bytes() == &header[place.clone()] {
        return Ok(());
    }
    Err(CheckpointError::Damaged {
        found,
        expected: String::from_utf8_lossy(&header[place]).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, TrainConfig};

    /// A checkpoint after one epoch with validation.
    fn checkpoint() -> Checkpoint {
        let engine = Some(Engine::Exact);
        let settings = TrainConfig {
            threads: Some(1),
            val: Some(5),
            engine,
            ..TrainConfig::new("lenet5", 2, 10, 1e-3)
        };
        let config = RunConfig::of_settings(settings);
        let mut progress = Progress { seconds: 2.0, ..Default::default() };
        progress.end_epoch(1.0, 1e-3, Some((0.5, 0.25)));
        progress.best_parameters = vec![floats("fc.bias", &[1.5])];
        let state = TrainState { updates: 4, tensors: vec![floats("parameter/fc.bias", &[1.5])] };
        Checkpoint { config, progress, state, events: None }
    }

    fn refused(change: impl Fn(&mut Checkpoint)) -> String {
        let mut checkpoint = checkpoint();
        change(&mut checkpoint);
        let read = Checkpoint::read(&checkpoint.write().unwrap());
        let checked = read.and_then(|checkpoint| check_progress(&checkpoint, 40));
        checked.unwrap_err().to_string()
    }

    #[test]
    fn a_checkpoint_reads_back_and_one_that_contradicts_itself_is_refused() {
        let whole = checkpoint();
        assert_eq!(Checkpoint::read(&whole.write().unwrap()).unwrap(), whole);
        check_progress(&whole, 40).unwrap();
        let validation = "one validation per epoch";
        assert!(refused(|it| it.progress.epochs[0].val_accuracy = None).contains(validation));
        assert!(refused(|it| it.config.settings.val = None).contains(validation));
        assert!(refused(|it| it.progress.epochs[0].val_accuracy = Some(7.0)).contains("7 is not"));
        assert!(refused(|it| it.progress.best_parameters.clear()).contains("best epoch"));
        assert!(refused(|it| it.config.program = "x".into()).contains("program is"));
        let foreign = floats("epochs/pace", &[1.0]);
        assert!(refused(|it| it.state.tensors.push(foreign.clone())).contains("unknown field"));
    }
}
