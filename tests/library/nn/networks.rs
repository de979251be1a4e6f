//! The networks that the tests compare. networks.py has their twins in torch.nn under the same names.

use stitch::nn::{
    AvgPool2d, AvgPool2dConfig, BatchNorm2d, BatchNorm2dConfig, Conv2d, Conv2dConfig, Dropout,
    Dropout2d, Flatten, Linear, LinearConfig, MaxPool2d, MaxPool2dConfig, Model, Module, ReLU,
    Scope, Tanh,
};
use tch::Kind;

use super::stacks::STACKS;

/// A network by its name in networks.py.
pub struct Network {
    pub name: &'static str,
    /// Shape of an input without the batch.
    pub input: &'static [i64],
    pub kind: Kind,
    pub build: fn(&Scope) -> Box<dyn Module>,
}

impl Network {
    /// The network with its initial values, after `torch.manual_seed(seed)`.
    pub fn model(&self, seed: u64) -> Model {
        tch::manual_seed(seed as i64);
        let model = Model::new("Net", self.input, self.kind, self.build);
        model.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

/// All networks.
pub fn all() -> impl Iterator<Item = &'static Network> {
    LAYERS.iter().chain(STACKS)
}

/// The network of that name.
pub fn network(name: &str) -> &'static Network {
    all().find(|network| network.name == name).unwrap_or_else(|| panic!("no network {name}"))
}

/// A list of networks: name, shape of an input, and the module at the place `vs`; in float32, unless another
/// type follows.
macro_rules! networks {
    ($($name:literal $input:expr, $vs:ident => $module:expr $(, $kind:ident)?;)*) => {
        &[$($crate::nn::networks::Network {
            name: $name,
            input: &$input,
            kind: $crate::nn::networks::kind!($($kind)?),
            build: |$vs| Box::new($module),
        }),*]
    };
}
macro_rules! kind {
    () => {
        tch::Kind::Float
    };
    ($kind:ident) => {
        tch::Kind::$kind
    };
}
pub(crate) use {kind, networks};

/// Single layers.
static LAYERS: &[Network] = networks! {
    "linear" [5], vs => Linear::new(vs, 5, 3);
    "linear without bias" [5], vs => Linear::with(vs, 5, 3, LinearConfig { bias: false });
    "linear of one feature" [1], vs => Linear::new(vs, 1, 4);
    "linear to one feature" [6], vs => Linear::new(vs, 6, 1);
    "linear of three dimensions" [4, 6], vs => Linear::new(vs, 6, 5);
    "linear of three dimensions without bias" [4, 6], vs => Linear::with(vs, 6, 5, LinearConfig { bias: false });
    "linear wide" [300], vs => Linear::new(vs, 300, 200);
    "linear float64" [20], vs => Linear::new(vs, 20, 7), Double;
    "conv2d" [1, 9, 9], vs => Conv2d::new(vs, 1, 4, 3, Default::default());
    "conv2d stride" [2, 9, 10], vs => Conv2d::new(vs, 2, 4, 3, Conv2dConfig { stride: [2, 1], ..Default::default() });
    "conv2d padding" [2, 7, 9], vs => Conv2d::new(vs, 2, 4, 3, Conv2dConfig { padding: [2, 1], ..Default::default() });
    "conv2d dilation" [2, 9, 9], vs => Conv2d::new(vs, 2, 4, 3, Conv2dConfig { dilation: [2, 3], ..Default::default() });
    "conv2d groups" [4, 6, 6], vs => Conv2d::new(vs, 4, 6, 3, Conv2dConfig { groups: 2, ..Default::default() });
    "conv2d depthwise" [4, 6, 6], vs => Conv2d::new(vs, 4, 8, 3, Conv2dConfig { groups: 4, padding: [1, 1], ..Default::default() });
    "conv2d without bias" [3, 6, 6], vs => Conv2d::new(vs, 3, 5, 3, Conv2dConfig { bias: false, ..Default::default() });
    "conv2d kernel 3x5" [2, 8, 9], vs => Conv2d::new(vs, 2, 4, [3, 5], Default::default());
    "conv2d kernel 1x1" [6, 5, 5], vs => Conv2d::new(vs, 6, 4, 1, Default::default());
    "conv2d kernel of the input's size" [2, 4, 3], vs => Conv2d::new(vs, 2, 5, [4, 3], Default::default());
    "conv2d of all arguments" [4, 11, 12], vs => Conv2d::new(vs, 4, 6, [3, 2], Conv2dConfig {
        stride: [2, 1], padding: [1, 2], dilation: [1, 2], groups: 2, bias: false,
    });
    "conv2d wide" [8, 16, 16], vs => Conv2d::new(vs, 8, 16, 3, Conv2dConfig { padding: [1, 1], ..Default::default() });
    "conv2d float64" [2, 7, 7], vs => Conv2d::new(vs, 2, 3, 3, Default::default()), Double;
    "relu" [3, 5], vs => ReLU::new(vs);
    "tanh" [3, 5], vs => Tanh::new(vs);
    "tanh wide" [40, 50], vs => Tanh::new(vs);
    "avg_pool2d" [2, 8, 6], vs => AvgPool2d::new(vs, 2, Default::default());
    "avg_pool2d odd" [2, 7, 5], vs => AvgPool2d::new(vs, 2, Default::default());
    "avg_pool2d stride" [2, 8, 9], vs => AvgPool2d::new(vs, 3, AvgPool2dConfig { stride: Some([1, 2]), ..Default::default() });
    "avg_pool2d kernel 3x2" [2, 9, 8], vs => AvgPool2d::new(vs, [3, 2], Default::default());
    "avg_pool2d padding" [2, 7, 8], vs => AvgPool2d::new(vs, 3, AvgPool2dConfig { padding: [1, 1], ..Default::default() });
    "avg_pool2d padding not counted" [2, 7, 8], vs => AvgPool2d::new(vs, 3, AvgPool2dConfig {
        stride: Some([2, 2]), padding: [1, 1], count_include_pad: false, ..Default::default()
    });
    "avg_pool2d ceil_mode" [2, 7, 8], vs => AvgPool2d::new(vs, 2, AvgPool2dConfig {
        stride: Some([3, 3]), ceil_mode: true, ..Default::default()
    });
    "avg_pool2d of all arguments" [2, 8, 10], vs => AvgPool2d::new(vs, [2, 3], AvgPool2dConfig {
        stride: Some([2, 3]), padding: [1, 1], ceil_mode: true, count_include_pad: false, ..Default::default()
    });
    "avg_pool2d divisor_override" [2, 8, 6], vs => AvgPool2d::new(vs, 2, AvgPool2dConfig {
        divisor_override: Some(3), ..Default::default()
    });
    "avg_pool2d ceil_mode and padding" [2, 6, 6], vs => AvgPool2d::new(vs, 3, AvgPool2dConfig {
        stride: Some([3, 3]), padding: [1, 1], ceil_mode: true, ..Default::default()
    });
    "avg_pool2d ceil_mode, a window in the padding" [2, 5, 5], vs => AvgPool2d::new(vs, 3, AvgPool2dConfig {
        stride: Some([3, 3]), padding: [1, 1], ceil_mode: true, ..Default::default()
    });
    "avg_pool2d ceil_mode, a window in the padding of rows" [2, 5, 6], vs => AvgPool2d::new(vs, 3, AvgPool2dConfig {
        stride: Some([3, 3]), padding: [1, 1], ceil_mode: true, ..Default::default()
    });
    "avg_pool2d ceil_mode, padding of rows not counted" [2, 5, 6], vs => AvgPool2d::new(vs, 3, AvgPool2dConfig {
        stride: Some([3, 3]), padding: [1, 1], ceil_mode: true, count_include_pad: false, ..Default::default()
    });
    "avg_pool2d larger than the input" [2, 2, 2], vs => AvgPool2d::new(vs, 3, AvgPool2dConfig { ceil_mode: true, ..Default::default() });
    "max_pool2d" [2, 8, 6], vs => MaxPool2d::new(vs, 2, Default::default());
    "max_pool2d odd" [2, 7, 5], vs => MaxPool2d::new(vs, 2, Default::default());
    "max_pool2d stride" [2, 8, 9], vs => MaxPool2d::new(vs, 3, MaxPool2dConfig { stride: Some([1, 2]), ..Default::default() });
    "max_pool2d kernel 3x2" [2, 9, 8], vs => MaxPool2d::new(vs, [3, 2], Default::default());
    "max_pool2d padding" [2, 7, 8], vs => MaxPool2d::new(vs, 3, MaxPool2dConfig { padding: [1, 1], ..Default::default() });
    "max_pool2d dilation" [2, 9, 8], vs => MaxPool2d::new(vs, 2, MaxPool2dConfig { dilation: [3, 2], ..Default::default() });
    "max_pool2d ceil_mode" [2, 7, 8], vs => MaxPool2d::new(vs, 2, MaxPool2dConfig {
        stride: Some([3, 3]), ceil_mode: true, ..Default::default()
    });
    "max_pool2d of all arguments" [2, 9, 12], vs => MaxPool2d::new(vs, [2, 3], MaxPool2dConfig {
        stride: Some([2, 1]), padding: [1, 0], dilation: [1, 2], ceil_mode: true,
    });
    "max_pool2d ceil_mode and padding" [2, 6, 6], vs => MaxPool2d::new(vs, 3, MaxPool2dConfig {
        stride: Some([3, 3]), padding: [1, 1], ceil_mode: true, ..Default::default()
    });
    "max_pool2d ceil_mode, a window in the padding" [2, 5, 6], vs => MaxPool2d::new(vs, 3, MaxPool2dConfig {
        stride: Some([3, 3]), padding: [1, 1], ceil_mode: true, ..Default::default()
    });
    "max_pool2d larger than the input" [2, 2, 2], vs => MaxPool2d::new(vs, 3, MaxPool2dConfig { ceil_mode: true, ..Default::default() });
    "max_pool2d wide" [8, 24, 24], vs => MaxPool2d::new(vs, 2, Default::default());
    "flatten" [2, 3, 4], vs => Flatten::new(vs);
    "flatten from 2" [2, 3, 4], vs => Flatten::with(vs, 2, -1);
    "flatten from 1 to 2" [2, 3, 4], vs => Flatten::with(vs, 1, 2);
    "dropout" [40], vs => Dropout::new(vs, 0.5);
    "dropout 0.1 of images" [2, 6, 6], vs => Dropout::new(vs, 0.1);
    "dropout 0" [40], vs => Dropout::new(vs, 0.0);
    "dropout 1" [40], vs => Dropout::new(vs, 1.0);
    "dropout wide" [2000], vs => Dropout::new(vs, 0.25);
    "dropout float64" [40], vs => Dropout::new(vs, 0.3), Double;
    "dropout2d" [6, 3, 3], vs => Dropout2d::new(vs, 0.5);
    "dropout2d 0.2" [6, 3, 3], vs => Dropout2d::new(vs, 0.2);
    "dropout2d 0" [6, 3, 3], vs => Dropout2d::new(vs, 0.0);
    "dropout2d 1" [6, 3, 3], vs => Dropout2d::new(vs, 1.0);
    "batch_norm2d" [3, 4, 5], vs => BatchNorm2d::new(vs, 3, Default::default());
    "batch_norm2d not affine" [3, 4, 5], vs => BatchNorm2d::new(vs, 3, BatchNorm2dConfig { affine: false, ..Default::default() });
    "batch_norm2d eps" [3, 4, 5], vs => BatchNorm2d::new(vs, 3, BatchNorm2dConfig { eps: 0.02, ..Default::default() });
    "batch_norm2d momentum 0.3" [3, 4, 5], vs => BatchNorm2d::new(vs, 3, BatchNorm2dConfig { momentum: Some(0.3), ..Default::default() });
    "batch_norm2d momentum 0" [3, 4, 5], vs => BatchNorm2d::new(vs, 3, BatchNorm2dConfig { momentum: Some(0.0), ..Default::default() });
    "batch_norm2d momentum None" [3, 4, 5], vs => BatchNorm2d::new(vs, 3, BatchNorm2dConfig { momentum: None, ..Default::default() });
    "batch_norm2d without running statistics" [3, 4, 5], vs => BatchNorm2d::new(vs, 3, BatchNorm2dConfig {
        track_running_stats: false, ..Default::default()
    });
    "batch_norm2d without state" [3, 4, 5], vs => BatchNorm2d::new(vs, 3, BatchNorm2dConfig {
        affine: false, track_running_stats: false, ..Default::default()
    });
    "batch_norm2d wide" [16, 12, 12], vs => BatchNorm2d::new(vs, 16, Default::default());
    "batch_norm2d float64" [3, 4, 5], vs => BatchNorm2d::new(vs, 3, Default::default()), Double;
};
