//! Files of tensors.

use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};
use stitch::models::weights;
use stitch::sha256;
use stitch::tensor_files::{FileKind, ReadError, TensorFile, TensorSpec};

use super::contents::{Contents, Skipped, Tensor, Tensors, Weights};
use super::tally::Tally;
use super::{checkpoint, script, sum};
use crate::cli::InspectArgs;
use crate::commands::files::{self, Opened, open_regular};

/// The tensors of a file, or all dicts of tensors if there are several and none is chosen.
pub fn contents(file: &Path, args: &InspectArgs) -> Result<Contents> {
    match TensorFile::open_key(BufReader::new(open_regular(file)?), args.key.get()) {
        Ok(opened) => single(file, opened, args),
        Err(ReadError::Ambiguous { keys, more }) => several(file, &keys, more, args),
        Err(error) if is_onnx(file) => {
            bail!(
                "{}: an ONNX file, which stitch writes but does not read ({error})",
                file.display()
            )
        }
        Err(ReadError::Unknown) => bail!(
            "{} is none of the files that inspect shows: files of tensors (.pt, .pth, .safetensors, .npz, .npy), traces, run \
             folders and IDX files",
            file.display()
        ),
        Err(error) => Err(files::tensors_error(file, error)),
    }
}

fn is_onnx(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"))
}

fn single(file: &Path, mut opened: Opened, args: &InspectArgs) -> Result<Contents> {
    let (mut kind, title) = described(file, &opened)?;
    let checkpoint = checkpoint::of(file, &opened)?;
    let title = if checkpoint.is_some() { "checkpoint of stitch (safetensors)" } else { title };
    if checkpoint.is_some() {
        kind = "stitch_checkpoint";
    }
    let torchscript = match opened.kind() {
        FileKind::TorchScript => Some(script::of(file, args.code)?),
        _ => None,
    };
    let skipped = opened.skipped().iter();
    let skipped = skipped.map(|it| Skipped { path: it.path.clone(), what: it.what.clone() });
    Ok(Contents::Tensors(Box::new(Tensors {
        kind,
        title,
        sum: sum(file)?,
        skipped: skipped.collect(),
        metadata: opened.metadata().clone(),
        weights: Some(weights_of(file, &mut opened, args.stats)?),
        candidates: Vec::new(),
        more_candidates: 0,
        checkpoint,
        torchscript,
    })))
}

/// Each dict of tensors of a checkpoint by its key.
fn several(file: &Path, keys: &[String], more: usize, args: &InspectArgs) -> Result<Contents> {
    let mut candidates = Vec::new();
    for key in keys {
        let mut opened = files::weights_file(file, Some(key))?;
        candidates.push(weights_of(file, &mut opened, args.stats)?);
    }
    Ok(Contents::Tensors(Box::new(Tensors {
        kind: "checkpoint",
        title: CHECKPOINT,
        sum: sum(file)?,
        weights: None,
        candidates,
        more_candidates: more,
        metadata: Default::default(),
        skipped: Vec::new(),
        checkpoint: None,
        torchscript: None,
    })))
}

const CHECKPOINT: &str = "checkpoint (torch.save)";

/// The kind of a file, for programs and in words.
fn described(file: &Path, opened: &Opened) -> Result<(&'static str, &'static str)> {
    let mut start = Vec::new();
    let cannot = || format!("{} cannot be read", file.display());
    open_regular(file)?.take(2).read_to_end(&mut start).with_context(cannot)?;
    let is_checkpoint = opened.key().is_some() || !opened.skipped().is_empty();
    Ok(match opened.kind() {
        FileKind::StateDict if is_checkpoint => ("checkpoint", CHECKPOINT),
        FileKind::StateDict if start == b"PK" => ("state_dict", "state_dict (torch.save)"),
        FileKind::StateDict => ("state_dict", "state_dict (torch.save before PyTorch 1.6)"),
        FileKind::TorchScript => ("torchscript", "TorchScript (torch.jit.save)"),
        FileKind::Safetensors => ("safetensors", "safetensors"),
        FileKind::Npz => ("npz", "npz (numpy.savez)"),
        FileKind::Npy => ("npy", "npy (numpy.save)"),
    })
}

/// Reads all tensors, one after the other, as streams.
fn weights_of(file: &Path, opened: &mut Opened, stats: bool) -> Result<Weights> {
    let specs = opened.specs().to_vec();
    let identified = weights::identify(&specs, None).ok();
    let mut tensors = Vec::with_capacity(specs.len());
    for (i, spec) in specs.iter().enumerate() {
        let tensor = tensor(opened, i, spec, stats);
        let place = || format!("{}: {}", file.display(), spec.name.escape_debug());
        tensors.push(tensor.with_context(place)?);
    }
    let sums = specs.iter().zip(&tensors).map(|(spec, tensor)| (spec, &*tensor.sha256));
    Ok(Weights {
        key: opened.key().map(str::to_owned),
        model: identified.map(|it| it.entry.name),
        elements: tensors.iter().map(|tensor| tensor.elements).sum(),
        tensor_bytes: tensors.iter().map(|tensor| tensor.bytes).sum(),
        tensors_sha256: sha256::of_tensors(sums),
        tensors,
    })
}

fn tensor(opened: &mut Opened, i: usize, spec: &TensorSpec, stats: bool) -> Result<Tensor> {
    let mut tally = Tally::new(spec.dtype);
    let mut hash = sha256::Sum::default();
    let mut stream = opened.stream(i)?;
    let bytes = sha256::for_each_part(&mut stream, &mut |part| {
        hash.update(part);
        if stats {
            tally.add(part);
        }
    })?;
    let size = spec.dtype.size() as u64;
    Ok(Tensor {
        name: spec.name.clone(),
        dtype: spec.dtype.name(),
        shape: spec.shape.clone(),
        elements: bytes / size,
        bytes,
        sha256: hash.finish(),
        statistics: stats.then(|| tally.finish()),
    })
}
