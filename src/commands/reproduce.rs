//! `stitch reproduce`: both models as the notebook trains them, beside the paper's figures.

use anyhow::{Result, ensure};
use clap::builder::styling::AnsiColor;
use stitch::checkpoint;
use stitch::models::Architecture;
use stitch::report::figures::{Accuracy, accuracy_comparison};
use stitch::report::{self, Entry, paper_accuracy};
use stitch::run_folder::{self, COMPARISON_FILES, Claim, RunFolder};
use stitch::train::TrainConfig;

use super::documents::{Reproduction, Reproductions, Training};
use super::terminal::{Screen, heat, table};
use super::train::{Job, Trained, train_into};
use super::{Console, Outcome, inputs, tables};
use crate::cli::ReproduceArgs;

pub fn run(args: &ReproduceArgs, console: Console) -> Result<Outcome> {
    let device = inputs::compute(&args.compute)?;
    let claim = |architecture: Architecture| {
        let claim = inputs::claim(args.force, args.checkpoints.resume);
        RunFolder::claim(&args.out.join(architecture.name()), claim)
            .map(|folder| (architecture, folder))
    };
    let folders = Architecture::ALL.map(claim).into_iter().collect::<Result<Vec<_>, _>>()?;
    let above = claim_above(args)?;
    let dataset = inputs::dataset(&args.data, console)?;
    if args.force {
        for file in COMPARISON_FILES {
            above.remove(&above.path().join(file))?;
        }
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
            tensorboard: false,
            figures: Some(args.figures.normalize()),
        };
        let trained = train_into(folder, &job, &dataset, console)?;
        runs.push((*architecture, trained));
    }
    write_comparison(&above, args, &runs)?;
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
    console.show(&above.path().join(run_folder::REPORT).display().to_string())?;
    Ok(Outcome::Done)
}

/// The folder above the two run folders. What is written to it must not be there, unless it is to be
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
fn write_comparison(
    above: &RunFolder,
    args: &ReproduceArgs,
    runs: &[(Architecture, Trained)],
) -> Result<()> {
    let row = |(architecture, trained): &(Architecture, Trained)| Accuracy {
        name: report::title(*architecture).into(),
        value: trained.evaluation.report.accuracy,
        paper: Some(paper_accuracy(*architecture)),
    };
    let figure = accuracy_comparison(&runs.iter().map(row).collect::<Vec<_>>());
    above.write(run_folder::ACCURACY_SVG, figure.svg().as_bytes())?;
    above.write(run_folder::ACCURACY_PNG, &figure.png())?;
    let entries: Vec<&Entry> =
        runs.iter().filter_map(|(_, trained)| trained.entry.as_ref()).collect();
    let page = report::page(&entries, None, args.figures.normalize());
    above.write(run_folder::REPORT, page.as_bytes())?;
    Ok(())
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
                "mlp: the paper's accuracy is met, whose settings the paper gives in full.".into()
            }
            (Architecture::Mlp, false) => {
                "mlp: NOT the paper's accuracy. `stitch data` tells whether this is its data set."
                    .into()
            }
            (Architecture::Lenet5, _) => {
                let TrainConfig { batch_size, lr, seed, .. } = TrainConfig::notebook(*architecture);
                format!(
                    "lenet5: the paper leaves batch size, learning rate and seed open. They are \
                     {batch_size}, {lr:e} and {seed} here, and the accuracy depends on them."
                )
            }
        };
        let text = screen.paragraph(&text);
        match (architecture, met) {
            (Architecture::Mlp, true) => screen.coloured(AnsiColor::Green, &text),
            (Architecture::Mlp, false) => screen.coloured(AnsiColor::Red, &text),
            (Architecture::Lenet5, _) => text,
        }
    };
    runs.iter().map(sentence).collect::<Vec<_>>().join("\n")
}
