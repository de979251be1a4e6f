//! Figures and HTML reports of runs and studies, as bytes.
//!
//! Independent of paths and the command line. The numbers of a report come from checked files, and its images from
//! the run's weights and test images ([`Images`]).

mod compare;
pub mod configurations;
pub mod effects;
pub mod figures;
pub mod folder;
mod html;
mod images;
mod run;

pub use html::{Parity, Section, Study, page, study_samples};
pub use images::{Images, ImagesError};
pub(crate) use run::RunFiles;
pub use run::{Run, RunError};
