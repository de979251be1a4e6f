//! The first steps of the MLP. Its products run on another BLAS than scikit-learn's, which sums in
//! another order: equal to 1e-13 of values that are below 10, not bit for bit.

use stitch::dataset::loader::Batch;
use stitch::dataset::{PIXELS, Split};
use stitch::models;
use stitch::train::{TrainConfig, Trainer};

use super::{assert_within, reference, values, values_of};

const TOLERANCE: f64 = 1e-13;

#[test]
fn loss_gradients_and_adam_steps_are_scikit_learns() {
    let (_libtorch, expected) = reference("mlp_steps");
    let entry = models::named("mlp").unwrap();
    let mut compared = 0;
    let mut check = |name: String, actual: &[f64]| {
        assert_within(&name, &values(&expected[&name]), actual, TOLERANCE);
        compared += 1;
    };
    for seed in 0..3 {
        for batch in [10, 33, 200] {
            let n = 3 * batch;
            let factor = 37 + seed as usize;
            let images: Vec<u8> = (0..n * PIXELS).map(|i| (i * factor % 256) as u8).collect();
            let labels = (0..n).map(|i| (i * 7 % 10) as u8).collect();
            let data = Split::new(images, labels);
            let config = TrainConfig { seed, ..entry.config() };
            let mut trainer = Trainer::new(&config, &data).unwrap();
            for step in 1..=3 {
                let at = |what: &str| format!("seed={seed} batch={batch} step={step} {what}");
                let rows = (step - 1) * batch..step * batch;
                let pixels = data.images[rows.start * PIXELS..rows.end * PIXELS].to_vec();
                let batch = Batch { pixels, labels: data.labels[rows].to_vec() };
                for (key, parameter) in trainer.model().state() {
                    check(at(&format!("param {key}")), &values_of(&parameter));
                }
                let engine = trainer.engine_mut();
                engine.zero_grad();
                engine.forward(&batch);
                let loss = engine.loss(&batch);
                check(at("loss"), &[loss]);
                engine.backward();
                let output = engine.output().unwrap();
                let specs = engine.model().graph().parameters().iter();
                for (spec, gradient) in specs.zip(&output.gradients) {
                    check(at(&format!("grad {}", spec.name)), &values_of(gradient));
                }
                engine.step();
            }
        }
    }
    assert_eq!(compared, expected.len());
}
