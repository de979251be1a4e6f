//! A canvas with the shapes of the figures, on plotters' SVG backend, and their colors on a light and a dark background.

use std::fmt::Write;
use std::sync::LazyLock;

use plotters::coord::Shift;
use plotters::element::{Drawable, PointCollection};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Figure;

/// Background color.
pub const BACKGROUND: RGBColor = RGBColor(255, 255, 255);
/// Color of text and lines.
pub const FOREGROUND: RGBColor = RGBColor(31, 35, 40);
/// Color of secondary text.
pub const MUTED: RGBColor = RGBColor(89, 99, 110);
/// Color of grid lines.
pub const GRID: RGBColor = RGBColor(209, 217, 224);
/// Blue of Okabe and Ito's palette, which color-blind people can distinguish.
pub const BLUE: RGBColor = RGBColor(0, 114, 178);
/// Vermilion of the same palette.
pub const VERMILION: RGBColor = RGBColor(213, 94, 0);

/// The colors in a viewer that prefers a dark background: element, color, and what replaces it. Of rectangles alone the
/// background is replaced, since the numbers in a dark cell are white in both.
const DARK: [(&str, RGBColor, RGBColor); 6] = [
    ("rect", BACKGROUND, RGBColor(13, 17, 23)),
    ("", FOREGROUND, RGBColor(230, 237, 243)),
    ("", MUTED, RGBColor(160, 169, 180)),
    ("", GRID, RGBColor(49, 58, 68)),
    ("", BLUE, RGBColor(86, 180, 233)),
    ("", VERMILION, RGBColor(240, 144, 76)),
];

/// The style sheet in each figure, which replaces its colors in a viewer that prefers a dark background. A page that
/// embeds figures has rules of its own.
pub static STYLE: LazyLock<String> = LazyLock::new(|| {
    let hex = |RGBColor(r, g, b): RGBColor| format!("#{r:02X}{g:02X}{b:02X}");
    let mut rules = String::new();
    for (element, light, dark) in DARK {
        for property in ["fill", "stroke"] {
            let (light, dark) = (hex(light), hex(dark));
            write!(rules, "{element}[{property}=\"{light}\"]{{{property}:{dark}}}")
                .expect("writes to a string cannot fail");
        }
    }
    format!("<style>@media (prefers-color-scheme:dark){{{rules}}}</style>")
});

/// The font in `report/fonts`, with substitutes for viewers that do not have it.
pub const FONTS: &str = "Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif";

/// Font size.
#[derive(Debug, Clone, Copy)]
pub enum Size {
    Text,
    Title,
}

impl Size {
    const ALL: [Size; 2] = [Size::Text, Size::Title];

    fn pixels(self) -> u32 {
        match self {
            Size::Text => 13,
            Size::Title => 16,
        }
    }

    /// The size for plotters, which divides it by 1.24 to get pixels.
    fn points(self) -> f64 {
        f64::from(self.pixels()) * 1.24
    }
}

/// Horizontal alignment of a text relative to its point.
#[derive(Debug, Clone, Copy)]
pub enum Anchor {
    /// Starts at the point.
    Start,
    /// Centered on the point.
    Middle,
    /// Ends at the point.
    End,
}

/// Style of a text.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    pub size: Size,
    pub bold: bool,
    pub color: RGBColor,
    /// Horizontal alignment; vertically, texts are centered on their point.
    pub anchor: Anchor,
    /// Rotated, to be read from bottom to top.
    pub upward: bool,
}

/// Style of numbers and names.
pub const TEXT: Style = Style {
    size: Size::Text,
    bold: false,
    color: FOREGROUND,
    anchor: Anchor::Start,
    upward: false,
};
/// Style of the title.
pub const TITLE: Style = Style { size: Size::Title, bold: true, ..TEXT };

/// A figure while it is drawn.
pub struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Draws a figure of `size` in pixels; `label` is its text alternative.
pub fn draw(size: (u32, u32), label: &str, drawing: impl FnOnce(&Canvas)) -> Figure {
    let mut svg = String::new();
    {
        let canvas = Canvas { area: SVGBackend::with_string(&mut svg, size).into_drawing_area() };
        canvas.rectangle((0, 0), (size.0 as i32, size.1 as i32), BACKGROUND);
        drawing(&canvas);
        canvas.area.present().expect("writes to a string cannot fail");
    }
    Figure { svg: styled(&compact(&svg, label)) }
}

impl Canvas<'_> {
    fn put<'b, E>(&'b self, element: &'b E)
    where
        &'b E: PointCollection<'b, (i32, i32)>,
        E: for<'c> Drawable<SVGBackend<'c>>,
    {
        self.area.draw(element).expect("writes to a string cannot fail");
    }

    /// Draws a filled rectangle between two corners `(x, y)`.
    pub fn rectangle(&self, from: (i32, i32), to: (i32, i32), color: RGBColor) {
        self.put(&Rectangle::new([from, to], color.filled()));
    }

    /// Draws a line through the points.
    pub fn line(&self, points: Vec<(i32, i32)>, color: RGBColor, width: u32) {
        self.put(&PathElement::new(points, color.stroke_width(width)));
    }

    /// Draws a filled circle.
    pub fn dot(&self, at: (i32, i32), radius: i32, color: RGBColor) {
        self.put(&Circle::new(at, radius, color.filled()));
    }

    /// Draws a filled diamond.
    pub fn diamond(&self, (x, y): (i32, i32), radius: i32, color: RGBColor) {
        let corners = vec![(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)];
        self.put(&Polygon::new(corners, color));
    }

    /// Draws a line of text.
    pub fn text(&self, text: impl Into<String>, at: (i32, i32), style: Style) {
        let position = match style.anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let weight = if style.bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = FontDesc::new(FontFamily::SansSerif, style.size.points(), weight);
        let font = if style.upward { font.transform(FontTransform::Rotate270) } else { font };
        let font = TextStyle::from(font).color(&style.color);
        self.put(&Text::new(text.into(), at, font.pos(Pos::new(position, VPos::Center))));
    }
}

/// Upper bound of the width of a text in pixels, for letters of 0.6 times the font size (names average 0.5).
pub fn width_of(text: &str) -> i32 {
    let letters = text.chars().count() as i32;
    (letters * Size::Text.pixels() as i32 * 6).div_euclid(10)
}

/// An SVG document with [`STYLE`].
fn styled(svg: &str) -> String {
    let (root, rest) = svg.split_once('>').expect("an SVG document has a root");
    format!("{root}>{}{rest}", *STYLE)
}

/// Shortens an SVG document: common attributes are set once on the root, with the text alternative.
fn compact(svg: &str, label: &str) -> String {
    let family = " font-family=\"sans-serif\"";
    let mut svg = svg.replace(" opacity=\"1\"", "").replace(family, "").replace("\"/>\n", "\"/>");
    for size in Size::ALL {
        let written = format!("font-size=\"{}\"", size.points() / 1.24);
        svg = svg.replace(&written, &format!("font-size=\"{}\"", size.pixels()));
    }
    // plotters writes line breaks around each text.
    svg = svg.replace("\">\n", "\">").replace("\n</text>\n", "</text>");
    let root = format!(
        "<svg role=\"img\" aria-label=\"{}\" font-family=\"{FONTS}\" ",
        label.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
    );
    svg.replacen("<svg ", &root, 1)
}
