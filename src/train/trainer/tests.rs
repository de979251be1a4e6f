//! Tests of the trainer.

use tch::Kind;

use super::*;
use crate::dataset::PIXELS;
use crate::dataset::loader::Batch;
use crate::engine::test_data::{batch, registered, set_parameters};
use crate::libtorch::{bytes_of, run_in_turn, threads};
use crate::models::named;
use crate::nn::{Linear, ReLU, Sequential};
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

/// Settings for batches of up to 70 images.
fn settings(name: &str, engine: Engine) -> TrainConfig {
    let config = named(name).unwrap().config();
    TrainConfig { engine: Some(engine), batch_size: 70, dropout: 0.0, ..config }
}

fn data() -> Split {
    let Batch { pixels, labels } = batch(70);
    Split::new(pixels, labels)
}

fn trainer_of(model: Model, config: &TrainConfig) -> Trainer {
    set_parameters(&model, 0);
    Trainer::pytorch(model, config, &data()).unwrap()
}

fn registered_trainer(config: &TrainConfig) -> Trainer {
    match named(&config.model).unwrap().library {
        Library::ScikitLearn => Trainer::new(config, &data()).unwrap(),
        Library::PyTorch => trainer_of(registered(&config.model, &config.into()), config),
    }
}

/// The bits of the parameters after steps with batches of several sizes. They do not depend on libtorch's generator, which tests
/// share.
fn trained(mut trainer: Trainer) -> Vec<Vec<u8>> {
    for n in [70, 64, 33, 7, 5] {
        assert!(take_step(trainer.engine_mut(), &batch(n)).is_finite());
    }
    trainer.model().parameters().iter().map(bytes_of).collect()
}

#[test]
fn on_a_busy_machine_steps_have_the_same_bits() {
    let registered_with = |name, engine| {
        let config = settings(name, engine);
        move || registered_trainer(&config)
    };
    let smoothed = || {
        registered_trainer(&TrainConfig {
            label_smoothing: 0.1,
            ..settings("lenet5", Engine::Exact)
        })
    };
    let of_linear_layers = |kind| {
        move || {
            let model = Model::new("Net", &[PIXELS as i64], kind, |vs| {
                Sequential::new(vs)
                    .add(|vs| Linear::new(vs, PIXELS as i64, 17))
                    .add(|vs| ReLU::new(vs))
                    .add(|vs| Linear::new(vs, 17, CLASSES as i64))
            });
            let config = TrainConfig::new("Net", 1, 70, 1e-3);
            trainer_of(model.unwrap(), &TrainConfig { engine: Some(Engine::Exact), ..config })
        }
    };
    let cases: [(&str, &dyn Fn() -> Trainer); 8] = [
        ("mlp", &registered_with("mlp", Engine::Exact)),
        ("lenet5", &registered_with("lenet5", Engine::Exact)),
        ("lenet5, fast", &registered_with("lenet5", Engine::Fast)),
        ("lenet5 with label smoothing", &smoothed),
        ("deepcnn", &registered_with("deepcnn", Engine::Exact)),
        ("deepcnn, fast", &registered_with("deepcnn", Engine::Fast)),
        ("linear layers", &of_linear_layers(Kind::Float)),
        ("linear layers in float64", &of_linear_layers(Kind::Double)),
    ];
    let _threads = threads::of_test(2);
    for (name, trainer) in cases {
        let expected = trained(trainer());
        run_in_turn(true);
        let actual = trained(trainer());
        run_in_turn(false);
        assert_eq!(actual.len(), expected.len(), "{name}");
        for (i, (expected, actual)) in expected.iter().zip(&actual).enumerate() {
            assert!(expected == actual, "{name}, parameter {i}");
        }
    }
}
