//! `stitch export` to the formats that hold tensors alone, of any network.

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use stitch::export::{Format, Rules};
use stitch::models::weights::{self, Identified};
use stitch::models::{Library, MODELS, ModelEntry, names_of};
use stitch::tensor_files::{
    Dtype, FileKind, Glob, Metadata, NamedTensor, Overflow, ReadError, Renaming, TensorSpec, npz,
};

use super::{Exported, check_image_size, noted_normalize};
use crate::cli::ExportArgs;
use crate::commands::Console;
use crate::commands::files::{self, Opened};
use crate::commands::shell::quoted;

/// The tensors of a file in this format, after the rules of the command line. Those of a known model have its names, in the
/// order of its definition.
pub fn export(args: &ExportArgs, format: &Format, console: Console) -> Result<Exported> {
    check_image_size(args, false)?;
    let file = args.file.display();
    ensure!(
        !args.file.is_dir(),
        "{file} is a folder: give a file of tensors, such as the state_dict.pt in a run folder"
    );
    let mut opened = files::weights_file(&args.file, args.key.get())?;
    files::check_named(&args.file, &opened)?;
    let network = Network::of(args, &opened, console)?;
    if args.sklearn && !(format.name == "npz" && network.is_sklearn()) {
        return Err(refuse_sklearn(format, network.entry()));
    }
    files::note_contents(&args.file, args.key.get(), &opened, console);
    let mut tensors = opened.load_all().with_context(|| file.to_string())?;
    let mut metadata = metadata_for(args, &network, &tensors, opened.metadata().clone());
    drop(opened);
    let rules = Rules { renames: &args.rename, dtypes: &args.dtype, transposes: &args.transpose };
    rules.transpose(&mut tensors).context("--transpose")?;
    rules.convert(&mut tensors).context("--dtype")?;
    if !(args.dtype.is_empty() && args.transpose.is_empty()) {
        // It was measured with the elements in the file.
        metadata.remove("test_accuracy");
    }
    if let Network::Known(known) = &network {
        to_definition(args, known, &mut tensors, console)?;
    }
    if let Some(normalize) = noted_normalize(args, console)? {
        metadata.insert("normalize".into(), normalize.to_string());
    }
    let names: Vec<String> = tensors.iter().map(|tensor| tensor.name.clone()).collect();
    rules.rename(&mut tensors).context("--rename")?;
    let is_same = network.is_of(args, &names, &tensors);
    if !is_same {
        metadata.retain(|name, _| !["model", "test_accuracy"].contains(&&name[..]));
    }
    let model = network.name().filter(|_| is_same);
    let bytes = match args.sklearn {
        true => npz::write(&weights::to_sklearn(&tensors))?,
        false => written(args, format, (&names, &tensors), &metadata)?,
    };
    Ok(Exported { model, tensors: tensors.len(), bytes })
}

/// The network whose tensors a file holds.
enum Network {
    Known(Identified),
    /// That of a TorchScript file at this path.
    Own(String),
    Unknown,
}

impl Network {
    /// Identifies the network; prints a note if a TorchScript file computes something else with the weights of a known one.
    fn of(args: &ExportArgs, opened: &Opened, console: Console) -> Result<Self> {
        let path = args.file.display();
        let identified = weights::identify(opened.specs(), args.model)
            .map_err(Error::from)
            .and_then(|known| check_types(&known, opened).map(|()| known));
        let is_script = opened.kind() == FileKind::TorchScript;
        let known = match identified {
            Ok(known) => known,
            Err(error) if args.model.is_some() => bail!("{path}: {error}"),
            Err(_) if is_script => return Ok(Self::Own(path.to_string())),
            Err(_) => return Ok(Self::Unknown),
        };
        if is_script
            && args.model.is_none()
            && let Err(error) = files::compare_forward(
                &args.file,
                &known.entry.graph(&known.options),
                known.entry.dtype,
            )?
        {
            console.note(&format!(
                "note: {path}: a custom network: its forward pass is not that of {}: {error}",
                known.entry
            ));
            return Ok(Self::Own(path.to_string()));
        }
        Ok(Self::Known(known))
    }

    fn entry(&self) -> Option<&'static ModelEntry> {
        match self {
            Self::Known(known) => Some(known.entry),
            _ => None,
        }
    }

    fn name(&self) -> Option<String> {
        match self {
            Self::Known(known) => Some(known.entry.name.into()),
            Self::Own(path) => Some(path.clone()),
            Self::Unknown => None,
        }
    }

    /// Whether the tensors are still those of the network after the rules: `--rename` may have added or removed a prefix of
    /// all names. `names` are those before it, in the order of the tensors.
    fn is_of(&self, args: &ExportArgs, names: &[String], tensors: &[NamedTensor]) -> bool {
        match self {
            _ if args.rename.is_empty() && args.transpose.is_empty() => true,
            // What its metadata say is of another program.
            Self::Unknown => true,
            Self::Known(known) if args.transpose.is_empty() => {
                let specs: Vec<TensorSpec> = tensors.iter().map(NamedTensor::spec).collect();
                weights::identify(&specs, Some(known.entry)).is_ok_and(|now| {
                    // Two tensors of one shape may have exchanged their names.
                    let both = names.iter().zip(&specs);
                    both.into_iter()
                        .all(|(name, spec)| known.renaming.of(name) == now.renaming.of(&spec.name))
                })
            }
            _ => false,
        }
    }

    fn is_sklearn(&self) -> bool {
        self.entry().is_some_and(|entry| entry.library == Library::ScikitLearn)
    }
}

/// The error about `--sklearn` for another format or model.
pub fn refuse_sklearn(format: &Format, entry: Option<&ModelEntry>) -> Error {
    let of_sklearn = |entry: &&ModelEntry| entry.library == Library::ScikitLearn;
    anyhow!(
        "--sklearn: requires --format npz and a scikit-learn model ({}), but the format is {format} and the model {}",
        names_of(MODELS.iter().copied().filter(of_sklearn)),
        entry.map_or("unknown", |entry| entry.name)
    )
}

/// Refuses parameters that are not floating-point numbers.
fn check_types(known: &Identified, opened: &Opened) -> Result<()> {
    let graph = known.entry.graph(&known.options);
    let parameters: Vec<&str> =
        graph.state().filter(|spec| spec.buffer.is_none()).map(|spec| spec.name).collect();
    for spec in opened.specs() {
        let is_parameter =
            known.renaming.of(&spec.name).is_some_and(|name| parameters.contains(&name));
        ensure!(
            !is_parameter || spec.dtype.is_float(),
            "{} has the type {}; float16, bfloat16, float32 or float64 is expected",
            spec.name.escape_debug(),
            spec.dtype
        );
    }
    Ok(())
}

/// Gives tensors the names, the order and the element type of a known model's definition. With `--rename`, names and order
/// are those of the file; a type of `--dtype` is kept.
fn to_definition(
    args: &ExportArgs,
    known: &Identified,
    tensors: &mut Vec<NamedTensor>,
    console: Console,
) -> Result<()> {
    let (file, entry) = (args.file.display(), known.entry);
    let is_converted = |tensor: &NamedTensor| args.dtype.iter().any(|rule| rule.matches(tensor));
    let mut from: Vec<Dtype> = Vec::new();
    for tensor in tensors.iter_mut() {
        if let Some(parameter) = first_not_finite(tensor) {
            let parameter = parameter.escape_debug();
            console.note(&format!("warning: {file}: {parameter} contains NaN or infinity"));
        }
        let is_other = tensor.dtype.is_float() && tensor.dtype != entry.dtype;
        if is_other && !is_converted(tensor) {
            from.extend(Some(tensor.dtype).filter(|dtype| !from.contains(dtype)));
            let converted = tensor.converted(entry.dtype, Overflow::Refuse);
            *tensor =
                converted.with_context(|| format!("{file}: {}", tensor.name.escape_debug()))?;
        }
    }
    if !from.is_empty() {
        let names = from.iter().map(|dtype| dtype.name()).collect::<Vec<_>>().join(" and ");
        console.note(&format!(
            "note: {file}: {names} converted to {}, the type of {entry}; --dtype {} keeps it",
            entry.dtype, from[0]
        ));
    }
    if !args.rename.is_empty() {
        return Ok(());
    }
    if known.renaming != Renaming::default() {
        console.note(&format!("note: {file}: {}", known.renaming));
    }
    let graph = entry.graph(&known.options);
    let names: Vec<&str> = graph.state().map(|spec| spec.name).collect();
    tensors.retain_mut(|tensor| match known.renaming.of(&tensor.name) {
        Some(name) => {
            tensor.name = name.to_owned();
            true
        }
        None => false,
    });
    tensors.sort_by_key(|tensor| names.iter().position(|name| *name == tensor.name));
    Ok(())
}

/// The name of a tensor that contains NaN or infinity.
fn first_not_finite(tensor: &NamedTensor) -> Option<&str> {
    let NamedTensor { name, dtype, data, .. } = tensor;
    let is_finite = |element: &[u8]| {
        let mut bits = [0; 8];
        bits[..element.len()].copy_from_slice(element);
        dtype.number(u64::from_le_bytes(bits)).is_finite()
    };
    let is_checked = dtype.is_float();
    (is_checked && !data.chunks_exact(dtype.size()).all(is_finite)).then_some(name)
}

/// The metadata of the file; of a run's weights without metadata, those of the `weights.safetensors` beside them; at least the
/// name of a known model.
fn metadata_for(
    args: &ExportArgs,
    network: &Network,
    tensors: &[NamedTensor],
    own: Metadata,
) -> Metadata {
    if !own.is_empty() {
        // The checksum of a checkpoint of stitch is that of its file, which the new file is not.
        let is_checkpoint = own.contains_key("checkpoint");
        let is_kept =
            |name: &String| !(is_checkpoint && ["checkpoint", "sha256"].contains(&&name[..]));
        return own.into_iter().filter(|(name, _)| is_kept(name)).collect();
    }
    let beside = files::metadata(&args.file, tensors);
    let of_model = || network.entry().map(|entry| [("model".into(), entry.name.into())].into());
    beside.or_else(of_model).unwrap_or_default()
}

/// The bytes of the file. `names` are those of the tensors before `--rename`.
fn written(
    args: &ExportArgs,
    format: &Format,
    (names, tensors): (&[String], &[NamedTensor]),
    metadata: &Metadata,
) -> Result<Vec<u8>> {
    let written = format.write_tensors(tensors, metadata);
    let written = written.with_context(|| format!("{format} is not a format of tensors"))?;
    let before = |name: &str| {
        let place = tensors.iter().position(|tensor| tensor.name == *name);
        place.map_or(name, |place| &names[place]).to_owned()
    };
    written.map_err(|error| match error {
        ReadError::NoType { ref name, dtype, .. } => {
            let more = tensors.iter().filter(|tensor| tensor.dtype == dtype).count() > 1;
            let advice = other_dtype(args, &before(name), dtype, more);
            let name = name.escape_debug();
            anyhow!(
                "--format {format}: {name} is of the type {dtype}, which this format does not have. Convert it with \
                 {advice}"
            )
        }
        ReadError::Name { ref name, .. } => {
            let rule = format!("{}=NAME", Glob::escape(&before(name)));
            anyhow!(
                "--format {format}: {error}. Give it another name with --rename {}",
                quoted(rule.as_ref())
            )
        }
        error => error.into(),
    })
}

/// The flag that converts a tensor of a type that a format does not have; `more` tensors may have it.
fn other_dtype(args: &ExportArgs, name: &str, dtype: Dtype, more: bool) -> String {
    let to = if dtype.is_complex() { Dtype::C64 } else { Dtype::F32 };
    let flag = |rule: String| format!("--dtype {}", quoted(rule.as_ref()));
    // The type that the command line asks for, unless the file has it.
    if let Some(rule) = args.dtype.iter().rev().find(|rule| rule.dtype() == dtype) {
        return format!("{} instead of {}", flag(rule.with(to)), quoted(rule.to_string().as_ref()));
    }
    match (dtype.is_complex(), more) {
        (false, true) => flag(to.to_string()),
        _ => flag(format!("{}={to}", Glob::escape(name))),
    }
}
