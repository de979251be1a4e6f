//! Numbers in JSON, which has neither infinities nor NaN: these are the strings `inf`, `-inf` and `nan`,
//! which Python's `float` and Rust's `parse` read.

use serde::{Serialize, Serializer};

struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            x if x.is_finite() => to.serialize_f64(x),
            x if x.is_nan() => to.serialize_str("nan"),
            x if x > 0.0 => to.serialize_str("inf"),
            _ => to.serialize_str("-inf"),
        }
    }
}

pub(crate) fn number<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
    Number(*number).serialize(to)
}

pub(crate) fn pair<S: Serializer>(pair: &Option<[f64; 2]>, to: S) -> Result<S::Ok, S::Error> {
    pair.map(|pair| pair.map(Number)).serialize(to)
}

pub(crate) fn losses<S: Serializer>(
    losses: &[(usize, f64, f64)],
    to: S,
) -> Result<S::Ok, S::Error> {
    let losses = losses.iter().map(|&(epoch, one, other)| (epoch, Number(one), Number(other)));
    to.collect_seq(losses)
}
