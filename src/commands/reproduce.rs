//! `stitch reproduce`: both models as the notebook trains them, beside the paper's figures.

use anyhow::Result;
use clap::builder::styling::AnsiColor;
use stitch::checkpoint;
use stitch::models::Architecture;
use stitch::run_folder::RunFolder;
use stitch::train::TrainConfig;

use super::documents::{Reproduction, Reproductions, Training};
use super::terminal::{Screen, heat, table};
use super::train::{Job, Trained, train_into};
use super::{Console, Outcome, inputs, tables};
use crate::cli::ReproduceArgs;

/// Test accuracy in the paper; shown, never computed with.
fn paper_accuracy(architecture: Architecture) -> f64 {
    match architecture {
        Architecture::Mlp => 0.8709,
        Architecture::Lenet5 => 0.8953,
    }
}

pub fn run(args: &ReproduceArgs, console: Console) -> Result<Outcome> {
    let device = inputs::compute(&args.compute)?;
    let claim = |architecture: Architecture| {
        let claim = inputs::claim(args.force, args.checkpoints.resume);
        RunFolder::claim(&args.out.join(architecture.name()), claim)
            .map(|folder| (architecture, folder))
    };
    let folders = Architecture::ALL.map(claim).into_iter().collect::<Result<Vec<_>, _>>()?;
    let dataset = inputs::dataset(&args.data, console)?;
    if args.force {
        // All at once: broken off, neither is then a finished one that --resume would leave as it is.
        for (_, folder) in &folders {
            folder.clear()?;
            checkpoint::clear(folder)?;
        }
    }
    let mut runs = Vec::new();
    for (architecture, folder) in &folders {
        let config = TrainConfig { device, ..TrainConfig::notebook(*architecture) };
        let job = Job {
            architecture: *architecture,
            config,
            every: args.checkpoints.checkpoint_every,
            resume: args.checkpoints.resume,
            trace: false,
        };
        let trained = train_into(folder, &job, &dataset, console)?;
        runs.push((*architecture, trained));
    }
    console.document(|| {
        let runs = runs.iter().zip(&folders).map(|((architecture, trained), (_, folder))| {
            let paper_accuracy = paper_accuracy(*architecture);
            Ok(Reproduction {
                paper_accuracy,
                difference: trained.evaluation.report.accuracy - paper_accuracy,
                training: Training::read(folder, &trained.evaluation)?,
            })
        });
        Ok(Reproductions {
            out: args.out.display().to_string(),
            runs: runs.collect::<Result<_>>()?,
        })
    })?;
    // The last of it fills a screen of 24 lines: the better model's heat table and the comparison.
    for (architecture, trained) in &runs {
        console.show(&format!("{}\n", details(*architecture, trained, console.screen)))?;
    }
    console.show(&comparison(&runs, console.screen))?;
    console.show(&meaning(&runs, console.screen))?;
    console.show(&format!("written to {}", args.out.display()))?;
    Ok(Outcome::Done)
}

fn title(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Mlp => "mlp: scikit-learn's MLPClassifier, one hidden layer of 64",
        Architecture::Lenet5 => "lenet5: PyTorch's LeNet-5",
    }
}

/// The model class by class.
fn details(architecture: Architecture, trained: &Trained, screen: Screen) -> String {
    format!(
        "{}\n{}\nmost confused:\n{}\n\n{}",
        title(architecture),
        tables::scores(screen, &trained.evaluation.report),
        tables::most_confused(screen, &trained.evaluation.matrix),
        heat(screen, architecture.name(), &trained.evaluation.matrix)
    )
}

fn comparison(runs: &[(Architecture, Trained)], screen: Screen) -> String {
    let row = |(architecture, trained): &(Architecture, Trained)| {
        let paper = paper_accuracy(*architecture);
        let port = trained.evaluation.report.accuracy;
        vec![
            architecture.name().into(),
            format!("{paper:.4}"),
            format!("{port:.4}"),
            format!("{:+.4}", port - paper),
            format!("{:.1} s", trained.metrics.train_seconds),
        ]
    };
    let header = ["model", "paper", "port", "difference", "training"];
    table(screen, &header, runs.iter().map(row))
}

/// What the comparison says: a sentence a model.
fn meaning(runs: &[(Architecture, Trained)], screen: Screen) -> String {
    let sentence = |(architecture, trained): &(Architecture, Trained)| {
        let difference = trained.evaluation.report.accuracy - paper_accuracy(*architecture);
        // The paper gives four digits.
        let met = difference.abs() < 5e-5;
        let text = match (architecture, met) {
            (Architecture::Mlp, true) => {
                "mlp: the paper's accuracy is met, whose settings the paper gives in full."
            }
            (Architecture::Mlp, false) => {
                "mlp: NOT the paper's accuracy. `stitch data` tells whether this is its data set."
            }
            (Architecture::Lenet5, _) => {
                "lenet5: the paper leaves batch size, learning rate and seed open. They are 64, 1e-3 and \
                 0 here, and the accuracy depends on them."
            }
        };
        let text = screen.paragraph(text);
        match (architecture, met) {
            (Architecture::Mlp, true) => screen.coloured(AnsiColor::Green, &text),
            (Architecture::Mlp, false) => screen.coloured(AnsiColor::Red, &text),
            (Architecture::Lenet5, _) => text,
        }
    };
    runs.iter().map(sentence).collect::<Vec<_>>().join("\n")
}
