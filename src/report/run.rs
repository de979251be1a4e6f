//! The data of a run for its report, read from the files of a run folder.

use stitch_run::counted;

use super::figures::Curves;
use crate::dataset::classes::Classes;
use crate::formats::csv;
use crate::metrics::ConfusionMatrix;
use crate::models::{self, ModelEntry, ModelOptions, Paper};
use crate::run_folder::{
    CONFIG, CONFUSION_MATRIX, HISTORY, METRICS, Metrics, PREDICTIONS, RunConfig,
};

/// The data of a run for its report.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Entry of the registry that `config.json` names.
    pub model: &'static ModelEntry,
    /// Settings, versions, data set.
    pub config: RunConfig,
    /// Losses, one per epoch.
    pub curves: Curves,
    /// The names of the classes.
    pub classes: Classes,
    /// True class of each test image.
    pub truth: Vec<u8>,
    /// Predicted class of each test image.
    pub predicted: Vec<u8>,
    /// Counts of test images: rows are true classes, columns predictions.
    pub matrix: ConfusionMatrix,
}

/// Contents of the files of a run folder; they may be damaged or of another run.
#[derive(Debug, Clone)]
pub struct RunFiles {
    /// `config.json`.
    pub config: Vec<u8>,
    /// `history.csv`.
    pub history: Vec<u8>,
    /// `metrics.json`.
    pub metrics: Vec<u8>,
    /// `predictions.csv`.
    pub predictions: Vec<u8>,
    /// `confusion_matrix.csv`.
    pub confusion_matrix: Vec<u8>,
}

/// A file of a run folder is invalid.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {what}")]
pub struct RunError {
    /// Name of the file.
    pub file: &'static str,
    /// What is wrong.
    pub what: String,
}

impl Run {
    /// The options of its network.
    pub fn options(&self) -> ModelOptions {
        (&self.config.settings).into()
    }

    /// The result of its model in the paper; `None` for a model that is not in the paper, and for another data set.
    pub fn paper(&self) -> Option<Paper> {
        self.model.paper.filter(|_| self.classes == Classes::fashion_mnist())
    }

    /// The number of elements of its network's parameters; `None` for the network of a TorchScript file.
    pub fn parameters(&self) -> Option<u64> {
        let is_known = !self.model.is_script();
        is_known.then(|| self.model.graph(&self.options()).summary().parameters)
    }

    /// The data of a run; `truth` and `predicted` have the same length and values below the number of classes.
    pub(crate) fn new(
        model: &'static ModelEntry,
        config: RunConfig,
        curves: Curves,
        classes: Classes,
        (truth, predicted): (Vec<u8>, Vec<u8>),
    ) -> Self {
        let matrix = ConfusionMatrix::new(classes.len(), &truth, &predicted);
        Self { model, config, curves, classes, truth, predicted, matrix }
    }

    /// Reads the files of a run folder, and checks that they belong to the same run.
    ///
    /// # Errors
    /// [`RunError`] for the first file that is invalid or of another run.
    pub(crate) fn read(files: &RunFiles) -> Result<Self, RunError> {
        let config = RunConfig::read(&files.config).map_err(|error| wrong(CONFIG, error))?;
        let model = models::named(&config.settings.model);
        let model = model.map_err(|unknown| wrong(CONFIG, unknown))?;
        let epochs = csv::read_history(&files.history).map_err(|error| wrong(HISTORY, error))?;
        let (classes, matrix) = matrix(&files.confusion_matrix)?;
        let labels = labels(&files.predictions, classes.len())?;
        let run = Self::new(model, config, Curves::of(&epochs), classes, labels);
        if matrix != run.matrix {
            let what = "its counts do not match predictions.csv: the files are of different runs";
            return Err(wrong(CONFUSION_MATRIX, what));
        }
        let metrics = Metrics::read(&files.metrics).map_err(|error| wrong(METRICS, error))?;
        let accuracy = run.matrix.report().accuracy;
        if metrics.test_accuracy != accuracy {
            let what = format!(
                "test_accuracy is {}, but predictions.csv gives {accuracy}: the files are of different runs",
                metrics.test_accuracy
            );
            return Err(wrong(METRICS, what));
        }
        run.check_epochs(&metrics)?;
        Ok(run)
    }

    /// Checks that `history.csv` and `metrics.json` have the epochs and the validation of `config.json`.
    fn check_epochs(&self, metrics: &Metrics) -> Result<(), RunError> {
        let settings = &self.config.settings;
        let (rows, with_val) = (self.curves.loss.len(), settings.val.is_some());
        if rows > settings.epochs || self.curves.val_loss.is_some() != with_val {
            let validation = if with_val { "with" } else { "without" };
            let [rows, epochs] = [rows, settings.epochs].map(|count| counted(count, "epoch"));
            let what = format!(
                "it has {rows}{}, but config.json is of a run of {epochs} {validation} validation",
                if self.curves.val_loss.is_some() { " with validation" } else { "" }
            );
            return Err(wrong(HISTORY, what));
        }
        let Some(training) = &metrics.training else {
            return Err(wrong(METRICS, "it has no training metrics"));
        };
        let best = training.validation.map(|it| it.best_epoch);
        if training.epochs_run != rows
            || best.is_some() != with_val
            || best.is_some_and(|best| !(1..=rows).contains(&best))
        {
            let what = "its epochs or validation are not those of history.csv and config.json: the files are of \
                        different runs";
            return Err(wrong(METRICS, what));
        }
        Ok(())
    }
}

fn wrong(file: &'static str, what: impl ToString) -> RunError {
    RunError { file, what: what.to_string() }
}

/// Reads true and predicted labels.
fn labels(bytes: &[u8], classes: usize) -> Result<(Vec<u8>, Vec<u8>), RunError> {
    let rows = csv::read_predictions(bytes).map_err(|error| wrong(PREDICTIONS, error))?;
    let label = |line: usize, label: i64| match u8::try_from(label) {
        Ok(class) if usize::from(class) < classes => Ok(class),
        _ => {
            let what =
                format!("line {line}: {label} is not a class: expected 0 to {}", classes - 1);
            Err(wrong(PREDICTIONS, what))
        }
    };
    let labels = (2..)
        .zip(&rows)
        .map(|(line, row)| Ok((label(line, row.y_true)?, label(line, row.y_pred)?)));
    labels.collect()
}

/// Reads the names of the classes, and the counts.
fn matrix(bytes: &[u8]) -> Result<(Classes, ConfusionMatrix), RunError> {
    let table = csv::read_confusion_matrix(bytes).map_err(|it| wrong(CONFUSION_MATRIX, it))?;
    let classes = Classes::new(table.classes).map_err(|it| wrong(CONFUSION_MATRIX, it))?;
    let count = |&count: &i64| {
        let wrong = |_| wrong(CONFUSION_MATRIX, format!("{count} is not a number of images"));
        u64::try_from(count).map_err(wrong)
    };
    let rows = table.counts.chunks(classes.len());
    let counts = rows.map(|row| row.iter().map(count).collect()).collect::<Result<_, _>>()?;
    Ok((classes, ConfusionMatrix { counts }))
}
