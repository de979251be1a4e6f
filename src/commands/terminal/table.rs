//! Tables: with borders, without borders if the screen is narrower, as a list if it is narrower still.

use comfy_table::presets::{NOTHING, UTF8_FULL_CONDENSED};
use comfy_table::{CellAlignment, Table};

use super::{Screen, visible_line};

/// A table whose first column is text and whose other columns are numbers.
pub fn table(
    screen: Screen,
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    table_with_text(screen, 1, header, rows)
}

/// A table whose first `text` columns are text and whose other columns are numbers.
pub fn table_with_text(
    screen: Screen,
    text: usize,
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let shown = |row: Vec<String>| row.iter().map(|cell| visible_line(cell)).collect();
    let rows: Vec<Vec<String>> = rows.into_iter().map(shown).collect();
    let mut layouts = [UTF8_FULL_CONDENSED, NOTHING].into_iter().map(|preset| {
        let table = with_style(preset, text, header, &rows);
        let width = table.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        (table, width)
    });
    let fitting = layouts.find(|(_, width)| screen.fits(*width));
    fitting.map_or_else(|| list(screen, header, &rows), |(table, _)| table)
}

fn with_style(
    preset: comfy_table::TableStyle,
    text: usize,
    header: &[&str],
    rows: &[Vec<String>],
) -> String {
    let mut table = Table::new();
    table.load_style(preset).set_header(header.to_vec());
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(text) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    // Remove the padding of the last column.
    let lines: Vec<String> =
        table.to_string().lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// The table as a list: the first cell of each row, and below it the others, each after the name of its column.
fn list(screen: Screen, header: &[&str], rows: &[Vec<String>]) -> String {
    let item = |row: &Vec<String>| {
        let last = row.len().saturating_sub(1);
        let cells = (header.iter().zip(row).enumerate().skip(1))
            .map(|(i, (name, cell))| format!("{name} {cell}{}", if i < last { "," } else { "" }));
        let cells: Vec<String> = cells.collect();
        let first = row.first().map_or("", String::as_str);
        format!("{first}\n{}", screen.lines(cells.iter().map(String::as_str), "  "))
    };
    rows.iter().map(item).collect::<Vec<_>>().join("\n")
}
