//! Initial values as `torch.nn`'s `reset_parameters` draws them, from libtorch's global generator on
//! the CPU.

#[cfg(feature = "libtorch")]
use tch::{Device, Kind, Tensor};

/// The initial value of a parameter.
///
/// ```
/// use stitch::nn::Init;
///
/// // The weight and the bias of nn.Linear(400, 120): both are U(-1/20, 1/20), but for the last bits of the bound.
/// let Init::Uniform { bound } = Init::kaiming_uniform(400) else { unreachable!() };
/// assert!((bound - 0.05).abs() < 1e-15);
/// assert_eq!(Init::uniform_fan_in(400), Init::Uniform { bound: 0.05 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All elements have this value; nothing is drawn.
    Constant(f64),
    /// `uniform_(-bound, bound)`.
    Uniform {
        /// The bound, at least 0.
        bound: f64,
    },
}

impl Init {
    /// `init.kaiming_uniform_(weight, a=math.sqrt(5))` for a weight with this `fan_in`, in Python's order of
    /// operations: `sqrt(5)**2` is 5.000000000000001 in both languages.
    pub fn kaiming_uniform(fan_in: i64) -> Self {
        let negative_slope = 5f64.sqrt();
        let gain = (2.0 / (1.0 + negative_slope.powf(2.0))).sqrt();
        let std = gain / (fan_in as f64).sqrt();
        Self::Uniform { bound: 3f64.sqrt() * std }
    }

    /// The initial value of a bias: `uniform_(-1/sqrt(fan_in), 1/sqrt(fan_in))`.
    pub fn uniform_fan_in(fan_in: i64) -> Self {
        Self::Uniform { bound: 1.0 / (fan_in as f64).sqrt() }
    }

    /// Draws a tensor on the CPU.
    #[cfg(feature = "libtorch")]
    pub(super) fn draw(self, shape: &[i64], kind: Kind) -> Tensor {
        let empty = || Tensor::empty(shape, (kind, Device::Cpu));
        match self {
            Self::Constant(value) => Tensor::full(shape, value, (kind, Device::Cpu)),
            Self::Uniform { bound } => empty().uniform_(-bound, bound),
        }
    }
}
