//! `rng::numpy` against numpy's RandomState.

use stitch::rng::numpy::RandomState;

use super::{arguments, assert_equal, reference, values};

#[test]
fn uniform_and_shuffle_are_numpys() {
    let (_libtorch, expected) = reference("numpy_draws");
    for (name, expected) in expected {
        let [seed, n] = arguments(&name, ["seed", "n"]);
        let mut rng = RandomState::new(seed as u32);
        let actual = if name.starts_with("uniform") {
            rng.uniform(-0.0841, 0.0841, n as usize)
        } else {
            let mut order: Vec<u32> = (0..n as u32).collect();
            for _ in 0..2 {
                let mut picks: Vec<u32> = (0..n as u32).collect();
                rng.shuffle(&mut picks);
                order = picks.into_iter().map(|i| order[i as usize]).collect();
            }
            // `randint(0, 2**31)` is one draw of 31 bits: the rejection mask is full.
            let mut next: Vec<f64> = order.into_iter().map(f64::from).collect();
            next.push(f64::from(rng.interval((1 << 31) - 1)));
            next
        };
        assert_equal(&name, &values(&expected), &actual);
    }
}
