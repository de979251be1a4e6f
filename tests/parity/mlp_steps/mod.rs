//! The first steps of the MLP. Its products run on another BLAS than scikit-learn's, which sums in
//! another order: equal to 1e-13 of values that are below 10, not bit for bit.

use stitch::dataset::{PIXELS, Split};
use stitch::models::mlp;
use stitch::train::{Learner, MlpLearner, TrainConfig};

use super::{assert_within, reference, values, values_of};

const TOLERANCE: f64 = 1e-13;

#[test]
fn loss_gradients_and_adam_steps_are_scikit_learns() {
    let expected = reference("mlp_steps");
    let parameters = mlp::ENTRY.parameters;
    let mut compared = 0;
    let mut check = |name: String, actual: &[f64]| {
        assert_within(&name, &values(&expected[&name]), actual, TOLERANCE);
        compared += 1;
    };
    for seed in 0..3 {
        for batch in [10, 33, 200] {
            let n = 3 * batch;
            let factor = 37 + seed as usize;
            let images = (0..n * PIXELS).map(|i| (i * factor % 256) as u8).collect();
            let labels = (0..n).map(|i| (i * 7 % 10) as u8).collect();
            let data = Split { images, labels };
            let config = TrainConfig { seed, ..TrainConfig::notebook(&mlp::ENTRY) };
            let mut learner = MlpLearner::new(&config, &data).unwrap();
            for step in 1..=3 {
                let at = |what: &str| format!("seed={seed} batch={batch} step={step} {what}");
                let rows = (step - 1) * batch..step * batch;
                let pixels = &data.images[rows.start * PIXELS..rows.end * PIXELS];
                let pass = learner.pass(pixels, &data.labels[rows.clone()]);
                let loss = pass.loss.double_value(&[]);
                // The next pass writes into the same buffer.
                let gradients: Vec<_> = pass.gradients.iter().map(tch::Tensor::copy).collect();
                check(at("loss"), &[loss]);
                for (i, (key, _)) in parameters.iter().enumerate() {
                    let parameter = &learner.model().parameters()[i];
                    check(at(&format!("param {key}")), &values_of(parameter));
                    check(at(&format!("grad {key}")), &values_of(&gradients[i]));
                }
                learner.step(pixels, &data.labels[rows], None);
            }
        }
    }
    assert_eq!(compared, expected.len());
}
