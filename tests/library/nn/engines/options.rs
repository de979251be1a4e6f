//! The options of a PyTorch loop: the exact engine against the eager one, and interrupted trainings against uninterrupted
//! ones, with odd batch sizes.

use stitch::stitch_run::{Loss, LrSchedule, Optimizer};
use stitch::train::{Engine, TrainConfig, TrainState, Trainer};
use tch::{Device, Kind, Tensor};

use super::{data, finish, interrupted, train};
use crate::nn::compare::first_difference;
use crate::nn::{assert_none, libtorch};

/// Images: no multiple of a batch size.
const IMAGES: usize = 150;

type Change = fn(&mut TrainConfig);

const OPTIONS: [(&str, Change); 8] = [
    ("nll", |it| (it.loss, it.lr) = (Loss::Nll, 1e-4)),
    ("normalize", |it| it.normalize = "0.286,0.353".parse().unwrap()),
    ("without shuffle", |it| it.shuffle = false),
    ("drop last, one cycle", |it| {
        (it.drop_last, it.lr_schedule) = (true, LrSchedule::OneCycle);
    }),
    ("adadelta", |it| {
        (it.optimizer, it.lr, it.weight_decay) = (Optimizer::Adadelta, 1.0, Some(1e-3));
    }),
    ("rmsprop", |it| it.optimizer = Optimizer::RmsProp),
    ("rmsprop with momentum", |it| {
        (it.optimizer, it.momentum, it.weight_decay) = (Optimizer::RmsProp, 0.9, Some(1e-3));
    }),
    ("all", |it| {
        (it.model, it.batch_norm, it.dropout) = ("deepcnn".into(), true, 0.5);
        (it.loss, it.lr) = (Loss::Nll, 1e-4);
        (it.shuffle, it.drop_last) = (false, true);
        (it.optimizer, it.lr_schedule) = (Optimizer::RmsProp, LrSchedule::OneCycle);
        it.normalize = "0.5,0.25".parse().unwrap();
        it.augment = "crop,flip,erase:0.5".parse().unwrap();
    }),
];

fn config(change: Change, engine: Engine, batch_size: usize, seed: u64) -> TrainConfig {
    let options = TrainConfig::new("lenet5", 2, batch_size, 1e-3);
    let mut config = TrainConfig { seed, engine: Some(engine), ..options };
    change(&mut config);
    config
}

fn trained(config: &TrainConfig) -> TrainState {
    let data = data(IMAGES);
    train(Trainer::new(config, &data).unwrap(), config, &data)
}

#[test]
fn options_end_with_the_same_bits_in_both_engines() {
    let _guard = libtorch(1);
    let mut failures = Vec::new();
    for threads in [1, 2] {
        tch::set_num_threads(threads);
        for ((name, change), (batch_size, seed)) in
            OPTIONS.into_iter().flat_map(|option| [(37, 0), (13, 1)].map(|run| (option, run)))
        {
            let [eager, exact] = [Engine::Eager, Engine::Exact]
                .map(|engine| trained(&config(change, engine, batch_size, seed)));
            assert_eq!(eager.updates, exact.updates, "{name}");
            let difference = first_difference(&eager.tensors, &exact.tensors);
            failures.extend(difference.map(|it| format!("{name}, batches of {batch_size}: {it}")));
        }
    }
    assert_none(&failures);
}

#[test]
fn interrupted_trainings_with_options_end_with_the_bits_of_uninterrupted_ones() {
    let _guard = libtorch(2);
    let data = data(IMAGES);
    let mut failures = Vec::new();
    for (name, change) in OPTIONS {
        let config = config(change, Engine::Exact, 40, 3);
        let expected = trained(&config);
        // With drop_last, an epoch has three steps, else four; then its end.
        for events in [1, 3, 4, 5, 6] {
            let first = Trainer::new(&config, &data).unwrap();
            let (state, reached) = interrupted(first, &config, &data, events);
            let other = TrainConfig { seed: 99, ..config.clone() };
            let mut second = Trainer::new(&other, &data).unwrap();
            let _ = Tensor::rand([7], (Kind::Float, Device::Cpu));
            second.restore(&state).unwrap();
            let actual = finish(second, &config, &data, reached);
            assert_eq!(expected.updates, actual.updates, "{name}");
            let difference = first_difference(&expected.tensors, &actual.tensors);
            failures.extend(difference.map(|it| format!("{name}, {events} events: {it}")));
        }
    }
    assert_none(&failures);
}

#[test]
fn without_a_step_a_training_is_refused() {
    let _guard = libtorch(1);
    let config = TrainConfig { drop_last: true, ..TrainConfig::new("lenet5", 1, 151, 1e-3) };
    let error = Trainer::new(&config, &data(IMAGES)).err().unwrap().to_string();
    assert!(error.contains("150 training images, fewer than a batch of 151"), "{error}");
}
