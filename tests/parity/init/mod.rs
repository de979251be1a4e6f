//! Initial parameters against `nn.Module` constructors and `MLPClassifier`.

use stitch::models::{MODELS, init};
use stitch::rng::numpy::RandomState;

use super::{arguments, assert_equal, reference, values, values_of};

#[test]
fn initial_parameters_are_those_of_the_constructors() {
    let expected = reference("init");
    let mut compared = 0;
    for seed in [0, 1, 7, u32::MAX] {
        for &model in MODELS {
            let drawn = match model.name {
                "mlp" => init::mlp(&mut RandomState::new(seed)),
                "lenet5" => init::lenet5(seed.into()),
                other => panic!("the initial parameters of {other} are not tested"),
            };
            for ((key, _), drawn) in model.parameters.iter().zip(drawn) {
                let name = format!("{model} seed={seed} {key}");
                assert_eq!(arguments(&name, ["seed"]), [u64::from(seed)]);
                assert_equal(&name, &values(&expected[&name]), &values_of(&drawn));
                compared += 1;
            }
        }
    }
    assert_eq!(compared, expected.len());
}
