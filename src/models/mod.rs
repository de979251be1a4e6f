//! The registry of models, and what all models have in common.
//!
//! A model is one file: its definition in the terms of [`crate::nn`], and its [`ModelEntry`]. To add one,
//! write that file and add its name to the list below; the command line, the reports and the file formats
//! read everything they need from the entry.

pub mod init;
pub mod weights;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use tch::{Device, Kind};

use crate::nn::{Graph, Model, Module, Scope};
use stitch_run::TrainConfig;
use stitch_run::closest::UnknownName;
use tensor_files::Dtype;

/// Declares the module of each model, and lists their entries.
macro_rules! models {
    ($($module:ident),+ $(,)?) => {
        $(mod $module;)+

        /// Every model, in the order in which the notebook trains them and lists show them.
        pub static MODELS: &[&ModelEntry] = &[$(&$module::ENTRY),+];
    };
}

models! {
    mlp,
    lenet5,
}

/// What the rest of the program knows of a model. Passed around as `&'static ModelEntry`; two entries
/// are equal when their names are.
pub struct ModelEntry {
    /// The name on the command line and in `config.json`: `lenet5`.
    pub name: &'static str,
    /// The class's name in the notebook, or what it would be in PyTorch: `LeNet5`.
    pub class: &'static str,
    /// The name in figures and reports: `LeNet-5`.
    pub title: &'static str,
    /// What a sentence writes before the title: `the ` or nothing.
    pub article: &'static str,
    /// One line for `--help`.
    pub description: &'static str,
    /// What the model computes, for the report: a sentence without its full stop, without the number of
    /// parameters.
    pub structure: &'static str,
    /// Its definition.
    pub build: fn(&Scope) -> Box<dyn Module>,
    /// The shape of an image that it takes, without the batch.
    pub input: &'static [i64],
    /// Element type of the parameters, the input and the logits: float32 or float64.
    pub dtype: Dtype,
    /// Whose training loop, initial values and loss it has.
    pub library: Library,
    /// The settings that a run has where nothing else is given.
    pub defaults: Defaults,
    /// What the paper says of it; `None` for a model that is not in the paper.
    pub paper: Option<Paper>,
    /// The trained weights that are built in, as bytes of a `state_dict` (`models/`).
    pub shipped: Option<&'static [u8]>,
}

/// The library that a model is from, whose numbers its training has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    /// A `torch.nn.Module`: cross-entropy, `torch.optim`, `DataLoader(shuffle=True)`.
    PyTorch,
    /// `MLPClassifier`: log-loss with an L2 term, its own Adam, its own stopping rule.
    ScikitLearn,
}

/// The settings of a run where nothing else is given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Defaults {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images per step.
    pub batch_size: usize,
    /// Learning rate.
    pub lr: f64,
}

/// What the paper says of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paper {
    /// Test accuracy; shown, never computed with.
    pub accuracy: f64,
    /// Whether the paper gives every setting. If not, it gives the epochs and the optimizer only.
    pub settings_given: bool,
}

/// The model of that name.
///
/// # Errors
/// [`UnknownModel`], which lists the names that there are.
pub fn named(name: &str) -> Result<&'static ModelEntry, UnknownModel> {
    let found = MODELS.iter().find(|entry| entry.name == name);
    let names = MODELS.iter().map(|entry| entry.name);
    Ok(found.copied().ok_or_else(|| UnknownName::new("model", name, names))?)
}

/// The models that the paper compares: those that `stitch reproduce` trains.
pub fn of_the_paper() -> impl Iterator<Item = &'static ModelEntry> {
    MODELS.iter().copied().filter(|entry| entry.paper.is_some())
}

/// The paper's two models, baseline first; `None` if the registry holds fewer or more.
pub fn paper_pair() -> Option<[&'static ModelEntry; 2]> {
    of_the_paper().collect::<Vec<_>>().try_into().ok()
}

/// The model that `stitch predict` uses where none is named: of those that are built in, the one with the
/// highest accuracy in the paper.
pub fn default_for_predict() -> Option<&'static ModelEntry> {
    let accuracy = |entry: &ModelEntry| entry.paper.map_or(f64::NEG_INFINITY, |it| it.accuracy);
    shipped().max_by(|a, b| accuracy(a).total_cmp(&accuracy(b)))
}

/// The models whose trained weights are built in.
pub fn shipped() -> impl Iterator<Item = &'static ModelEntry> {
    MODELS.iter().copied().filter(|entry| entry.shipped.is_some())
}

/// The names of models, separated by commas.
pub fn names_of<'a>(models: impl IntoIterator<Item = &'a ModelEntry>) -> String {
    models.into_iter().map(|entry| entry.name).collect::<Vec<_>>().join(", ")
}

impl ModelEntry {
    /// Where [`MODELS`] has it: what lists of models are sorted by.
    pub fn position(&self) -> usize {
        MODELS.iter().position(|entry| *entry == self).unwrap_or(MODELS.len())
    }

    /// What the model computes.
    ///
    /// # Panics
    /// When the definition has a fault; a test builds every model of the registry.
    pub fn graph(&self) -> Graph {
        let graph = Graph::trace(self.input, self.build);
        graph.unwrap_or_else(|error| panic!("the model {self} is not well defined: {error}"))
    }

    /// The model with all parameters zero.
    pub fn zeros(&self, device: Device) -> Model {
        Model::zeros(self.class, Arc::new(self.graph()), self.kind(), device)
    }

    /// [`ModelEntry::dtype`], as tch calls it.
    pub fn kind(&self) -> Kind {
        if self.dtype == Dtype::F64 { Kind::Double } else { Kind::Float }
    }

    /// The model's default settings: the notebook's, where it gives them. The seed is 0, which was not
    /// chosen by its result.
    pub fn config(&self) -> TrainConfig {
        let Defaults { epochs, batch_size, lr } = self.defaults;
        TrainConfig::new(self.name, epochs, batch_size, lr)
    }

    /// The number of parameters' elements.
    pub fn parameter_count(&self) -> u64 {
        self.graph().summary().parameters
    }

    /// The test accuracy in the paper, if the model is in it.
    pub fn paper_accuracy(&self) -> Option<f64> {
        self.paper.map(|paper| paper.accuracy)
    }
}

impl PartialEq for ModelEntry {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for ModelEntry {}

impl fmt::Display for ModelEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

impl fmt::Debug for ModelEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelEntry({:?})", self.name)
    }
}

impl Library {
    /// The largest seed that the library takes.
    pub fn largest_seed(self) -> u64 {
        match self {
            // torch.manual_seed
            Library::PyTorch => u64::MAX,
            // random_state
            Library::ScikitLearn => u32::MAX.into(),
        }
    }
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Library::PyTorch => "PyTorch",
            Library::ScikitLearn => "scikit-learn",
        })
    }
}

/// A name that no model has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct UnknownModel(#[from] UnknownName);

/// A model of the registry with its weights.
#[derive(Debug)]
pub struct Classifier {
    /// Which one it is.
    pub entry: &'static ModelEntry,
    /// The network.
    pub model: Model,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use tensor_files::read_weights;

    #[test]
    fn entries_are_complete_and_their_names_differ() {
        let names: BTreeSet<&str> = MODELS.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), MODELS.len());
        for (i, &entry) in MODELS.iter().enumerate() {
            assert_eq!(named(entry.name), Ok(entry));
            assert_eq!(entry.position(), i);
            let model = entry.zeros(Device::Cpu);
            assert_eq!(model.graph().output(), [10], "{entry}");
            model.onnx().unwrap();
            if let Some(bytes) = entry.shipped {
                let tensors = read_weights(bytes).unwrap();
                weights::from_named(&tensors, Some(entry), Device::Cpu).unwrap();
            }
        }
    }

    #[test]
    fn the_papers_models_are_a_pair_and_the_better_one_predicts() {
        let [baseline, compared] = paper_pair().unwrap();
        assert!(baseline.paper_accuracy() < compared.paper_accuracy());
        assert_eq!(default_for_predict(), Some(compared));
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_models() {
        let sentence = |name: &str| named(name).unwrap_err().to_string();
        let names = names_of(MODELS.iter().copied());
        assert_eq!(
            sentence("lenet"),
            format!("unknown model \"lenet\": the models are {names}; did you mean lenet5?")
        );
        assert_eq!(
            sentence("\u{1b}[2J"),
            format!("unknown model \"\\u{{1b}}[2J\": the models are {names}")
        );
        assert!(sentence(&"x".repeat(1 << 20)).len() < 200 + names.len());
    }
}
