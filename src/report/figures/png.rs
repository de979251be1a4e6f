//! Renders SVG as PNG with resvg, only with the fonts in `report/fonts`.

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::Database;
use resvg::usvg::{Options, Tree};

/// Pixels of the PNG per pixel of the SVG.
const SCALE: f32 = 2.0;

/// Subsets of Inter; the license is `fonts/OFL.txt`.
const FONTS: [&[u8]; 2] =
    [include_bytes!("../fonts/Inter-Regular.otf"), include_bytes!("../fonts/Inter-SemiBold.otf")];

static DATABASE: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut database = Database::new();
    FONTS.into_iter().for_each(|font| database.load_font_data(font.to_vec()));
    Arc::new(database)
});

/// Renders a figure: well-formed SVG with a size above 0.
pub fn render(svg: &str) -> Vec<u8> {
    let options = Options { fontdb: DATABASE.clone(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).expect("the figures are SVG");
    let size = tree.size().to_int_size().scale_by(SCALE).expect("a figure has a size");
    let mut pixels = Pixmap::new(size.width(), size.height()).expect("a figure has a size");
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().expect("writes to memory cannot fail")
}
