//! `stitch reproduce`: trains the paper's models as the notebook does, and compares them with the paper; with `--future`,
//! also the models of its future work.

use anyhow::{Result, ensure};
use clap::builder::styling::AnsiColor;
use serde::Serialize;
use serde_json::json;
use stitch::models::{self, ModelEntry};
use stitch::report::figures::{Accuracy, Drawn, accuracies};
use stitch::report::{self, Section};
use stitch::run::{Options, Trained, clear_checkpoints};
use stitch::run_folder::{self, COMPARISON_FILES, Claim, RunFolder};
use stitch::train::{Device, TrainConfig};

use super::documents::Training;
use super::terminal::{Screen, heat, table};
use super::{Console, Outcome, inputs, tables, training};
use crate::cli::ReproduceArgs;

pub fn run(args: &ReproduceArgs, console: Console) -> Result<Outcome> {
    inputs::compute(&args.compute)?;
    let claim = |model: &'static ModelEntry| -> Result<_> {
        let claim = inputs::claim(args.force, args.checkpoints.resume);
        Ok((model, RunFolder::claim(&args.out.join(model.name), claim)?))
    };
    let future = models::future_work().filter(|_| args.future);
    let folders = models::of_the_paper().chain(future).map(claim).collect::<Result<Vec<_>>>()?;
    let parent = claim_parent(args)?;
    let dataset = inputs::dataset(&args.data, console)?;
    if args.force {
        for file in COMPARISON_FILES {
            parent.remove(&parent.path().join(file))?;
        }
        // All are cleared before the first training: after an interruption, --resume must not take one of the old runs for
        // finished.
        for (_, folder) in &folders {
            folder.clear()?;
            clear_checkpoints(folder)?;
        }
    }
    let mut runs = Vec::new();
    for &(model, ref folder) in &folders {
        let device = args.compute.device.unwrap_or(Device::Cpu);
        let config = TrainConfig { device, threads: args.compute.threads(), ..model.config() };
        let options = Options {
            checkpoint_every: args.checkpoints.checkpoint_every,
            resume: args.checkpoints.resume,
            figures: Some(args.figures.normalize()),
            ..Options::default()
        };
        let trained = training::run(folder, &config, &options, &dataset, console)?;
        runs.push(Reproduced { model, trained });
    }
    write_comparison(&parent, args, &runs)?;
    console.document(|| {
        let runs = runs.iter().zip(&folders).map(|(run, (_, folder))| {
            Ok(Reproduction {
                paper_accuracy: run.model.paper_accuracy(),
                difference: run.difference(),
                training: Training::read(folder, &run.trained.evaluation)?,
            })
        });
        let runs = runs.collect::<Result<Vec<_>>>()?;
        Ok(json!({ "out": args.out.display().to_string(), "runs": runs }))
    })?;
    // The last 24 lines, a small terminal, are the heat table of the last model and the comparison.
    for run in &runs {
        console.show(&format!("{}\n", details(run, console.screen)))?;
    }
    console.show(&comparison(&runs, console.screen))?;
    console.show(&conclusion(&runs, console.screen))?;
    console.show(&parent.path().join(run_folder::REPORT).display().to_string())?;
    Ok(Outcome::Done)
}

/// The JSON object of one model.
#[derive(Serialize)]
struct Reproduction {
    /// Null for a model that is not in the paper.
    paper_accuracy: Option<f64>,
    /// Accuracy of the port minus that of the paper.
    difference: Option<f64>,
    #[serde(flatten)]
    training: Training,
}

/// A trained model.
struct Reproduced {
    model: &'static ModelEntry,
    trained: Trained,
}

impl Reproduced {
    fn accuracy(&self) -> f64 {
        self.trained.evaluation.report.accuracy
    }

    /// Accuracy minus that of the paper; `None` for a model that is not in the paper.
    fn difference(&self) -> Option<f64> {
        Some(self.accuracy() - self.model.paper_accuracy()?)
    }
}

/// Claims the parent of the run folders. It must not contain a comparison, unless `--force` or `--resume` is given.
fn claim_parent(args: &ReproduceArgs) -> Result<RunFolder> {
    let parent = RunFolder::claim(&args.out, Claim::Resume)?;
    let existing = COMPARISON_FILES.into_iter().find(|file| parent.path().join(file).exists());
    if let Some(file) = existing {
        let replaced = args.force || args.checkpoints.resume;
        let out = args.out.display();
        ensure!(
            replaced,
            "--out {out} contains another comparison ({file}). Give another folder, or --force to replace it"
        );
    }
    Ok(parent)
}

/// Writes the figure of the accuracies and the report of all runs.
fn write_comparison(parent: &RunFolder, args: &ReproduceArgs, runs: &[Reproduced]) -> Result<()> {
    let row = |run: &Reproduced| Accuracy {
        name: run.model.title.into(),
        value: run.accuracy(),
        paper: run.model.paper_accuracy(),
    };
    let figure = accuracies(&runs.iter().map(row).collect::<Vec<_>>(), Drawn::Wide);
    parent.write(run_folder::ACCURACY_SVG, figure.svg().as_bytes())?;
    parent.write(run_folder::ACCURACY_PNG, &figure.png())?;
    let sections: Vec<&Section> =
        runs.iter().filter_map(|run| run.trained.section.as_ref()).collect();
    let page = report::page(&sections, None, args.figures.normalize());
    parent.write(run_folder::REPORT, page.as_bytes())?;
    Ok(())
}

/// The scores and the confusion matrix of a model.
fn details(run: &Reproduced, screen: Screen) -> String {
    let Reproduced { model, trained, .. } = run;
    format!(
        "{model}: {}\n{}\nmost confused:\n{}\n\n{}",
        model.description,
        tables::scores(screen, &trained.evaluation),
        tables::most_confused(screen, &trained.evaluation),
        heat(screen, model.name, &trained.evaluation)
    )
}

fn comparison(runs: &[Reproduced], screen: Screen) -> String {
    let row = |run: &Reproduced| {
        let paper = run.model.paper_accuracy();
        vec![
            run.model.name.into(),
            paper.map_or("–".into(), |accuracy| format!("{accuracy:.4}")),
            format!("{:.4}", run.accuracy()),
            run.difference().map_or("–".into(), |difference| format!("{difference:+.4}")),
            format!("{:.1} s", run.trained.metrics.train_seconds),
        ]
    };
    let header = ["model", "paper", "port", "difference", "training"];
    table(screen, &header, runs.iter().map(row))
}

/// The conclusion of the comparison, one sentence per model.
fn conclusion(runs: &[Reproduced], screen: Screen) -> String {
    let sentence = |run: &Reproduced| {
        let model = run.model;
        // The paper gives four decimals.
        let is_equal = run.difference().is_some_and(|difference| difference.abs() < 5e-5);
        let (color, text) = match (model.paper.map(|paper| paper.settings_given), is_equal) {
            (None, _) => {
                let text = "the paper's future work, without a published result; architecture and settings are this port's choice.";
                (None, format!("{model}: {text}"))
            }
            (Some(true), true) => (
                Some(AnsiColor::Green),
                format!("{model}: reproduces the paper's accuracy (the paper gives all settings)."),
            ),
            (Some(true), false) => (
                Some(AnsiColor::Red),
                format!(
                    "{model}: does NOT match the paper's accuracy. Check the data with `stitch data`."
                ),
            ),
            (Some(false), _) => {
                let TrainConfig { batch_size, lr, seed, .. } = model.config();
                let text = format!(
                    "{model}: the paper does not give batch size, learning rate and seed. Here they are {batch_size}, \
                     {lr:e} and {seed}; the accuracy depends on them."
                );
                (None, text)
            }
        };
        let text = screen.paragraph(&text);
        color.map_or(text.clone(), |color| screen.colored(color, &text))
    };
    runs.iter().map(sentence).collect::<Vec<_>>().join("\n")
}
