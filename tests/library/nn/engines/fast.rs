//! The fast engine against the eager one, up to rounding, with every option of the settings.

use stitch::nn::{
    AvgPool2d, AvgPool2dConfig, Conv2d, Conv2dConfig, Dropout, Flatten, Linear, Model, ReLU, Scope,
    Sequential,
};
use stitch::stitch_run::{Loss, LrSchedule, Optimizer};
use stitch::tensor_files::NamedTensor;
use stitch::train::{Engine, TrainConfig, TrainState, Trainer};
use tch::Kind;

use super::{data, finish, interrupted, train};
use crate::nn::compare::{first_difference, greatest_difference};
use crate::nn::libtorch;

/// Images; the last batch of an epoch is short.
const IMAGES: usize = 150;

/// Two epochs of `deepcnn` as it is by default, in batches that are no multiple of a block.
fn deepcnn(engine: Engine) -> TrainConfig {
    let engine = Some(engine);
    let options = TrainConfig::new("deepcnn", 2, 40, 1e-3);
    TrainConfig { engine, batch_norm: true, dropout: 0.5, ..options }
}

/// A training with these settings, changed by `change`.
fn trained(engine: Engine, change: impl Fn(&mut TrainConfig)) -> TrainState {
    let (mut config, data) = (deepcnn(engine), data(IMAGES));
    change(&mut config);
    train(Trainer::new(&config, &data).unwrap(), &config, &data)
}

/// The tensors whose names start with `name`.
fn of(state: &TrainState, name: &str) -> Vec<NamedTensor> {
    state.tensors.iter().filter(|tensor| tensor.name.starts_with(name)).cloned().collect()
}

fn sgd(it: &mut TrainConfig) {
    (it.optimizer, it.momentum, it.nesterov) = (Optimizer::Sgd, 0.9, true);
    (it.lr, it.weight_decay) = (0.01, Some(1e-3));
}

#[test]
fn a_training_of_the_fast_engine_is_the_eager_ones_up_to_rounding() {
    let _guard = libtorch(2);
    let changes: [fn(&mut TrainConfig); 11] = [
        |_| {},
        |it| it.batch_norm = false,
        |it| it.dropout = 0.0,
        |it| it.label_smoothing = 0.1,
        |it| (it.optimizer, it.weight_decay) = (Optimizer::AdamW, Some(0.1)),
        |it| it.lr_schedule = LrSchedule::OneCycle,
        |it| (it.optimizer, it.normalize) = (Optimizer::RmsProp, "0.286,0.353".parse().unwrap()),
        |it| (it.optimizer, it.lr, it.drop_last) = (Optimizer::Adadelta, 0.1, true),
        |it| {
            sgd(it);
            it.lr_schedule = LrSchedule::OneCycle;
        },
        |it| {
            sgd(it);
            (it.loss, it.lr, it.shuffle) = (Loss::Nll, 1e-4, false);
            it.normalize = "0.286,0.353".parse().unwrap();
        },
        |it| {
            sgd(it);
            (it.model, it.augment) = ("lenet5".into(), "crop,flip".parse().unwrap());
        },
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let [eager, fast] = [Engine::Eager, Engine::Fast].map(|engine| trained(engine, change));
        // Dropout and the order of the samples are drawn as often.
        assert_eq!(first_difference(&of(&eager, "generator"), &of(&fast, "generator")), None);
        assert_eq!(first_difference(&of(&eager, "sampler"), &of(&fast, "sampler")), None);
        assert_eq!(eager.updates, fast.updates);
        let difference = |name| greatest_difference(&of(&eager, name), &of(&fast, name));
        // Adam divides rounding errors by their own size, so parameters may differ by steps of lr.
        let of_losses = difference("losses");
        assert!(of_losses > 0.0 && of_losses < 5e-3, "settings {i}: {of_losses:e}");
        if i >= 8 {
            let [parameters, buffers] = ["parameter/", "buffer/"].map(difference);
            assert!(parameters < 1e-4 && buffers < 1e-3, "{i}: {parameters:e}, {buffers:e}");
        }
    }
}

#[test]
fn a_step_with_dropout_but_no_relu_is_the_eager_ones_up_to_rounding() {
    let _guard = libtorch(2);
    let network = |vs: &Scope| {
        Sequential::new(vs)
            .add(|vs| Conv2d::new(vs, 1, 4, 5, Conv2dConfig::default()))
            .add(|vs| ReLU::new(vs))
            .add(|vs| AvgPool2d::new(vs, 2, AvgPool2dConfig::default()))
            .add(|vs| Flatten::new(vs))
            .add(|vs| Linear::new(vs, 576, 8))
            .add(|vs| Dropout::new(vs, 0.5))
            .add(|vs| Linear::new(vs, 8, 10))
    };
    let data = data(IMAGES);
    let [eager, fast] = [Engine::Eager, Engine::Fast].map(|engine| {
        // The learning rate is 1, so that gradients are compared.
        let options = TrainConfig::new("", 1, IMAGES, 1.0);
        let config = TrainConfig { engine: Some(engine), optimizer: Optimizer::Sgd, ..options };
        tch::manual_seed(0);
        let model = Model::new("Net", &[1, 28, 28], Kind::Float, network).unwrap();
        train(Trainer::pytorch(model, &config, &data).unwrap(), &config, &data)
    });
    assert_eq!([eager.updates, fast.updates], [1, 1]);
    assert_eq!(first_difference(&of(&eager, "generator"), &of(&fast, "generator")), None);
    let difference = greatest_difference(&of(&eager, "parameter/"), &of(&fast, "parameter/"));
    assert!(difference > 0.0 && difference < 1e-5, "{difference:e}");
}

#[test]
fn repeated_trainings_of_the_fast_engine_have_the_same_bits() {
    let _guard = libtorch(2);
    let states = [(); 2].map(|()| trained(Engine::Fast, |it| it.label_smoothing = 0.1));
    assert_eq!(first_difference(&states[0].tensors, &states[1].tensors), None);
}

/// A training of two epochs that is interrupted after so many events, and resumed by a new trainer.
fn resumed(config: &TrainConfig, events: usize) -> TrainState {
    let data = data(IMAGES);
    let first = Trainer::new(config, &data).unwrap();
    let (state, reached) = interrupted(first, config, &data, events);
    let mut second = Trainer::new(&TrainConfig { seed: 99, ..config.clone() }, &data).unwrap();
    second.restore(&state).unwrap();
    finish(second, config, &data, reached)
}

#[test]
fn a_resumed_training_of_the_fast_engine_ends_with_the_bits_of_an_uninterrupted_one() {
    let _guard = libtorch(2);
    let config = TrainConfig { lr_schedule: LrSchedule::OneCycle, ..deepcnn(Engine::Fast) };
    let expected = trained(Engine::Fast, |it| it.lr_schedule = LrSchedule::OneCycle);
    // The fourth event is the last step of the first epoch, the fifth the end of this epoch.
    for events in [1, 3, 4, 5, 7] {
        let actual = resumed(&config, events);
        assert_eq!(first_difference(&expected.tensors, &actual.tensors), None, "{events} events");
        assert_eq!(expected.updates, actual.updates);
    }
}
