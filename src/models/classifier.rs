//! A model of the registry with its weights.

use std::sync::Arc;

use tch::{Device, Kind};
use tensor_files::{Dtype, NamedTensor, Renaming, TensorSpec};

use super::weights::{Identified, WeightsError, identify};
use super::{DataMismatch, ModelEntry, ModelOptions, check_data, image_shape};
use crate::dataset::classes::Classes;
use crate::dataset::{ImageShape, Split};
use crate::nn::Model;

impl ModelEntry {
    /// Creates the model with all parameters zero.
    pub fn zeros(&self, options: &ModelOptions, device: Device) -> Model {
        Model::zeros(self.class, Arc::new(self.graph(options)), self.kind(), device)
    }

    /// [`ModelEntry::dtype`] as tch's type.
    pub fn kind(&self) -> Kind {
        if self.dtype == Dtype::F64 { Kind::Double } else { Kind::Float }
    }
}

/// A model of the registry with its weights.
#[derive(Debug)]
pub struct Classifier {
    /// Its entry in the registry.
    pub entry: &'static ModelEntry,
    /// The options of the network.
    pub options: ModelOptions,
    /// The network, on the CPU unless it was moved.
    pub model: Model,
    /// The names of its classes, if they are known.
    pub classes: Option<Classes>,
}

impl Classifier {
    /// Loads the model whose weights `tensors` are: the `requested` one, or the one that [`identify`] finds. The order of
    /// the tensors does not matter, nor does a prefix that all names share.
    ///
    /// # Errors
    /// See [`WeightsError`].
    pub fn from_named(
        tensors: &[NamedTensor],
        requested: Option<&'static ModelEntry>,
        device: Device,
    ) -> Result<Self, WeightsError> {
        let specs: Vec<TensorSpec> = tensors.iter().map(NamedTensor::spec).collect();
        let Identified { entry, options, renaming } = identify(&specs, requested)?;
        let model = entry.zeros(&options, device);
        let renamed = |tensor: &NamedTensor| {
            let name = renaming.of(&tensor.name)?.into();
            Some(NamedTensor { name, ..tensor.clone() })
        };
        match renaming == Renaming::default() {
            true => model.load_state_dict(tensors)?,
            false => {
                model.load_state_dict(&tensors.iter().filter_map(renamed).collect::<Vec<_>>())?
            }
        }
        Ok(Self { entry, options, model, classes: None })
    }

    /// The same weights in a network with this dropout, whose probability is not part of the weights.
    ///
    /// # Panics
    /// If it is not a probability.
    pub fn with_dropout(self, dropout: f64) -> Self {
        let Self { entry, options, model: trained, classes } = self;
        let options = ModelOptions { dropout, ..options };
        let model = entry.zeros(&options, trained.device());
        model.load_state_dict(&trained.state_dict()).expect("dropout has no tensors");
        Self { entry, options, model, classes }
    }

    /// Checks that the network takes the images of a data set, and has an output for every label.
    ///
    /// # Errors
    /// [`DataMismatch`].
    pub fn check_data(&self, data: &Split) -> Result<(), DataMismatch> {
        check_data(self.entry.name, self.model.graph(), data)
    }

    /// The size of the images that the network takes.
    pub fn image_shape(&self) -> ImageShape {
        image_shape(self.model.graph())
    }
}
