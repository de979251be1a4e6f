//! The confusion matrix as a heat table: counts on a ground that shows the share of their row.

use anstyle_lossy::palette::Palette;
use anstyle_lossy::{rgb_to_xterm, xterm_to_rgb};
use clap::builder::styling::{Color, RgbColor, Style};
use stitch::dataset::{CLASSES, classes};
use stitch::metrics::ConfusionMatrix;
use stitch::report::figures::heat;

use super::{Colours, Screen};

/// The matrix of `of`, in rows of numbered classes where that fits, else class by class.
pub fn heat(screen: Screen, of: &str, matrix: &ConfusionMatrix) -> String {
    let most = matrix.counts.iter().flatten().max().map_or(1, |count| count.to_string().len());
    let labels = classes::NAMES.iter().enumerate().map(|(i, name)| format!("{i} {name}"));
    let labels: Vec<String> = labels.collect();
    let label = labels.iter().map(|label| label.len()).max().unwrap_or(0);
    // With a space on both sides of a number, or on one.
    let mut cells = [1, 0].map(|behind| Cell { number: 1 + most, behind }).into_iter();
    match cells.find(|cell| screen.fits(label + CLASSES * (cell.number + cell.behind))) {
        Some(cell) => grid(screen, of, matrix, &labels, cell),
        None => list(screen, of, matrix),
    }
}

/// How wide a number is, with the space before it, and how many spaces are behind it.
#[derive(Clone, Copy)]
struct Cell {
    number: usize,
    behind: usize,
}

impl Cell {
    fn holding(self, text: &str) -> String {
        format!("{text:>number$}{:behind$}", "", number = self.number, behind = self.behind)
    }
}

fn grid(
    screen: Screen,
    of: &str,
    matrix: &ConfusionMatrix,
    labels: &[String],
    cell: Cell,
) -> String {
    let title = format!("{of}: true classes down, what they were taken for across");
    let label = labels.iter().map(|label| label.len()).max().unwrap_or(0);
    let numbers: String = (0..CLASSES).map(|class| cell.holding(&class.to_string())).collect();
    let mut lines = vec![screen.paragraph(&title), format!("{:label$}{numbers}", "")];
    for (name, row) in labels.iter().zip(&matrix.counts) {
        let total = row.iter().sum();
        let cells =
            row.iter().map(|&count| ground(screen, count, total, |text| cell.holding(text)));
        lines.push(format!("{name:label$}{}", cells.collect::<String>()));
    }
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

fn list(screen: Screen, of: &str, matrix: &ConfusionMatrix) -> String {
    let mut lines =
        vec![screen.paragraph(&format!("{of}: how many of each class were recognised"))];
    for (class, row) in matrix.counts.iter().enumerate() {
        let (name, total) = (classes::NAMES[class], row.iter().sum());
        let right = match row[class] {
            0 => " 0 ".into(),
            count => ground(screen, count, total, |text| format!(" {text} ")),
        };
        lines.push(format!("{name}{right}of {total}"));
        let others = row.iter().enumerate().filter(|&(other, &count)| other != class && count > 0);
        let mut others: Vec<(u64, &str)> =
            others.map(|(other, &count)| (count, classes::NAMES[other])).collect();
        others.sort_by_key(|&(count, _)| std::cmp::Reverse(count));
        let last = others.len().saturating_sub(1);
        let others = others
            .iter()
            .enumerate()
            .map(|(i, (count, name))| format!("{count} {name}{}", if i < last { "," } else { "" }));
        let others: Vec<String> = others.collect();
        if !others.is_empty() {
            let pieces = ["as"].into_iter().chain(others.iter().map(String::as_str));
            lines.push(screen.lines(pieces, "  "));
        }
    }
    lines.join("\n")
}

/// `count` on the ground of its share of `total`; nothing is a point on no ground.
fn ground(screen: Screen, count: u64, total: u64, cell: impl Fn(&str) -> String) -> String {
    if count == 0 {
        return cell("·");
    }
    let text = cell(&count.to_string());
    let [r, g, b] = heat::colour(count as f64 / total as f64);
    let (ground, ink) = colours(RgbColor(r, g, b), screen.colours);
    let style = Style::new().bg_color(Some(ground)).fg_color(Some(ink));
    match screen.colours {
        Colours::None => text,
        _ => format!("{style}{text}{style:#}"),
    }
}

/// The ground as the terminal can show it, and black or white for what is written on it: not those of
/// the theme, which may be grey.
fn colours(ground: RgbColor, there: Colours) -> (Color, Color) {
    let ink = |RgbColor(r, g, b)| {
        let [r, g, b] = heat::readable_on([r, g, b]);
        RgbColor(r, g, b)
    };
    match there {
        Colours::True => (ground.into(), ink(ground).into()),
        Colours::None | Colours::Indexed => {
            let ground = rgb_to_xterm(ground);
            let shown = xterm_to_rgb(ground, Palette::default());
            (ground.into(), rgb_to_xterm(ink(shown)).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Colours = Colours::None;

    fn screen(width: usize, colours: Colours) -> Screen {
        Screen { width: Some(width), colours }
    }

    /// Counts of four digits, and each class taken for each other.
    fn matrix() -> ConfusionMatrix {
        let counts =
            std::array::from_fn(|t| std::array::from_fn(|p| if t == p { 1000 } else { 7 }));
        ConfusionMatrix { counts }
    }

    #[test]
    fn no_line_is_wider_than_the_screen_and_no_name_is_cut() {
        for width in 30..130 {
            let text = heat(screen(width, PLAIN), "lenet5", &matrix());
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
            assert!(classes::NAMES.iter().all(|name| text.contains(name)), "{width}:\n{text}");
        }
    }

    #[test]
    fn the_numbers_of_a_column_stand_below_its_heading() {
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
    fn what_is_written_can_be_read_on_every_ground() {
        for share in 0..=1000 {
            // Of every share of the scale, which is that of its square root.
            let [r, g, b] = heat::colour((f64::from(share) / 1000.0).powi(2));
            for there in [Colours::Indexed, Colours::True] {
                let seen = |colour| {
                    let RgbColor(r, g, b) = match colour {
                        Color::Rgb(colour) => colour,
                        Color::Ansi256(colour) => xterm_to_rgb(colour, Palette::default()),
                        Color::Ansi(_) => panic!("a colour of the theme"),
                    };
                    [r, g, b]
                };
                let (ground, ink) = colours(RgbColor(r, g, b), there);
                let contrast = heat::contrast(seen(ground), seen(ink));
                assert!(contrast > 4.5, "{share}: {contrast}");
            }
        }
    }

    #[test]
    fn without_colours_there_is_no_escape_and_with_them_nothing_else_changes() {
        let [plain, indexed, full] = [PLAIN, Colours::Indexed, Colours::True]
            .map(|colours| heat(screen(80, colours), "mlp", &matrix()));
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
