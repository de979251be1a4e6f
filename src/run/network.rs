//! Loads the network of a TorchScript file.

use super::RunError;
use crate::dataset::ImageShape;
use crate::libtorch::{self, cuda};
use crate::models::script;
use crate::nn::{Model, ScriptError};
use crate::sha256;
use crate::train::{TrainConfig, TrainError};

/// A TorchScript file whose network cannot be used; the first field is its path.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// It cannot be read.
    #[error("{0} cannot be read: {1}")]
    Read(String, std::io::Error),
    /// It is not the file of the run: its SHA-256, and that of the run's file.
    #[error("{0} has the SHA-256 {1}, but that of the run is {2}: the file has changed")]
    Changed(String, String, String),
    /// Its network cannot be used.
    #[error("{0}: {1}")]
    Network(String, ScriptError),
}

/// Loads the network `config.model` for images of this size, on the device of the settings.
pub(super) fn load(config: &TrainConfig, shape: ImageShape) -> Result<Model, RunError> {
    cuda::check(config.device).map_err(TrainError::from)?;
    let path = || config.model.clone();
    let bytes = script::read(&config.model);
    let bytes = bytes.map_err(|error| NetworkError::Read(path(), error))?;
    if let Some(expected) = &config.model_sha256 {
        let found = sha256::of(&bytes);
        if found != *expected {
            return Err(NetworkError::Changed(path(), found, expected.clone()).into());
        }
    }
    let sizes = shape.sizes().map(|size| size as i64);
    let model = Model::of_torchscript(&bytes, &sizes, libtorch::device(config.device));
    Ok(model.map_err(|error| NetworkError::Network(path(), error))?)
}
