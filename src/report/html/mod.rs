//! The page about runs: one HTML file with everything in it. askama fills `page.html`, and escapes what
//! comes from the run folders.

mod study;
mod text;
mod view;

use askama::Template;

pub use study::{Study, sample as study_sample};

use super::figures::Normalize;
use super::{Pictures, PicturesError, Run};
use crate::run_folder::ParityVerdict;

/// A run on the page.
#[derive(Debug)]
pub struct Section {
    /// The run.
    pub run: Run,
    /// Its test images, or why there are none.
    pub pictures: Result<Pictures, PicturesError>,
    /// What `stitch parity` said of it.
    pub parity: Parity,
    /// What it is called where another run on the page is of the same model.
    pub folder: String,
}

/// What is known of a run's parity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parity {
    /// It was compared.
    Checked(ParityVerdict),
    /// Weights were compared that are no longer the run's.
    Stale,
    /// It was not.
    Unchecked,
}

/// The page about `sections`, at least one, in this order, and about a study, if one is given; `normalize` is
/// for the runs' confusion matrices.
/// The same runs give the same bytes: nothing on it is about time or place.
pub fn page(sections: &[&Section], study: Option<&Study>, normalize: Normalize) -> String {
    let names = names(sections);
    let page = view::Page::new(sections, &names, study, normalize);
    page.render().expect("a string takes every byte")
}

/// What the runs are called: as little as tells them apart.
fn names(sections: &[&Section]) -> Vec<String> {
    let plain = |section: &&Section| {
        let model = section.run.model.title;
        match section.run.config.program.as_str() {
            "stitch" => model.to_owned(),
            program => format!("{model} ({program})"),
        }
    };
    let of_all: Vec<String> = sections.iter().map(plain).collect();
    let name = |(section, plain): (&&Section, &String)| match of_all
        .iter()
        .filter(|other| *other == plain)
        .count()
    {
        1 => plain.clone(),
        _ => format!("{plain} in {}", section.folder),
    };
    sections.iter().zip(&of_all).map(name).collect()
}
