//! `rng::torch` against torch's Generator and DataLoader.

use stitch::rng::torch::Generator;

use super::{arguments, assert_equal, reference, values};

#[test]
fn random_randperm_and_loader_orders_are_torchs() {
    for (name, expected) in reference("torch_draws") {
        let [seed] = arguments(&name, ["seed"]);
        let mut rng = Generator::new(seed);
        let actual: Vec<f64> = if name.starts_with("randperm") {
            let [n] = arguments(&name, ["n"]);
            rng.randperm(n as u32).into_iter().map(f64::from).collect()
        } else if name.starts_with("loader") {
            let [n] = arguments(&name, ["n"]);
            rng.skip(1234);
            let orders = (0..3).flat_map(|_| rng.data_loader_order(n as u32));
            orders.map(f64::from).collect()
        } else {
            let draws: Vec<i64> = (0..4).map(|_| rng.random()).collect();
            let high = draws.iter().map(|draw| (draw >> 32) as f64);
            high.chain(draws.iter().map(|draw| (draw & 0xffff_ffff) as f64)).collect()
        };
        assert_equal(&name, &values(&expected), &actual);
    }
}
