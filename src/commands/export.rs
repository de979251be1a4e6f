//! `stitch export`: a weights file in another format.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, Result, bail};
use stitch::formats::{
    Metadata, NamedTensor, TensorFile, npz, onnx, safetensors, state_dict, torchscript,
};
use stitch::models::{Architecture, Model, weights};
use stitch::run_folder::{self, write_whole};
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
        FormatName::Safetensors => {
            safetensors::write(&tensors, &metadata(&args.file, &tensors, model.architecture()))?
        }
        FormatName::Npz if args.sklearn => npz::write(&weights::to_sklearn(&tensors))?,
        FormatName::Npz => npz::write(&tensors)?,
        FormatName::Onnx => {
            let architecture = model.architecture();
            onnx::write(architecture.class(), architecture.onnx(), &tensors)
        }
    };
    Ok(bytes)
}

/// What is known of how the weights of `file` were trained: what it says itself, or the
/// safetensors file of the run folder that it lies in says of the same bits.
fn metadata(file: &Path, tensors: &[NamedTensor], architecture: Architecture) -> Metadata {
    let beside = file.with_file_name(run_folder::SAFETENSORS);
    let known = [file, &beside].into_iter().find_map(|path| metadata_of(path, tensors));
    known.unwrap_or_else(|| [("model".into(), architecture.name().into())].into())
}

/// The metadata of a file, if it has some and holds exactly these tensors.
fn metadata_of(path: &Path, tensors: &[NamedTensor]) -> Option<Metadata> {
    let mut file = TensorFile::open(BufReader::new(File::open(path).ok()?)).ok()?;
    let has = |tensor: &NamedTensor| file.specs().contains(&tensor.spec());
    let fits = file.specs().len() == tensors.len() && tensors.iter().all(has);
    let metadata = file.metadata().clone();
    let same = !metadata.is_empty()
        && fits
        && file.load_all().ok()?.iter().all(|tensor| tensors.contains(tensor));
    same.then_some(metadata)
}

/// The TorchScript archive of a model.
pub fn script(architecture: Architecture, tensors: &[NamedTensor]) -> Result<Vec<u8>> {
    Ok(torchscript::write(architecture.class(), architecture.torchscript(), tensors)?)
}
