//! `--normalize`: mean and standard deviation with which images are normalized.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `torchvision.transforms.Normalize(mean, std)`, the last transform of every image; written as on the command line:
/// the mean of each channel, then the standard deviation of each, such as `0.2860,0.3530`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Normalize {
    /// Mean and standard deviation of each channel, finite in float32, the latter not 0; empty: images are not
    /// normalized.
    channels: Vec<[f64; 2]>,
}

/// A text that is not a list of means and standard deviations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a normalization: none or MEAN,STD is expected, of finite numbers, STD not 0")]
pub struct InvalidNormalize(String);

impl Normalize {
    /// Mean and standard deviation of each channel; empty if images are not normalized.
    pub fn channels(&self) -> &[[f64; 2]] {
        &self.channels
    }

    /// Whether images are not normalized.
    pub fn is_none(&self) -> bool {
        self.channels.is_empty()
    }
}

impl fmt::Display for Normalize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = [0, 1].into_iter().flat_map(|i| self.channels.iter().map(move |it| it[i]));
        match self.is_none() {
            true => f.pad("none"),
            false => f.pad(&numbers.map(|it| it.to_string()).collect::<Vec<_>>().join(",")),
        }
    }
}

impl FromStr for Normalize {
    type Err = InvalidNormalize;

    fn from_str(text: &str) -> Result<Self, InvalidNormalize> {
        if text == "none" {
            return Ok(Self::default());
        }
        let invalid = || InvalidNormalize(text.into());
        let numbers = text.split(',').map(str::parse).collect::<Result<Vec<f64>, _>>();
        let numbers = numbers.map_err(|_| invalid())?;
        let (means, stds) = numbers.split_at(numbers.len() / 2);
        // torchvision computes, and refuses a standard deviation of 0, in the float32 of the images.
        let are_valid = numbers.iter().all(|&it| (it as f32).is_finite())
            && stds.iter().all(|&std| std as f32 != 0.0);
        if !are_valid || means.len() != stds.len() {
            return Err(invalid());
        }
        Ok(Self { channels: means.iter().zip(stds).map(|(&mean, &std)| [mean, std]).collect() })
    }
}

crate::string_conversions!(Normalize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_back_and_others_are_refused() {
        let colors: Normalize = "0.1,0.2,0.3,4,5,6".parse().unwrap();
        assert_eq!(colors.channels(), [[0.1, 4.0], [0.2, 5.0], [0.3, 6.0]]);
        for text in ["none", "0.286,0.353", "-1,-0.5", "0.1,0.2,0.3,4,5,6"] {
            let read: Normalize = text.parse().unwrap();
            assert_eq!(read.to_string(), text);
            assert_eq!(read.is_none(), text == "none");
        }
        for text in ["", "0.5", "0.5,", "0.5,0", "0.5,1e-60", "1e39,1", "nan,1", "0,1,2", "0, 1"] {
            assert!(text.parse::<Normalize>().is_err(), "{text:?}");
        }
    }
}
