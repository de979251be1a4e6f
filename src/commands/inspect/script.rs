//! The code of TorchScript files, which is read as text and not run.

use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use stitch::tensor_files::torchscript::{self, Archive};
use stitch::torchscript_forward::ScriptModule;

use super::contents::Script;
use crate::commands::files::open_regular;

/// The code of a file; with its text if `full`.
pub fn of(file: &Path, full: bool) -> Result<Script> {
    let path = || file.display().to_string();
    let archive = Archive::read(BufReader::new(open_regular(file)?)).with_context(path)?;
    let module = ScriptModule::read(BufReader::new(open_regular(file)?)).with_context(path)?;
    let root = archive.object(archive.root());
    let training = root.and_then(|root| root.attribute("training")).map(|id| archive.value(id));
    let code = archive.code().iter();
    let text = || code.clone().map(|(name, text)| (name.clone(), Value::from(text.as_str())));
    Ok(Script {
        class: module.class_name().to_owned(),
        training: match training {
            Some(torchscript::Value::Bool(training)) => Some(training),
            _ => None,
        },
        lines: code.clone().map(|(_, text)| text.lines().count()).sum(),
        forward: module.signature().map(|signature| signature.to_string()),
        code: full.then(|| text().collect()),
    })
}
