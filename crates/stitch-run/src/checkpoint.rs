//! A checkpoint as bytes: a safetensors file, which other readers open too, with the settings as JSON
//! in its metadata and the SHA-256 of the whole file, so that any damage is seen.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::sha256;
use crate::{Config, EpochRecord, Progress, TrainState, Validation};
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
    pub config: Config,
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
    config: Config,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    events: Option<Events>,
}

/// Before the names of the best epoch's parameters.
const BEST: &str = "best/";

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
        let of = |value: fn(&EpochRecord) -> f64| epochs.iter().map(value).collect::<Vec<_>>();
        let mut others = vec![
            floats("epochs/loss", &of(|epoch| epoch.loss)),
            floats("epochs/seconds", &of(|epoch| epoch.seconds)),
            floats("epoch/loss_sum", &[*loss_sum]),
            floats("epoch/seconds", &[*seconds]),
        ];
        if self.config.val.is_some() {
            let of = |value: fn(Validation) -> f64| {
                epochs.iter().filter_map(|epoch| epoch.validation.map(value)).collect::<Vec<_>>()
            };
            others.push(floats("epochs/val_loss", &of(|validation| validation.loss)));
            others.push(floats("epochs/val_accuracy", &of(|validation| validation.accuracy)));
            let named = |tensor: &NamedTensor| NamedTensor {
                name: format!("{BEST}{}", tensor.name),
                ..tensor.clone()
            };
            others.extend(best_parameters.iter().map(named));
        }
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
        let mut epochs = take_epochs(&mut tensors)?;
        let mut best_parameters = Vec::new();
        if config.val.is_some() {
            take_validations(&mut tensors, &mut epochs)?;
            best_parameters = take_best(&mut tensors);
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

/// Checks that what a checkpoint says of where the run stands is what its training has written: of its settings
/// and of this many training images.
///
/// # Errors
/// [`CheckpointError::Contradictory`].
pub fn check_progress(checkpoint: &Checkpoint, images: usize) -> Result<(), CheckpointError> {
    let Checkpoint { config, progress, state, .. } = checkpoint;
    let contradictory = |what: String| Err(CheckpointError::Contradictory(what));
    let (epochs, steps) = (progress.epochs.len(), progress.steps);
    if epochs > config.epochs {
        return contradictory(format!("{epochs} epochs are done, of {}", config.epochs));
    }
    let per_epoch = images.div_ceil(config.batch_size.max(1));
    if steps > per_epoch || (steps > 0 && epochs == config.epochs) {
        return contradictory(format!(
            "{steps} steps are done after {epochs} epochs, of {} epochs of {per_epoch} steps",
            config.epochs
        ));
    }
    let updates = progress.count(per_epoch) as u64;
    if state.updates != updates {
        return contradictory(format!(
            "{} updates were made, and {epochs} epochs and {steps} steps are {updates}",
            state.updates
        ));
    }
    let numbers = progress.epochs.iter().flat_map(|record| {
        let validation = record.validation.map(|it| [it.loss, it.accuracy]);
        [record.loss, record.seconds].into_iter().chain(validation.into_iter().flatten())
    });
    let mut numbers = numbers.chain([progress.loss_sum, progress.seconds]);
    if let Some(number) = numbers.find(|number| !number.is_finite()) {
        return contradictory(format!(
            "{number} is no loss, accuracy or time of a run that goes on"
        ));
    }
    if steps == 0 && progress.loss_sum != 0.0 {
        let sum = progress.loss_sum;
        return contradictory(format!("the losses of no step sum up to {sum}"));
    }
    Ok(())
}

/// Takes the epochs that are done out of the tensors, without their validations.
fn take_epochs(tensors: &mut Vec<NamedTensor>) -> Result<Vec<EpochRecord>, CheckpointError> {
    let losses = take(tensors, "epochs/loss")?;
    let seconds = take(tensors, "epochs/seconds")?;
    if losses.len() != seconds.len() {
        return Err(foreign("epochs/loss and epochs/seconds are of different lengths"));
    }
    let record = |(epoch, (loss, seconds))| EpochRecord { epoch, loss, seconds, validation: None };
    Ok((1..).zip(losses.into_iter().zip(seconds)).map(record).collect())
}

/// Takes the epochs' validations out of the tensors.
fn take_validations(
    tensors: &mut Vec<NamedTensor>,
    epochs: &mut [EpochRecord],
) -> Result<(), CheckpointError> {
    let losses = take(tensors, "epochs/val_loss")?;
    let accuracies = take(tensors, "epochs/val_accuracy")?;
    if [losses.len(), accuracies.len()] != [epochs.len(); 2] {
        return Err(foreign("it has not one validation an epoch"));
    }
    for (epoch, (loss, accuracy)) in epochs.iter_mut().zip(losses.into_iter().zip(accuracies)) {
        epoch.validation = Some(Validation { loss, accuracy });
    }
    Ok(())
}

/// Takes the best epoch's parameters out of the tensors.
fn take_best(tensors: &mut Vec<NamedTensor>) -> Vec<NamedTensor> {
    let (best, others) =
        tensors.drain(..).partition::<Vec<_>, _>(|tensor| tensor.name.starts_with(BEST));
    *tensors = others;
    let named = |mut tensor: NamedTensor| {
        tensor.name.drain(..BEST.len());
        tensor
    };
    best.into_iter().map(named).collect()
}

fn foreign(what: &str) -> CheckpointError {
    CheckpointError::Foreign(what.into())
}

fn floats(name: &str, values: &[f64]) -> NamedTensor {
    let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    NamedTensor { name: name.into(), dtype: Dtype::F64, shape: vec![values.len()], data }
}

/// Takes the numbers of that name out of the tensors.
fn take(tensors: &mut Vec<NamedTensor>, name: &str) -> Result<Vec<f64>, CheckpointError> {
    let is_it = |tensor: &NamedTensor| tensor.name == name && tensor.dtype == Dtype::F64;
    let at = tensors.iter().position(is_it);
    let at = at.ok_or_else(|| foreign(&format!("it has no {name} in float64")))?;
    let data = tensors.remove(at).data;
    Ok(data.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect())
}

fn take_one(tensors: &mut Vec<NamedTensor>, name: &str) -> Result<f64, CheckpointError> {
    match take(tensors, name)?[..] {
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
