//! The command lines of `stitch models`, `evaluate`, `predict` and `export`.

use std::ops::Range;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use stitch::dataset::ImageShape;
use stitch::export::{DtypeRule, FORMATS, Format, Rename, Transpose};
use stitch::models::ModelEntry;

use super::values::{integer, parse_image_size, parse_indices, written_path};
use super::{ComputeArgs, DataArgs, InputArgs, KeyArgs, models};

/// `stitch models`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Parameters and multiply-adds are counted as torchinfo counts them; multiply-adds are per image.

Examples:
  stitch models
  stitch models lenet5
  stitch models lenet5 --json")]
pub struct ModelsArgs {
    /// Show the layers of this model; without it, list all models
    #[arg(value_parser = models::parser())]
    pub model: Option<&'static ModelEntry>,
}

/// `stitch evaluate`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples (the third reads the output of `stitch train mlp`):
  stitch evaluate models/lenet5/state_dict.pt
  stitch evaluate models/lenet5/torchscript.pt --out runs/evaluation
  stitch evaluate runs/mlp/weights.safetensors --model mlp --json")]
pub struct EvaluateArgs {
    /// Weights file: .pt (state_dict, checkpoint or TorchScript), .safetensors, .npz or .npy
    pub file: PathBuf,
    /// The model, instead of identifying it by names and shapes
    #[arg(long, value_parser = models::parser())]
    pub model: Option<&'static ModelEntry>,
    #[command(flatten)]
    pub key: KeyArgs,
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub compute: ComputeArgs,
    #[command(flatten)]
    pub data: DataArgs,
    /// Folder to write metrics, predictions, confusion matrix and report to
    #[arg(long, value_name = "DIR", value_parser = written_path())]
    pub out: Option<PathBuf>,
    /// Replace an existing run in the folder
    #[arg(long)]
    pub force: bool,
}

/// `stitch predict`
#[derive(Debug, Args)]
#[command(
    override_usage = "stitch predict [OPTIONS] [FILE] <IMAGE>...",
    after_long_help = "\
An image may have any size and color. The images of IDX files are not changed; others are preprocessed in \
one of two ways, and a note says in which if they had another size:
- like Fashion-MNIST, if the model's classes are those of Fashion-MNIST or unknown: the border is cropped, \
the longest side scaled to 28, the object centered in 28x28 gray pixels, light on dark. 28x28 gray images on \
a dark background are not changed.
- as `stitch data import` does, if the model has other classes, or FILE is a TorchScript network of your own \
(unless its run folder says that it was trained on the official Fashion-MNIST): scaled to the size that the \
network takes, gray or color, and nothing else.

Exit codes: 0 all images classified, 1 some images cannot be read, 2 usage or I/O error, or no image can \
be read.

Examples (images and models are in the repository, the .gz file in Debian's data set):
  stitch predict docs/pictures/shoe.png
  stitch predict docs/pictures/shoe.png --model mlp --top-k 10 --json
  stitch predict models/lenet5/torchscript.pt docs/pictures --save-input seen
  stitch predict /usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz --index 7 --index 0..5"
)]
pub struct PredictArgs {
    /// Images (PNG, JPEG, BMP, GIF, WebP), folders of images, or IDX files (also .gz)
    ///
    /// The first argument may be FILE, a weights file in any format that `evaluate` reads. Without it, a built-in model
    /// is used, see --model. The images of a folder are classified in the order of their names.
    #[arg(value_name = "IMAGE", required = true)]
    pub inputs: Vec<PathBuf>,
    /// The model of FILE; without FILE, the built-in model to use
    #[arg(long, value_parser = models::parser(), help = models::predict_model())]
    pub model: Option<&'static ModelEntry>,
    #[command(flatten)]
    pub key: KeyArgs,
    #[command(flatten)]
    pub input: InputArgs,
    /// Classify only image N of IDX files, counted from 0, or N..M (M excluded); may be repeated [default: all]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_indices)]
    pub index: Vec<Range<usize>>,
    /// Show the N most probable classes
    #[arg(long, value_name = "N", default_value_t = 3, allow_negative_numbers = true,
          value_parser = integer::<u16>(1..=256))]
    pub top_k: u16,
    #[command(flatten)]
    pub image_size: ImageSizeArgs,
    /// Do not invert images with a light background (if they are preprocessed like Fashion-MNIST)
    #[arg(long)]
    pub no_invert: bool,
    /// Save the preprocessed images to this folder, as PNG
    #[arg(long, value_name = "DIR", value_parser = written_path())]
    pub save_input: Option<PathBuf>,
    /// Print CSV: file,index,rank,label,class,probability
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

/// The size of the images of a network whose file does not tell it.
#[derive(Debug, Args)]
pub struct ImageSizeArgs {
    /// Size of the images that the network of a TorchScript file takes, such as 32x32x3 [default: that of its run, else 28x28]
    ///
    /// HEIGHTxWIDTH for gray images, HEIGHTxWIDTHx3 for color. By default it is that of the run folder that FILE is in; for
    /// `predict`, else that of the first IDX file; else 28x28. `export` writes it to the ONNX file.
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = parse_image_size)]
    pub image_size: Option<ImageShape>,
}

/// `stitch export`
#[derive(Debug, Args)]
#[command(after_long_help = "\
The tensors of any file are converted to state-dict, safetensors, npz and npy. torchscript and onnx, which have a forward \
pass, are for known models and for TorchScript files.

In patterns, * stands for any characters. --dtype and --transpose match the names in FILE; of several --dtype for one tensor \
the last one counts. --rename rules are applied after them, one after the other.

Examples (read the output of `stitch train lenet5` and `stitch train mlp`):
  stitch export runs/lenet5/state_dict.pt --format torchscript -o lenet5.pt
  stitch export runs/lenet5/state_dict.pt -o lenet5.onnx
  stitch export runs/lenet5/state_dict.pt --dtype float16 --rename 'fc*.*=head.*.*' -o half.safetensors
  stitch export runs/mlp/state_dict.pt --format npz --sklearn -o mlp.npz")]
pub struct ExportArgs {
    /// File of tensors: .pt (state_dict, checkpoint or TorchScript), .safetensors, .npz or .npy
    pub file: PathBuf,
    /// Format to write [default: that of the extension of --output; state-dict for .pt]
    #[arg(long, short, value_parser = format())]
    pub format: Option<&'static Format>,
    /// File to write; - for stdout, which requires --format
    #[arg(long, short, value_name = "PATH")]
    pub output: PathBuf,
    /// The model, instead of identifying it by names and shapes
    #[arg(long, value_parser = models::parser())]
    pub model: Option<&'static ModelEntry>,
    #[command(flatten)]
    pub key: KeyArgs,
    /// Rename tensors, such as 'conv*.*=layers.*.*': each * of the new name repeats one of the pattern; may be repeated
    #[arg(long, value_name = "GLOB=NAME", conflicts_with = "sklearn")]
    pub rename: Vec<Rename>,
    /// Convert all floating-point tensors (float16) or those with these names ('norm.*=float32'); may be repeated
    ///
    /// Rounds as PyTorch's Tensor.to does. A number outside the range of the type is an error.
    #[arg(long, value_name = "[GLOB=]DTYPE", conflicts_with = "sklearn")]
    pub dtype: Vec<DtypeRule>,
    /// Reverse the dimensions of the tensors with these names: transposes matrices; may be repeated
    #[arg(long, value_name = "GLOB", conflicts_with = "sklearn")]
    pub transpose: Vec<Transpose>,
    #[command(flatten)]
    pub image_size: ImageSizeArgs,
    /// With --format npz of a scikit-learn model: write coefs_0, intercepts_0, … with scikit-learn's names and layout
    #[arg(long)]
    pub sklearn: bool,
    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
}

/// Takes the name of a format, from [`FORMATS`].
fn format() -> impl TypedValueParser<Value = &'static Format> {
    let value = |format: &Format| PossibleValue::new(format.name).help(format.description);
    PossibleValuesParser::new(FORMATS.each_ref().map(value)).try_map(|name| Format::named(&name))
}
