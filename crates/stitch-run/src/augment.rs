//! `--augment`: the random transforms of the training images.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Random transforms of `torchvision.transforms.v2`, applied to each training image in this order; written as on the
/// command line, such as `crop,flip:0.5`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Augment(pub Vec<Transform>);

/// A random transform of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Transform {
    /// `crop[:PADDING]`: `RandomCrop(28, padding=PADDING)`.
    RandomCrop {
        /// Black pixels that are added on each side, at most 28; 2 by default.
        padding: usize,
    },
    /// `flip[:P]`: `RandomHorizontalFlip(P)`.
    RandomHorizontalFlip {
        /// Probability, 0 to 1; 0.5 by default.
        p: f64,
    },
    /// `erase[:P]`: `RandomErasing(P)`.
    RandomErasing {
        /// Probability, 0 to 1; 0.1 by default.
        p: f64,
    },
}

/// A text that is not a list of transforms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a transform: none, or a list of crop[:PADDING] (0 to 28), flip[:P] and erase[:P] (0 to 1) is expected"
)]
pub struct UnknownTransform(String);

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RandomCrop { padding } => write!(f, "crop:{padding}"),
            Self::RandomHorizontalFlip { p } => write!(f, "flip:{p}"),
            Self::RandomErasing { p } => write!(f, "erase:{p}"),
        }
    }
}

impl FromStr for Transform {
    type Err = UnknownTransform;

    fn from_str(text: &str) -> Result<Self, UnknownTransform> {
        /// The most that `RandomCrop` may pad an image of 28x28 pixels by: with more, it could show no pixel of it.
        const MOST_PADDING: usize = 28;
        let unknown = || UnknownTransform(text.into());
        let (name, argument) = match text.split_once(':') {
            Some((name, argument)) => (name, Some(argument)),
            None => (text, None),
        };
        let probability = |default: f64| match argument.map_or(Ok(default), str::parse) {
            Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
            _ => Err(unknown()),
        };
        match name {
            "crop" => match argument.map_or(Ok(2), str::parse) {
                Ok(padding) if padding <= MOST_PADDING => Ok(Self::RandomCrop { padding }),
                _ => Err(unknown()),
            },
            "flip" => Ok(Self::RandomHorizontalFlip { p: probability(0.5)? }),
            "erase" => Ok(Self::RandomErasing { p: probability(0.1)? }),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Augment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.pad("none"),
            list => f.pad(&list.iter().map(Transform::to_string).collect::<Vec<_>>().join(",")),
        }
    }
}

impl FromStr for Augment {
    type Err = UnknownTransform;

    fn from_str(text: &str) -> Result<Self, UnknownTransform> {
        match text {
            "none" => Ok(Self::default()),
            list => list.split(',').map(str::parse).collect::<Result<_, _>>().map(Self),
        }
    }
}

crate::string_conversions!(Augment);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_back_with_their_defaults_and_others_are_refused() {
        let list: Augment = "crop,flip,erase".parse().unwrap();
        assert_eq!(list.to_string(), "crop:2,flip:0.5,erase:0.1");
        assert_eq!(list.to_string().parse(), Ok(list));
        assert_eq!("none".parse(), Ok(Augment::default()));
        assert_eq!("flip:1,crop:0".parse::<Augment>().unwrap().to_string(), "flip:1,crop:0");
        for text in [
            "",
            "crop,",
            "crop:-1",
            "crop:29",
            "flip:1.5",
            "flip:nan",
            "rotate",
            "none,flip",
            "flip:",
        ] {
            assert!(text.parse::<Augment>().is_err(), "{text:?}");
        }
    }
}
