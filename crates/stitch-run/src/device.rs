//! Devices.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::closest::{closest_match, did_you_mean};

/// A device, written as in PyTorch: `cpu` or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// The CPU.
    Cpu,
    /// A GPU, counted from 0.
    Cuda(usize),
}

/// A text that is not a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected cpu, cuda or cuda:N{}", did_you_mean(*.0))]
pub struct UnknownDevice(Option<&'static str>);

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.pad("cpu"),
            Device::Cuda(number) => f.pad(&format!("cuda:{number}")),
        }
    }
}

/// `cpu`, `cuda` (the first GPU) or `cuda:N`.
impl FromStr for Device {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, UnknownDevice> {
        let unknown = || UnknownDevice(closest_match(text, ["cpu", "cuda", "cuda:0"]));
        match text.split_once(':') {
            None if text == "cpu" => Ok(Device::Cpu),
            None if text == "cuda" => Ok(Device::Cuda(0)),
            // Digits only, since `parse` also accepts `+1`; u16, since no machine has more GPUs.
            Some(("cuda", number)) if number.bytes().all(|b| b.is_ascii_digit()) => {
                number.parse().map(|number: u16| Device::Cuda(number.into())).map_err(|_| unknown())
            }
            _ => Err(unknown()),
        }
    }
}

crate::string_conversions!(Device);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_read_back_and_others_are_refused() {
        for device in [Device::Cpu, Device::Cuda(0), Device::Cuda(12)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        for text in ["", "gpu", "cuda:", "cuda:-1", "cuda:+1", "cuda:99999", "cpu:0", "CPU"] {
            assert!(text.parse::<Device>().is_err(), "{text:?}");
        }
        let sentence = "cudo".parse::<Device>().unwrap_err().to_string();
        assert_eq!(sentence, "expected cpu, cuda or cuda:N; did you mean cuda?");
    }
}
