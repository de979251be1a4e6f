//! `rng::torch`, draws from libtorch's global generator and the loader's order against torch's.

use stitch::dataset::loader::RandomSampler;
use stitch::libtorch::generator::random;
use stitch::rng::torch::Generator;
use tch::{Device, Kind, Tensor};

use super::{arguments, assert_equal, reference, values};

#[test]
fn random_randperm_and_loader_orders_are_torchs() {
    let (_libtorch, expected) = reference("torch_draws");
    for (name, expected) in expected {
        let [seed] = arguments(&name, ["seed"]);
        tch::manual_seed(seed as i64);
        let actual: Vec<f64> = if name.starts_with("randperm") {
            let [n] = arguments(&name, ["n"]);
            Generator::new(seed).randperm(n as u32).into_iter().map(f64::from).collect()
        } else if name.starts_with("loader") {
            let [n] = arguments(&name, ["n"]);
            let _ = Tensor::empty([1234], (Kind::Float, Device::Cpu)).uniform_(-1.0, 1.0);
            let mut sampler = RandomSampler::new(n as usize);
            (0..3).flat_map(|_| sampler.next_order()).map(f64::from).collect()
        } else {
            let draws: Vec<i64> = (0..4).map(|_| random()).collect();
            let high = draws.iter().map(|draw| (draw >> 32) as f64);
            high.chain(draws.iter().map(|draw| (draw & 0xffff_ffff) as f64)).collect()
        };
        assert_equal(&name, &values(&expected), &actual);
    }
}
