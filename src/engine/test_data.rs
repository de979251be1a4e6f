//! Batches and models for tests of the engines.

use tch::Device;

use crate::dataset::PIXELS;
use crate::dataset::loader::Batch;
use crate::models::{ModelOptions, named};
use crate::nn::Model;

/// Pseudo-random pixels, half of them black, and labels.
pub fn batch(n: usize) -> Batch {
    let mixed = |i: usize| (i as u32).wrapping_mul(2_654_435_761) >> 23;
    let pixels = (0..n * PIXELS).map(|i| mixed(i).saturating_sub(256) as u8);
    let labels = (0..n).map(|i| (mixed(i) % 10) as u8);
    Batch { pixels: pixels.collect(), labels: labels.collect() }
}

/// A model of the registry.
pub fn registered(name: &str, options: &ModelOptions) -> Model {
    let model = named(name).unwrap().zeros(options, Device::Cpu);
    model.reset_parameters();
    model
}

/// Sets the parameters of convolutions and linear layers to values from `seed` within the bounds of PyTorch's default
/// initialization. Libtorch's generator is not used: the tests of this crate run at the same time and share it.
pub fn set_parameters(model: &Model, seed: u64) {
    let mut state = seed;
    let mut uniform = move |bound: f32| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bound * ((state >> 40) as f32 / (1 << 23) as f32 - 1.0)
    };
    let mut bound = None;
    for (spec, parameter) in model.graph().parameters().iter().zip(model.parameters()) {
        if spec.name.ends_with("weight") {
            let fan_in: i64 = spec.shape[1..].iter().product();
            bound = (spec.shape.len() > 1).then(|| (fan_in as f32).sqrt().recip());
        }
        if let Some(bound) = bound {
            let values: Vec<f32> = (0..parameter.numel()).map(|_| uniform(bound)).collect();
            let values = tch::Tensor::from_slice(&values).view_as(parameter);
            tch::no_grad(|| parameter.shallow_clone().copy_(&values));
        }
    }
}
