//! The one hand for people: how wide the terminal is, whether it takes colours, tables, heat tables.
//!
//! Elsewhere than on a terminal nothing is coloured and nothing is narrowed. Nothing is ever wrapped by
//! the terminal or cut: what does not fit takes another form.

mod bar;
mod heat;
mod table;

use std::borrow::Cow;
use std::env;
use std::io::stdout;

use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::{AnsiColor, Style};
use console::Term;

pub use bar::{bar, bar_target};
pub use heat::heat;
pub use table::{table, table_with_text};

/// What the output goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Columns; `None` where it is no terminal.
    pub width: Option<usize>,
    /// The colours that it takes.
    pub colours: Colours,
}

/// Which colours there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    None,
    /// The 256 of xterm.
    Indexed,
    /// 24 bits of them.
    True,
}

/// `--color` holds from here on, also for what [`Screen`] and `anstream` find out later.
pub fn set_colour(choice: clap::ColorChoice) {
    match choice {
        clap::ColorChoice::Auto if is_dumb() => ColorChoice::Never,
        clap::ColorChoice::Auto => ColorChoice::Auto,
        clap::ColorChoice::Always => ColorChoice::Always,
        clap::ColorChoice::Never => ColorChoice::Never,
    }
    .write_global();
}

/// A terminal that says it knows no codes gets none, unless they are forced. `anstream` alone would
/// send them wherever the variable `CI` is set.
fn is_dumb() -> bool {
    let is_forced = env::var_os("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty());
    !is_forced && env::var_os("TERM").is_some_and(|term| term == "dumb")
}

impl Screen {
    /// Results go there.
    pub fn stdout() -> Self {
        let colours = match AutoStream::choice(&stdout()) {
            ColorChoice::Never => Colours::None,
            _ if is_true_colour() => Colours::True,
            _ => Colours::Indexed,
        };
        Self { width: columns(&Term::stdout()), colours }
    }

    /// Whether so many columns are there.
    pub fn fits(self, columns: usize) -> bool {
        self.width.is_none_or(|width| columns <= width)
    }

    /// `text` in bold, of this colour.
    pub fn coloured(self, colour: AnsiColor, text: &str) -> String {
        let style = Style::new().fg_color(Some(colour.into())).bold();
        match self.colours {
            Colours::None => text.into(),
            _ => format!("{style}{text}{style:#}"),
        }
    }

    /// A paragraph: `text` broken between words where it is too long.
    pub fn paragraph(self, text: &str) -> String {
        self.lines(text.split(' '), "")
    }

    /// `pieces` one after the other, broken between them where they are too long; each line begins with
    /// `indent`.
    pub fn lines<'a>(self, pieces: impl IntoIterator<Item = &'a str>, indent: &str) -> String {
        // Longer lines are hard to read, however wide the screen is.
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

/// `text` with its control characters written out (`\u{1b}`), so that names from files cannot move the
/// cursor, colour the screen or set the window's title. Line breaks stay.
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

/// As [`visible`], with line breaks written out too: names within a line cannot begin another.
pub fn visible_line(text: &str) -> String {
    let is_break = |c: char| matches!(c, '\n' | '\u{2028}' | '\u{2029}');
    let escaped = |c: char| match is_break(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    visible(text).chars().map(escaped).collect()
}

/// Characters that change the order in which others are shown.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Columns that a progress bar has on stderr; `None` where it is no terminal.
pub fn progress_columns() -> Option<usize> {
    columns(&Term::stderr()).map(|columns| columns.saturating_sub(bar::FREE.into()))
}

/// A terminal that does not know its size says 0.
fn columns(terminal: &Term) -> Option<usize> {
    terminal.size_checked().map(|(_, columns)| usize::from(columns)).filter(|&columns| columns > 0)
}

/// What terminals say of themselves that take 24 bits.
fn is_true_colour() -> bool {
    env::var_os("COLORTERM").is_some_and(|value| value == "truecolor" || value == "24bit")
}
