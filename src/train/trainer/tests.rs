//! Steps of the built-in models.

use tch::Tensor;

use super::*;
use crate::dataset::PIXELS;
use crate::dataset::loader::Batch;
use crate::engine::test_data::{batch, registered, set_parameters};
use crate::libtorch::{run_in_turn, threads};
use crate::models::named;
use crate::train::fit::take_step;

#[test]
fn a_gpu_that_does_not_exist_is_an_error() {
    let data = Split::new(vec![0; 10 * PIXELS], (0..10).collect());
    for model in ["mlp", "lenet5"] {
        let device = Device::Cuda(99);
        let config = TrainConfig { device, ..TrainConfig::new(model, 1, 10, 1e-3) };
        let error = Trainer::new(&config, &data).err().unwrap();
        assert!(matches!(error, TrainError::Libtorch(_)));
        let text = error.to_string();
        assert!(text.starts_with("cuda:99: ") && text.contains("Use cpu"), "{text}");
    }
}

/// The parameters after four steps. They do not depend on libtorch's generator, which tests share.
fn trained(name: &str, engine: Engine) -> Vec<Tensor> {
    let entry = named(name).unwrap();
    let config =
        TrainConfig { engine: Some(engine), batch_size: 70, dropout: 0.0, ..entry.config() };
    let Batch { pixels, labels } = batch(70);
    let data = Split::new(pixels, labels);
    let mut trainer = match entry.library {
        Library::ScikitLearn => Trainer::new(&config, &data).unwrap(),
        Library::PyTorch => {
            let model = registered(name, &(&config).into());
            set_parameters(&model, 0);
            Trainer::pytorch(model, &config, &data).unwrap()
        }
    };
    for n in [70, 64, 33, 7] {
        assert!(take_step(trainer.engine_mut(), &batch(n)).is_finite());
    }
    trainer.model().parameters().iter().map(Tensor::copy).collect()
}

#[test]
fn on_a_busy_machine_steps_have_the_same_bits() {
    let _threads = threads::of_test(2);
    for (name, engine) in [
        ("mlp", Engine::Exact),
        ("lenet5", Engine::Exact),
        ("lenet5", Engine::Fast),
        ("deepcnn", Engine::Exact),
        ("deepcnn", Engine::Fast),
    ] {
        let expected = trained(name, engine);
        run_in_turn(true);
        let actual = trained(name, engine);
        run_in_turn(false);
        assert_eq!(actual.len(), expected.len());
        for (expected, actual) in expected.iter().zip(&actual) {
            let case = format!("{name}, {} engine, {:?}", engine.name(), expected.size());
            assert!(expected.equal(actual), "{case}");
        }
    }
}
