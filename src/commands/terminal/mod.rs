//! Output on a terminal: its width and colors, tables, heat tables, progress bars.
//!
//! Without a terminal, output has no colors and no maximum width. Lines are never longer than the terminal: what does
//! not fit is laid out differently, not cut.

mod bar;
#[cfg(feature = "libtorch")]
mod heat;
mod table;

use std::borrow::Cow;
use std::env;
use std::io::stdout;

use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::{AnsiColor, Style};
use console::Term;

pub use bar::{bar, bar_target};
#[cfg(feature = "libtorch")]
pub use heat::heat;
pub use table::table;
#[cfg(not(feature = "libtorch"))]
pub use table::table_with_text;

/// The properties of an output stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Columns; `None` if it is not a terminal.
    pub width: Option<usize>,
    /// The colors that it supports.
    pub colors: Colors,
}

/// The colors that a terminal supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colors {
    None,
    /// The 256 colors of xterm.
    Indexed,
    /// 24-bit colors.
    True,
}

/// Applies `--color` to the process, for [`Screen`] and `anstream`.
pub fn set_color(choice: clap::ColorChoice) {
    match choice {
        clap::ColorChoice::Auto if is_dumb() => ColorChoice::Never,
        clap::ColorChoice::Auto => ColorChoice::Auto,
        clap::ColorChoice::Always => ColorChoice::Always,
        clap::ColorChoice::Never => ColorChoice::Never,
    }
    .write_global();
}

/// Whether `$TERM` is `dumb` and colors are not forced. `anstream` alone would color the output if `$CI` is set.
fn is_dumb() -> bool {
    let is_forced = env::var_os("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty());
    !is_forced && env::var_os("TERM").is_some_and(|term| term == "dumb")
}

impl Screen {
    /// Detects width and colors of stdout.
    pub fn stdout() -> Self {
        let colors = match AutoStream::choice(&stdout()) {
            ColorChoice::Never => Colors::None,
            _ if is_true_color() => Colors::True,
            _ => Colors::Indexed,
        };
        Self { width: columns(&Term::stdout()), colors }
    }

    /// Whether a line of this many columns fits.
    pub fn fits(self, columns: usize) -> bool {
        self.width.is_none_or(|width| columns <= width)
    }

    /// `text` in bold and in this color.
    pub fn colored(self, color: AnsiColor, text: &str) -> String {
        let style = Style::new().fg_color(Some(color.into())).bold();
        match self.colors {
            Colors::None => text.into(),
            _ => format!("{style}{text}{style:#}"),
        }
    }

    /// `text` with line breaks between words where it is too long.
    pub fn paragraph(self, text: &str) -> String {
        self.lines(text.split(' '), "")
    }

    /// `pieces` joined by spaces, with line breaks between them where the line is too long; each line starts with
    /// `indent`.
    pub fn lines<'a>(self, pieces: impl IntoIterator<Item = &'a str>, indent: &str) -> String {
        // At most 100 columns: longer lines are hard to read.
        let width = self.width.map_or(usize::MAX, |width| width.min(100));
        let mut lines = Vec::new();
        let mut line = indent.to_string();
        for piece in pieces {
            let is_empty = line.len() == indent.len();
            if !is_empty && line.chars().count() + 1 + piece.chars().count() > width {
                lines.push(std::mem::replace(&mut line, format!("{indent}{piece}")));
            } else {
                line.push_str(if is_empty { "" } else { " " });
                line.push_str(piece);
            }
        }
        lines.push(line);
        lines.join("\n")
    }
}

/// `text` with escaped control characters (`\u{1b}`), so that names from files cannot move the cursor, change colors
/// or set the window's title. Line breaks are kept.
pub fn visible(text: &str) -> Cow<'_, str> {
    let is_shown = |c: char| c == '\n' || !(c.is_control() || is_invisible(c));
    if text.chars().all(is_shown) {
        return text.into();
    }
    let escaped = |c: char| match is_shown(c) {
        true => c.to_string(),
        false => c.escape_unicode().to_string(),
    };
    text.chars().map(escaped).collect::<String>().into()
}

/// As [`visible`], with line breaks escaped too.
pub fn visible_line(text: &str) -> String {
    let is_break = |c: char| matches!(c, '\n' | '\u{2028}' | '\u{2029}');
    let escaped = |c: char| match is_break(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    visible(text).chars().map(escaped).collect()
}

/// Whether a character changes the text direction of others.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The columns for a progress bar on stderr; `None` if it is not a terminal.
pub fn progress_columns() -> Option<usize> {
    columns(&Term::stderr()).map(|columns| columns.saturating_sub(bar::FREE.into()))
}

/// The columns of a terminal; one of unknown size reports 0.
fn columns(terminal: &Term) -> Option<usize> {
    terminal.size_checked().map(|(_, columns)| usize::from(columns)).filter(|&columns| columns > 0)
}

/// Whether `$COLORTERM` announces 24-bit colors.
fn is_true_color() -> bool {
    env::var_os("COLORTERM").is_some_and(|value| value == "truecolor" || value == "24bit")
}
