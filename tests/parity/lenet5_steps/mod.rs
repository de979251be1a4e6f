//! The first steps of LeNet-5, operation by operation, bit for bit.

use stitch::dataset::PIXELS;
use stitch::models::lenet5;
use stitch::train::{Learner, Lenet5Learner, TrainConfig};

use super::{assert_equal, reference, values, values_of};

#[test]
fn logits_gradients_and_adam_steps_are_pytorchs() {
    let expected = reference("lenet5_steps");
    let parameters = lenet5::ENTRY.parameters;
    let mut compared = 0;
    let mut check = |name: String, actual: &[f64]| {
        assert_equal(&name, &values(&expected[&name]), actual);
        compared += 1;
    };
    for seed in 0..3 {
        for batch in [1, 2, 33, 64] {
            let config = TrainConfig { seed, lr: 1e-3, ..TrainConfig::notebook(&lenet5::ENTRY) };
            let mut learner = Lenet5Learner::new(&config, batch);
            for step in 1..=3 {
                let factor = step * 37 + seed as usize;
                let pixels: Vec<u8> =
                    (0..batch * PIXELS).map(|i| (i * factor % 256) as u8).collect();
                let labels: Vec<u8> = (0..batch).map(|i| ((i * 7 + step) % 10) as u8).collect();
                let at = |what: &str| format!("seed={seed} batch={batch} step={step} {what}");
                let model = learner.model();
                let logits = tch::no_grad(|| model.forward(&model.input(&pixels)));
                check(at("logits"), &values_of(&logits));
                let pass = learner.pass(&pixels, &labels);
                let loss = pass.loss.double_value(&[]);
                // The next pass writes into the same buffer.
                let gradients: Vec<_> = pass.gradients.iter().map(tch::Tensor::copy).collect();
                check(at("loss"), &[loss]);
                assert_eq!(learner.step(&pixels, &labels, None), loss);
                for (i, (key, _)) in parameters.iter().enumerate() {
                    check(at(&format!("grad {key}")), &values_of(&gradients[i]));
                    let parameter = &learner.model().parameters()[i];
                    check(at(&format!("param {key}")), &values_of(parameter));
                }
            }
        }
    }
    assert_eq!(compared, expected.len());
}
