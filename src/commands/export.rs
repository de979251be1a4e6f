//! `stitch export`: converts a weights file to another format.

use std::io::{self, Cursor, IsTerminal};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::json;
use stitch::dataset::ImageShape;
use stitch::export::Format;
use stitch::models::script::MAX_NETWORK;
use stitch::models::{Classifier, Library, MODELS, ModelEntry, names_of, weights};
use stitch::nn::{ConvertError, Model, ScriptModule};
use stitch::run_folder::{RunConfig, write_whole};
use stitch::sha256;
use stitch::stitch_run::Normalize;
use stitch::tensor_files::{Metadata, npz};
use tch::Device;

use super::output::check_output;
use super::{Console, Outcome, inputs, print_bytes};
use crate::cli::ExportArgs;

pub fn run(args: &ExportArgs, console: Console) -> Result<Outcome> {
    let to_stdout = args.output == Path::new("-");
    if to_stdout {
        ensure!(
            !console.json,
            "--json: with --output -, the weights are written to stdout. Omit one of the two"
        );
        let is_terminal = io::stdout().is_terminal();
        ensure!(!is_terminal, "--output -: stdout is a terminal. Redirect it, or give a path");
    } else {
        check_output(&args.output, args.force)?;
        check_extension(args)?;
    }
    let (name, bytes) = match own_network(args, console)? {
        Some(bytes) => (args.file.display().to_string(), bytes),
        None => of_model(args, console)?,
    };
    if to_stdout {
        print_bytes(&bytes)?;
        return Ok(Outcome::Done);
    }
    let output = args.output.display();
    write_whole(&args.output, &bytes).with_context(|| format!("{output} cannot be written"))?;
    console.document(|| {
        Ok(json!({
            "file": args.file.display().to_string(),
            "model": name,
            "format": args.format.name,
            "output": output.to_string(),
            "bytes": bytes.len(),
            "sha256": sha256::of(&bytes),
        }))
    })?;
    console.show(&format!("{name}: {} bytes written to {output}", bytes.len()))?;
    Ok(Outcome::Done)
}

/// The file of a TorchScript network of one's own in another format; `None` if the file is not one. Its code is not run.
fn own_network(args: &ExportArgs, console: Console) -> Result<Option<Vec<u8>>> {
    if args.model.is_some()
        || args.sklearn
        || !inputs::is_own_network(&args.file, args.key.get(), console)
    {
        return Ok(None);
    }
    let tensors = inputs::tensors(&args.file, args.key.get(), console)?;
    let mut metadata = inputs::metadata(&args.file, &tensors).unwrap_or_default();
    if let Some(normalize) = noted_normalize(args, console)? {
        metadata.insert("normalize".into(), normalize.to_string());
    }
    if let Some(bytes) = args.format.write_tensors(&tensors, &metadata) {
        check_image_size(args, false)?;
        return Ok(Some(bytes?));
    }
    let bytes = inputs::read_limited(&args.file, MAX_NETWORK)?;
    check_image_size(args, args.format.name != "torchscript")?;
    if args.format.name == "torchscript" {
        return Ok(Some(bytes));
    }
    let file = args.file.display();
    let module = ScriptModule::read(Cursor::new(bytes)).with_context(|| file.to_string())?;
    let shape = args.image_size.image_size.or_else(|| inputs::known_shape(&args.file));
    let shape = shape.unwrap_or(ImageShape::FASHION_MNIST).sizes().map(|size| size as i64);
    let model = Model::converted(&module, &tensors, &shape).map_err(|error| match error {
        ConvertError::Shape { .. } => anyhow!("{file}: {error}. {}", inputs::GIVE_IMAGE_SIZE),
        error => anyhow!(
            "{file}: {error}. Export its weights instead, as state-dict, safetensors or npz, or use torch.onnx.export in Python"
        ),
    })?;
    Ok(Some(args.format.write(&model, &metadata).with_context(|| file.to_string())?))
}

/// Refuses `--image-size` where the size of the images has no effect.
fn check_image_size(args: &ExportArgs, has_effect: bool) -> Result<()> {
    ensure!(
        has_effect || args.image_size.image_size.is_none(),
        "--image-size: requires --format onnx and the TorchScript file of a network of your own"
    );
    Ok(())
}

/// The normalization of the images that the weights were trained on, if there is one, with a note.
fn noted_normalize(args: &ExportArgs, console: Console) -> Result<Option<Normalize>> {
    let normalize = inputs::known_normalize(&args.file)?.filter(|it| !it.is_none());
    if let Some(normalize) = &normalize {
        console.note(&format!(
            "note: {}: trained on images normalized with --normalize {normalize}: normalize those that the exported \
             network takes, too",
            args.file.display()
        ));
    }
    Ok(normalize)
}

/// The name of the model in a weights file, and the file in another format.
fn of_model(args: &ExportArgs, console: Console) -> Result<(String, Vec<u8>)> {
    check_image_size(args, false)?;
    // A forward pass must equal that of the file.
    let read = if args.format.has_forward() { inputs::model } else { inputs::weights_of };
    let mut model = read(&args.file, args.model, args.key.get(), Device::Cpu, console)?;
    let entry = model.entry;
    let of_sklearn = |entry: &ModelEntry| entry.library == Library::ScikitLearn;
    if args.sklearn && (args.format.name != "npz" || !of_sklearn(entry)) {
        bail!(
            "--sklearn: requires --format npz and a scikit-learn model ({}), but the format is {} and the model {entry}",
            names_of(MODELS.iter().copied().filter(|entry| of_sklearn(entry))),
            args.format
        );
    }
    let metadata = inputs::metadata(&args.file, &model.model.state_dict());
    let mut metadata = metadata.unwrap_or_else(|| [("model".into(), entry.name.into())].into());
    if let Some(normalize) = noted_normalize(args, console)? {
        metadata.insert("normalize".into(), normalize.to_string());
    }
    if args.format.has_forward() {
        model = with_dropout_of_run(model, &metadata, args, console)?;
    }
    Ok((entry.name.into(), encode(&model.model, &metadata, args)?))
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

/// Refuses an output path whose extension belongs to another format.
fn check_extension(args: &ExportArgs) -> Result<()> {
    let extension = args.output.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let formats = Format::of_extension(&extension);
    let names = formats.iter().map(|format| format.name).collect::<Vec<_>>().join(" or ");
    ensure!(
        formats.is_empty() || formats.contains(&args.format),
        "--output {}: the extension .{extension} is for {names}, but --format is {}. Change one of the two",
        args.output.display(),
        args.format
    );
    Ok(())
}

fn encode(model: &Model, metadata: &Metadata, args: &ExportArgs) -> Result<Vec<u8>> {
    match args.sklearn {
        true => Ok(npz::write(&weights::to_sklearn(&model.state_dict()))?),
        false => Ok(args.format.write(model, metadata)?),
    }
}
