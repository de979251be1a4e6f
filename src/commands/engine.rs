//! Starts `stitch-engine`, the program in the same folder that is linked with libtorch, with the same arguments.

use std::env;
use std::fs;
use std::process::Command as Process;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::{Outcome, STARTED_BY, export, report};
use crate::cli::{Command, StudyAction};

/// The error of a command that runs a network.
pub const WITHOUT_LIBTORCH: &str = "this stitch was built without libtorch: it reads, compares and converts files, but computes no \
                                    network. Build it with its default features (cargo install --path .)";

/// Whether this program was built with `stitch-engine`.
pub const EXISTS: bool = cfg!(feature = "engine");

/// Whether the command is to be run by `stitch-engine`.
///
/// # Errors
/// Contradicting arguments of `export`.
pub fn has(command: &Command) -> Result<bool> {
    Ok(match command {
        Command::Export(args) => EXISTS && export::computes(args)?,
        Command::Report(args) => EXISTS && report::computes(args),
        Command::Reproduce(_) | Command::Train(_) | Command::Evaluate(_) | Command::Predict(_) => {
            true
        }
        // Without `stitch-engine`, it checks what there is.
        Command::Doctor => EXISTS,
        Command::Study(study) => matches!(study.action, StudyAction::Run(_)),
        _ => false,
    })
}

/// Runs the command in `stitch-engine`. On Unix the process becomes that program.
///
/// # Errors
/// The program cannot be started, or this one was built without it.
pub fn start() -> Result<Outcome> {
    if !EXISTS {
        bail!(WITHOUT_LIBTORCH);
    }
    let this = env::current_exe().and_then(fs::canonicalize);
    let this = this.context("the path of the program stitch is unknown")?;
    let engine = this.with_file_name(format!("stitch-engine{}", env::consts::EXE_SUFFIX));
    let shown = engine.display();
    let is_started = env::var_os(STARTED_BY).is_some();
    ensure!(
        !is_started,
        "{shown} is another copy of stitch, not stitch-engine: install both again"
    );
    let mut process = Process::new(&engine);
    process.args(env::args_os().skip(1)).env(STARTED_BY, env!("CARGO_PKG_VERSION"));
    let cannot = |error| {
        anyhow!(
            "cannot start {shown}: {error}. It must be in the same folder as stitch: install both again (cargo install \
             --path .), or link to stitch instead of copying it"
        )
    };
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;

        // Messages repeat the command as the user has typed it.
        if let Some(name) = env::args_os().next() {
            process.arg0(name);
        }
        Err(cannot(process.exec()))
    }
    #[cfg(not(unix))]
    {
        let status = process.status().map_err(cannot)?;
        std::process::exit(status.code().unwrap_or(2))
    }
}
