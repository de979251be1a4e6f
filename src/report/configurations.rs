//! Groups the runs of a study by configuration: the same settings with different seeds.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use stitch_run::{digest, rows};

use crate::dataset::source::OFFICIAL;
use crate::models::{self, ModelEntry, UnknownModel};
use crate::study::id;
use crate::study::results::Record;
use crate::study::statistics::{self, Interval, Proportion, Summary};
use crate::train::{Device, Engine, TrainConfig};

/// The runs that differ only in their seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// Entry of the registry that all runs train.
    pub model: &'static ModelEntry,
    /// The paper's accuracy; `None` for a model that is not in the paper, and for another data set.
    pub paper: Option<f64>,
    /// The settings, with the seed of the first run.
    pub settings: TrainConfig,
    /// Seed and test accuracy of each successful run, in the order of the seeds.
    pub accuracies: Vec<(u64, f64)>,
    /// Number of runs that failed.
    pub failed: usize,
}

/// Groups results that are in the order of [`crate::study::merge::merge`]; configurations are sorted by model, in the
/// order of the registry, then by settings.
///
/// # Errors
/// A result of an unknown model.
pub fn group(records: &[Record]) -> Result<Vec<Configuration>, UnknownModel> {
    let mut groups: BTreeMap<_, Configuration> = BTreeMap::new();
    for record in records {
        let model = models::named(&record.settings.model)?;
        let settings = record.settings.clone();
        let group = groups.entry((model.position(), id::order(&settings)));
        let configuration = group.or_insert(Configuration {
            model,
            paper: model.paper_accuracy().filter(|_| is_fashion_mnist(record)),
            settings,
            accuracies: Vec::new(),
            failed: 0,
        });
        match record.outcome.test_accuracy {
            Some(accuracy) => configuration.accuracies.push((record.settings.seed, accuracy)),
            None => configuration.failed += 1,
        }
    }
    Ok(groups.into_values().collect())
}

/// Whether a run used the official files of Fashion-MNIST, or does not tell.
pub(crate) fn is_fashion_mnist(record: &Record) -> bool {
    let sums = || OFFICIAL.iter().map(|file| (file.name.into(), file.sha256.into()));
    record.outcome.data_sha256.as_ref().is_none_or(|found| *found == digest(&sums().collect()))
}

impl Configuration {
    /// Model and settings as text.
    pub fn name(&self) -> String {
        format!("{}, {}", self.model.title, self.settings())
    }

    /// Batch size and learning rate as text, with other settings that differ from the notebook's, the options that are on,
    /// and those of the model's defaults that are off.
    pub fn settings(&self) -> String {
        let defaults = self.model.config().options();
        let missing = defaults.keys().filter(|name| !self.others().contains_key(*name));
        let missing = missing.map(|name| format!("without {}", name.replace('_', " ")));
        let epochs = (self.settings.epochs != self.model.defaults.epochs).then(|| self.epochs());
        let all = self.numbers().into_iter().chain(epochs).chain(self.machine());
        all.chain(in_words(self.others().iter())).chain(missing).collect::<Vec<_>>().join(", ")
    }

    /// Model and settings as text, epochs included and options left out.
    pub(crate) fn without_options(&self) -> String {
        let title = [self.model.title.to_owned()];
        let all = title.into_iter().chain(self.numbers()).chain([self.epochs()]);
        all.chain(self.machine()).collect::<Vec<_>>().join(", ")
    }

    /// The options that are on, by name.
    pub(crate) fn options(&self) -> Map<String, Value> {
        self.settings.options()
    }

    /// The options and the settings of the validation, by name.
    pub(crate) fn others(&self) -> Map<String, Value> {
        id::others(&self.settings)
    }

    /// All settings except the seed.
    pub(crate) fn of_all_seeds(&self) -> Map<String, Value> {
        let mut settings = self.settings.to_map();
        settings.shift_remove("seed");
        settings
    }

    fn numbers(&self) -> [String; 2] {
        let TrainConfig { batch_size, lr, .. } = self.settings;
        [format!("batch {batch_size}"), format!("lr {lr:?}")]
    }

    fn epochs(&self) -> String {
        let epochs = self.settings.epochs;
        format!("{epochs} epoch{}", if epochs == 1 { "" } else { "s" })
    }

    /// Engine, device and threads that differ from the defaults of a plan.
    fn machine(&self) -> impl Iterator<Item = String> {
        let engine = self.settings.engine();
        let engine = (engine != Engine::Exact).then(|| format!("{engine} engine"));
        let device = self.settings.device;
        let device = (device != Device::Cpu).then(|| device.to_string());
        let threads = self.settings.threads.filter(|threads| *threads != 1);
        let threads = threads.map(|threads| format!("{threads} threads"));
        [engine, device, threads].into_iter().flatten()
    }

    /// Test accuracies from 0 to 1, in the order of the seeds.
    pub fn values(&self) -> Vec<f64> {
        self.accuracies.iter().map(|(_, accuracy)| *accuracy).collect()
    }

    /// Summary statistics of the test accuracies; `None` without a successful run.
    pub(crate) fn summary(&self) -> Option<Summary> {
        statistics::summary(&self.values())
    }

    /// The proportion of runs that reach the paper's accuracy; `None` for a model that is not in the paper.
    pub(crate) fn at_least_paper(&self) -> Option<Proportion> {
        statistics::at_least(&self.values(), self.paper?)
    }
}

/// Options as on the command line: `batch norm`, `dropout 0.5`, `crop:2,flip:0.5`.
pub(crate) fn in_words<'a>(
    options: impl Iterator<Item = (&'a String, &'a Value)>,
) -> impl Iterator<Item = String> {
    options.map(|(name, value)| match value {
        Value::String(transforms) if name == "augment" => transforms.clone(),
        Value::Bool(true) => name.replace('_', " "),
        Value::Bool(false) => format!("no {}", name.replace('_', " ")),
        Value::String(text) => format!("{} {text}", name.replace('_', " ")),
        number => format!("{} {}", name.replace('_', " "), id::number_text(number)),
    })
}

/// The configuration that LeNet-5 is compared with: the MLP with the notebook's settings, else its first
/// configuration.
pub(crate) fn baseline(all: &[Configuration]) -> Option<&Configuration> {
    let [model, _] = models::paper_pair()?;
    let notebook = model.config();
    let is_notebook = |it: &&Configuration| {
        let key = |it: &TrainConfig| (it.epochs, it.batch_size, it.lr);
        key(&it.settings) == key(&notebook)
    };
    let of_model = || all.iter().filter(|it| it.model == model);
    of_model().find(is_notebook).or_else(|| of_model().next())
}

/// Mean accuracy of a configuration of LeNet-5 minus that of the baseline, with its confidence interval; `None` for
/// other models.
pub(crate) fn ahead(
    of: &Configuration,
    baseline: Option<&Configuration>,
) -> Option<(f64, Interval)> {
    let [_, compared] = models::paper_pair()?;
    let baseline = baseline.filter(|_| of.model == compared)?;
    statistics::difference(&of.values(), &baseline.values())
}

/// Formats `summary.csv`: one row per configuration; statistics that a sample is too small for are empty.
pub fn summary_csv(all: &[Configuration]) -> Vec<u8> {
    rows::write(all.iter().map(|it| SummaryRow::new(it, ahead(it, baseline(all)))))
}

/// A row of `summary.csv`.
#[derive(Serialize)]
struct SummaryRow {
    /// All settings except the seed.
    #[serde(flatten)]
    settings: Map<String, Value>,
    n: usize,
    failed: usize,
    mean: Option<f64>,
    sd: Option<f64>,
    median: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    mean_low: Option<f64>,
    mean_high: Option<f64>,
    paper: Option<f64>,
    at_least_paper: Option<usize>,
    at_least_paper_low: Option<f64>,
    at_least_paper_high: Option<f64>,
    ahead_of_mlp: Option<f64>,
    ahead_of_mlp_low: Option<f64>,
    ahead_of_mlp_high: Option<f64>,
}

impl SummaryRow {
    fn new(it: &Configuration, ahead: Option<(f64, Interval)>) -> Self {
        let (summary, proportion) = (it.summary(), it.at_least_paper());
        let mean = summary.and_then(|it| it.mean_interval);
        Self {
            settings: it.of_all_seeds(),
            n: it.accuracies.len(),
            failed: it.failed,
            mean: summary.map(|it| it.mean),
            sd: summary.and_then(|it| it.sd),
            median: summary.map(|it| it.median),
            min: summary.map(|it| it.min),
            max: summary.map(|it| it.max),
            mean_low: mean.map(|it| it.low),
            mean_high: mean.map(|it| it.high),
            paper: it.paper,
            at_least_paper: proportion.map(|it| it.count),
            at_least_paper_low: proportion.map(|it| it.interval.low),
            at_least_paper_high: proportion.map(|it| it.interval.high),
            ahead_of_mlp: ahead.map(|(by, _)| by),
            ahead_of_mlp_low: ahead.map(|(_, interval)| interval.low),
            ahead_of_mlp_high: ahead.map(|(_, interval)| interval.high),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_has_the_options_that_are_on_and_the_models_that_are_off() {
        let name = |model: &str, options: Value| {
            let model = models::named(model).unwrap();
            let mut map = TrainConfig { threads: Some(1), ..model.config() }.to_map();
            for (name, value) in options.as_object().unwrap() {
                map.insert(name.clone(), value.clone());
            }
            let settings = TrainConfig::from_map(map).unwrap();
            Configuration { model, paper: None, settings, accuracies: Vec::new(), failed: 0 }.name()
        };
        let (lenet5, deepcnn) = ("LeNet-5, batch 32, lr 0.002", "DeepCNN, batch 64, lr 0.001");
        let off = json!({ "batch_norm": false, "dropout": 0, "augment": "crop,flip" });
        let others = json!({
            "epochs": 1, "engine": "fast", "device": "cuda:0", "threads": 2, "weight_decay": 1e-4,
            "lr_schedule": "step:5,0.1", "val": 60, "patience": 3
        });
        for (found, expected) in [
            (name("lenet5", json!({})), lenet5.to_owned()),
            (name("lenet5", json!({ "batch_norm": true })), format!("{lenet5}, batch norm")),
            (name("deepcnn", json!({})), format!("{deepcnn}, batch norm, dropout 0.5")),
            (
                name("deepcnn", off),
                format!("{deepcnn}, crop:2,flip:0.5, without batch norm, without dropout"),
            ),
            (
                name("lenet5", others),
                format!(
                    "{lenet5}, 1 epoch, fast engine, cuda:0, 2 threads, val 60, patience 3, weight decay 0.0001, \
                     lr schedule step:5,0.1"
                ),
            ),
        ] {
            assert_eq!(found, expected);
        }
    }
}
