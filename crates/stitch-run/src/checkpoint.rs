//! A checkpoint as bytes: a safetensors file, which other readers open too, with the settings as JSON
//! in its metadata and the SHA-256 of the whole file, so that any damage is seen.

use data_encoding::HEXLOWER;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::sha256;
use crate::{EpochRecord, Progress, RunConfig, TrainState};
use tensor_files::{Dtype, FileKind, Metadata, NamedTensor, ReadError, TensorFile, safetensors};

/// The version of the format that is written, and the only one that is read.
const VERSION: u32 = 2;
/// In the header, before the SHA-256. The settings are JSON in JSON: their quotes are escaped.
const SUM: &[u8] = b"\"sha256\":\"";
/// What the SHA-256 is taken over has this in its place.
const NO_SUM: [u8; 64] = [b'0'; 64];

/// A run between two steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Settings, versions and data.
    pub config: RunConfig,
    /// Where it stands.
    pub progress: Progress,
    /// What training has changed.
    pub state: TrainState,
    /// How far its TensorBoard events are, if it writes them.
    pub events: Option<Events>,
}

/// The beginning of a file of TensorBoard events, up to where the run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Its bytes.
    pub length: u64,
    /// Their SHA-256 in hex.
    pub sha256: String,
}

/// A file that is no checkpoint, or a damaged one.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Not a file of tensors.
    #[error(transparent)]
    Tensors(#[from] ReadError),
    /// A file of tensors of something else.
    #[error("it is not a checkpoint of stitch: {0}")]
    Foreign(String),
    /// Of another version of stitch.
    #[error(
        "it is a checkpoint of format {found}, which another version of stitch wrote: this one reads {VERSION}"
    )]
    Version {
        /// The version of the format.
        found: u32,
    },
    /// What it says of where the run stands is no run's.
    #[error("it contradicts itself: {0}. Remove it to continue from the one before")]
    Contradictory(String),
    /// Not the bytes that were written.
    #[error("it is damaged: its content has the SHA-256 {found}, not {wanted} as written in it")]
    Damaged {
        /// Of the file as it is.
        found: String,
        /// In the file.
        wanted: String,
    },
}

/// The metadata `checkpoint`.
#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    /// Steps of the epoch in progress.
    steps: usize,
    /// Updates of the optimizer.
    updates: u64,
    config: RunConfig,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    events: Option<Events>,
}

/// Before the names of the best epoch's parameters.
const BEST: &str = "best/";
/// Before the columns of `history.csv`.
const EPOCHS: &str = "epochs/";

impl Checkpoint {
    /// The file. The same checkpoint gives the same bytes.
    ///
    /// # Errors
    /// When a tensor's data does not fit its shape and type.
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
        let named = |tensor: &NamedTensor| NamedTensor {
            name: format!("{BEST}{}", tensor.name),
            ..tensor.clone()
        };
        others.extend(best_parameters.iter().map(named));
        let no_sum = String::from_utf8_lossy(&NO_SUM).into_owned();
        let metadata = Metadata::from([("checkpoint".into(), header), ("sha256".into(), no_sum)]);
        let mut file = safetensors::write(tensors.iter().chain(&others), &metadata)?;
        seal(&mut file);
        Ok(file)
    }

    /// Reads what [`Checkpoint::write`] gave.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn read(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let mut file = TensorFile::open(std::io::Cursor::new(bytes))?;
        let header = file.metadata().get("checkpoint").cloned();
        let header = header.filter(|_| file.kind() == FileKind::Safetensors);
        let header = header.ok_or_else(|| foreign("its metadata have no `checkpoint`"))?;
        check_sum(bytes)?;
        let Header { version, steps, updates, config, events } =
            serde_json::from_str(&header).map_err(|error| foreign(&error.to_string()))?;
        if version != VERSION {
            return Err(CheckpointError::Version { found: version });
        }
        let mut tensors = file.load_all()?;
        let epochs = take_epochs(&mut tensors)?;
        let is_validated = |epoch: &EpochRecord| epoch.val_loss.is_some();
        if epochs.iter().any(|epoch| is_validated(epoch) != config.settings.val.is_some()) {
            return Err(foreign("it does not have one validation per epoch"));
        }
        let best_parameters = take_prefixed(&mut tensors, BEST);
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

/// Checks that what a checkpoint says of where the run stands is what its training has written: of its settings
/// and of this many training images.
///
/// # Errors
/// [`CheckpointError::Contradictory`].
pub fn check_progress(checkpoint: &Checkpoint, images: usize) -> Result<(), CheckpointError> {
    let Checkpoint { config: RunConfig { settings, .. }, progress, state, .. } = checkpoint;
    let contradictory = |what: String| Err(CheckpointError::Contradictory(what));
    let (epochs, steps) = (progress.epochs.len(), progress.steps);
    if epochs > settings.epochs {
        return contradictory(format!("{epochs} epochs are done, of {}", settings.epochs));
    }
    let per_epoch = images.div_ceil(settings.batch_size.max(1));
    if steps > per_epoch || (steps > 0 && epochs == settings.epochs) {
        return contradictory(format!(
            "{steps} steps are done after {epochs} epochs, of {} epochs of {per_epoch} steps",
            settings.epochs
        ));
    }
    let updates = progress.count(per_epoch) as u64;
    if state.updates != updates {
        return contradictory(format!(
            "{} updates were made, and {epochs} epochs and {steps} steps are {updates}",
            state.updates
        ));
    }
    let epochs = progress.epochs.iter();
    let mut numbers = epochs
        .flat_map(|it| [Some(it.loss), Some(it.seconds), it.val_loss, it.val_accuracy])
        .flatten()
        .chain([progress.loss_sum, progress.seconds]);
    if let Some(number) = numbers.find(|number| !number.is_finite()) {
        return contradictory(not_finite(number));
    }
    if steps == 0 && progress.loss_sum != 0.0 {
        let sum = progress.loss_sum;
        return contradictory(format!("the losses of no step sum up to {sum}"));
    }
    Ok(())
}

fn not_finite(number: f64) -> String {
    format!("{number} is not a loss, accuracy or time of a run in progress")
}

/// The numbers of the epochs that are done: a tensor per column of `history.csv`.
fn columns(epochs: &[EpochRecord]) -> Vec<NamedTensor> {
    let mut columns = BTreeMap::<String, Vec<f64>>::new();
    for epoch in epochs {
        for (name, value) in object(epoch).into_iter().filter(|(name, _)| name != "epoch") {
            columns.entry(name).or_default().push(value.as_f64().unwrap_or(f64::NAN));
        }
    }
    columns.iter().map(|(name, values)| floats(&format!("{EPOCHS}{name}"), values)).collect()
}

fn object(epoch: &EpochRecord) -> Map<String, Value> {
    match serde_json::to_value(epoch) {
        Ok(Value::Object(map)) => map,
        other => unreachable!("a row is a struct of numbers: {other:?}"),
    }
}

/// Takes the epochs that are done out of the tensors.
fn take_epochs(tensors: &mut Vec<NamedTensor>) -> Result<Vec<EpochRecord>, CheckpointError> {
    let mut rows = Vec::<Map<String, Value>>::new();
    for column in take_prefixed(tensors, EPOCHS) {
        let values = numbers(&column)?;
        if rows.is_empty() {
            rows = (1..=values.len()).map(epoch_alone).collect();
        }
        if rows.len() != values.len() {
            return Err(foreign("its epochs have columns of different lengths"));
        }
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(CheckpointError::Contradictory(not_finite(*value)));
        }
        for (row, value) in rows.iter_mut().zip(values) {
            row.insert(column.name.clone(), value.into());
        }
    }
    let read = |row| serde_json::from_value(Value::Object(row));
    rows.into_iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(|error| foreign(&error.to_string()))
}

fn epoch_alone(epoch: usize) -> Map<String, Value> {
    Map::from_iter([("epoch".into(), epoch.into())])
}

/// Takes the tensors whose names begin with `prefix` out of the others, and removes it from the names.
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

/// The elements of a tensor that holds float64.
fn numbers(tensor: &NamedTensor) -> Result<Vec<f64>, CheckpointError> {
    if tensor.dtype != Dtype::F64 {
        return Err(foreign(&format!("{} is {}, float64 is expected", tensor.name, tensor.dtype)));
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

/// Where in a safetensors file the SHA-256 is.
fn place_of_sum(file: &[u8]) -> Option<std::ops::Range<usize>> {
    let size = usize::try_from(u64::from_le_bytes(*file.first_chunk()?)).ok()?;
    let header = file.get(8..size.checked_add(8)?)?;
    let start = 8 + header.windows(SUM.len()).position(|bytes| bytes == SUM)? + SUM.len();
    (start + NO_SUM.len() <= 8 + size).then_some(start..start + NO_SUM.len())
}

/// Writes the SHA-256 of a file to its place in it.
pub fn seal(file: &mut [u8]) {
    if let Some(place) = place_of_sum(file) {
        file[place.clone()].copy_from_slice(&NO_SUM);
        let sum = sha256::of(&*file);
        file[place].copy_from_slice(sum.as_bytes());
    }
}

/// Compares the SHA-256 in a file with its content.
fn check_sum(file: &[u8]) -> Result<(), CheckpointError> {
    let place = place_of_sum(file).ok_or_else(|| foreign("its metadata have no `sha256`"))?;
    let mut sum = Sha256::new();
    for part in [&file[..place.start], &NO_SUM, &file[place.end..]] {
        sum.update(part);
    }
    let found = HEXLOWER.encode(&sum.finalize());
    if found.as_bytes() == &file[place.clone()] {
        return Ok(());
    }
    Err(CheckpointError::Damaged {
        found,
        wanted: String::from_utf8_lossy(&file[place]).into_owned(),
    })
}
