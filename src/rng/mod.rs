//! The two random number generators of the notebook, draw for draw.
//!
//! Both are MT19937 (crate `rand_mt`); what differs is how draws become numbers. Neither has any
//! global state: a generator is a value, so a run can be replayed from its seed alone.

pub mod numpy;
pub mod torch;
