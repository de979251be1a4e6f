//! A training that is interrupted and resumed, against one that is not.

use stitch::dataset::Split;
use stitch::train::{Engine, Progress, TrainState, Trainer};
use tch::{Device, Kind, Tensor};

use super::networks::NETWORKS;
use super::{config, data, finish, interrupted, train};
use crate::nn::compare::first_difference;
use crate::nn::networks::Network;
use crate::nn::{assert_none, libtorch};

const BATCH_SIZE: usize = 32;
/// Images; the last batch of an epoch, the fifth, is short.
const IMAGES: usize = 140;
const ENGINES: [Engine; 2] = [Engine::Eager, Engine::Exact];

/// The number of events after which a training is interrupted: within either epoch, at the last step of the
/// first one, and between both.
const INTERRUPTIONS: [usize; 5] = [1, 3, 5, 6, 8];

/// A training of this network that ends at an event.
fn begun(network: &Network, engine: Engine, events: usize) -> (TrainState, Progress) {
    let (config, data) = (config(engine, BATCH_SIZE, 3), data(IMAGES));
    let trainer = Trainer::pytorch(network.model(3), &config, &data).unwrap();
    interrupted(trainer, &config, &data, events)
}

/// Trains to the end from there, in a process that has drawn other numbers.
fn resumed(network: &Network, engine: Engine, from: (TrainState, Progress)) -> TrainState {
    let (config, data) = (config(engine, BATCH_SIZE, 3), data(IMAGES));
    let mut trainer = Trainer::pytorch(network.model(99), &config, &data).unwrap();
    let _ = Tensor::rand([7], (Kind::Float, Device::Cpu));
    trainer.restore(&from.0).unwrap();
    finish(trainer, &config, &data, from.1)
}

/// Networks that draw in each step and keep buffers.
fn with_dropout_and_batch_norm() -> impl Iterator<Item = &'static Network> {
    let names =
        ["batch norm, dropout, max pooling", "batch norm, ReLU, average pooling", "residual"];
    names.into_iter().map(|name| NETWORKS.iter().find(|network| network.name == name).unwrap())
}

#[test]
fn a_resumed_training_ends_with_the_bits_of_an_uninterrupted_one() {
    let _guard = libtorch(2);
    let data: Split = data(IMAGES);
    let mut failures = Vec::new();
    for network in with_dropout_and_batch_norm() {
        let config = config(Engine::Eager, BATCH_SIZE, 3);
        let trainer = Trainer::pytorch(network.model(3), &config, &data).unwrap();
        let expected = train(trainer, &config, &data);
        for events in INTERRUPTIONS {
            // The state is the same in both engines: each resumes what the other has begun, too.
            for (begins, ends) in ENGINES.into_iter().flat_map(|a| ENGINES.map(|b| (a, b))) {
                let actual = resumed(network, ends, begun(network, begins, events));
                let difference = first_difference(&expected.tensors, &actual.tensors);
                failures.extend(difference.map(|difference| {
                    let (name, [begins, ends]) = (network.name, [begins, ends].map(Engine::name));
                    format!("{name}, {events} events of {begins}, then {ends}: {difference}")
                }));
                assert_eq!(expected.updates, actual.updates);
            }
        }
    }
    assert_none(&failures);
}

#[test]
fn the_state_of_another_network_is_refused_and_changes_nothing() {
    let _guard = libtorch(1);
    let [first, second, third] = with_dropout_and_batch_norm().collect::<Vec<_>>()[..] else {
        panic!("three networks");
    };
    for engine in ENGINES {
        let config = config(engine, BATCH_SIZE, 3);
        for other in [second, third] {
            let (state, _) = begun(other, engine, 3);
            let mut trainer = Trainer::pytorch(first.model(3), &config, &data(IMAGES)).unwrap();
            let [mut before, mut after] = [TrainState::default(), TrainState::default()];
            trainer.copy_state(&mut before);
            assert!(trainer.restore(&state).is_err());
            trainer.copy_state(&mut after);
            assert_eq!(first_difference(&before.tensors, &after.tensors), None);
        }
    }
}
