//! `stitch man`: writes the manual pages, one per command.

use std::fs;

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use stitch::run_folder::write_whole;

use super::{Console, Outcome};
use crate::cli::{Cli, ManArgs};

pub fn run(args: &ManArgs, console: Console) -> Result<Outcome> {
    console.refuse_json("man", "writes pages for man")?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add(&command, &mut pages)?;
    let folder = &args.folder;
    fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be created", folder.display()))?;
    for (name, page) in &pages {
        let path = folder.join(name);
        write_whole(&path, page)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    console.show(&format!("{} pages written to {}", pages.len(), folder.display()))?;
    Ok(Outcome::Done)
}

/// Adds the pages of a command and its subcommands.
fn add(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    // clap_mangen's own section for this text is called EXTRA and joins the lines of examples; its synopsis repeats
    // the options.
    let more = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let man = Man::new(command.clone());
    let name = man.get_filename();
    let title = name.trim_end_matches(".1");
    // Without a date, so that the pages are reproducible.
    let version = env!("CARGO_PKG_VERSION");
    let mut page =
        format!(".TH {title} 1 \"\" \"stitch {version}\" \"User Commands\"\n").into_bytes();
    man.render_name_section(&mut page)?;
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    Roff::new().control("SH", ["SYNOPSIS"]).text([roman(usage)]).to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let subcommands = || command.get_subcommands().filter(|command| !command.is_hide_set());
    if subcommands().next().is_some() {
        man.render_subcommands_section(&mut page)?;
    }
    sections(&more).to_writer(&mut page)?;
    pages.push((name, ascii(&String::from_utf8(page)?)));
    subcommands().try_for_each(|command| add(command, pages))
}

/// The page in ASCII, with other characters as roff escapes: readers do not have to guess the encoding.
fn ascii(page: &str) -> Vec<u8> {
    let escaped = |c: char| match c.is_ascii() {
        true => c.to_string(),
        false => format!("\\[u{:04X}]", u32::from(c)),
    };
    page.chars().map(escaped).collect::<String>().into_bytes()
}

/// The sections of a help text: paragraphs become NOTES; indented lines (examples) are not joined.
fn sections(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut filled = true;
    for (i, line) in text.lines().enumerate() {
        let is_example = line.starts_with("  ");
        if is_example == filled {
            filled = !is_example;
            roff.control(if filled { "fi" } else { "nf" }, []);
        }
        match line.trim() {
            heading if heading.starts_with("Examples") => {
                roff.control("SH", ["EXAMPLES"]);
                let rest = heading.trim_start_matches("Examples").trim_end_matches(':').trim();
                if !rest.is_empty() {
                    roff.text([roman(rest)]);
                }
            }
            "" => drop(roff.control("PP", [])),
            line => {
                if i == 0 {
                    roff.control("SH", ["NOTES"]);
                }
                roff.text([roman(line)]);
            }
        }
    }
    if !filled {
        roff.control("fi", []);
    }
    roff
}
