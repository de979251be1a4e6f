//! The documents of the commands that read and write files.

use serde::Serialize;
use stitch::dataset::source::{Identity, Origin};
use stitch::models::{Defaults, ModelEntry};
use stitch::nn::{Graph, LayerSummary};

/// An element of `models`: a registered model.
#[derive(Serialize)]
pub struct Model {
    name: &'static str,
    class: &'static str,
    title: &'static str,
    description: &'static str,
    library: String,
    /// Shape of an image, without the batch dimension.
    input: &'static [i64],
    dtype: &'static str,
    parameters: u64,
    defaults: Defaults,
    paper_accuracy: Option<f64>,
    shipped: bool,
}

/// The document of `models MODEL`.
#[derive(Serialize)]
pub struct ModelLayers {
    #[serde(flatten)]
    model: Model,
    /// Shape of the output, without the batch dimension.
    output: Vec<i64>,
    layers: Vec<LayerSummary>,
    buffers: u64,
    multiply_adds: u64,
}

/// The document of `study plan`.
#[derive(Serialize)]
pub struct Planned {
    pub plan: String,
    pub runs: usize,
}

/// The document of `study collect`.
#[derive(Serialize)]
pub struct Collected {
    pub table: String,
    pub done: usize,
    pub failed: usize,
}

/// The document of `study report`.
#[derive(Serialize)]
pub struct StudyReported {
    pub report: String,
    pub figure: String,
    pub summary: String,
    /// Only if configurations differ in an option.
    pub effects: Option<String>,
}

/// A file of the data set.
#[derive(Serialize)]
pub struct DataFile {
    name: &'static str,
    path: String,
    count: usize,
    sha256: String,
    official: bool,
}

impl Model {
    /// The document of a registered model.
    pub fn of(entry: &ModelEntry) -> Self {
        Self {
            name: entry.name,
            class: entry.class,
            title: entry.title,
            description: entry.description,
            library: entry.library.to_string(),
            input: entry.input,
            dtype: entry.dtype.name(),
            parameters: entry.parameter_count(),
            defaults: entry.defaults,
            paper_accuracy: entry.paper_accuracy(),
            shipped: entry.shipped.is_some(),
        }
    }
}

impl ModelLayers {
    /// The document of a model and its layers.
    pub fn of(entry: &ModelEntry, graph: &Graph) -> Self {
        let summary = graph.summary();
        Self {
            model: Model::of(entry),
            output: graph.output().to_vec(),
            layers: summary.layers,
            buffers: summary.buffers,
            multiply_adds: summary.multiply_adds,
        }
    }
}

/// The files of the data set.
pub fn data_files(origin: &Origin) -> Vec<DataFile> {
    let file = |file: &stitch::dataset::source::FileOrigin| DataFile {
        name: file.name,
        path: file.path.display().to_string(),
        count: file.count,
        sha256: file.sha256.clone(),
        official: file.official,
    };
    origin.files.iter().map(file).collect()
}

/// The identity of a data set as a word.
pub fn identity(origin: &Origin) -> &'static str {
    match origin.identity() {
        Identity::Official => "official",
        Identity::Another => "another",
        Identity::Mixed => "mixed",
    }
}
