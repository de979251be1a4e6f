//! What a user sees: the binary in a pseudo terminal, and the screen that its output makes.
#![cfg(unix)]

mod progress;
mod results;

use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use tempfile::TempDir;
use vt100::Parser;

use crate::common;

/// Images in the cut data set.
const TRAIN: usize = 300;
const TEST: usize = 100;

fn folder_with_data() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    common::small_dataset(&folder.path().join("data"), TRAIN, TEST);
    folder
}

/// The binary at work in a terminal.
struct Terminal {
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    from: Box<dyn Read + Send>,
    /// Kept: with its end, a line feed and the end of the input are typed.
    to: Box<dyn Write + Send>,
    parser: Parser,
    /// Everything that was written.
    raw: Vec<u8>,
    /// Whether a wrapped line is a fault: not of what was written for another width.
    strict: bool,
    /// Every screen that was there between two control characters.
    screens: Vec<Vec<String>>,
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

impl Terminal {
    /// `stitch ARGUMENTS` in `folder`, on a screen of so many columns and rows.
    fn start(
        folder: &Path,
        (columns, rows): (u16, u16),
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_stitch"));
        command.cwd(folder);
        command.args(arguments);
        common::SETTINGS.iter().for_each(|name| command.env_remove(name));
        let variables = [("TERM", "xterm-256color")].iter().chain(variables);
        variables.for_each(|(name, value)| command.env(name, value));
        let child = pair.slave.spawn_command(command).unwrap();
        let from = pair.master.try_clone_reader().unwrap();
        let to = pair.master.take_writer().unwrap();
        let [height, width] = [rows, columns].map(|size| NonZero::new(size).unwrap());
        let parser = Parser::new(height, width, 10_000);
        Self {
            master: pair.master,
            child,
            from,
            to,
            parser,
            raw: Vec::new(),
            strict: true,
            screens: Vec::new(),
        }
    }

    /// Runs to the end: the exit code.
    fn finish(&mut self) -> u32 {
        while self.read() {}
        self.keep_screen();
        self.child.wait().unwrap().exit_code()
    }

    /// Reads until `seen` is so of the screen; panics when the program ends before.
    fn until(&mut self, seen: impl Fn(&[String]) -> bool) {
        loop {
            self.keep_screen();
            if seen(self.screens.last().unwrap()) {
                return;
            }
            assert!(self.screens.len() < 10_000, "it is never seen: {:#?}", self.rows());
            assert!(self.read(), "it ended before: {:#?}", self.rows());
        }
    }

    /// Reads on; `false` at the end.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        // Linux tells the end of a pseudo terminal by an error.
        let n = self.from.read(&mut bytes).unwrap_or(0);
        for &byte in &bytes[..n] {
            if matches!(byte, b'\r' | b'\n' | 0x1b) {
                self.keep_screen();
            }
            self.parser.process(&[byte]);
            self.raw.push(byte);
        }
        n > 0
    }

    fn keep_screen(&mut self) {
        let rows = self.rows();
        if self.screens.last() != Some(&rows) {
            self.screens.push(rows);
        }
        // Sentences on stderr are the terminal's to wrap: a command in one stays a line to copy.
        let mut excused = !self.strict;
        for (row, text) in (0..).zip(self.rows()) {
            excused = excused || text.starts_with("note: ") || text.starts_with("error: ");
            let wrapped = self.parser.screen().row_wrapped(row);
            assert!(excused || !wrapped, "a line was wrapped: {:#?}", self.rows());
            excused = !self.strict || excused && wrapped;
        }
    }

    /// The screen's rows, without the blanks behind them.
    fn rows(&self) -> Vec<String> {
        let (_, columns) = self.parser.screen().size();
        self.parser.screen().rows(0, columns.get()).map(|row| row.trim_end().to_owned()).collect()
    }

    /// The rows of the last screen down to the last that has text.
    fn text(&self) -> Vec<String> {
        let mut rows = self.rows();
        while rows.last().is_some_and(String::is_empty) {
            rows.pop();
        }
        rows
    }

    fn types(&mut self, keys: &str) {
        self.to.write_all(keys.as_bytes()).unwrap();
        self.to.flush().unwrap();
    }

    fn resize(&mut self, columns: u16, rows: u16) {
        self.strict = false;
        self.master.resize(size(columns, rows)).unwrap();
        let [height, width] = [rows, columns].map(|size| NonZero::new(size).unwrap());
        self.parser.screen_mut().set_size(height, width);
    }

    /// What sets colours in what was written.
    fn colours(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.raw);
        let codes = text.split("\x1b[").skip(1).filter_map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';')?;
            rest[end..].starts_with('m').then(|| rest[..end].to_owned())
        });
        codes.collect()
    }
}

/// Whether a progress bar is in it.
fn has_bar(row: &str) -> bool {
    row.contains(['█', '░'])
}
