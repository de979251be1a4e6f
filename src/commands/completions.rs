//! `stitch completions`: prints shell completions.

use anyhow::Result;
use clap::CommandFactory;

use super::{Console, Outcome};
use crate::cli::{Cli, CompletionsArgs};

pub fn run(args: &CompletionsArgs, console: Console) -> Result<Outcome> {
    console.refuse_json("completions", "prints a script for a shell")?;
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "stitch", &mut script);
    console.print(String::from_utf8(script)?.trim_end())?;
    Ok(Outcome::Done)
}
