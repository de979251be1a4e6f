//! What a finished run has left in its folder.

use std::path::Path;

use anyhow::{Context, Result};
use stitch::report::{Parity, Run, RunFiles};
use stitch::run_folder::{
    CONFIG, CONFUSION_MATRIX, HISTORY, METRICS, PARITY, PREDICTIONS, ParityVerdict, SAFETENSORS,
};
use stitch::sha256;

use super::inputs;

/// Bytes of the longest file of a run folder that is read whole.
const LONGEST: u64 = 64 << 20;

/// The run in a folder.
pub fn read(folder: &Path) -> Result<Run> {
    let file = |name| inputs::read_short(&folder.join(name), LONGEST);
    let files = RunFiles {
        config: file(CONFIG)?,
        history: file(HISTORY)?,
        metrics: file(METRICS)?,
        predictions: file(PREDICTIONS)?,
        confusion_matrix: file(CONFUSION_MATRIX)?,
    };
    Run::read(&files).with_context(|| folder.display().to_string())
}

/// What `stitch parity` has left there, if it is about the weights that are there.
pub fn parity(folder: &Path) -> Result<Parity> {
    let path = folder.join(PARITY);
    if !path.exists() {
        return Ok(Parity::Unchecked);
    }
    let verdict: ParityVerdict = serde_json::from_slice(&inputs::read_short(&path, LONGEST)?)
        .with_context(|| format!("{} is no verdict of stitch parity", path.display()))?;
    match weights_sha256(folder) {
        Ok(sha256) if sha256 == verdict.weights_sha256 => Ok(Parity::Checked(verdict)),
        _ => Ok(Parity::Stale),
    }
}

/// SHA-256 of a run's weights, in hex.
pub fn weights_sha256(folder: &Path) -> Result<String> {
    let bytes = inputs::read_short(&folder.join(SAFETENSORS), LONGEST)?;
    Ok(sha256::of(&bytes))
}
