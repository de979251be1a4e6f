//! Starts `stitch-engine`, the program next to this one that is linked with libtorch, with the same arguments.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Outcome;

/// The error of a command that computes with networks.
const WITHOUT_LIBTORCH: &str = "this stitch was built without libtorch: it reads, compares and converts files, but computes no \
                                network. Build it with its default features (cargo install --path .)";

/// Whether this program was built with `stitch-engine`.
pub const EXISTS: bool = cfg!(feature = "engine");

/// Runs the command in `stitch-engine`. On Unix the process becomes that program.
///
/// # Errors
/// The program cannot be started, or this one was built without it.
pub fn start() -> Result<Outcome> {
    if !EXISTS {
        bail!(WITHOUT_LIBTORCH);
    }
    let this = env::current_exe().context("the path of the program stitch is unknown")?;
    let engine = this.with_file_name(format!("stitch-engine{}", env::consts::EXE_SUFFIX));
    let mut command = Command::new(&engine);
    command.args(env::args_os().skip(1));
    let cannot = || {
        let engine = engine.display();
        format!(
            "{engine} cannot be started: it computes the networks, and must be next to stitch. Install both again"
        )
    };
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;

        let error = command.arg0("stitch").exec();
        Err(error).with_context(cannot)
    }
    #[cfg(not(unix))]
    {
        let status = command.status().with_context(cannot)?;
        std::process::exit(status.code().unwrap_or(2))
    }
}
