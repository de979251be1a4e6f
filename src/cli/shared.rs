//! Flags that several commands share.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use stitch::stitch_run::CheckpointEvery;
use stitch::stitch_run::Normalize;
use stitch::train::{Device, Engine};

use super::engines;
use super::values::{parse_checkpoint_every, threads};

/// The flag of the data set's folder.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// Folder with the four files of Fashion-MNIST, or of another data set in its format, .gz or unpacked
    ///
    /// By default these are searched in order: $FASHION_MNIST_DIR, data/fashion-mnist, /usr/share/datasets/fashion-mnist
    /// (Debian's dataset-fashion-mnist), Keras's cache, data/FashionMNIST/raw (torchvision).
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// The flags for threads and device.
#[derive(Debug, Args, Serialize)]
pub struct ComputeArgs {
    /// Number of threads within an operation [default: libtorch's choice, one per core]
    ///
    /// Results depend on the number of threads in their low-order bits: compare runs with the same number.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = threads())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Compute on this device: cpu, cuda or cuda:N [default: cpu]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
}

impl ComputeArgs {
    /// Whether one of the flags is given.
    #[cfg(not(feature = "libtorch"))]
    pub fn is_given(&self) -> bool {
        self.threads.is_some() || self.device.is_some()
    }

    /// The number of threads, if it is given.
    pub fn threads(&self) -> Option<usize> {
        self.threads.map(|threads| threads as usize)
    }
}

/// The flags of the engine.
#[derive(Debug, Args)]
pub struct EngineArgs {
    /// Compute the steps with this engine [default: exact on the CPU, eager on other devices]
    ///
    /// The results of eager and exact are bit-identical to the notebook (scikit-learn's models: within 1e-12). Those of
    /// fast are not; they are reproducible with the same threads and kind of CPU.
    #[arg(long, value_parser = engines::parser())]
    pub engine: Option<Engine>,
    /// Faster kernels that sum in a different order; results are not bit-identical to the notebook. Use it when you only
    /// need the trained model. Short for --engine fast
    #[arg(long, conflicts_with = "engine")]
    pub fast: bool,
}

impl EngineArgs {
    /// The engine, if one of the flags is given.
    pub fn given(&self) -> Option<Engine> {
        self.engine.or(self.fast.then_some(Engine::Fast))
    }
}

/// `--resume` and `--checkpoint-every`.
#[derive(Debug, Args)]
pub struct CheckpointArgs {
    /// Resume an interrupted run; the result is bit-identical to an uninterrupted one
    ///
    /// Resumes from the newest intact checkpoint in the run folder. Settings, data, threads and libtorch must be the
    /// same. An interrupted run of `train` may be given more --epochs; a finished one cannot be extended. Without a
    /// checkpoint the run starts from the beginning.
    #[arg(long, conflicts_with = "force")]
    pub resume: bool,
    /// Write a checkpoint every N seconds (30s) or steps (500steps) and after each epoch; off: never
    #[arg(long, value_name = "N", default_value = "30s", allow_negative_numbers = true,
          value_parser = parse_checkpoint_every)]
    pub checkpoint_every: CheckpointEvery,
}

/// `--normalize`.
#[derive(Debug, Args)]
pub struct FigureArgs {
    /// Show confusion matrices in percent of the true class instead of counts
    #[arg(long)]
    pub normalize: bool,
}

/// The flag for the input of a network.
#[derive(Debug, Args)]
pub struct InputArgs {
    /// Normalize images with mean and standard deviation [default: as in the run of FILE]
    ///
    /// Without this flag, FILE's metadata or the config.json of its run folder tell whether images were normalized (`stitch
    /// train --normalize`). A note is printed if neither does.
    #[arg(long, value_name = "none|MEAN,STD", allow_hyphen_values = true)]
    pub normalize: Option<Normalize>,
}

/// The flag that selects a dict of weights.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// Key of the dict of weights in a checkpoint; required if there are several
    ///
    /// For example `model` or `ema`; `generator.ema` is the dict `ema` in the dict `generator`. By default the only
    /// dict of tensors is used.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
}

impl KeyArgs {
    /// The key, if it is given.
    pub fn get(&self) -> Option<&str> {
        self.key.as_deref()
    }
}
