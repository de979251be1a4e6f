//! Flags that several commands have.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use stitch::run::CheckpointEvery;
use stitch::train::{Device, Engine};

use super::engines;
use super::values::parse_checkpoint_every;

/// Where the data set is.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// Folder with the four files of Fashion-MNIST, .gz or unpacked
    ///
    /// Without it: $FASHION_MNIST_DIR, data/fashion-mnist, /usr/share/datasets/fashion-mnist
    /// (Debian's dataset-fashion-mnist), Keras's cache, data/FashionMNIST/raw (torchvision).
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// How to compute.
#[derive(Debug, Args, Serialize)]
pub struct ComputeArgs {
    /// Threads within an operation, at least 1 [default: libtorch's choice, one a core]
    ///
    /// 1 and 2 threads give different bits; compare runs of the same number.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=4096))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Where to compute: cpu, cuda or cuda:N [default: cpu]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
}

impl ComputeArgs {
    /// The number of threads, if it is given.
    pub fn threads(&self) -> Option<usize> {
        self.threads.map(|threads| threads as usize)
    }
}

/// Which engine computes.
#[derive(Debug, Args)]
pub struct EngineArgs {
    /// Engine that computes the steps [default: exact on the CPU, eager on other devices]
    ///
    /// eager and exact give the notebook's bits, scikit-learn's models within 1e-12. fast does not: use it if you only need the trained model;
    /// its results are the same from run to run with the same threads and kind of CPU.
    #[arg(long, value_parser = engines::parser())]
    pub engine: Option<Engine>,
    /// Short for --engine fast
    #[arg(long, conflicts_with = "engine")]
    pub fast: bool,
}

impl EngineArgs {
    pub fn asked(&self) -> Option<Engine> {
        self.engine.or(self.fast.then_some(Engine::Fast))
    }
}

/// How a run resumes.
#[derive(Debug, Args)]
pub struct CheckpointArgs {
    /// Resume an interrupted run; the result is bit-identical to an uninterrupted one
    ///
    /// From the newest intact checkpoint in the run folder. Settings, data, threads and libtorch must
    /// be the same; --epochs may be more. Where there is nothing to continue, a run begins.
    #[arg(long, conflicts_with = "force")]
    pub resume: bool,
    /// Write a checkpoint every N seconds (30s) or steps (500steps), and at the end of each epoch;
    /// off: none
    #[arg(long, value_name = "N", default_value = "30s", value_parser = parse_checkpoint_every)]
    pub checkpoint_every: CheckpointEvery,
}

/// How figures are drawn.
#[derive(Debug, Args)]
pub struct FigureArgs {
    /// Draw confusion matrices in percent of the true class instead of numbers of images
    #[arg(long)]
    pub normalize: bool,
}

/// Which of several dicts of weights.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// Key of the dict of weights in a checkpoint; required if there are several
    ///
    /// For example `model` or `ema`; `generator.ema` is the dict `ema` in the dict `generator`. By default the
    /// only dict of tensors is used, whatever its key.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
}

impl KeyArgs {
    /// As it was given.
    pub fn of(&self) -> Option<&str> {
        self.key.as_deref()
    }
}
