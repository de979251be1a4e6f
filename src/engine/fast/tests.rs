//! Compares the engine with the eager one, up to rounding. Dropout that draws is compared in `tests/library`: the tests
//! of this crate share a generator.

use tch::Device;

use super::*;
use crate::dataset::PIXELS;
use crate::engine::{Criterion, Eager};
use crate::libtorch::values;
use crate::models::{ModelOptions, named};
use crate::optim::Adam;

/// Tolerance relative to the largest gradient of a tensor. Cause: sums of up to 78,400 products in another order.
const TOLERANCE: f32 = 5e-5;

/// Pseudo-random pixels, half of them black, and labels.
fn batch(n: usize) -> Batch {
    let mixed = |i: usize| (i as u32).wrapping_mul(2_654_435_761) >> 23;
    let pixels = (0..n * PIXELS).map(|i| mixed(i).saturating_sub(256) as u8);
    let labels = (0..n).map(|i| (mixed(i) % 10) as u8);
    Batch { pixels: pixels.collect(), labels: labels.collect() }
}

/// The engine for a model of the registry.
fn fast(name: &str, options: &ModelOptions, label_smoothing: f64, threads: usize) -> Fast {
    let model = named(name).unwrap().zeros(options, Device::Cpu);
    model.reset_parameters();
    let network = Network::new(model.graph(), model.kind()).unwrap();
    let replicas = Replicas::new(network, &model, threads, label_smoothing);
    let optimizer = Box::new(Adam::new(std::slice::from_ref(model.flat().all()), 1e-3));
    Fast { model, replicas, optimizer, loss: 0.0 }
}

/// Fails unless two tensors are equal up to rounding, relative to `scale`.
fn assert_close(case: &str, actual: &[f32], expected: &[f32], scale: f32) {
    assert_eq!(actual.len(), expected.len(), "{case}");
    for (i, (&actual, &expected)) in actual.iter().zip(expected).enumerate() {
        let close = (actual - expected).abs() <= TOLERANCE * scale;
        assert!(close, "{case}, element {i}: {actual:e}, not {expected:e}; largest {scale:e}");
    }
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, x| most.max(x.abs()))
}

/// Compares one step's loss, gradients and buffers.
fn compare(name: &str, options: &ModelOptions, label_smoothing: f64, n: usize, threads: usize) {
    let case = format!("{name} {options:?}, {n} images, {threads} threads");
    let mut fast = fast(name, options, label_smoothing, threads);
    let model = named(name).unwrap().zeros(options, Device::Cpu);
    model.load_state_dict(&fast.model.state_dict()).unwrap();
    let optimizer = Box::new(Adam::new(model.parameters(), 1e-3));
    let mut eager = Eager::new(model, Criterion::CrossEntropy { label_smoothing }, optimizer);
    let pair: [&mut dyn TrainStep; 2] = [&mut eager, &mut fast];
    let batch = batch(n);
    let [expected, loss] = pair.map(|engine| {
        engine.forward(&batch);
        let loss = engine.loss(&batch);
        engine.backward();
        loss
    });
    assert!((loss - expected).abs() < 2e-6, "{case}: loss {loss}, not {expected}");
    let expected: Vec<Vec<f32>> =
        eager.output().unwrap().gradients.iter().map(|it| values(it).to_vec()).collect();
    let specs = fast.model.graph().parameters();
    for (i, (spec, range)) in specs.iter().zip(fast.model.flat().ranges()).enumerate() {
        let sum = |at| fast.replicas.gradients().map(|gradients| gradients[at]).sum();
        let actual: Vec<f32> = range.map(sum).collect();
        let is_normalized = options.batch_norm && spec.name.starts_with("conv");
        let scale = match is_normalized && spec.name.ends_with("bias") {
            // Apart from rounding, it is 0 before batch normalization: compared with the sum of which it is the rest.
            true => 20.0 * largest(&expected[i - 1]),
            false => largest(&expected[i]),
        };
        assert_close(&format!("{case}: {}", spec.name), &actual, &expected[i], scale);
    }
    let buffers = eager.model().buffers().iter().zip(fast.model.buffers());
    for (spec, (expected, actual)) in fast.model.graph().buffers().iter().zip(buffers) {
        let [expected, actual] = [expected, actual].map(|it| it.to_kind(tch::Kind::Float));
        let (actual, expected) = (values::<f32>(&actual), values::<f32>(&expected));
        assert_close(&format!("{case}: {}", spec.name), actual, expected, largest(expected));
    }
}

#[test]
fn loss_gradients_and_buffers_equal_the_eager_engines_up_to_rounding() {
    for name in ["lenet5", "deepcnn"] {
        for (batch_norm, dropout) in [(false, 0.0), (true, 0.0), (true, 1.0)] {
            let options = ModelOptions { batch_norm, dropout };
            for (n, threads) in [(1, 1), (1, 3), (15, 2), (16, 2), (33, 2), (64, 2), (100, 3)] {
                compare(name, &options, 0.0, n, threads);
            }
            compare(name, &options, 0.1, 33, 2);
        }
    }
}

#[test]
fn a_small_batch_after_a_large_one_has_the_gradients_of_a_new_engine() {
    let options = ModelOptions { batch_norm: true, dropout: 0.0 };
    let initial = fast("deepcnn", &options, 0.0, 2).model.state_dict();
    let gradients = |sizes: &[usize]| {
        let mut fast = fast("deepcnn", &options, 0.0, 2);
        fast.model.load_state_dict(&initial).unwrap();
        sizes.iter().for_each(|&n| fast.forward(&batch(n)));
        fast.replicas.gradients().map(<[f32]>::to_vec).collect::<Vec<_>>()
    };
    assert_eq!(gradients(&[100, 5]), gradients(&[5]));
}

#[test]
fn networks_are_supported_by_their_operations_and_shapes() {
    use crate::nn::{
        Conv2d, Conv2dConfig, Linear, Module, Scope, Value, avg_pool2d, flatten, max_pool2d, relu,
    };
    struct Net(Conv2d, Linear, fn(Value) -> Value);
    impl Module for Net {
        fn forward(&self, x: Value) -> Value {
            self.1.forward(flatten((self.2)(self.0.forward(x)), 1))
        }
    }
    let supports = |filters: i64, kernel: i64, rest: fn(Value) -> Value, inputs: i64| {
        let build = |vs: &Scope| {
            let conv = Conv2d::new(vs / "conv", 1, filters, kernel, Conv2dConfig::default());
            Net(conv, Linear::new(vs / "fc", inputs, 10), rest)
        };
        Fast::supports(&Graph::trace(&[1, 28, 28], build).unwrap(), Kind::Float)
    };
    assert!(supports(4, 3, |x| max_pool2d(relu(x), 2), 4 * 13 * 13));
    assert!(supports(9, 5, |x| avg_pool2d(relu(x), 2), 9 * 12 * 12));
    assert!(!supports(4, 7, |x| max_pool2d(relu(x), 2), 4 * 11 * 11));
    assert!(!supports(5, 3, |x| max_pool2d(relu(x), 2), 5 * 13 * 13));
    assert!(!supports(4, 3, |x| max_pool2d(relu(x), 3), 4 * 8 * 8));
    assert!(!supports(4, 3, |x| max_pool2d(x, 2), 4 * 13 * 13));
    assert!(!supports(4, 3, relu, 4 * 26 * 26));
}
