//! `stitch export`: converts a file of tensors to another format.

#[cfg(feature = "libtorch")]
mod forward;
mod tensors;

use std::io::{self, IsTerminal};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use stitch::export::{FORMATS, Format};
use stitch::run_folder::write_whole;
use stitch::sha256;
use stitch::stitch_run::{Normalize, counted};

use super::terminal::visible_line;
use super::{Console, Outcome, files, print_bytes};
use crate::cli::ExportArgs;

/// What is written.
struct Exported {
    /// The model, or the path of a custom TorchScript network; `None` for tensors of an unknown network.
    model: Option<String>,
    /// Number of tensors.
    tensors: usize,
    bytes: Vec<u8>,
}

/// Whether the format has a forward pass, which is computed to check it.
///
/// # Errors
/// Contradicting arguments.
#[cfg(not(feature = "libtorch"))]
pub fn computes(args: &ExportArgs) -> Result<bool> {
    Ok(chosen_format(args)?.has_forward())
}

pub fn run(args: &ExportArgs, console: Console) -> Result<Outcome> {
    let to_stdout = args.output == Path::new("-");
    let format = chosen_format(args)?;
    if to_stdout {
        ensure!(
            !console.json,
            "--json: with --output -, the weights are written to stdout. Omit one of the two"
        );
        let is_terminal = io::stdout().is_terminal();
        ensure!(!is_terminal, "--output -: stdout is a terminal. Redirect it, or give a path");
    } else {
        check_output(&args.output, args.force)?;
    }
    let exported = match format.has_forward() {
        #[cfg(feature = "libtorch")]
        true => forward::export(args, format, console)?,
        #[cfg(not(feature = "libtorch"))]
        true => {
            bail!("--format {format} needs a forward pass: {}", super::engine::WITHOUT_LIBTORCH)
        }
        false => tensors::export(args, format, console)?,
    };
    if to_stdout {
        print_bytes(&exported.bytes)?;
        return Ok(Outcome::Done);
    }
    let Exported { model, tensors, bytes } = exported;
    let output = args.output.display();
    write_whole(&args.output, &bytes).with_context(|| format!("{output} cannot be written"))?;
    console.document(|| {
        Ok(json!({
            "file": args.file.display().to_string(),
            "model": model,
            "format": format.name,
            "output": output.to_string(),
            "bytes": bytes.len(),
            "sha256": sha256::of(&bytes),
        }))
    })?;
    let what = model.unwrap_or_else(|| counted(tensors, "tensor"));
    let said = format!("{what}: {} bytes written to {output}", bytes.len());
    console.show(&visible_line(&said))?;
    Ok(Outcome::Done)
}

/// The format of `--format`, which the extension of the output must not contradict; without the flag, that of the extension.
fn chosen_format(args: &ExportArgs) -> Result<&'static Format> {
    let output = args.output.display();
    let names =
        |formats: &[&Format]| formats.iter().map(|it| it.name).collect::<Vec<_>>().join(" or ");
    let extension = args.output.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let formats = Format::of_extension(&extension);
    match (args.format, &formats[..]) {
        (Some(format), []) => Ok(format),
        (Some(format), formats) if formats.contains(&format) => Ok(format),
        (Some(format), formats) => bail!(
            "--output {output}: the extension .{extension} is for {}, but --format is {format}. Change one of the two",
            names(formats)
        ),
        // The first one: a state_dict for `.pt`.
        (None, [format, ..]) => Ok(format),
        (None, []) => {
            let all = FORMATS.each_ref().map(|format| format.name).join(", ");
            match &extension[..] {
                _ if args.output == Path::new("-") => {
                    bail!("--output -: stdout has no extension. Give --format: {all}")
                }
                "" => bail!("--output {output} has no extension. Give --format: {all}"),
                _ => bail!(
                    "--output {output}: no format has the extension .{extension}. Give --format: {all}"
                ),
            }
        }
    }
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
    let normalize = files::known_normalize(&args.file)?.filter(|it| !it.is_none());
    if let Some(normalize) = &normalize {
        console.note(&format!(
            "note: {}: trained on images normalized with --normalize {normalize}: normalize those that the exported \
             network takes, too",
            args.file.display()
        ));
    }
    Ok(normalize)
}

/// Checks that the output path can be written, and does not exist unless `force`.
pub fn check_output(path: &Path, force: bool) -> Result<()> {
    let output = path.display();
    ensure!(!path.is_dir(), "--output {output} is a folder: give the path of a file");
    // `symlink_metadata` finds a dangling link too.
    if let Ok(existing) = path.symlink_metadata() {
        ensure!(force, "--output {output} exists. Give another path, or --force to replace it");
        ensure!(existing.is_file(), "--output {output} is not a regular file. Give another path");
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        bail!("--output {output}: the folder {} does not exist; create it first", folder.display());
    }
    Ok(())
}
