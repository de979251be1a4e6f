//! The code blocks of README.md, run in order as they are printed, in a folder as their reader has it. What a `$` command
//! prints must be what the README shows below it. A block that can be neither run nor checked is an error.

mod output;
mod setup;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::markdown::{CodeBlock, code_blocks};
use crate::{common, temporary_folder};

/// A command of a block, and the lines that the block shows below it.
struct Shown {
    command: String,
    output: Vec<String>,
}

/// A copy of the repository in links, with what its reader has by then: the binary on the `PATH`, the package
/// `python/` where pip has put it.
struct Reader {
    folder: TempDir,
}

impl Reader {
    fn new() -> Self {
        let folder = temporary_folder();
        for entry in common::root().read_dir().unwrap() {
            let entry = entry.unwrap();
            // Python packages are built in their folder.
            if !["target", "runs", "python", ".git"].contains(&entry.file_name().to_str().unwrap())
            {
                symlink(entry.path(), folder.path().join(entry.file_name())).unwrap();
            }
        }
        let copy = ["-R", "python"];
        let status =
            Command::new("cp").args(copy).arg(folder.path()).current_dir(common::root()).status();
        assert!(status.unwrap().success());
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        common::SETTINGS.iter().filter(|name| **name != "FASHION_MNIST_DIR").for_each(|name| {
            command.env_remove(name);
        });
        command.current_dir(self.path()).env("PATH", common::search_path());
        command.env("PYTHONPATH", self.packages());
        command
    }

    /// Where pip installs packages.
    fn packages(&self) -> PathBuf {
        self.path().join("packages")
    }

    /// Runs a block.
    fn run(&self, block: &CodeBlock) {
        match block.language.as_str() {
            "sh" => commands(&block.text).iter().for_each(|command| {
                self.run_command(&Shown { command: command.clone(), output: Vec::new() });
            }),
            "console" => transcript(&block.text).iter().for_each(|shown| self.run_command(shown)),
            "python" => self.run_python(&block.text),
            "rust" => self.run_rust(&block.text),
            other => panic!(
                "README.md has a block of {other:?}, which this test cannot run:\n{}",
                block.text
            ),
        }
    }

    /// Runs a command, or checks one that installs something.
    fn run_command(&self, shown: &Shown) {
        if let Some(check) = setup::check_of(&shown.command) {
            return check(self, &shown.command);
        }
        let mut command = self.command("sh");
        let output =
            command.args(["-ec", &format!("{{ {}\n}} 2>&1", shown.command)]).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let is_different =
            shown.output.first().is_some_and(|line| line.starts_with("PARITY: DIFFERENT"));
        let expected = i32::from(is_different);
        assert_eq!(output.status.code(), Some(expected), "{}\n{printed}", shown.command);
        if !shown.output.is_empty() {
            output::assert_shown(&shown.output, &printed, &shown.command);
        }
    }

    fn run_python(&self, text: &str) {
        let script = self.path().join("block.py");
        fs::write(&script, text).unwrap();
        let output =
            self.command(common::python()).args(["-W", "ignore"]).arg(script).output().unwrap();
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    }

    fn run_rust(&self, text: &str) {
        let folder = self.path().join("port");
        let program = setup::compile(&folder, text);
        let output = self.command(program).output().unwrap();
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The commands of a block; a backslash at the end of a line continues it.
fn commands(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    joined.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// The commands after `$`, each with what is shown below it.
fn transcript(text: &str) -> Vec<Shown> {
    let mut found: Vec<Shown> = Vec::new();
    for line in text.replace("\\\n", " ").lines() {
        match line.strip_prefix("$ ") {
            Some(command) => found.push(Shown { command: command.into(), output: Vec::new() }),
            None => {
                found.last_mut().expect("a block begins with a command").output.push(line.into())
            }
        }
    }
    found
}

#[test]
fn every_code_block_of_the_readme_does_what_it_shows() {
    let text = fs::read_to_string(common::root().join("README.md")).unwrap();
    let blocks = code_blocks(&text);
    assert!(blocks.len() > 8, "only {} blocks", blocks.len());
    let reader = Reader::new();
    blocks.iter().for_each(|block| reader.run(block));
}

#[test]
fn the_readme_is_short() {
    let text = fs::read_to_string(common::root().join("README.md")).unwrap();
    assert!(text.lines().count() <= 180, "{} lines", text.lines().count());
}
