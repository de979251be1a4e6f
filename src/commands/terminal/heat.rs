//! The confusion matrix as a heat table: the background of a count shows its share of the row.

use anstyle_lossy::palette::Palette;
use anstyle_lossy::{rgb_to_xterm, xterm_to_rgb};
use clap::builder::styling::{Color, RgbColor, Style};
use stitch::dataset::classes::Classes;
use stitch::evaluate::Evaluation;
use stitch::metrics::ConfusionMatrix;
use stitch::report::figures::heat;

use super::{Colors, Screen};

/// The confusion matrix of `model`: a table with numbered columns if it fits the screen, else a list of classes.
pub fn heat(screen: Screen, model: &str, evaluation: &Evaluation) -> String {
    table_or_list(screen, model, &evaluation.matrix, &evaluation.classes)
}

fn table_or_list(
    screen: Screen,
    model: &str,
    matrix: &ConfusionMatrix,
    classes: &Classes,
) -> String {
    let most = matrix.counts.iter().flatten().max().map_or(1, |count| count.to_string().len());
    let labels = classes.names().iter().enumerate().map(|(i, name)| match name {
        // A name that is the label says the same twice.
        name if *name == i.to_string() => name.clone(),
        name => format!("{i} {name}"),
    });
    let labels: Vec<String> = labels.collect();
    let label = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let most = most.max((classes.len() - 1).to_string().len());
    // With spaces on both sides of a number, or on its left only.
    let mut cells = [1, 0].map(|after| Cell { number: 1 + most, after }).into_iter();
    match cells.find(|cell| screen.fits(label + classes.len() * (cell.number + cell.after))) {
        Some(cell) => grid(screen, model, matrix, &labels, cell),
        None => list(screen, model, matrix, classes),
    }
}

/// Width of a number with the space before it, and number of spaces after it.
#[derive(Clone, Copy)]
struct Cell {
    number: usize,
    after: usize,
}

impl Cell {
    fn with(self, text: &str) -> String {
        format!("{text:>number$}{:after$}", "", number = self.number, after = self.after)
    }
}

fn grid(
    screen: Screen,
    model: &str,
    matrix: &ConfusionMatrix,
    labels: &[String],
    cell: Cell,
) -> String {
    let title = format!("{model} confusion matrix (rows: true class, columns: predicted)");
    let label = labels.iter().map(|label| label.len()).max().unwrap_or(0);
    let numbers: String =
        (0..matrix.classes()).map(|class| cell.with(&class.to_string())).collect();
    let mut lines = vec![screen.paragraph(&title), format!("{:label$}{numbers}", "")];
    for (name, row) in labels.iter().zip(&matrix.counts) {
        let total = row.iter().sum();
        let cells = row.iter().map(|&count| shaded(screen, count, total, |text| cell.with(text)));
        lines.push(format!("{name:label$}{}", cells.collect::<String>()));
    }
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

fn list(screen: Screen, model: &str, matrix: &ConfusionMatrix, classes: &Classes) -> String {
    let mut lines =
        vec![screen.paragraph(&format!(
            "{model}: correct predictions by true class, then the wrong ones"
        ))];
    for (class, row) in matrix.counts.iter().enumerate() {
        let (name, total) = (&classes.names()[class], row.iter().sum());
        let right = match row[class] {
            0 => " 0 ".into(),
            count => shaded(screen, count, total, |text| format!(" {text} ")),
        };
        lines.push(format!("{name}{right}of {total}"));
        let others = row.iter().enumerate().filter(|&(other, &count)| other != class && count > 0);
        let mut others: Vec<(u64, &str)> =
            others.map(|(other, &count)| (count, classes.names()[other].as_str())).collect();
        others.sort_by_key(|&(count, _)| std::cmp::Reverse(count));
        let last = others.len().saturating_sub(1);
        let others = others
            .iter()
            .enumerate()
            .map(|(i, (count, name))| format!("{count} {name}{}", if i < last { "," } else { "" }));
        let others: Vec<String> = others.collect();
        if !others.is_empty() {
            let pieces = ["predicted as"].into_iter().chain(others.iter().map(String::as_str));
            lines.push(screen.lines(pieces, "  "));
        }
    }
    lines.join("\n")
}

/// `count` on a background that shows its share of `total`; 0 is a dot without background.
fn shaded(screen: Screen, count: u64, total: u64, cell: impl Fn(&str) -> String) -> String {
    if count == 0 {
        return cell("·");
    }
    let text = cell(&count.to_string());
    let [r, g, b] = heat::color(count as f64 / total as f64);
    let (background, text_color) = supported(RgbColor(r, g, b), screen.colors);
    let style = Style::new().bg_color(Some(background)).fg_color(Some(text_color));
    match screen.colors {
        Colors::None => text,
        _ => format!("{style}{text}{style:#}"),
    }
}

/// The background color that the terminal supports, and black or white for the text on it. The theme's black and
/// white are not used: they may be gray.
fn supported(background: RgbColor, colors: Colors) -> (Color, Color) {
    let text_color = |RgbColor(r, g, b)| {
        let [r, g, b] = heat::readable_on([r, g, b]);
        RgbColor(r, g, b)
    };
    match colors {
        Colors::True => (background.into(), text_color(background).into()),
        Colors::None | Colors::Indexed => {
            let background = rgb_to_xterm(background);
            let shown = xterm_to_rgb(background, Palette::default());
            (background.into(), rgb_to_xterm(text_color(shown)).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use stitch::dataset::CLASSES;
    use stitch::dataset::classes::NAMES;

    use super::*;

    const PLAIN: Colors = Colors::None;

    fn screen(width: usize, colors: Colors) -> Screen {
        Screen { width: Some(width), colors }
    }

    /// Counts of four digits, and every possible confusion.
    fn matrix() -> ConfusionMatrix {
        let row = |t| (0..CLASSES).map(|p| if t == p { 1000 } else { 7 }).collect();
        ConfusionMatrix { counts: (0..CLASSES).map(row).collect() }
    }

    fn heat(screen: Screen, model: &str, matrix: &ConfusionMatrix) -> String {
        table_or_list(screen, model, matrix, &Classes::fashion_mnist())
    }

    #[test]
    fn no_line_is_wider_than_the_screen_and_no_name_is_cut() {
        for width in 30..130 {
            let text = heat(screen(width, PLAIN), "lenet5", &matrix());
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
            assert!(NAMES.iter().all(|name| text.contains(name)), "{width}:\n{text}");
        }
    }

    #[test]
    fn the_numbers_of_a_column_are_aligned_with_its_heading() {
        for width in [63, 80, 120] {
            let text = heat(screen(width, PLAIN), "lenet5", &matrix());
            let rows: Vec<&str> = text.lines().rev().take(1 + CLASSES).collect();
            let ends = |line: &str| {
                let line: Vec<char> = line.chars().skip(13).chain([' ']).collect();
                let pairs = line.windows(2).enumerate();
                let ends = pairs.filter(|(_, pair)| pair[0] != ' ' && pair[1] == ' ');
                ends.map(|(i, _)| i).collect::<Vec<_>>()
            };
            assert!(rows.iter().all(|row| ends(row) == ends(rows[0])), "{text}");
        }
    }

    #[test]
    fn text_is_readable_on_every_background() {
        for share in 0..=1000 {
            // The color scale is over the square root of the share.
            let [r, g, b] = heat::color((f64::from(share) / 1000.0).powi(2));
            for colors in [Colors::Indexed, Colors::True] {
                let seen = |color| {
                    let RgbColor(r, g, b) = match color {
                        Color::Rgb(color) => color,
                        Color::Ansi256(color) => xterm_to_rgb(color, Palette::default()),
                        Color::Ansi(_) => panic!("a color of the theme"),
                    };
                    [r, g, b]
                };
                let (background, text) = supported(RgbColor(r, g, b), colors);
                let contrast = heat::contrast(seen(background), seen(text));
                assert!(contrast > 4.5, "{share}: {contrast}");
            }
        }
    }

    #[test]
    fn colors_only_add_escape_sequences() {
        let [plain, indexed, full] = [PLAIN, Colors::Indexed, Colors::True]
            .map(|colors| heat(screen(80, colors), "mlp", &matrix()));
        assert!(!plain.contains('\x1b'));
        assert!(indexed.contains("\x1b[48;5;") && full.contains("\x1b[48;2;"), "{indexed}{full}");
        let stripped = |text: &str| {
            let lines = anstream::adapter::strip_str(text).to_string();
            lines.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(stripped(&indexed), stripped(&plain));
        assert_eq!(stripped(&full), stripped(&plain));
    }
}
