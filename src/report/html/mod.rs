//! The HTML report of runs, one self-contained file. askama renders `page.html` and escapes all values.

mod images;
mod machines;
mod parity;
mod study;
mod text;
mod view;

use askama::Template;

pub use study::{Study, samples as study_samples};

use super::figures::Normalize;
use super::{Images, ImagesError, Run};
use crate::run_folder::ParityVerdict;

/// A run in a report.
#[derive(Debug)]
pub struct Section {
    /// Settings, losses and predictions, read from the run folder.
    pub run: Run,
    /// Its images, or why there are none.
    pub images: Result<Images, ImagesError>,
    /// The verdict of `stitch parity`.
    pub parity: Parity,
    /// Name that distinguishes it from other runs of the same model.
    pub folder: String,
}

/// The parity of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parity {
    /// `stitch parity` compared the run with these weights; `html` is a URL.
    Checked(ParityVerdict),
    /// The run has other weights than those that were compared.
    Stale,
    /// The run was not compared.
    Unchecked,
}

/// Renders the report of runs, at least one, and of a study, if one is given. `normalize` is for the confusion
/// matrices. The same runs give the same bytes: the report contains no dates.
pub fn page(sections: &[&Section], study: Option<&Study>, normalize: Normalize) -> String {
    let names = names(sections);
    let page = view::Page::new(sections, &names, study, normalize);
    page.render().expect("writes to a string cannot fail")
}

/// Short names that distinguish the runs.
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
