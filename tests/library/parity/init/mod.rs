//! Initial parameters against `nn.Module` constructors and `MLPClassifier`.

use stitch::models::{Library, MODELS, init};
use stitch::rng::numpy::RandomState;
use tch::Device;

use super::{arguments, assert_equal, reference, values, values_of};

#[test]
fn initial_parameters_are_those_of_the_constructors() {
    let (_libtorch, expected) = reference("init");
    let mut compared = 0;
    for seed in [0, 1, 7, u32::MAX] {
        for &entry in MODELS {
            let model = entry.zeros(entry.options(), Device::Cpu);
            match entry.library {
                Library::ScikitLearn => init::sklearn(&model, &mut RandomState::new(seed)),
                Library::PyTorch => {
                    tch::manual_seed(seed.into());
                    model.reset_parameters();
                }
            }
            for (key, drawn) in model.state() {
                let name = format!("{entry} seed={seed} {key}");
                assert_eq!(arguments(&name, ["seed"]), [u64::from(seed)]);
                assert_equal(&name, &values(&expected[&name]), &values_of(&drawn));
                compared += 1;
            }
        }
    }
    assert_eq!(compared, expected.len());
}
