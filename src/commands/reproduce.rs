//! `stitch reproduce`: both models as the notebook trains them, beside the paper's figures.

use anyhow::{Result, ensure};
use clap::builder::styling::AnsiColor;
use serde::Serialize;
use serde_json::json;
use stitch::models::{self, ModelEntry, Paper};
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
    let claim = |model: &'static ModelEntry| -> Option<Result<_>> {
        let paper = model.paper?;
        let claim = inputs::claim(args.force, args.checkpoints.resume);
        let folder = RunFolder::claim(&args.out.join(model.name), claim);
        Some(folder.map(|folder| (model, paper, folder)).map_err(Into::into))
    };
    let folders = models::of_the_paper().filter_map(claim).collect::<Result<Vec<_>>>()?;
    let above = claim_above(args)?;
    let dataset = inputs::dataset(&args.data, console)?;
    if args.force {
        for file in COMPARISON_FILES {
            above.remove(&above.path().join(file))?;
        }
        // All at once: if this is interrupted, neither is a finished run that --resume would leave as it is.
        for (_, _, folder) in &folders {
            folder.clear()?;
            clear_checkpoints(folder)?;
        }
    }
    let mut runs = Vec::new();
    for &(model, paper, ref folder) in &folders {
        let device = args.compute.device.unwrap_or(Device::Cpu);
        let config = TrainConfig { device, threads: args.compute.threads(), ..model.config() };
        let options = Options {
            checkpoint_every: args.checkpoints.checkpoint_every,
            resume: args.checkpoints.resume,
            figures: Some(args.figures.normalize()),
            ..Options::default()
        };
        let trained = training::run(folder, &config, &options, &dataset, console)?;
        runs.push(Reproduced { model, paper, trained });
    }
    write_comparison(&above, args, &runs)?;
    console.document(|| {
        let runs = runs.iter().zip(&folders).map(|(run, (_, _, folder))| {
            Ok(Reproduction {
                paper_accuracy: run.paper.accuracy,
                difference: run.difference(),
                training: Training::read(folder, &run.trained.evaluation)?,
            })
        });
        let runs = runs.collect::<Result<Vec<_>>>()?;
        Ok(json!({ "out": args.out.display().to_string(), "runs": runs }))
    })?;
    // The last of it fills a screen of 24 lines: the better model's heat table and the comparison.
    for run in &runs {
        console.show(&format!("{}\n", details(run, console.screen)))?;
    }
    console.show(&comparison(&runs, console.screen))?;
    console.show(&meaning(&runs, console.screen))?;
    console.show(&above.path().join(run_folder::REPORT).display().to_string())?;
    Ok(Outcome::Done)
}

/// What `--json` prints of a model of the paper.
#[derive(Serialize)]
struct Reproduction {
    paper_accuracy: f64,
    /// The port's less the paper's.
    difference: f64,
    #[serde(flatten)]
    training: Training,
}

/// A model of the paper, trained.
struct Reproduced {
    model: &'static ModelEntry,
    paper: Paper,
    trained: Trained,
}

impl Reproduced {
    fn accuracy(&self) -> f64 {
        self.trained.evaluation.report.accuracy
    }

    /// From the paper's accuracy.
    fn difference(&self) -> f64 {
        self.accuracy() - self.paper.accuracy
    }
}

/// The folder above the run folders. What is written to it must not be there, unless it is to be
/// replaced or comes out the same.
fn claim_above(args: &ReproduceArgs) -> Result<RunFolder> {
    let above = RunFolder::claim(&args.out, Claim::Resume)?;
    let there = COMPARISON_FILES.into_iter().find(|file| above.path().join(file).exists());
    if let Some(file) = there {
        let replaced = args.force || args.checkpoints.resume;
        let out = args.out.display();
        ensure!(
            replaced,
            "--out {out}: it holds another comparison ({file}). Give another folder, or --force to \
             replace it"
        );
    }
    Ok(above)
}

/// The accuracies beside the paper's, and the page about both runs.
fn write_comparison(above: &RunFolder, args: &ReproduceArgs, runs: &[Reproduced]) -> Result<()> {
    let row = |run: &Reproduced| Accuracy {
        name: run.model.title.into(),
        value: run.accuracy(),
        paper: Some(run.paper.accuracy),
    };
    let figure = accuracies(&runs.iter().map(row).collect::<Vec<_>>(), Drawn::Wide);
    above.write(run_folder::ACCURACY_SVG, figure.svg().as_bytes())?;
    above.write(run_folder::ACCURACY_PNG, &figure.png())?;
    let sections: Vec<&Section> =
        runs.iter().filter_map(|run| run.trained.section.as_ref()).collect();
    let page = report::page(&sections, None, args.figures.normalize());
    above.write(run_folder::REPORT, page.as_bytes())?;
    Ok(())
}

/// The model class by class.
fn details(run: &Reproduced, screen: Screen) -> String {
    let Reproduced { model, trained, .. } = run;
    format!(
        "{model}: {}\n{}\nmost confused:\n{}\n\n{}",
        model.description,
        tables::scores(screen, &trained.evaluation.report),
        tables::most_confused(screen, &trained.evaluation.matrix),
        heat(screen, model.name, &trained.evaluation.matrix)
    )
}

fn comparison(runs: &[Reproduced], screen: Screen) -> String {
    let row = |run: &Reproduced| {
        vec![
            run.model.name.into(),
            format!("{:.4}", run.paper.accuracy),
            format!("{:.4}", run.accuracy()),
            format!("{:+.4}", run.difference()),
            format!("{:.1} s", run.trained.metrics.train_seconds),
        ]
    };
    let header = ["model", "paper", "port", "difference", "training"];
    table(screen, &header, runs.iter().map(row))
}

/// What the comparison says: a sentence per model.
fn meaning(runs: &[Reproduced], screen: Screen) -> String {
    let sentence = |run: &Reproduced| {
        let model = run.model;
        // The paper gives four digits.
        let met = run.difference().abs() < 5e-5;
        let (colour, text) = match (run.paper.settings_given, met) {
            (true, true) => (
                Some(AnsiColor::Green),
                format!(
                    "{model}: the paper's accuracy is met, whose settings the paper gives in full."
                ),
            ),
            (true, false) => (
                Some(AnsiColor::Red),
                format!(
                    "{model}: NOT the paper's accuracy. `stitch data` tells whether this is its data \
                     set."
                ),
            ),
            (false, _) => {
                let TrainConfig { batch_size, lr, seed, .. } = model.config();
                let text = format!(
                    "{model}: the paper leaves batch size, learning rate and seed open. They are \
                     {batch_size}, {lr:e} and {seed} here, and the accuracy depends on them."
                );
                (None, text)
            }
        };
        let text = screen.paragraph(&text);
        colour.map_or(text.clone(), |colour| screen.coloured(colour, &text))
    };
    runs.iter().map(sentence).collect::<Vec<_>>().join("\n")
}
