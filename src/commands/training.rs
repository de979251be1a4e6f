//! One training run into a run folder: what `train`, `reproduce` and the rows of a study share.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use stitch::checkpoint::{self, Checkpoint};
use stitch::dataset::{Dataset, classes};
use stitch::evaluate::{Evaluation, evaluate};
use stitch::events::EventLog;
use stitch::formats::csv;
use stitch::models::{Classifier, ModelEntry};
use stitch::nn::Model;
use stitch::parity::recorder::Recorder;
use stitch::report::figures::{self, Curves, Drawn, Normalize};
use stitch::report::{self, Parity, Pictures, Run, Section};
use stitch::run_folder::{self, Config, Metrics, RunFolder, TrainingMetrics};
use stitch::tensor_files::{safetensors, state_dict};
use stitch::train::{
    self, EpochRecord, History, Progress, Tracer, TrainConfig, TrainError, Trainer,
};
use stitch_trace as trace;
use tch::Device;

use super::checkpoints::{self, Start, Writer};
use super::export::script;
use super::progress::TrainingProgress;
use super::signals::{self, Interrupted};
use super::tensorboard::{self, Beginning};
use super::{Console, inputs, run_files, validation};
use crate::cli::CheckpointEvery;

/// The result of a training run.
pub struct Trained {
    /// Answers and scores on the test images.
    pub evaluation: Evaluation,
    pub metrics: TrainingMetrics,
    /// The run's section of a report, where figures are wanted.
    pub section: Option<Section>,
}

/// What is to be trained, and when checkpoints are written.
pub struct Job {
    pub model: &'static ModelEntry,
    pub config: TrainConfig,
    pub every: CheckpointEvery,
    /// Whether to go on with what the folder holds.
    pub resume: bool,
    /// Whether to write down what is computed.
    pub trace: bool,
    /// Whether to write events for TensorBoard.
    pub tensorboard: bool,
    /// How its confusion matrix is drawn; `None`: no figures, and no page.
    pub figures: Option<Normalize>,
}

/// Trains, evaluates and writes the run folder.
pub fn train_into(
    folder: &RunFolder,
    job: &Job,
    dataset: &Dataset,
    console: Console,
) -> Result<Trained> {
    signals::listen()?;
    let config = config_of(job.model, &job.config, dataset)?;
    let mut trainer = Trainer::new(job.model, &job.config, &dataset.train)?;
    let start = match job.resume {
        true => checkpoints::start(folder, &config, dataset.train.len(), console)?,
        false => {
            checkpoint::clear(folder)?;
            Start::Anew
        }
    };
    let (progress, log) = match start {
        Start::Anew => (Progress::default(), Beginning::Anew),
        Start::From(ref checkpoint) => {
            let progress = restore(&mut trainer, checkpoint).context("--resume: the checkpoint")?;
            (progress, Beginning::At(checkpoint.events.as_ref()))
        }
        Start::Finished => return finished(folder, job, dataset, console),
    };
    let mut log = job.tensorboard.then(|| tensorboard::open(folder, log)).transpose()?;
    let mut recorder =
        job.trace.then(|| Recorder::new(job.model, trainer.model(), &dataset.train, &dataset.test));
    let tracer = recorder.as_mut().map(|recorder| recorder as &mut dyn Tracer);
    let history =
        fit(folder, job, &config, &mut trainer, progress, dataset, tracer, log.as_mut(), console)?;
    say_why_it_ended(&history, job, console);
    let ended = Ended { config, history, model: trainer.into_model(), log, recorder };
    ended.write(folder, job, dataset)
}

/// A training that has ended well.
struct Ended<'a> {
    config: Config,
    history: History,
    model: Model,
    log: Option<EventLog<'a>>,
    recorder: Option<Recorder>,
}

impl Ended<'_> {
    /// Evaluates the model, and writes the run folder: `config.json` last.
    fn write(self, folder: &RunFolder, job: &Job, dataset: &Dataset) -> Result<Trained> {
        let Self { config, history, model, mut log, recorder } = self;
        let evaluation = evaluate(&model, &dataset.test);
        let metrics = metrics(job, &history, dataset)?;
        if let Some(log) = &mut log {
            tensorboard::add_result(log, &evaluation, metrics.epochs_run)?;
        }
        folder.clear()?;
        log.map_or(Ok(()), EventLog::finish)?;
        folder.write(run_folder::HISTORY, &validation::history_csv(&history))?;
        write_evaluation(folder, dataset.test.labels.as_slice(), &evaluation, Some(metrics))?;
        write_weights(folder, &config, &model, evaluation.report.accuracy)?;
        if let (Some(best), Some(metrics)) = (&history.best, &metrics.validation) {
            validation::write_best(folder, &config, best, metrics)?;
        }
        let mut section = None;
        if let Some(normalize) = job.figures {
            let answers = (dataset.test.labels.clone(), evaluation.predicted.clone());
            let run = Run::new(job.model, config.clone(), curves(&history), answers);
            let section = section.insert(Section {
                pictures: pictures(&run, &model, dataset, &evaluation),
                run,
                parity: Parity::Unchecked,
                folder: folder.path().display().to_string(),
            });
            write_figures(folder, section, normalize)?;
        }
        if let Some(mut recorder) = recorder {
            recorder.finish(&model, &evaluation);
            let (records, elements) = recorder.into_files()?;
            folder.write_below(trace::FOLDER, trace::RECORDS, &records)?;
            folder.write_below(trace::FOLDER, trace::ELEMENTS, &elements)?;
        }
        folder.write_json(run_folder::CONFIG, &config)?;
        checkpoint::clear(folder)?;
        Ok(Trained { evaluation, metrics, section })
    }
}

/// What training took, and what held-out images say of it.
fn metrics(job: &Job, history: &History, dataset: &Dataset) -> Result<TrainingMetrics> {
    Ok(TrainingMetrics {
        train_loss: history.epochs.last().map_or(f64::NAN, |epoch| epoch.loss),
        epochs_run: history.epochs.len(),
        train_seconds: history.epochs.iter().map(|epoch| epoch.seconds).sum(),
        validation: validation::metrics(job.model, &job.config, history, dataset)?,
    })
}

/// The weights in the three formats of a run.
fn write_weights(
    folder: &RunFolder,
    config: &Config,
    model: &Model,
    test_accuracy: f64,
) -> Result<()> {
    let tensors = model.state_dict();
    let metadata = config.weights_metadata(test_accuracy);
    folder.write(run_folder::STATE_DICT, &state_dict::write(&tensors)?)?;
    folder.write(run_folder::TORCHSCRIPT, &script(model)?)?;
    folder.write(run_folder::SAFETENSORS, &safetensors::write(&tensors, &metadata)?)?;
    Ok(())
}

/// Makes a trainer continue from a checkpoint; where the run then stands.
fn restore(trainer: &mut Trainer, checkpoint: &Checkpoint) -> Result<Progress> {
    let mut progress = checkpoint.progress.clone();
    if checkpoint.config.val.is_some() && !progress.epochs.is_empty() {
        let (class, graph, kind) =
            (trainer.model().class(), trainer.model().graph(), trainer.model().kind());
        let best = Model::zeros(class, Arc::clone(graph), kind, Device::Cpu);
        best.load_state_dict(&progress.best_parameters).context("the best epoch's weights")?;
        // In the order of the model: a checkpoint's is that of its format.
        progress.best_parameters = best.state_dict();
    }
    trainer.restore(&checkpoint.state)?;
    Ok(progress)
}

/// Tells of an end before the last epoch.
fn say_why_it_ended(history: &History, job: &Job, console: Console) {
    let model = job.model;
    if history.converged {
        console.note(&format!(
            "{model}: the training loss has not improved by 1e-4 for more than 10 epochs; stopped, as \
             {} does",
            model.library
        ));
    }
    if let (true, Some(best), Some(patience)) =
        (history.out_of_patience, &history.best, job.config.patience)
    {
        console.note(&format!(
            "{model}: the validation loss has not been lower than in epoch {} for {patience} \
             epochs; stopped (--patience)",
            best.epoch
        ));
    }
}

/// The training itself, with its progress, its checkpoints and its events.
#[expect(clippy::too_many_arguments)]
fn fit(
    folder: &RunFolder,
    job: &Job,
    config: &Config,
    trainer: &mut Trainer,
    start: Progress,
    dataset: &Dataset,
    tracer: Option<&mut dyn Tracer>,
    mut log: Option<&mut EventLog>,
    console: Console,
) -> Result<History> {
    let (train, settings) = (&dataset.train, &job.config);
    let begins = start == Progress::default();
    let mut unwritten = None;
    let mut progress = TrainingProgress::new(console, job.model, settings, train.len(), &start);
    let (trained, written) = thread::scope(|scope| -> Result<_> {
        let steps = train::steps(settings, train);
        let mut writer = match job.every {
            CheckpointEvery::Never => None,
            every => {
                Some(Writer::new(scope, folder, config.clone(), every, steps, log.as_deref())?)
            }
        };
        let mut on_event = |event, stands: &Progress, trainer: &Trainer| {
            progress.on(event);
            let stop = signals::received().is_some();
            let mut writer = writer.as_mut();
            let due = writer.as_mut().is_some_and(|writer| stop || writer.is_due(event, stands));
            let logged = log.as_mut().map(|log| {
                tensorboard::add(log, event, stands.count(steps))?;
                if due { log.flush() } else { Ok(()) }
            });
            if let Some(Err(error)) = logged {
                unwritten = Some(error);
                return ControlFlow::Break(());
            }
            let events = || log.as_ref().map(|log| log.stands());
            let written =
                !due || writer.is_none_or(|writer| writer.write(stands, trainer, events()));
            if stop || !written { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let trained = train::fit(
            trainer,
            settings,
            train,
            dataset.validation.as_ref(),
            start,
            &mut on_event,
            tracer,
        );
        Ok((trained, writer.map(Writer::finish)))
    })?;
    drop(progress);
    let kept = written.transpose().context("the training was stopped")?.is_some();
    if let Some(error) = unwritten {
        return Err(error).context("the training was stopped");
    }
    trained.or_else(|error| give_up(folder, error, kept, begins))
}

/// Leaves the folder of a run that did not end well as it should be; why it did not. `kept`: a
/// checkpoint is there; `begins`: it was not a resumed run.
fn give_up(folder: &RunFolder, error: TrainError, kept: bool, begins: bool) -> Result<History> {
    match error {
        TrainError::Stopped { epoch, step } if kept => Err(Interrupted::new(format!(
            "training was stopped in epoch {epoch}, step {step}. To continue: {}",
            checkpoints::resuming_command()
        ))
        .into()),
        TrainError::Stopped { .. } => {
            if begins {
                folder.discard_events()?;
            }
            Err(Interrupted::new(error.to_string()).into())
        }
        _ => {
            // It would diverge again.
            checkpoint::clear(folder)?;
            Err(error.into())
        }
    }
}

/// The result of a run that is complete already; changes nothing.
fn finished(folder: &RunFolder, job: &Job, dataset: &Dataset, console: Console) -> Result<Trained> {
    let weights = folder.path().join(run_folder::SAFETENSORS);
    let Classifier { model, .. } = inputs::model(&weights, None, None, job.config.device, console)?;
    let metrics: Option<Metrics> = folder.read_json(run_folder::METRICS)?;
    let metrics = metrics.and_then(|metrics| metrics.training);
    let path = folder.path().display();
    let metrics =
        metrics.with_context(|| format!("{path}: metrics.json has no training metrics"))?;
    console.note(&format!("{}: finished already, nothing to resume in {path}", job.model));
    let evaluation = evaluate(&model, &dataset.test);
    let mut section = None;
    if job.figures.is_some() {
        let run = run_files::read(folder.path())?;
        section = Some(Section {
            pictures: pictures(&run, &model, dataset, &evaluation),
            run,
            parity: run_files::parity(folder.path())?,
            folder: path.to_string(),
        });
    }
    Ok(Trained { evaluation, metrics, section })
}

/// The images that a report shows of a run, or why there are none.
fn pictures(
    run: &Run,
    model: &Model,
    dataset: &Dataset,
    evaluation: &Evaluation,
) -> Result<Pictures, String> {
    let pictures = Pictures::new(run, model, &dataset.test, &evaluation.logits);
    pictures.map_err(|error| error.to_string())
}

/// The files that an evaluation alone writes too.
pub fn write_evaluation(
    folder: &RunFolder,
    truth: &[u8],
    evaluation: &Evaluation,
    training: Option<TrainingMetrics>,
) -> Result<Metrics> {
    let Evaluation { predicted, matrix, report, .. } = evaluation;
    let metrics = Metrics::new(report, training);
    folder.write_json(run_folder::METRICS, &metrics)?;
    folder.write(run_folder::PREDICTIONS, &csv::predictions(truth, predicted))?;
    let matrix = csv::confusion_matrix(matrix, &classes::NAMES);
    folder.write(run_folder::CONFUSION_MATRIX, &matrix)?;
    let report = csv::classification_report(report, &classes::NAMES);
    folder.write(run_folder::CLASSIFICATION_REPORT, &report)?;
    Ok(metrics)
}

/// The figures of a run, and its page.
fn write_figures(folder: &RunFolder, section: &Section, normalize: Normalize) -> Result<()> {
    let Run { matrix, curves, .. } = &section.run;
    let matrix = figures::confusion_matrix(matrix, &classes::NAMES, normalize);
    folder.write(run_folder::HISTORY_SVG, figures::losses(curves, Drawn::Wide).svg().as_bytes())?;
    folder.write(run_folder::CONFUSION_MATRIX_SVG, matrix.svg().as_bytes())?;
    folder.write(run_folder::CONFUSION_MATRIX_PNG, &matrix.png())?;
    let page = report::page(&[section], None, normalize);
    folder.write(run_folder::REPORT, page.as_bytes())?;
    Ok(())
}

/// What `history.csv` tells, to be drawn.
fn curves(history: &History) -> Curves {
    let of = |value: fn(&EpochRecord) -> Option<f64>| history.epochs.iter().map(value).collect();
    Curves {
        loss: history.epochs.iter().map(|record| record.loss).collect(),
        val_loss: of(|record| Some(record.validation?.loss)),
        val_accuracy: of(|record| Some(record.validation?.accuracy)),
    }
}

fn config_of(
    model: &'static ModelEntry,
    config: &TrainConfig,
    dataset: &Dataset,
) -> Result<Config> {
    let versions = [
        ("stitch", env!("CARGO_PKG_VERSION")),
        // Set by build.rs from libtorch's own header.
        ("libtorch", env!("STITCH_LIBTORCH_VERSION")),
    ];
    Ok(Config {
        program: "stitch".into(),
        model: model.name.into(),
        epochs: config.epochs,
        batch_size: config.batch_size,
        lr: config.lr,
        seed: config.seed,
        threads: tch::get_num_threads() as usize,
        device: train::device_name(config.device),
        engine: Some(config.engine.name().into()),
        val: config.val,
        patience: config.patience,
        cpu_capability: run_folder::cpu_capability(),
        kernels_sha256: train::kernels_sha256(model, config)?,
        versions: BTreeMap::from(versions.map(|(name, version)| (name.into(), version.into()))),
        data: (&dataset.origin).into(),
    })
}
