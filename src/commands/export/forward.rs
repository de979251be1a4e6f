//! `stitch export` to TorchScript and ONNX, which have a forward pass.

use std::io::Cursor;

use anyhow::{Context, Result, anyhow, bail, ensure};
use stitch::dataset::ImageShape;
use stitch::export::Format;
use stitch::models::script::MAX_NETWORK;
use stitch::models::{Classifier, Library, MODELS, names_of, weights};
use stitch::nn::{ConvertError, Model, ScriptModule};
use stitch::run_folder::RunConfig;
use stitch::tensor_files::Metadata;
use tch::Device;

use super::tensors::refuse_sklearn;
use super::{Exported, check_image_size, noted_normalize};
use crate::cli::ExportArgs;
use crate::commands::{Console, files, inputs};

/// The file of a known model, or of a custom TorchScript network, in this format.
pub fn export(args: &ExportArgs, format: &Format, console: Console) -> Result<Exported> {
    let names = Format::of_tensors().collect::<Vec<_>>().join(", ");
    for (flag, is_given) in [
        ("--rename", !args.rename.is_empty()),
        ("--dtype", !args.dtype.is_empty()),
        ("--transpose", !args.transpose.is_empty()),
    ] {
        ensure!(
            !is_given,
            "{flag}: not possible with --format {format}, whose forward pass is for the unchanged tensors; the formats \
             of tensors alone are {names}"
        );
    }
    match own_network(args, format, console)? {
        Some(exported) => Ok(exported),
        None => of_model(args, format, console),
    }
}

/// The file of a custom TorchScript network; `None` if the file is not one. Its code is not run.
fn own_network(args: &ExportArgs, format: &Format, console: Console) -> Result<Option<Exported>> {
    if args.model.is_some()
        || args.sklearn
        || !inputs::is_own_network(&args.file, args.key.get(), console)
    {
        return Ok(None);
    }
    let tensors = files::tensors(&args.file, args.key.get(), console)?;
    let metadata = files::metadata(&args.file, &tensors).unwrap_or_default();
    noted_normalize(args, console)?;
    let bytes = files::read_limited(&args.file, MAX_NETWORK)?;
    let is_onnx = format.name != "torchscript";
    check_image_size(args, is_onnx)?;
    let file = args.file.display();
    let model = Some(file.to_string());
    if !is_onnx {
        return Ok(Some(Exported { model, tensors: tensors.len(), bytes }));
    }
    let module = ScriptModule::read(Cursor::new(bytes)).with_context(|| file.to_string())?;
    let shape = args.image_size.image_size.or_else(|| files::known_shape(&args.file));
    let shape = shape.unwrap_or(ImageShape::FASHION_MNIST).sizes().map(|size| size as i64);
    let network = Model::converted(&module, &tensors, &shape).map_err(|error| match error {
        ConvertError::Shape { .. } => anyhow!("{file}: {error}. {}", inputs::GIVE_IMAGE_SIZE),
        error => anyhow!(
            "{file}: {error}. Export its weights instead, as state-dict, safetensors or npz, or use torch.onnx.export in Python"
        ),
    })?;
    let bytes = format.write(&network, &metadata).with_context(|| file.to_string())?;
    Ok(Some(Exported { model, tensors: tensors.len(), bytes }))
}

/// The file of a known model. Its forward pass must equal that of the file, if it has one.
fn of_model(args: &ExportArgs, format: &Format, console: Console) -> Result<Exported> {
    check_image_size(args, false)?;
    check_known(args, format)?;
    let model = inputs::model(&args.file, args.model, args.key.get(), Device::Cpu, console)?;
    let entry = model.entry;
    if args.sklearn {
        return Err(refuse_sklearn(format, Some(entry)));
    }
    let tensors = model.model.state_dict();
    let metadata = files::metadata(&args.file, &tensors);
    let mut metadata = metadata.unwrap_or_else(|| [("model".into(), entry.name.into())].into());
    if let Some(normalize) = noted_normalize(args, console)? {
        metadata.insert("normalize".into(), normalize.to_string());
    }
    let model = with_dropout_of_run(model, &metadata, args, console)?;
    let bytes = format.write(&model.model, &metadata)?;
    Ok(Exported { model: Some(entry.name.into()), tensors: tensors.len(), bytes })
}

/// Refuses tensors of an unknown network, which have no forward pass.
fn check_known(args: &ExportArgs, format: &Format) -> Result<()> {
    if args.model.is_some() || args.file.is_dir() {
        return Ok(());
    }
    let opened = files::weights_file(&args.file, args.key.get())?;
    files::check_named(&args.file, &opened)?;
    if weights::identify(opened.specs(), None).is_err() {
        let names = Format::of_tensors().collect::<Vec<_>>().join(", ");
        bail!(
            "{}: --format {format} requires the weights of a known model ({}) or the TorchScript file of a network; other \
             tensors are converted to {names}",
            args.file.display(),
            names_of(MODELS.iter().copied())
        );
    }
    Ok(())
}

/// The model with the dropout of its run, which the metadata tell, and the tensors do not.
fn with_dropout_of_run(
    model: Classifier,
    metadata: &Metadata,
    args: &ExportArgs,
    console: Console,
) -> Result<Classifier> {
    let file = args.file.display();
    let dropout = RunConfig::dropout_of(metadata);
    match dropout.with_context(|| format!("the metadata of {file}"))? {
        Some(dropout) => Ok(model.with_dropout(dropout)),
        None if model.entry.library == Library::PyTorch => {
            let default = match model.entry.options().dropout {
                0.0 => "no dropout".into(),
                p => format!("a dropout of {p}"),
            };
            console.note(&format!(
                "note: {file}: not in a run folder of stitch, so the dropout of its training is unknown. In training mode \
                 the exported network has {default}, the default of {}",
                model.entry
            ));
            Ok(model)
        }
        None => Ok(model),
    }
}
