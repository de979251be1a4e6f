//! The command lines of `stitch reproduce` and `stitch train`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use serde_json::{Map, Value};
use stitch::models::ModelEntry;
use stitch::parity::TracedSteps;
use stitch::stitch_run::{Augment, Loss, LrSchedule, Normalize, Optimizer, json};

use super::values::{
    NumberOrOff, number, parse_number_or_off, parse_on_or_off, setting, written_path,
};
use super::{CheckpointArgs, ComputeArgs, DataArgs, EngineArgs, FigureArgs, models};

/// `stitch reproduce`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stitch reproduce
  stitch reproduce --future --out runs/future
  stitch reproduce --force --json
  stitch reproduce --threads 1 --out runs/thread --checkpoint-every off")]
pub struct ReproduceArgs {
    /// Also train the paper's future work, a deeper network, and add it to the comparison
    #[arg(long, help = models::future())]
    pub future: bool,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Folder for the run folders and report.html
    #[arg(long, value_name = "DIR",
          value_parser = written_path(), default_value = "runs/reproduce", help = models::reproduce_out())]
    pub out: PathBuf,
    #[command(flatten)]
    pub checkpoints: CheckpointArgs,
    #[command(flatten)]
    pub figures: FigureArgs,
    /// Replace existing runs in the folder
    #[arg(long)]
    pub force: bool,
}

/// `stitch train`
#[derive(Debug, Args)]
#[command(after_long_help = "\
The defaults of mlp are the notebook's. For lenet5 the notebook gives 5 epochs and Adam, but no batch \
size, learning rate or seed: docs/study.md says how the defaults were chosen. deepcnn is not in the paper: \
its architecture and defaults are this port's choice.

Examples:
  stitch train mlp
  stitch train lenet5
  stitch train lenet5 --epochs 1 --out runs/short
  stitch train lenet5 --fast --out runs/fast
  stitch train lenet5 --batch-size 64 --lr 1e-3 --seed 3 --threads 2 --out runs/seed3
  stitch train deepcnn --augment crop,flip --lr-schedule cosine --epochs 30 --out runs/long-deepcnn
  stitch train lenet5 --optimizer rmsprop --normalize 0.2860,0.3530 --drop-last --out runs/normalized
  stitch train lenet5 --init runs/lenet5/state_dict.pt --epochs 2 --out runs/more
  stitch train lenet5 --epochs 50 --val 5000 --patience 3 --tensorboard --out runs/long
  stitch train --config runs/long/config.json --out runs/again
  stitch train --config runs/long --lr 5e-4 --out runs/other --dry-run
  stitch train --config docs/settings.toml --out runs/settings")]
pub struct TrainArgs {
    /// The model to train, or a TorchScript file of your own (torch.jit.script(model).save("model.pt"))
    #[arg(required_unless_present = "config", value_parser = models::network_parser())]
    pub model: Option<&'static ModelEntry>,
    /// Read settings from FILE: the config.json or folder of a run, which is repeated, or TOML or JSON of your own; flags
    /// override them
    ///
    /// A run of stitch or notebook.py is repeated bit for bit with the same libtorch and kind of CPU. If a different data set is
    /// found, pass --data to use it anyway. A warning is printed if libtorch or the CPU differs.
    ///
    /// A file of your own has names and values such as lr = 0.001, with the names of config.json; common names of other
    /// programs (learning_rate, num_epochs) are accepted. Settings that are not in it use the model's defaults. It must set
    /// `model` if MODEL is omitted.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub settings: SettingArgs,
    #[command(flatten)]
    pub data: DataArgs,
    /// Run folder to write [default: runs/<model>]
    #[arg(long, value_name = "DIR", value_parser = written_path())]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub checkpoints: CheckpointArgs,
    /// Record the tensors of selected steps in OUT/trace, for `stitch parity`
    ///
    /// The eager engine also records the output of each layer and the gradient w.r.t. it.
    ///
    /// A traced run writes no checkpoints and cannot be resumed: checkpoints do not contain the trace.
    #[arg(long, conflicts_with = "resume")]
    pub trace: bool,
    /// The steps that --trace records, such as 1-5,100,last (of each epoch) [default: 1-3,10,100,last]
    #[arg(long, value_name = "LIST", requires = "trace", allow_negative_numbers = true)]
    pub trace_steps: Option<TracedSteps>,
    /// Write TensorBoard events to OUT/tensorboard: losses, accuracies, confusion matrix
    ///
    /// `tensorboard --logdir OUT` shows them, also during the run.
    #[arg(long)]
    pub tensorboard: bool,
    /// Run one step and show settings, data and files; write nothing
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,
    /// Replace an existing run in the folder
    #[arg(long)]
    pub force: bool,
}

/// The flags of a run's settings, named like the fields of [`TrainConfig`](stitch::train::TrainConfig).
#[derive(Debug, Args, Serialize)]
pub struct SettingArgs {
    /// Number of passes over the training images
    #[arg(long, value_name = "N", allow_negative_numbers = true,
          value_parser = setting::<usize>("epochs"), help = models::epochs())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// Images per step
    #[arg(long, value_name = "N", allow_negative_numbers = true,
          value_parser = setting::<usize>("batch_size"), help = models::batch_size())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<usize>,
    /// Learning rate
    #[arg(long, value_name = "F", allow_negative_numbers = true,
          value_parser = setting::<f64>("lr"), help = models::lr())]
    #[serde(skip)]
    pub lr: Option<f64>,
    /// Seed of initial weights and shuffling
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = setting::<u64>("seed"), help = models::seed(),
          long_help = models::seed_in_full())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Hold out the last N training images; report loss and accuracy on them after each epoch [default: off]
    ///
    /// The result is bit-identical to training on files without those images. The weights of the epoch with the lowest
    /// validation loss (the first one in case of a tie) are saved besides the last ones. The test images are not used
    /// to select them.
    #[arg(long, value_name = "N|off", allow_negative_numbers = true, value_parser = parse_number_or_off)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val: Option<NumberOrOff>,
    /// With --val: stop after N epochs without a lower validation loss [default: off]
    #[arg(long, value_name = "N|off", allow_negative_numbers = true, value_parser = parse_number_or_off)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<NumberOrOff>,
    /// Batch normalization after each convolution
    #[arg(long, value_name = "on|off", value_parser = parse_on_or_off, help = models::batch_norm())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_norm: Option<bool>,
    /// Probability of dropout before the last layer; 0: no dropout
    #[arg(long, value_name = "P", allow_negative_numbers = true,
          value_parser = setting::<f64>("dropout"), help = models::dropout())]
    #[serde(skip)]
    pub dropout: Option<f64>,
    /// Number of classes: outputs of the last layer [default: 10]
    ///
    /// For PyTorch models on another data set than Fashion-MNIST.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = setting::<usize>("classes"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
    /// Start from the weights in this file instead of drawn ones [default: off]
    ///
    /// For PyTorch models; any file that `evaluate` reads. As in Python, the initial values are drawn first, by --seed, and
    /// then replaced, so the seed decides what is drawn next: the order of the images, augmentation and dropout. config.json
    /// has the path and SHA-256 of the file; a run is neither repeated nor resumed with another file.
    #[arg(long, value_name = "FILE|off")]
    #[serde(skip)]
    pub init: Option<PathBuf>,
    /// Random transforms of the training images, such as crop,flip [default: none]
    ///
    /// For PyTorch models. A list, applied in this order: crop[:PADDING] (RandomCrop, 2 pixels), flip[:P] (RandomHorizontalFlip, 0.5) and
    /// erase[:P] (RandomErasing, 0.1) of torchvision.transforms.v2.
    #[arg(long, value_name = "none|LIST")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub augment: Option<Augment>,
    /// Normalize all images with mean and standard deviation, such as 0.2860,0.3530 [default: none]
    ///
    /// For PyTorch models: torchvision's Normalize((MEAN,), (STD,)) of pixels from 0 to 1, after --augment. Training,
    /// validation and test images are normalized, and those of `evaluate` and `predict` with the weights of the run. The
    /// exported networks expect normalized images. Without a value, it shows confusion matrices in percent of the true class
    /// instead of counts, as for `stitch report`.
    #[arg(long, value_name = "none|MEAN,STD", num_args = 0..=1)]
    #[serde(skip_serializing_if = "has_no_value")]
    pub normalize: Option<Option<Normalize>>,
    /// Draw a new order of the training images in each epoch [default: on]
    #[arg(long, value_name = "on|off", value_parser = parse_on_or_off)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shuffle: Option<bool>,
    /// Leave out the last batch of an epoch if it is shorter than the others [default: off]
    #[arg(long, value_name = "on|off", num_args = 0..=1, require_equals = true, default_missing_value = "on",
          value_parser = parse_on_or_off)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_last: Option<bool>,
    /// The optimizer of PyTorch models [default: adam]
    #[arg(long, value_name = "NAME", value_parser = optimizer_parser())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<Optimizer>,
    /// Momentum of sgd and rmsprop; --lr-schedule onecycle sets it at each step [default: 0]
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = setting::<f64>("momentum"))]
    #[serde(skip)]
    pub momentum: Option<f64>,
    /// Nesterov momentum of sgd; needs --momentum [default: off]
    #[arg(long, value_name = "on|off", num_args = 0..=1, require_equals = true, default_missing_value = "on",
          value_parser = parse_on_or_off)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nesterov: Option<bool>,
    /// Weight decay [default: 0; adamw 0.01]
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = setting::<f64>("weight_decay"))]
    #[serde(skip)]
    pub weight_decay: Option<f64>,
    /// The loss of PyTorch models [default: cross-entropy]
    ///
    /// PyTorch's CrossEntropyLoss, or NLLLoss (nll) for a network that ends with log_softmax: minus its output for the true
    /// class. lenet5 and deepcnn return logits; with nll their loss has no lower bound, as in PyTorch.
    #[arg(long, value_name = "NAME", value_parser = loss_parser())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// Label smoothing of cross-entropy, 0 to 1 [default: 0]
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = setting::<f64>("label_smoothing"))]
    #[serde(skip)]
    pub label_smoothing: Option<f64>,
    /// Schedule of the learning rate: none, step:EVERY,GAMMA, cosine or onecycle [default: none]
    ///
    /// PyTorch's StepLR and CosineAnnealingLR (to 0, over all epochs) change it after an epoch, OneCycleLR (up to --lr,
    /// over all steps of the run) after each step, and with it the momentum of sgd and rmsprop or beta1 of Adam; adadelta has neither and cannot use it. A run with cosine or onecycle cannot be resumed with more epochs.
    #[arg(long, value_name = "SCHEDULE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr_schedule: Option<LrSchedule>,
    #[command(flatten)]
    #[serde(flatten)]
    pub compute: ComputeArgs,
    #[command(flatten)]
    #[serde(skip)]
    pub engine: EngineArgs,
}

fn loss_parser() -> impl TypedValueParser<Value = Loss> {
    PossibleValuesParser::new(Loss::ALL.map(Loss::name)).try_map(|name| name.parse())
}

/// Whether `--normalize` is missing, or concerns confusion matrices.
fn has_no_value(normalize: &Option<Option<Normalize>>) -> bool {
    !matches!(normalize, Some(Some(_)))
}

fn optimizer_parser() -> impl TypedValueParser<Value = Optimizer> {
    PossibleValuesParser::new(Optimizer::ALL.map(Optimizer::name)).try_map(|name| name.parse())
}

impl SettingArgs {
    /// `--normalize` without a value.
    pub fn figures(&self) -> FigureArgs {
        FigureArgs { normalize: self.normalize == Some(None) }
    }

    /// The given settings by name, without `init`; null means off.
    pub fn given(&self) -> Map<String, Value> {
        let mut map = json::to_object(self);
        for (name, value) in [
            ("lr", self.lr),
            ("dropout", self.dropout),
            ("momentum", self.momentum),
            ("weight_decay", self.weight_decay),
            ("label_smoothing", self.label_smoothing),
        ] {
            map.extend(value.map(|value| (name.into(), number(value))));
        }
        map.extend(self.engine.given().map(|engine| ("engine".into(), engine.name().into())));
        map
    }
}
