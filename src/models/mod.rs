//! The registry of models.
//!
//! Each model is one file with its definition (layers of [`crate::nn`]) and its [`ModelEntry`]. To add a model, write
//! that file and add its name to the list below. The command line, the reports and the file formats read
//! everything they need from the entry.

#[cfg(feature = "libtorch")]
mod classifier;
#[cfg(feature = "libtorch")]
pub mod init;
pub mod script;
pub mod weights;

use std::fmt;

use serde::Serialize;

use crate::dataset::{CLASSES, ImageShape, Split};
use crate::nn::{BatchNorm2d, BatchNorm2dConfig, Dropout, Graph, Module, Scope};
use stitch_run::closest::UnknownName;
use stitch_run::{Engine, TrainConfig};
use tensor_files::Dtype;

#[cfg(feature = "libtorch")]
pub use classifier::Classifier;

/// Declares the module of each model, and the registry of their entries.
macro_rules! models {
    ($($module:ident),+ $(,)?) => {
        $(mod $module;)+

        /// All models, in the order in which the notebook trains them and lists show them.
        pub static MODELS: &[&ModelEntry] = &[$(&$module::ENTRY),+];
    };
}

models! {
    mlp,
    lenet5,
    deepcnn,
}

/// Name, definition and defaults of a model. Two entries are equal when their names are.
pub struct ModelEntry {
    /// Its name on the command line and in `config.json`, such as `lenet5`.
    pub name: &'static str,
    /// The name of its class in the notebook or in exported files, such as `LeNet5`.
    pub class: &'static str,
    /// Its name in figures and reports, such as `LeNet-5`.
    pub title: &'static str,
    /// The article before the title in a sentence: `the ` or empty.
    pub article: &'static str,
    /// One-line description for `--help`.
    pub description: &'static str,
    /// Description of its layers for the report: a sentence without its full stop and without the number of
    /// parameters.
    pub structure: &'static str,
    /// Defines its layers; `None` for the network of a TorchScript file.
    pub build: Option<Build>,
    /// The shape of its input without the batch.
    pub input: &'static [i64],
    /// Element type of its parameters, its input and its logits: float32 or float64.
    pub dtype: Dtype,
    /// The library whose initial values, training loop and loss it uses.
    pub library: Library,
    /// Epochs, batch size, learning rate and options unless they are given.
    pub defaults: Defaults,
    /// Its results in the paper; `None` for a model that is not in the paper.
    pub paper: Option<Paper>,
    /// Whether the paper names it as future work: `stitch reproduce --future` trains it, too.
    pub is_future_work: bool,
    /// Trained weights included in the program: the bytes of a `state_dict.pt` (`models/`).
    pub shipped: Option<&'static [u8]>,
}

/// Defines the layers of a model with these options.
pub type Build = fn(&Scope, &ModelOptions) -> Box<dyn Module>;

/// The library whose training a model reproduces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    /// A `torch.nn.Module`: cross-entropy, `torch.optim`, `DataLoader(shuffle=True)`.
    PyTorch,
    /// `MLPClassifier`: log-loss with an L2 term, scikit-learn's Adam and its stopping rule.
    ScikitLearn,
}

/// Default settings of a model's runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Defaults {
    /// Number of passes over the training images.
    pub epochs: usize,
    /// Number of images per step.
    pub batch_size: usize,
    /// Learning rate.
    pub lr: f64,
    /// Options of the network.
    #[serde(flatten)]
    pub options: ModelOptions,
}

/// The options of a model's definition; a model of scikit-learn has none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ModelOptions {
    /// Whether each convolution is followed by batch normalization.
    pub batch_norm: bool,
    /// Probability of the dropout before the last layer, 0 to 1; 0: no dropout.
    pub dropout: f64,
    /// Number of classes: the outputs of the last layer.
    pub classes: usize,
}

impl ModelOptions {
    /// Neither batch normalization nor dropout, and the ten classes of Fashion-MNIST.
    pub const NONE: Self = Self { batch_norm: false, dropout: 0.0, classes: CLASSES };

    /// A layer of batch normalization if the option is on.
    fn batch_norm(&self, vs: Scope, num_features: i64) -> Option<BatchNorm2d> {
        let layer = || BatchNorm2d::new(vs, num_features, BatchNorm2dConfig::default());
        self.batch_norm.then(layer)
    }

    /// A layer of dropout if its probability is above 0.
    fn dropout(&self, vs: Scope) -> Option<Dropout> {
        (self.dropout > 0.0).then(|| Dropout::new(vs, self.dropout))
    }
}

impl From<&TrainConfig> for ModelOptions {
    fn from(config: &TrainConfig) -> Self {
        let &TrainConfig { batch_norm, dropout, classes, .. } = config;
        Self { batch_norm, dropout, classes }
    }
}

/// A model's result in the paper.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paper {
    /// Test accuracy. It is shown beside results and used in no computation.
    pub accuracy: f64,
    /// Whether the paper gives every setting. If not, it gives only the epochs and the optimizer.
    pub settings_given: bool,
}

/// Finds a model by its name: one of the registry, or the path of a TorchScript file ([`script::is_path`]).
///
/// # Errors
/// [`UnknownModel`], which lists the models' names.
pub fn named(name: &str) -> Result<&'static ModelEntry, UnknownModel> {
    if script::is_path(name) {
        return Ok(script::entry(name));
    }
    let found = MODELS.iter().find(|entry| entry.name == name);
    let names = MODELS.iter().map(|entry| entry.name);
    Ok(found.copied().ok_or_else(|| UnknownName::new("model", name, names))?)
}

/// The models that the paper compares, which `stitch reproduce` trains.
pub fn of_the_paper() -> impl Iterator<Item = &'static ModelEntry> {
    MODELS.iter().copied().filter(|entry| entry.paper.is_some())
}

/// The models that the paper names as future work, which `stitch reproduce --future` trains as well.
pub fn future_work() -> impl Iterator<Item = &'static ModelEntry> {
    MODELS.iter().copied().filter(|entry| entry.is_future_work)
}

/// The paper's two models, baseline first; `None` if the registry does not have exactly two.
pub(crate) fn paper_pair() -> Option<[&'static ModelEntry; 2]> {
    of_the_paper().collect::<Vec<_>>().try_into().ok()
}

/// The model that `stitch predict` uses by default: the one with the highest accuracy in the paper, among those
/// with included weights.
pub fn default_for_predict() -> Option<&'static ModelEntry> {
    let accuracy = |entry: &ModelEntry| entry.paper.map_or(f64::NEG_INFINITY, |it| it.accuracy);
    shipped().max_by(|a, b| accuracy(a).total_cmp(&accuracy(b)))
}

/// The models with included trained weights.
pub fn shipped() -> impl Iterator<Item = &'static ModelEntry> {
    MODELS.iter().copied().filter(|entry| entry.shipped.is_some())
}

/// The models' names, separated by commas.
pub fn names_of<'a>(models: impl IntoIterator<Item = &'a ModelEntry>) -> String {
    models.into_iter().map(|entry| entry.name).collect::<Vec<_>>().join(", ")
}

impl ModelEntry {
    /// Its index in [`MODELS`], by which lists of models are sorted.
    pub fn position(&self) -> usize {
        MODELS.iter().position(|entry| *entry == self).unwrap_or(MODELS.len())
    }

    /// Traces the model's definition with these options.
    ///
    /// # Panics
    /// If the definition or an option is invalid; a test traces every model of the registry. For the network of a
    /// TorchScript file, which has no definition.
    pub fn graph(&self, options: &ModelOptions) -> Graph {
        let build = self.build.unwrap_or_else(|| panic!("the network of {self} is in the file"));
        let graph = Graph::trace(self.input, |vs| build(vs, options));
        graph.unwrap_or_else(|error| {
            panic!("the definition of the model {self} is invalid: {error}")
        })
    }

    /// The default options.
    pub fn options(&self) -> &ModelOptions {
        &self.defaults.options
    }

    /// The options that lead to different tensors with this number of classes, the default first. scikit-learn's model has a
    /// fixed number.
    pub(crate) fn variants(&self, classes: usize) -> impl Iterator<Item = ModelOptions> + use<> {
        let mut default = self.defaults.options;
        if self.library == Library::PyTorch {
            default.classes = classes;
        }
        let other = ModelOptions { batch_norm: !default.batch_norm, ..default };
        std::iter::once(default).chain((self.library == Library::PyTorch).then_some(other))
    }

    /// The model's default settings: the notebook's, as far as it gives them. The seed is 0 and was not chosen by its
    /// result.
    pub fn config(&self) -> TrainConfig {
        let Defaults { epochs, batch_size, lr, options } = self.defaults;
        let ModelOptions { batch_norm, dropout, classes } = options;
        let mut config = TrainConfig::new(self.name, epochs, batch_size, lr);
        if self.is_script() {
            config.engine = Some(Engine::Eager);
        }
        TrainConfig { batch_norm, dropout, classes, ..config }
    }

    /// Whether its network is that of a TorchScript file, whose path is its name.
    pub fn is_script(&self) -> bool {
        self.build.is_none()
    }

    /// The number of elements of all parameters, with the default options.
    pub fn parameter_count(&self) -> u64 {
        self.graph(self.options()).summary().parameters
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
    /// The largest seed that the library accepts.
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

/// A model name that is not in the registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct UnknownModel(#[from] UnknownName);

/// The size of the images that a network takes.
fn image_shape(graph: &Graph) -> ImageShape {
    match *graph.input() {
        [channels, height, width] => {
            let [channels, height, width] = [channels, height, width].map(|size| size as usize);
            ImageShape { channels, height, width }
        }
        // The rows of an image one after the other.
        _ => ImageShape::FASHION_MNIST,
    }
}

/// A data set that a network cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DataMismatch {
    /// Images of another size.
    #[error("{model} takes images of {expected}, but those of the data set have {found}")]
    Images {
        /// Name of the model or its class.
        model: String,
        /// The size that the network takes.
        expected: ImageShape,
        /// The size of the data set's images.
        found: ImageShape,
    },
    /// A label without an output.
    #[error(
        "{model} has {outputs} classes, labels 0 to {}, but the data set has the label {label}: correct the labels, or use a \
         network with at least {} classes",
        outputs - 1,
        usize::from(*label) + 1
    )]
    Classes {
        /// Name of the model or its class.
        model: String,
        /// The number of outputs.
        outputs: i64,
        /// The greatest label.
        label: u8,
    },
}

/// Checks that a network takes the images of a data set, and has an output for every label. `name` is its name in errors.
///
/// # Errors
/// [`DataMismatch`].
pub fn check_data(name: &str, graph: &Graph, data: &Split) -> Result<(), DataMismatch> {
    let (expected, found, model) = (image_shape(graph), data.shape, name.to_owned());
    // A vector may be an image of any size with as many pixels.
    let is_vector = graph.input().len() == 1;
    let elements = graph.input().iter().product::<i64>() as usize;
    if if is_vector { elements != found.bytes() } else { expected != found } {
        return Err(DataMismatch::Images { model, expected, found });
    }
    let (outputs, label) = (graph.output()[0], data.labels.iter().copied().max().unwrap_or(0));
    match i64::from(label) < outputs {
        true => Ok(()),
        false => Err(DataMismatch::Classes { model, outputs, label }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use tensor_files::{NamedTensor, read_weights};

    #[test]
    fn entries_are_complete_and_have_unique_names() {
        let names: BTreeSet<&str> = MODELS.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), MODELS.len());
        for (i, &entry) in MODELS.iter().enumerate() {
            assert_eq!(named(entry.name), Ok(entry));
            assert_eq!(entry.position(), i);
            for options in entry.variants(CLASSES) {
                assert_eq!(entry.graph(&options).output(), [10], "{entry}");
            }
            if let Some(bytes) = entry.shipped {
                let tensors = read_weights(bytes).unwrap();
                let specs: Vec<_> = tensors.iter().map(NamedTensor::spec).collect();
                weights::identify(&specs, Some(entry)).unwrap();
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
        let message = |name: &str| named(name).unwrap_err().to_string();
        let names = names_of(MODELS.iter().copied());
        assert_eq!(
            message("lenet"),
            format!("unknown model \"lenet\": the models are {names}; did you mean lenet5?")
        );
        assert_eq!(
            message("\u{1b}[2J"),
            format!("unknown model \"\\u{{1b}}[2J\": the models are {names}")
        );
        assert!(message(&"x".repeat(1 << 20)).len() < 200 + names.len());
    }
}
