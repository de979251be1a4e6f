#![doc = include_str!("../README.md")]

mod cause;
mod comparison;
mod element;
mod elements;
mod error;
mod evidence;
mod fit;
mod json;
mod not_compared;
mod rank;
mod report;
mod result;
mod side;
mod sides;
mod spread;
mod stream;
mod tally;
mod task;
mod tolerance;
mod verify;

pub use comparison::{Comparison, Greatest};
pub use element::Element;
pub use error::SideError;
pub use report::Report;
pub use result::{Outcome, TensorResult};
pub use side::{Item, Key, Side};
pub use sides::{Options, compare};
pub use spread::DECADES;
pub use stitch_trace::{Place, stage};
pub use task::{CellDifference, PredictionDifference, TaskView};
pub use tensor_files::Dtype;
pub use tolerance::{AppliedTolerance, EXCEPTIONS, Exception, Overrides, Tolerance, Training};
pub use verify::Bits;
