//! The command line: clap types, nothing else.

mod data;
mod engines;
mod models;
mod shared;
mod study;
mod values;

use std::env;
use std::ops::Range;
use std::path::PathBuf;

use clap::{
    Args, ColorChoice, Command as ClapCommand, CommandFactory, FromArgMatches, Parser, Subcommand,
    ValueEnum,
};
use clap_complete::Shell;
pub use data::{DataAction, DataCommand, FetchArgs};
pub use shared::{CheckpointArgs, ComputeArgs, DataArgs, EngineArgs, FigureArgs, KeyArgs};
pub use study::{
    StudyAction, StudyCollectArgs, StudyCommand, StudyPlanArgs, StudyReportArgs, StudyRunArgs,
};
pub use values::{CheckpointEvery, NumberOrOff};

use stitch::models::ModelEntry;
use values::{
    parse_indices, parse_named_tolerance, parse_number_or_off, parse_tolerance, written_path,
};

/// The notebook's two Fashion-MNIST classifiers in Rust, equal to the Python original.
///
/// Results go to stdout, progress and warnings to stderr. Exit codes: 0 success, 1 check failed
/// (parity difference, corrupt data, diverged training), 2 usage, unreadable input, output that cannot be written or exhausted memory,
/// 130 and 143 interrupted (Ctrl-C, SIGTERM).
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_long_help = "\
Examples (each `stitch COMMAND --help` has more):
  stitch reproduce --out runs/first
  stitch predict docs/pictures
  stitch evaluate models/lenet5/state_dict.pt --json"
)]
pub struct Cli {
    /// Print no progress and no warnings
    #[arg(long, short, global = true, display_order = 1000)]
    pub quiet: bool,
    /// Print one JSON document instead of text; when it fails, {"error": …, "exit_code": …}
    ///
    /// docs/json.md describes the documents. Progress, warnings and the sentence of an error go to
    /// stderr as ever.
    #[arg(long, global = true, display_order = 1000)]
    pub json: bool,
    /// Colour the output: auto, always or never
    ///
    /// auto: on a terminal, unless $NO_COLOR is set and not empty or $TERM is dumb; $CLICOLOR_FORCE: elsewhere
    /// too.
    #[arg(
        long,
        global = true,
        display_order = 1000,
        value_name = "WHEN",
        default_value_t,
        hide_possible_values = true
    )]
    pub color: ColorChoice,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train both models as the notebook does and compare them with the paper
    Reproduce(ReproduceArgs),
    /// Train one model and write a run folder
    Train(TrainArgs),
    /// List the models, or show a model's layers
    Models(ModelsArgs),
    /// Evaluate a weights file on the test images
    Evaluate(EvaluateArgs),
    /// Classify pictures of your own
    Predict(PredictArgs),
    /// Write any readable weights file in another format
    Export(ExportArgs),
    /// Compare two runs, traces or files; name the first thing that differs
    Parity(ParityArgs),
    /// Write the page about one run or several again, from their run folders
    Report(ReportArgs),
    /// Show where the data set is and whether it is intact, or fetch it
    Data(DataCommand),
    /// Train many runs, over seeds and settings, on one machine or many
    Study(StudyCommand),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Write the manual pages
    #[command(hide = true)]
    Man(ManArgs),
}

/// `stitch reproduce`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stitch reproduce
  stitch reproduce --force --json
  stitch reproduce --threads 1 --out runs/thread --checkpoint-every off")]
pub struct ReproduceArgs {
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Folder for the run folders and report.html
    #[arg(long, value_name = "DIR", value_parser = written_path(), default_value = "runs/reproduce", help = models::reproduce_out())]
    pub out: PathBuf,
    #[command(flatten)]
    pub checkpoints: CheckpointArgs,
    #[command(flatten)]
    pub figures: FigureArgs,
    /// Replace runs that the folder holds
    #[arg(long)]
    pub force: bool,
}

/// `stitch train`
#[derive(Debug, Args)]
#[command(after_long_help = "\
The notebook fixes the mlp's settings. For lenet5 it fixes the 5 epochs and Adam, but neither batch \
size nor learning rate nor seed. The defaults 32 and 2e-3 came out of 16 pairs that were tried \
with 5 seeds: of the three nearest to the paper's 0.8953, run with 20 seeds, this one's median is the nearest. \
The seed 0 was not chosen by its result. The common alternative is --batch-size 64 --lr 1e-3.

Examples:
  stitch train mlp
  stitch train lenet5
  stitch train lenet5 --epochs 1 --out runs/short
  stitch train lenet5 --fast --out runs/fast
  stitch train lenet5 --batch-size 64 --lr 1e-3 --seed 3 --threads 2 --out runs/seed3
  stitch train lenet5 --epochs 50 --val 5000 --patience 3 --tensorboard --out runs/long
  stitch train --config runs/long/config.json --out runs/again
  stitch train --config runs/long --lr 5e-4 --out runs/other --dry-run")]
pub struct TrainArgs {
    /// The model to train
    #[arg(required_unless_present = "config", value_parser = models::parser())]
    pub model: Option<&'static ModelEntry>,
    /// Repeat the run of this config.json, or run folder, to the same bits; flags override it
    ///
    /// Of stitch or of notebook.py. Its epochs, batch size, learning rate, seed, threads, device, engine,
    /// validation images and patience are taken. Where the data found is other data, give --data to
    /// train on it all the same. Equal bits need the same libtorch and kind of CPU; a warning says so
    /// where they are others.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Passes over the training images
    #[arg(long, value_name = "N", allow_negative_numbers = true, help = models::epochs())]
    pub epochs: Option<usize>,
    /// Images per step
    #[arg(long, value_name = "N", allow_negative_numbers = true, help = models::batch_size())]
    pub batch_size: Option<usize>,
    /// Learning rate of Adam
    #[arg(long, value_name = "F", allow_negative_numbers = true, help = models::lr())]
    pub lr: Option<f64>,
    /// Seed of initial weights and shuffling
    #[arg(long, value_name = "N", allow_negative_numbers = true, help = models::seed(),
          long_help = models::seed_in_full())]
    pub seed: Option<u64>,
    /// Hold out the last N training images, and give loss and accuracy on them after each epoch
    /// [default: off]
    ///
    /// The run has the bits of one on files that end before them. The weights of the epoch with the
    /// lowest validation loss, the first of equals, are kept beside the last ones. The test images are
    /// never looked at for it.
    #[arg(long, value_name = "N|off", allow_negative_numbers = true, value_parser = parse_number_or_off)]
    pub val: Option<NumberOrOff>,
    /// With --val: stop when the validation loss has not become lower for N epochs [default: off]
    #[arg(long, value_name = "N|off", allow_negative_numbers = true, value_parser = parse_number_or_off)]
    pub patience: Option<NumberOrOff>,
    #[command(flatten)]
    pub compute: ComputeArgs,
    #[command(flatten)]
    pub data: DataArgs,
    /// Run folder to write [default: runs/<model>]
    #[arg(long, value_name = "DIR", value_parser = written_path())]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub checkpoints: CheckpointArgs,
    /// Write down the causal chain of the run into OUT/trace, for `stitch parity`
    ///
    /// Such a run writes no checkpoints and cannot be resumed: what was traced is not in them.
    #[arg(long, conflicts_with = "resume")]
    pub trace: bool,
    #[command(flatten)]
    pub figures: FigureArgs,
    /// Write events into OUT/tensorboard: losses, accuracies and the confusion matrix
    ///
    /// `tensorboard --logdir OUT` shows them, while the run goes on too.
    #[arg(long)]
    pub tensorboard: bool,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Show what would be done: settings, data, files; do one step, and write nothing
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,
    /// Replace a run that the folder holds
    #[arg(long)]
    pub force: bool,
}

/// `stitch models`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Parameters and multiply-adds are counted as torchinfo counts them; multiply-adds are per image.

Examples:
  stitch models
  stitch models lenet5
  stitch models lenet5 --json")]
pub struct ModelsArgs {
    /// The model whose layers to show; all models are listed without it
    #[arg(value_parser = models::parser())]
    pub model: Option<&'static ModelEntry>,
}

/// `stitch evaluate`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples (the third reads what `stitch train mlp` wrote):
  stitch evaluate models/lenet5/state_dict.pt
  stitch evaluate models/lenet5/torchscript.pt --out runs/evaluation
  stitch evaluate runs/mlp/weights.safetensors --model mlp --json")]
pub struct EvaluateArgs {
    /// Weights: .pt (state_dict, checkpoint or TorchScript), .safetensors, .npz or .npy
    pub file: PathBuf,
    /// The model, if it is not to be recognised from names and shapes
    #[arg(long, value_parser = models::parser())]
    pub model: Option<&'static ModelEntry>,
    #[command(flatten)]
    pub key: KeyArgs,
    #[command(flatten)]
    pub compute: ComputeArgs,
    #[command(flatten)]
    pub data: DataArgs,
    /// Folder to write metrics, predictions, confusion matrix and report to
    #[arg(long, value_name = "DIR", value_parser = written_path())]
    pub out: Option<PathBuf>,
    /// Replace a run that the folder holds
    #[arg(long)]
    pub force: bool,
}

/// `stitch predict`
#[derive(Debug, Args)]
#[command(
    override_usage = "stitch predict [OPTIONS] [FILE] <IMAGE>...",
    after_long_help = "\
An image may have any size and color, with one object on a plain background. It is preprocessed like \
Fashion-MNIST: the border is cropped, the longest side scaled to 28, the object centered in 28x28 gray \
pixels, light on dark. 28x28 gray images on a dark background, and the images of IDX files, are not changed.

Exit codes: 0 every image is classified, 1 some cannot be read, 2 none can be read, or usage, or weights that
cannot be read.

Examples (the pictures and models come with the project, the .gz file with Debian's data set):
  stitch predict docs/pictures/shoe.png
  stitch predict docs/pictures/shoe.png --model mlp --top-k 10 --json
  stitch predict models/lenet5/torchscript.pt docs/pictures --save-input seen
  stitch predict /usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz --index 7 --index 0..5"
)]
pub struct PredictArgs {
    /// Pictures (PNG, JPEG, BMP, GIF, WebP), folders of them, or IDX files, also .gz
    ///
    /// The first may be FILE, the weights to use, in any format that `evaluate` reads. Without it, a
    /// trained model that is built in is used, see --model. Of a folder, the pictures in it are taken,
    /// sorted by name.
    #[arg(value_name = "IMAGE", required = true)]
    pub inputs: Vec<PathBuf>,
    /// The model of FILE; without FILE, the built-in model to use
    #[arg(long, value_parser = models::parser(), help = models::predict_model())]
    pub model: Option<&'static ModelEntry>,
    #[command(flatten)]
    pub key: KeyArgs,
    /// Of IDX files, the image N, from 0 on, or N..M (M not included); may be given several times
    ///
    /// Without it, all images.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_indices)]
    pub index: Vec<Range<usize>>,
    /// Show the N most probable classes
    #[arg(long, value_name = "N", default_value_t = 3, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u8).range(1..=10))]
    pub top_k: u8,
    /// Leave pictures as they are whose ground is lighter than the thing on it; without it they are
    /// inverted
    #[arg(long)]
    pub no_invert: bool,
    /// Write the 28x28 pictures that the model saw to this folder, as PNG
    #[arg(long, value_name = "DIR", value_parser = written_path())]
    pub save_input: Option<PathBuf>,
    /// Print CSV: file,index,rank,label,class,probability
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

/// The formats that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatName {
    /// torch.load(path) in Python
    StateDict,
    /// torch.jit.load(path) in Python and torch::jit::load in C++: parameters and forward
    Torchscript,
    /// safetensors.torch.load_file(path), and readers in most languages
    Safetensors,
    /// numpy.load(path)
    Npz,
    /// onnxruntime.InferenceSession(path), and runtimes in most languages: parameters and forward
    Onnx,
}

impl FormatName {
    /// As it is written on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// `stitch export`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples (from what `stitch train lenet5` and `stitch train mlp` wrote):
  stitch export runs/lenet5/state_dict.pt --format torchscript -o lenet5.pt
  stitch export runs/lenet5/state_dict.pt --format onnx -o lenet5.onnx
  stitch export runs/mlp/state_dict.pt --format npz --sklearn -o mlp.npz")]
pub struct ExportArgs {
    /// Weights: .pt (state_dict, checkpoint or TorchScript), .safetensors, .npz or .npy
    pub file: PathBuf,
    /// The format to write
    #[arg(long, short)]
    pub format: FormatName,
    /// The file to write; - for standard output
    #[arg(long, short, value_name = "PATH")]
    pub output: PathBuf,
    /// The model, if it is not to be recognised from names and shapes
    #[arg(long, value_parser = models::parser())]
    pub model: Option<&'static ModelEntry>,
    #[command(flatten)]
    pub key: KeyArgs,
    /// With --format npz, for a scikit-learn model: coefs_0, intercepts_0, … as scikit-learn names and lays them
    #[arg(long)]
    pub sklearn: bool,
    /// Replace the file if it is there
    #[arg(long)]
    pub force: bool,
}

/// `stitch parity`
#[derive(Debug, Args)]
#[command(after_long_help = "\
A side is a run folder, a trace, or a file: weights (.pt, .safetensors, .npz, .npy), predictions.csv \
or confusion_matrix.csv. Bit equality is the rule; scikit-learn's float64 models may differ from it by \
1e-12. Exit codes: 0 equal, 1 different, 2 a side cannot be read.

Examples (of two runs, which the first two lines make):
  stitch train lenet5 --epochs 1 --trace --out runs/a
  stitch train lenet5 --epochs 1 --trace --out runs/b
  stitch parity runs/a runs/b
  stitch parity runs/a/state_dict.pt runs/b/weights.safetensors --ulp 2
  stitch parity runs/a runs/b --tol fc1.weight=1e-6 --json")]
pub struct ParityArgs {
    /// Reference run, trace or weights file
    pub reference: PathBuf,
    /// Run, trace or file to check against it
    pub port: PathBuf,
    /// Show a histogram of the differences by size
    #[arg(long)]
    pub histogram: bool,
    /// Allow floating-point differences up to ATOL + RTOL * |expected|
    #[arg(long, value_name = "ATOL", allow_negative_numbers = true, value_parser = parse_tolerance)]
    pub atol: Option<f64>,
    /// The relative part, see --atol
    #[arg(long, value_name = "RTOL", allow_negative_numbers = true, value_parser = parse_tolerance)]
    pub rtol: Option<f64>,
    /// Allow floating-point differences up to N units in the last place
    #[arg(long, value_name = "N")]
    pub ulp: Option<u64>,
    /// For one tensor: NAME=ATOL[,RTOL]; may be given several times
    #[arg(long, value_name = "NAME=ATOL[,RTOL]", value_parser = parse_named_tolerance)]
    pub tol: Vec<(String, f64, f64)>,
    /// Key of the dict to compare in a checkpoint; required if there are several
    #[arg(long, value_name = "NAME")]
    pub key: Option<String>,
    /// NaN equals NaN
    #[arg(long)]
    pub equal_nan: bool,
}

/// `stitch report`
#[derive(Debug, Args)]
#[command(after_long_help = "\
The page is one file with everything in it. Its pictures need the run's weights and the test images \
that it was tested on; where these are not found, the page is written without pictures and says so.

Examples:
  stitch report runs/lenet5
  stitch report runs/reproduce
  stitch report runs/lenet5 runs/mlp --normalize -o both.html
  stitch report runs/reproduce --study study")]
pub struct ReportArgs {
    /// Run folders, of stitch or of notebook.py, or folders that hold run folders
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
    /// Tell, too, how sure the accuracies are: a study's folder, or the table of `stitch study collect`
    #[arg(long, value_name = "STUDY")]
    pub study: Vec<PathBuf>,
    /// The file to write [default: RUN/report.html, which is replaced; with several RUN there is none]
    #[arg(long, short, value_name = "FILE", value_parser = written_path())]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub figures: FigureArgs,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Replace FILE if it is there
    #[arg(long)]
    pub force: bool,
}

/// `stitch completions`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Each shell reads them from a place of its own; bash with bash-completion from the one below.

Examples:
  stitch completions zsh
  mkdir -p ~/.local/share/bash-completion/completions
  stitch completions bash > ~/.local/share/bash-completion/completions/stitch")]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// `stitch man`
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder to write them to; it is made when it is not there
    #[arg(value_name = "DIR", value_parser = written_path())]
    pub folder: PathBuf,
}

/// Reads the command line. Help shows examples that call this program as it was called.
///
/// # Errors
/// What clap has to say instead, and whether JSON was asked for.
pub fn parse() -> Result<Cli, (clap::Error, bool)> {
    // Without a slash it was found on the PATH, and will be again. A name that is not UTF-8 cannot be shown.
    let called = env::args_os().next().and_then(|called| called.into_string().ok());
    let called = called.filter(|called| called.contains('/'));
    let mut command = with_examples_of(Cli::command(), called.as_deref().unwrap_or("stitch"));
    let parsed = command.try_get_matches_from_mut(env::args_os());
    let parsed = parsed.and_then(|matches| {
        Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    });
    parsed.map_err(|error| (error, env::args_os().any(|argument| argument == "--json")))
}

/// A space in an example. clap breaks lines at other spaces, and a broken line cannot be pasted.
pub const UNBROKEN: char = '\u{a0}';

/// `command` with examples that call `program` instead of `stitch`.
fn with_examples_of(command: ClapCommand, program: &str) -> ClapCommand {
    let help = command.get_after_long_help().map(ToString::to_string);
    let example = |line: &str| {
        let words = line.strip_prefix("  stitch ").map(|words| format!("  {program} {words}"));
        words.unwrap_or_else(|| line.into()).replace(' ', &UNBROKEN.to_string())
    };
    let line = |line: &str| if line.starts_with("  ") { example(line) } else { line.into() };
    let command = match help {
        Some(help) => {
            command.after_long_help(help.lines().map(line).collect::<Vec<String>>().join("\n"))
        }
        None => command,
    };
    command.mut_subcommands(|below| with_examples_of(below, program))
}
