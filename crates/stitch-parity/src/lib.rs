#![doc = include_str!("../README.md")]

mod cause;
mod compare;
mod comparison;
mod element;
mod not_compared;
mod number;
mod rank;
mod side;
mod spread;
mod stream;
mod tally;
mod task;
mod tolerance;
mod verdict;
mod verify;

pub use cause::likely_cause;
pub use comparison::{Comparison, Greatest};
pub use element::Element;
pub use side::{ElementSource, Item, Key, Side, SideError};
pub use spread::DECADES;
pub use task::{OtherAnswer, OtherCell, TaskView};
pub use tolerance::{Exception, Overrides, TABLE, Tolerance, Training};
pub use verdict::{Options, Outcome, Report, TensorResult, judge, position, values};
