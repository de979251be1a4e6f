//! The command line of `stitch inspect`.

use std::path::PathBuf;

use clap::Args;

use super::KeyArgs;

/// `stitch inspect`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Files are recognized by their content. Of each tensor, the SHA-256 is that of its elements, row-major and \
little-endian; `tensors sha256` is the same for equal tensors in any format.

Exit codes: 0 all files shown, 1 some files cannot be read, 2 usage error, or no file can be read.

Examples (the last two read the output of `stitch train lenet5`):
  stitch inspect models/lenet5/state_dict.pt
  stitch inspect models/lenet5/torchscript.pt --code
  stitch inspect runs/lenet5 runs/lenet5/weights.safetensors
  stitch inspect runs/lenet5/state_dict.pt --stats --json")]
pub struct InspectArgs {
    /// File of tensors (.pt, .safetensors, .npz, .npy), checkpoint, IDX file (also .gz), trace folder or run folder
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub key: KeyArgs,
    /// Show minimum, maximum, mean, and the numbers of NaN and infinite elements
    #[arg(long)]
    pub stats: bool,
    /// Show the code of TorchScript files in full
    #[arg(long)]
    pub code: bool,
}
