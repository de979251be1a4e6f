//! `stitch train`: one training run into a run folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use stitch::dataset::{Dataset, classes};
use stitch::evaluate::{Evaluation, evaluate};
use stitch::formats::{csv, safetensors, state_dict};
use stitch::models::{Architecture, weights};
use stitch::parity::recorder::Recorder;
use stitch::parity::trace;
use stitch::run_folder::{self, Config, Metrics, RunFolder, TrainingMetrics};
use stitch::train::{self, Engine, History, Progress, Tracer, TrainConfig};

use super::export::script;
use super::progress::{TrainingProgress, stop_on_ctrl_c};
use super::{Console, Outcome, inputs, tables};
use crate::cli::TrainArgs;

pub fn run(args: &TrainArgs, console: Console) -> Result<Outcome> {
    let architecture = Architecture::from(args.model);
    let device = inputs::compute(&args.compute)?;
    let notebook = TrainConfig::notebook(architecture);
    let config = TrainConfig {
        epochs: args.epochs.unwrap_or(notebook.epochs),
        batch_size: args.batch_size.unwrap_or(notebook.batch_size),
        lr: args.lr.unwrap_or(notebook.lr),
        seed: args.seed.unwrap_or(notebook.seed),
        device,
        engine: if args.fast { Engine::Fast } else { Engine::Exact },
    };
    config.check(architecture)?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(architecture.name()));
    let folder = RunFolder::claim(&out, args.force)?;
    let dataset = inputs::dataset(&args.data, console)?;
    let trained = train_into(&folder, architecture, &config, &dataset, args.trace, console)?;
    console.print(&tables::scores(&trained.evaluation.report))?;
    console.print(&format!(
        "test accuracy {:.4}, trained in {:.1} s, written to {}",
        trained.evaluation.report.accuracy,
        trained.metrics.train_seconds,
        folder.path().display()
    ))?;
    Ok(Outcome::Done)
}

/// What a training run came to.
pub struct Trained {
    /// Answers and scores on the test images.
    pub evaluation: Evaluation,
    /// Time and loss.
    pub metrics: TrainingMetrics,
}

/// Trains, evaluates and writes the run folder.
pub fn train_into(
    folder: &RunFolder,
    architecture: Architecture,
    config: &TrainConfig,
    dataset: &Dataset,
    trace: bool,
    console: Console,
) -> Result<Trained> {
    stop_on_ctrl_c()?;
    let mut learner = train::learner(architecture, config, &dataset.train)?;
    let (train, test) = (&dataset.train, &dataset.test);
    let mut recorder = trace.then(|| Recorder::new(learner.model(), train, test));
    let history = {
        let tracer = recorder.as_mut().map(|recorder| recorder as &mut dyn Tracer);
        let samples = dataset.train.len();
        let mut progress = TrainingProgress::new(console, architecture, config, samples);
        let start = Progress::default();
        train::fit(
            learner.as_mut(),
            config,
            train,
            start,
            &mut |event, _, _| progress.on(event),
            tracer,
        )?
    };
    if history.converged {
        console.note(&format!(
            "{architecture}: the training loss has not improved by 1e-4 for more than 10 epochs; \
             stopped, as scikit-learn does"
        ));
    }
    let model = learner.into_model();
    let evaluation = evaluate(model.as_ref(), &dataset.test);
    let metrics = TrainingMetrics {
        train_loss: history.epochs.last().map_or(f64::NAN, |epoch| epoch.loss),
        epochs_run: history.epochs.len(),
        train_seconds: history.epochs.iter().map(|epoch| epoch.seconds).sum(),
    };
    let tensors = weights::to_named(model.as_ref());
    let config = config_of(architecture, config, dataset);
    let metadata = config.weights_metadata(evaluation.report.accuracy);
    folder.clear()?;
    folder.write(run_folder::HISTORY, &history_csv(&history))?;
    write_evaluation(folder, dataset.test.labels.as_slice(), &evaluation, Some(metrics))?;
    folder.write(run_folder::STATE_DICT, &state_dict::write(&tensors)?)?;
    folder.write(run_folder::TORCHSCRIPT, &script(architecture, &tensors)?)?;
    folder.write(run_folder::SAFETENSORS, &safetensors::write(&tensors, &metadata)?)?;
    if let Some(mut recorder) = recorder {
        recorder.finish(model.as_ref(), &evaluation);
        let (records, tensors) = recorder.into_files()?;
        folder.write_below(trace::FOLDER, trace::RECORDS, &records)?;
        folder.write_below(trace::FOLDER, trace::TENSORS, &tensors)?;
    }
    folder.write_json(run_folder::CONFIG, &config)?;
    Ok(Trained { evaluation, metrics })
}

/// The files that an evaluation alone writes too.
pub fn write_evaluation(
    folder: &RunFolder,
    truth: &[u8],
    evaluation: &Evaluation,
    training: Option<TrainingMetrics>,
) -> Result<()> {
    let Evaluation { predicted, matrix, report, .. } = evaluation;
    folder.write_json(run_folder::METRICS, &Metrics::new(report, training))?;
    folder.write(run_folder::PREDICTIONS, &csv::predictions(truth, predicted))?;
    let matrix = csv::confusion_matrix(matrix, &classes::NAMES);
    folder.write(run_folder::CONFUSION_MATRIX, &matrix)?;
    let report = csv::classification_report(report, &classes::NAMES);
    folder.write(run_folder::CLASSIFICATION_REPORT, &report)?;
    Ok(())
}

fn history_csv(history: &History) -> Vec<u8> {
    csv::history(history.epochs.iter().map(|record| (record.epoch, record.loss, record.seconds)))
}

fn config_of(architecture: Architecture, config: &TrainConfig, dataset: &Dataset) -> Config {
    let versions = [
        ("stitch", env!("CARGO_PKG_VERSION")),
        // Set by build.rs from libtorch's own header.
        ("libtorch", env!("STITCH_LIBTORCH_VERSION")),
    ];
    Config {
        program: "stitch".into(),
        model: architecture.name().into(),
        epochs: config.epochs,
        batch_size: config.batch_size,
        lr: config.lr,
        seed: config.seed,
        threads: tch::get_num_threads() as usize,
        device: inputs::device_name(config.device),
        engine: Some(config.engine.name().into()),
        cpu_capability: run_folder::cpu_capability(),
        versions: BTreeMap::from(versions.map(|(name, version)| (name.into(), version.into()))),
        data: (&dataset.origin).into(),
    }
}
