//! Networks that are not well defined: an error that names the layer, never a panic.

use stitch::nn::{
    AvgPool2d, AvgPool2dConfig, BatchNorm2d, BatchNorm2dConfig, BufferKind, Conv2d, Conv2dConfig,
    Dropout, Dropout2d, Flatten, Graph, Init, Linear, LinearConfig, MaxPool2d, MaxPool2dConfig,
    Model, Module, ReLU, Scope, Sequential, TraceError, Value, avg_pool2d, dropout, dropout2d,
    flatten, max_pool2d, relu,
};
use tch::Kind;

use super::assert_none;

/// A module whose `forward` is a closure.
struct Forward<F>(F);

impl<F: Fn(Value) -> Value> Module for Forward<F> {
    fn forward(&self, x: Value) -> Value {
        (self.0)(x)
    }
}

fn function(forward: impl Fn(Value) -> Value + 'static) -> Box<dyn Module> {
    Box::new(Forward(forward))
}

/// A definition with a fault: shape of an input, the module, the place and a part of the error.
struct Fault {
    input: &'static [i64],
    build: fn(&Scope) -> Box<dyn Module>,
    place: &'static str,
    what: &'static str,
}

impl Fault {
    fn error(&self) -> Result<(), TraceError> {
        // Without a check the values would be drawn, or memory taken.
        Model::new("Net", self.input, Kind::Float, self.build).map(|_| ())
    }
}

macro_rules! faults {
    ($($input:expr, $vs:ident => $module:expr, $place:literal: $what:literal;)*) => {
        &[$(Fault {
            input: &$input,
            build: |$vs| Box::new($module),
            place: $place,
            what: $what,
        }),*]
    };
}

const IMAGE: [i64; 3] = [3, 8, 8];

/// Inputs that a layer does not take.
static SHAPES: &[Fault] = faults! {
    [5], vs => Linear::new(vs / "fc", 6, 3), "fc (linear)": "in_features is 6";
    [3, 5], vs => Linear::new(vs / "a" / "fc", 6, 3), "a.fc (linear)": "[-1, 3, 5]";
    [], vs => Linear::new(vs / "fc", 1, 3), "fc (linear)": "[-1]";
    [5], vs => Conv2d::new(vs / "conv", 3, 4, 3, Default::default()), "conv (conv2d)": "4 dimensions";
    IMAGE, vs => Conv2d::new(vs / "conv", 4, 4, 3, Default::default()), "conv (conv2d)": "in_channels is 4";
    IMAGE, vs => Conv2d::new(vs / "conv", 3, 4, 9, Default::default()), "conv (conv2d)": "a window of 9";
    IMAGE, vs => Conv2d::new(vs / "conv", 3, 4, 3, Conv2dConfig { dilation: [1, 4], ..Default::default() }),
        "conv (conv2d)": "does not fit";
    [5], vs => BatchNorm2d::new(vs / "bn", 5, Default::default()), "bn (batch_norm)": "4 dimensions";
    IMAGE, vs => BatchNorm2d::new(vs / "bn", 4, Default::default()), "bn (batch_norm)": "num_features is 4";
    IMAGE, vs => BatchNorm2d::new(vs / "bn", 4, BatchNorm2dConfig { affine: false, ..Default::default() }),
        "bn (batch_norm)": "num_features is 4";
    [5], vs => AvgPool2d::new(vs / "pool", 2, Default::default()), "pool (avg_pool2d)": "4 dimensions";
    IMAGE, vs => AvgPool2d::new(vs / "pool", 9, Default::default()), "pool (avg_pool2d)": "a window of 9";
    [8, 8], vs => MaxPool2d::new(vs / "pool", 2, Default::default()), "pool (max_pool2d)": "4 dimensions";
    IMAGE, vs => MaxPool2d::new(vs / "pool", [1, 9], Default::default()), "pool (max_pool2d)": "a window of 9";
    [], vs => Flatten::new(vs / "flat"), "flat (flatten)": "start_dim 1";
    IMAGE, vs => Flatten::with(vs / "flat", 0, -1), "flat (flatten)": "start_dim 0";
    IMAGE, vs => Flatten::with(vs / "flat", 3, 2), "flat (flatten)": "end_dim 2";
    IMAGE, vs => Flatten::with(vs / "flat", 1, 4), "flat (flatten)": "end_dim 4";
    IMAGE, vs => Flatten::with(vs / "flat", 1, -9), "flat (flatten)": "end_dim -9";
    IMAGE, _vs => function(|x| x.view(&[-1, 100])), "view": "a product of 192";
    IMAGE, _vs => function(|x| x.view(&[2, 96])), "view": "-1 and then";
    IMAGE, _vs => function(|x| x.view(&[-1, -1, 192])), "view": "-1 and then";
    IMAGE, _vs => function(|x| x.view(&[])), "view": "-1 and then";
    IMAGE, _vs => function(|x| flatten(x, 4)), "flatten": "start_dim 4";
    IMAGE, _vs => function(|x| max_pool2d(x, 9)), "max_pool2d": "a window of 9";
    IMAGE, _vs => function(|x| avg_pool2d(x.clone(), 2) + x), "add": "the inputs have the shapes [[-1, 3, 4, 4], [-1, 3, 8, 8]]";
    IMAGE, vs => Sequential::new(vs).add(|vs| Flatten::new(vs)).add(|vs| Linear::new(vs, 100, 10)),
        "1 (linear)": "[-1, 192]";
};

/// Arguments that a layer cannot have.
static ARGUMENTS: &[Fault] = faults! {
    IMAGE, vs => Dropout::new(vs / "drop", 1.5), "drop (dropout)": "p is 1.5";
    IMAGE, vs => Dropout::new(vs / "drop", -0.1), "drop (dropout)": "p is -0.1";
    IMAGE, vs => Dropout::new(vs / "drop", f64::NAN), "drop (dropout)": "p is NaN";
    IMAGE, vs => Dropout2d::new(vs / "drop", 2.0), "drop (dropout2d)": "p is 2";
    IMAGE, _vs => function(|x| dropout(x, 1.01)), "dropout": "p is 1.01";
    IMAGE, _vs => function(|x| dropout2d(x, f64::INFINITY)), "dropout2d": "p is inf";
    IMAGE, vs => Conv2d::new(vs / "conv", 3, 4, 3, Conv2dConfig { stride: [0, 1], ..Default::default() }),
        "conv (conv2d)": "at least 1";
    IMAGE, vs => Conv2d::new(vs / "conv", 3, 4, 3, Conv2dConfig { dilation: [1, 0], ..Default::default() }),
        "conv (conv2d)": "at least 1";
    IMAGE, vs => Conv2d::new(vs / "conv", 3, 4, 3, Conv2dConfig { padding: [-1, 0], ..Default::default() }),
        "conv (conv2d)": "padding at least 0";
    IMAGE, vs => Conv2d::new(vs / "conv", 3, 4, 3, Conv2dConfig { padding: [1 << 62; 2], ..Default::default() }),
        "conv (conv2d)": "";
    IMAGE, vs => Conv2d::new(vs / "conv", 3, 4, 3, Conv2dConfig { groups: 2, ..Default::default() }),
        "conv (Conv2d)": "divisible by groups";
    IMAGE, vs => Conv2d::new(vs / "conv", 3, 4, 3, Conv2dConfig { groups: 0, ..Default::default() }),
        "conv (Conv2d)": "divisible by groups";
    IMAGE, vs => Conv2d::new(vs / "conv", 3, 4, 0, Default::default()), "conv.weight": "[4, 3, 0, 0]";
    IMAGE, vs => Conv2d::new(vs / "conv", 3, 0, 3, Default::default()), "conv.weight": "[0, 3, 3, 3]";
    [0, 8, 8], vs => Conv2d::new(vs / "conv", 0, 4, 3, Default::default()), "input": "[0, 8, 8]";
    IMAGE, vs => AvgPool2d::new(vs / "pool", 0, Default::default()), "pool (avg_pool2d)": "at least 1";
    IMAGE, vs => AvgPool2d::new(vs / "pool", 2, AvgPool2dConfig { padding: [2, 0], ..Default::default() }),
        "pool (avg_pool2d)": "at most half";
    IMAGE, vs => MaxPool2d::new(vs / "pool", 3, MaxPool2dConfig { padding: [0, 2], ..Default::default() }),
        "pool (max_pool2d)": "at most half";
    IMAGE, vs => MaxPool2d::new(vs / "pool", 2, MaxPool2dConfig { stride: Some([1, -1]), ..Default::default() }),
        "pool (max_pool2d)": "at least 1";
    [5], vs => Linear::new(vs / "fc", 5, 0), "fc.weight": "[0, 5]";
    [5], vs => Linear::new(vs / "fc", 5, -3), "fc.weight": "[-3, 5]";
    [5], vs => Linear::new(vs / "fc", 5, 1 << 61), "fc.weight": "";
    [5], vs => Linear::with(vs / "fc", -1, 3, LinearConfig { bias: false }), "fc.weight": "[3, -1]";
    IMAGE, vs => BatchNorm2d::new(vs / "bn", 0, Default::default()), "bn.weight": "[0]";
    IMAGE, vs => BatchNorm2d::new(vs / "bn", -3, BatchNorm2dConfig { affine: false, ..Default::default() }),
        "bn.running_mean": "[-3]";
    [-3], vs => ReLU::new(vs / "act"), "input": "[-3]";
};

/// Names that occur twice.
static NAMES: &[Fault] = faults! {
    [5], vs => {
        let fc = Linear::new(vs / "fc", 5, 5);
        Sequential::new(vs).add(|_| fc).add(|_| Linear::new(vs / "fc", 5, 5))
    }, "fc (Linear)": "two layers with this name";
    [5], vs => {
        let act = ReLU::new(vs / "block" / "act");
        Sequential::new(vs).add(|_| act).add(|_| Dropout::new(vs / "block" / "act", 0.5))
    }, "block.act (Dropout)": "two layers with this name";
    [5], vs => {
        vs.parameter("scale", &[1], Init::Constant(1.0));
        vs.buffer("scale", &[1], BufferKind::Float, 0.0);
        function(relu)
    }, "scale": "two parameters or buffers with this name";
    [5], vs => {
        vs.parameter("fc", &[1], Init::Constant(1.0));
        Linear::new(vs / "fc", 5, 5)
    }, "fc (Linear)": "has this name, too";
    [5], vs => {
        let fc = Linear::new(vs / "fc", 5, 5);
        vs.buffer("fc", &[1], BufferKind::Float, 1.0);
        fc
    }, "fc": "has this name, too";
};

#[test]
fn a_fault_of_the_definition_is_an_error_that_names_the_layer() {
    let failures = SHAPES.iter().chain(ARGUMENTS).chain(NAMES).filter_map(|fault| {
        let found = std::panic::catch_unwind(|| fault.error());
        let expected = format!("{}: … {} …", fault.place, fault.what);
        match found {
            Ok(Err(error)) if error.place == fault.place && error.reason.contains(fault.what) => {
                None
            }
            Ok(Err(error)) => Some(format!("expected {expected:?}, got {:?}", error.to_string())),
            Ok(Ok(())) => Some(format!("expected {expected:?}, got a network")),
            Err(_) => Some(format!("expected {expected:?}, got a panic")),
        }
    });
    assert_none(&failures.collect::<Vec<_>>());
}

#[test]
fn the_first_fault_is_told() {
    let error = Model::new("Net", &[5], Kind::Float, |vs| {
        Sequential::new(vs)
            .add(|vs| Linear::new(vs, 6, 3))
            .add(|vs| Dropout::new(vs, 7.0))
            .add(|vs| Conv2d::new(vs, 1, 1, 3, Default::default()))
    });
    assert_eq!(error.unwrap_err().place, "0 (linear)");
}

#[test]
fn values_of_two_networks_do_not_mix() {
    let mut stolen = None;
    Model::new("First", &[5], Kind::Float, |vs| {
        stolen = Some(vs.buffer("offset", &[5], BufferKind::Float, 1.0));
        ReLU::new(vs / "act")
    })
    .unwrap();
    let stolen = stolen.unwrap();
    let error = Model::new("Second", &[5], Kind::Float, |_| function(move |x| x + stolen.clone()));
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "add: its inputs belong to different networks");
}

#[test]
fn a_network_returns_a_value_that_it_computes() {
    let mut stolen = None;
    let steal = |vs: &Scope| {
        stolen = Some(vs.parameter("own", &[5], Init::Constant(1.0)));
        function(relu)
    };
    Model::new("First", &[5], Kind::Float, steal).unwrap();
    let stolen = stolen.unwrap();
    let error = Model::new("Second", &[5], Kind::Float, |_| function(move |_| stolen.clone()));
    assert_eq!(error.unwrap_err().to_string(), "output: it belongs to another network");
    for of_own in [|own| own, relu] {
        let error = Model::new("Third", &[5], Kind::Float, |vs| {
            let own = vs.parameter("own", &[5], Init::Constant(1.0));
            function(move |_| of_own(own.clone()))
        });
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("output: it does not depend on the input"), "{error}");
    }
}

#[test]
fn names_are_those_that_python_takes() {
    for name in ["", "a.b", "a\"b"] {
        let error = Graph::trace(&[5], |vs| ReLU::new(vs / name)).unwrap_err().to_string();
        assert!(error.contains("letters, digits and underscores"), "{error}");
    }
    let half = Model::new("Half", &[5], Kind::Half, |vs| ReLU::new(vs / "act")).unwrap_err();
    assert_eq!(half.to_string(), "kind: Half is not supported; Float or Double is expected");
}
