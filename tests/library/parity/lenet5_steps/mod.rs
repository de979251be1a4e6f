//! The first steps of LeNet-5, operation by operation, bit for bit, by each engine that has PyTorch's bits.

use stitch::dataset::loader::{Batch, images};
use stitch::dataset::{PIXELS, Split};
use stitch::engine::Forward;
use stitch::models;
use stitch::train::{Engine, TrainConfig, Trainer};

use super::{assert_equal, reference, values, values_of};

#[test]
fn logits_gradients_and_adam_steps_are_pytorchs() {
    let (_libtorch, expected) = reference("lenet5_steps");
    let entry = models::named("lenet5").unwrap();
    for engine in [Engine::Eager, Engine::Exact] {
        let mut compared = 0;
        let mut check = |name: String, actual: &[f64]| {
            let what = format!("{name}, {engine:?}");
            assert_equal(&what, &values(&expected[&name]), actual);
            compared += 1;
        };
        for seed in 0..3 {
            for n in [1, 2, 33, 64] {
                let config = TrainConfig { seed, lr: 1e-3, engine: Some(engine), ..entry.config() };
                let Batch { pixels, labels } = batch(n, 0, 0);
                let data = Split::new(pixels, labels);
                tch::manual_seed(seed as i64);
                let model = entry.zeros(entry.options(), tch::Device::Cpu);
                model.reset_parameters();
                let mut trainer = Trainer::pytorch(model, &config, &data).unwrap();
                for step in 1..=3 {
                    let at = |what: &str| format!("seed={seed} batch={n} step={step} {what}");
                    let batch = batch(n, step, step * 37 + seed as usize);
                    let model = trainer.model();
                    let xs = images(
                        &batch.pixels,
                        model.graph().input(),
                        model.kind(),
                        tch::Device::Cpu,
                    );
                    check(at("logits"), &values_of(&Forward::new(model).logits(&xs)));
                    let engine = trainer.engine_mut();
                    engine.zero_grad();
                    engine.forward(&batch);
                    let loss = engine.loss(&batch);
                    engine.backward();
                    let output = engine.output().unwrap();
                    check(at("loss"), &[loss]);
                    assert_eq!(
                        values_of(&output.logits),
                        values_of(&Forward::new(engine.model()).logits(&xs))
                    );
                    let specs = engine.model().graph().parameters().iter();
                    for (spec, gradient) in specs.zip(&output.gradients) {
                        check(at(&format!("grad {}", spec.name)), &values_of(gradient));
                    }
                    engine.step();
                    for (key, parameter) in trainer.model().state() {
                        check(at(&format!("param {key}")), &values_of(&parameter));
                    }
                }
            }
        }
        assert_eq!(compared, expected.len());
    }
}

fn batch(n: usize, step: usize, factor: usize) -> Batch {
    let pixels = (0..n * PIXELS).map(|i| (i * factor % 256) as u8).collect();
    let labels = (0..n).map(|i| ((i * 7 + step) % 10) as u8).collect();
    Batch { pixels, labels }
}
