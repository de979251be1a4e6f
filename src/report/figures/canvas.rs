//! A sheet to draw on: plotters' SVG backend, with the few marks that the figures are made of.

use plotters::coord::Shift;
use plotters::element::{Drawable, PointCollection};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Figure;

/// The sheet.
pub const GROUND: RGBColor = RGBColor(255, 255, 255);
/// Text that matters.
pub const INK: RGBColor = RGBColor(31, 35, 40);
/// Text that helps.
pub const MUTED: RGBColor = RGBColor(89, 99, 110);
/// Lines behind the data.
pub const GRID: RGBColor = RGBColor(209, 217, 224);
/// Of Okabe and Ito's colors, which color-blind people tell apart, the blue.
pub const BLUE: RGBColor = RGBColor(0, 114, 178);
/// And the vermilion.
pub const VERMILION: RGBColor = RGBColor(213, 94, 0);

/// The font beside this file; where an SVG is shown without it, one like it.
pub const FONTS: &str = "Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif";

/// Height of letters, in pixels.
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

    /// What plotters divides by 1.24 to get the pixels.
    fn points(self) -> f64 {
        f64::from(self.pixels()) * 1.24
    }
}

/// Where a text lies about its point.
#[derive(Debug, Clone, Copy)]
pub enum Anchor {
    /// To the right of it.
    Start,
    /// About it.
    Middle,
    /// To the left of it.
    End,
}

/// How a text is set.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    pub size: Size,
    pub bold: bool,
    pub color: RGBColor,
    /// Alignment; vertically, its middle lies on its point.
    pub anchor: Anchor,
    /// Read from bottom to top.
    pub upward: bool,
}

/// Numbers and names.
pub const TEXT: Style =
    Style { size: Size::Text, bold: false, color: INK, anchor: Anchor::Start, upward: false };
/// The heading of a figure.
pub const TITLE: Style = Style { size: Size::Title, bold: true, ..TEXT };

/// A figure that is being drawn.
pub struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Draws a figure of `size` in pixels; `label` says in words what it shows.
pub fn draw(size: (u32, u32), label: &str, drawing: impl FnOnce(&Canvas)) -> Figure {
    let mut svg = String::new();
    {
        let canvas = Canvas { area: SVGBackend::with_string(&mut svg, size).into_drawing_area() };
        canvas.rectangle((0, 0), (size.0 as i32, size.1 as i32), GROUND);
        drawing(&canvas);
        canvas.area.present().expect("a string takes every byte");
    }
    Figure { svg: tidy(&svg, label) }
}

impl Canvas<'_> {
    fn put<'b, E>(&'b self, element: &'b E)
    where
        &'b E: PointCollection<'b, (i32, i32)>,
        E: for<'c> Drawable<SVGBackend<'c>>,
    {
        // The backend writes into a string.
        self.area.draw(element).expect("a string takes every byte");
    }

    /// A filled rectangle; `(x, y)` of two corners.
    pub fn rectangle(&self, from: (i32, i32), to: (i32, i32), color: RGBColor) {
        self.put(&Rectangle::new([from, to], color.filled()));
    }

    /// A line through the points.
    pub fn line(&self, points: Vec<(i32, i32)>, color: RGBColor, width: u32) {
        self.put(&PathElement::new(points, color.stroke_width(width)));
    }

    /// A filled dot.
    pub fn dot(&self, at: (i32, i32), radius: i32, color: RGBColor) {
        self.put(&Circle::new(at, radius, color.filled()));
    }

    /// A filled square, standing on a corner.
    pub fn diamond(&self, (x, y): (i32, i32), radius: i32, color: RGBColor) {
        let corners = vec![(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)];
        self.put(&Polygon::new(corners, color));
    }

    /// A line of text.
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

/// What a text is wide at most, in pixels, if its letters are on average no wider than six tenths of
/// their height: those of names are half as wide.
pub fn width_of(text: &str) -> i32 {
    let letters = text.chars().count() as i32;
    (letters * Size::Text.pixels() as i32 * 6).div_euclid(10)
}

/// The same document with what every text says said once, and with its words on the root.
fn tidy(svg: &str, label: &str) -> String {
    let family = " font-family=\"sans-serif\"";
    let mut svg = svg.replace(" opacity=\"1\"", "").replace(family, "").replace("\"/>\n", "\"/>");
    for size in Size::ALL {
        let written = format!("font-size=\"{}\"", size.points() / 1.24);
        svg = svg.replace(&written, &format!("font-size=\"{}\"", size.pixels()));
    }
    // plotters puts each text between line ends.
    svg = svg.replace("\">\n", "\">").replace("\n</text>\n", "</text>");
    let root = format!(
        "<svg role=\"img\" aria-label=\"{}\" font-family=\"{FONTS}\" ",
        label.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
    );
    svg.replacen("<svg ", &root, 1)
}
