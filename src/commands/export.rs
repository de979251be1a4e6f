//! `stitch export`: a weights file in another format.

use anyhow::{Context, Result, bail};
use stitch::formats::{NamedTensor, npz, onnx, safetensors, state_dict, torchscript};
use stitch::models::{Architecture, Model, weights};
use stitch::run_folder::write_whole;
use tch::Device;

use super::{Console, Outcome, inputs};
use crate::cli::{ExportArgs, FormatName};

pub fn run(args: &ExportArgs, console: Console) -> Result<Outcome> {
    let output = args.output.display();
    if args.output.is_dir() {
        bail!("--output {output}: it is a folder; name a file in it");
    }
    if args.output.exists() && !args.force {
        bail!(
            "--output {output}: it is there already. Give another path, or --force to replace it"
        );
    }
    let model = inputs::model(&args.file, args.model, Device::Cpu)?;
    let architecture = model.architecture();
    if args.sklearn && (args.format != FormatName::Npz || architecture != Architecture::Mlp) {
        bail!(
            "--sklearn: it is for --format npz of the mlp; scikit-learn has no {architecture} in another format"
        );
    }
    let bytes = encode(model.as_ref(), args)?;
    write_whole(&args.output, &bytes).with_context(|| format!("{output} cannot be written"))?;
    console.print(&format!("{architecture}: {} bytes written to {output}", bytes.len()))?;
    Ok(Outcome::Done)
}

fn encode(model: &dyn Model, args: &ExportArgs) -> Result<Vec<u8>> {
    let tensors = weights::to_named(model);
    let bytes = match args.format {
        FormatName::StateDict => state_dict::write(&tensors)?,
        FormatName::Torchscript => script(model.architecture(), &tensors)?,
        FormatName::Safetensors => safetensors::write(&tensors)?,
        FormatName::Npz if args.sklearn => npz::write(&weights::to_sklearn(&tensors))?,
        FormatName::Npz => npz::write(&tensors)?,
        FormatName::Onnx => {
            let architecture = model.architecture();
            onnx::write(architecture.class(), architecture.onnx(), &tensors)
        }
    };
    Ok(bytes)
}

/// The TorchScript archive of a model.
pub fn script(architecture: Architecture, tensors: &[NamedTensor]) -> Result<Vec<u8>> {
    Ok(torchscript::write(architecture.class(), architecture.torchscript(), tensors)?)
}
