//! The runs of a study by their settings: seeds of one configuration together.

use std::collections::BTreeMap;

use crate::formats::csv::{float, table_writer};
use crate::models::{self, Defaults, ModelEntry, UnknownModel};
use crate::study::results::Record;
use crate::study::statistics::{self, Interval, Share, Summary};
use crate::train::{Engine, TrainConfig};

/// The runs that differ in their seeds alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// The model.
    pub model: &'static ModelEntry,
    /// The engine's name.
    pub engine: String,
    /// Passes over the training images.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// Learning rate.
    pub lr: f64,
    /// Threads.
    pub threads: u32,
    /// Seed and test accuracy of each run, in the order of the seeds.
    pub accuracies: Vec<(u64, f64)>,
    /// Runs that failed.
    pub failed: usize,
}

/// Groups results, as [`crate::study::results::merge`] orders them; configurations keep that order, model
/// by model as the registry lists them.
///
/// # Errors
/// A record of a model that there is not.
pub fn group(records: &[Record]) -> Result<Vec<Configuration>, UnknownModel> {
    let mut groups: BTreeMap<_, Configuration> = BTreeMap::new();
    for record in records {
        let model = models::named(&record.model)?;
        // Learning rates are above 0: their bits are ordered as they are.
        let engine = record.engine.clone();
        let settings = (record.epochs, record.batch_size, record.lr.to_bits(), record.threads);
        let configuration =
            groups.entry((model.position(), engine, settings)).or_insert(Configuration {
                model,
                engine: record.engine.clone(),
                epochs: record.epochs,
                batch_size: record.batch_size,
                lr: record.lr,
                threads: record.threads,
                accuracies: Vec::new(),
                failed: 0,
            });
        match record.test_accuracy {
            Some(accuracy) => configuration.accuracies.push((record.seed, accuracy)),
            None => configuration.failed += 1,
        }
    }
    Ok(groups.into_values().collect())
}

impl Configuration {
    /// The model and its settings.
    pub fn name(&self) -> String {
        format!("{}, {}", self.model.title, self.settings())
    }

    /// Batch size and learning rate, and of the other settings what is not the notebook's.
    pub fn settings(&self) -> String {
        let notebook = TrainConfig::notebook(self.model);
        let mut name = format!("batch {}, lr {:?}", self.batch_size, self.lr);
        if self.epochs != notebook.epochs {
            let plural = if self.epochs == 1 { "" } else { "s" };
            name += &format!(", {} epoch{plural}", self.epochs);
        }
        if self.engine != Engine::Exact.name() {
            name += &format!(", {} engine", self.engine);
        }
        name
    }

    /// The test accuracies.
    pub fn values(&self) -> Vec<f64> {
        self.accuracies.iter().map(|(_, accuracy)| *accuracy).collect()
    }

    /// They in some numbers, if a run is done.
    pub fn summary(&self) -> Option<Summary> {
        statistics::summary(&self.values())
    }

    /// How many of the runs are at least as good as the paper's, of a model that is in the paper.
    pub fn at_least_paper(&self) -> Option<Share> {
        statistics::at_least(&self.values(), self.model.paper_accuracy()?)
    }
}

/// What the second of the paper's two models is compared with: the first of them, the MLP, with the
/// notebook's settings, or else its first configuration.
pub fn baseline(all: &[Configuration]) -> Option<&Configuration> {
    let [model, _] = models::paper_pair()?;
    let is_notebook = |it: &&Configuration| {
        let Defaults { epochs, batch_size, lr } = model.defaults;
        (it.epochs, it.batch_size, it.lr) == (epochs, batch_size, lr)
    };
    let of_model = || all.iter().filter(|it| it.model == model);
    of_model().find(is_notebook).or_else(|| of_model().next())
}

/// By how much a configuration of the second of the paper's models, LeNet-5, is ahead of the baseline,
/// with its 95 % interval.
pub fn ahead(of: &Configuration, baseline: Option<&Configuration>) -> Option<(f64, Interval)> {
    let [_, compared] = models::paper_pair()?;
    let baseline = baseline.filter(|_| of.model == compared)?;
    statistics::difference(&of.values(), &baseline.values())
}

/// `summary.csv`: a line a configuration; what a sample is too small for is left empty.
pub fn summary_csv(all: &[Configuration]) -> Vec<u8> {
    let mut writer = table_writer();
    // Into memory, and every line has the header's length.
    writer.write_record(COLUMNS.map(|(name, _)| name)).expect("a header is a record");
    for it in all {
        let ahead = ahead(it, baseline(all));
        let line = Line { it, summary: it.summary(), share: it.at_least_paper(), ahead };
        writer.write_record(COLUMNS.map(|(_, cell)| cell(&line))).expect("a line is a record");
    }
    writer.into_inner().expect("a Vec takes every byte")
}

/// A line of `summary.csv`.
struct Line<'a> {
    it: &'a Configuration,
    summary: Option<Summary>,
    share: Option<Share>,
    ahead: Option<(f64, Interval)>,
}

impl Line<'_> {
    fn summary(&self, number: fn(Summary) -> Option<f64>) -> String {
        self.summary.and_then(number).map(float).unwrap_or_default()
    }

    fn share(&self, cell: fn(Share) -> String) -> String {
        self.share.map(cell).unwrap_or_default()
    }

    fn ahead(&self, number: fn((f64, Interval)) -> f64) -> String {
        self.ahead.map(number).map(float).unwrap_or_default()
    }
}

/// The name of a column, and its cell in a line.
type Column = (&'static str, fn(&Line) -> String);

/// The columns of `summary.csv`: a header and the cell of a line.
const COLUMNS: [Column; 22] = [
    ("model", |line| line.it.model.name.into()),
    ("engine", |line| line.it.engine.clone()),
    ("epochs", |line| line.it.epochs.to_string()),
    ("batch_size", |line| line.it.batch_size.to_string()),
    ("lr", |line| float(line.it.lr)),
    ("threads", |line| line.it.threads.to_string()),
    ("n", |line| line.it.accuracies.len().to_string()),
    ("failed", |line| line.it.failed.to_string()),
    ("mean", |line| line.summary(|it| Some(it.mean))),
    ("sd", |line| line.summary(|it| it.sd)),
    ("median", |line| line.summary(|it| Some(it.median))),
    ("min", |line| line.summary(|it| Some(it.min))),
    ("max", |line| line.summary(|it| Some(it.max))),
    ("mean_low", |line| line.summary(|it| it.mean_interval.map(|it| it.low))),
    ("mean_high", |line| line.summary(|it| it.mean_interval.map(|it| it.high))),
    ("paper", |line| line.it.model.paper_accuracy().map(float).unwrap_or_default()),
    ("at_least_paper", |line| line.share(|it| it.count.to_string())),
    ("at_least_paper_low", |line| line.share(|it| float(it.interval.low))),
    ("at_least_paper_high", |line| line.share(|it| float(it.interval.high))),
    ("ahead_of_mlp", |line| line.ahead(|(by, _)| by)),
    ("ahead_of_mlp_low", |line| line.ahead(|(_, interval)| interval.low)),
    ("ahead_of_mlp_high", |line| line.ahead(|(_, interval)| interval.high)),
];
