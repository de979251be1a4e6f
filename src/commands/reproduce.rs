//! `stitch reproduce`: both models as the notebook trains them, beside the paper's figures.

use anyhow::Result;
use stitch::checkpoint;
use stitch::models::Architecture;
use stitch::run_folder::RunFolder;
use stitch::train::TrainConfig;

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
            tensorboard: false,
        };
        let trained = train_into(folder, &job, &dataset, console)?;
        runs.push((*architecture, trained));
    }
    for (architecture, trained) in &runs {
        console.print(&format!("{}\n{}", title(*architecture), details(trained)))?;
    }
    console.print(&comparison(&runs))?;
    console.print(
        "The paper gives the mlp's settings in full, so its accuracy should be met exactly. For \
         LeNet-5 it\ngives 5 epochs and Adam, but not batch size, learning rate or seed: these are \
         64, 1e-3 and 0 here,\nand the accuracy depends on them.",
    )?;
    console.print(&format!("written to {}", args.out.display()))?;
    Ok(Outcome::Done)
}

fn title(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Mlp => "mlp: scikit-learn's MLPClassifier, one hidden layer of 64",
        Architecture::Lenet5 => "lenet5: PyTorch's LeNet-5",
    }
}

fn details(trained: &Trained) -> String {
    format!(
        "{}\nmost confused:\n{}\n",
        tables::scores(&trained.evaluation.report),
        tables::most_confused(&trained.evaluation.matrix)
    )
}

fn comparison(runs: &[(Architecture, Trained)]) -> String {
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
    tables::table(&["model", "paper", "port", "difference", "training"], runs.iter().map(row))
}
