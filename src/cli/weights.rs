//! The command lines of `stitch models`, `evaluate`, `predict` and `export`.

use std::ops::Range;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use stitch::export::{FORMATS, Format};
use stitch::models::ModelEntry;

use super::values::{parse_indices, written_path};
use super::{ComputeArgs, DataArgs, KeyArgs, models};

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
    #[arg(long, short, value_parser = format())]
    pub format: &'static Format,
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

/// Takes the name of a format, from [`FORMATS`].
fn format() -> impl TypedValueParser<Value = &'static Format> {
    let value = |format: &Format| PossibleValue::new(format.name).help(format.description);
    PossibleValuesParser::new(FORMATS.each_ref().map(value)).try_map(|name| Format::named(&name))
}
