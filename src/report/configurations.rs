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

/// The header of `summary.csv`.
const COLUMNS: [&str; 22] = [
    "model",
    "engine",
    "epochs",
    "batch_size",
    "lr",
    "threads",
    "n",
    "failed",
    "mean",
    "sd",
    "median",
    "min",
    "max",
    "mean_low",
    "mean_high",
    "paper",
    "at_least_paper",
    "at_least_paper_low",
    "at_least_paper_high",
    "ahead_of_mlp",
    "ahead_of_mlp_low",
    "ahead_of_mlp_high",
];

/// `summary.csv`: a line a configuration; what a sample is too small for is left empty.
pub fn summary_csv(all: &[Configuration]) -> Vec<u8> {
    let mut writer = table_writer();
    // Into memory, and every line has the header's length.
    writer.write_record(COLUMNS).expect("a header is a record");
    for it in all {
        writer.write_record(line(it, baseline(all))).expect("a line is a record");
    }
    writer.into_inner().expect("a Vec takes every byte")
}

fn line(it: &Configuration, baseline: Option<&Configuration>) -> Vec<String> {
    let number = |value: Option<f64>| value.map(float).unwrap_or_default();
    let summary = it.summary();
    let of = |get: fn(Summary) -> Option<f64>| number(summary.and_then(get));
    let share = it.at_least_paper();
    let ahead = ahead(it, baseline);
    vec![
        it.model.name.into(),
        it.engine.clone(),
        it.epochs.to_string(),
        it.batch_size.to_string(),
        float(it.lr),
        it.threads.to_string(),
        it.accuracies.len().to_string(),
        it.failed.to_string(),
        of(|summary| Some(summary.mean)),
        of(|summary| summary.sd),
        of(|summary| Some(summary.median)),
        of(|summary| Some(summary.min)),
        of(|summary| Some(summary.max)),
        of(|summary| summary.mean_interval.map(|it| it.low)),
        of(|summary| summary.mean_interval.map(|it| it.high)),
        number(it.model.paper_accuracy()),
        share.map(|share| share.count.to_string()).unwrap_or_default(),
        number(share.map(|share| share.interval.low)),
        number(share.map(|share| share.interval.high)),
        number(ahead.map(|(by, _)| by)),
        number(ahead.map(|(_, interval)| interval.low)),
        number(ahead.map(|(_, interval)| interval.high)),
    ]
}
