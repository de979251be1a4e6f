//! Checkpoints of stitch: safetensors files with the settings and the progress of a run in their metadata.

use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use stitch::stitch_run::checkpoint;

use super::contents::Checkpoint;
use crate::commands::files::{Opened, open_regular};

/// The run of a checkpoint, whose checksum is verified; `None` for other files.
pub fn of(file: &Path, opened: &Opened) -> Result<Option<Checkpoint>> {
    let Some(header) = opened.metadata().get("checkpoint") else { return Ok(None) };
    let Ok(Value::Object(mut header)) = serde_json::from_str(header) else { return Ok(None) };
    let number = |name: &str| header.get(name).and_then(Value::as_u64);
    let fields = number("version").zip(number("steps")).zip(number("updates"));
    let Some(((version, steps), updates)) = fields else { return Ok(None) };
    checkpoint::check_sum(BufReader::new(open_regular(file)?))
        .with_context(|| file.display().to_string())?;
    let epochs = opened.specs().iter().find(|spec| spec.name.starts_with("epochs/"));
    let epochs = epochs.and_then(|spec| spec.shape.first().copied()).unwrap_or(0);
    let config = header.remove("config").unwrap_or_default();
    Ok(Some(Checkpoint { version, epochs, steps, updates, config }))
}
