//! The exact engine against the eager one: the bits of everything that training changes.

mod fast;
mod networks;
mod options;
mod resume;

use std::ops::ControlFlow;

use stitch::dataset::{PIXELS, Split};
use stitch::models::{self, ModelOptions};
use stitch::nn::Model;
use stitch::train::{Engine, EpochRecord, Event, Progress, TrainConfig, TrainState, Trainer, fit};

use self::networks::NETWORKS;
use super::compare::{first_difference, greatest_difference, named};
use super::{assert_none, libtorch};

const BATCH_SIZES: [usize; 6] = [1, 3, 32, 37, 64, 5000];
const SEEDS: u64 = 5;

fn config(engine: Engine, batch_size: usize, seed: u64) -> TrainConfig {
    TrainConfig { seed, engine: Some(engine), ..TrainConfig::new("", 2, batch_size, 2e-3) }
}

/// Images of noise, with some that are black or white, of all classes.
fn data(n: usize) -> Split {
    let pixel = |i: usize| {
        let noise = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (i as u64 >> 5);
        match i / PIXELS % 9 {
            0 => 0,
            1 => 255,
            // Sparse, as images of clothes are.
            2 | 3 => ((noise >> 40) as u8).saturating_sub(200),
            _ => (noise >> 40) as u8,
        }
    };
    let images: Vec<u8> = (0..n * PIXELS).map(pixel).collect();
    Split::new(images, (0..n).map(|i| (i * 7 % 10) as u8).collect())
}

/// Trains to the end: everything that training has changed, with the epochs' losses and learning rates.
fn train(trainer: Trainer, config: &TrainConfig, data: &Split) -> TrainState {
    finish(trainer, config, data, Progress::default())
}

/// Trains from this progress to the end, as [`train`] does.
fn finish(
    mut trainer: Trainer,
    config: &TrainConfig,
    data: &Split,
    progress: Progress,
) -> TrainState {
    let on_event = &mut |_, _: &Progress, _: &Trainer| ControlFlow::Continue(());
    let history = fit(&mut trainer, config, data, None, progress, on_event, None).unwrap();
    let mut state = TrainState::default();
    trainer.copy_state(&mut state);
    let column = |value: fn(&EpochRecord) -> f64| {
        tch::Tensor::from_slice(&history.epochs.iter().map(value).collect::<Vec<_>>())
    };
    state.tensors.push(named("losses", &column(|epoch| epoch.loss)));
    state.tensors.push(named("learning rates", &column(|epoch| epoch.lr)));
    state
}

/// A training that ends at an event: what it has changed, and where it stands.
fn interrupted(
    mut trainer: Trainer,
    config: &TrainConfig,
    data: &Split,
    events: usize,
) -> (TrainState, Progress) {
    let (mut count, mut state, mut reached) = (0, TrainState::default(), Progress::default());
    let on_event = &mut |_: Event, progress: &Progress, trainer: &Trainer| {
        count += 1;
        if count < events {
            return ControlFlow::Continue(());
        }
        trainer.copy_state(&mut state);
        reached = progress.clone();
        ControlFlow::Break(())
    };
    fit(&mut trainer, config, data, None, Progress::default(), on_event, None).unwrap_err();
    (state, reached)
}

/// Trains with both engines; what differs first. Of batches of one image there are fewer.
fn compare(model: impl Fn(u64) -> Model, run: (usize, u64, i32), images: usize) -> Option<String> {
    let (batch_size, seed, threads) = run;
    // More images than the largest batch, once: its last batch is short.
    let images = if (batch_size, seed) == (5000, 0) { 5037 } else { images };
    let data = &data(images.min(60 * batch_size));
    tch::set_num_threads(threads);
    let [eager, exact] = [Engine::Eager, Engine::Exact].map(|engine| {
        let config = config(engine, batch_size, seed);
        train(Trainer::pytorch(model(seed), &config, data).unwrap(), &config, data)
    });
    let difference = first_difference(&eager.tensors, &exact.tensors);
    let difference = match eager.updates == exact.updates {
        true => difference,
        false => Some(format!("{} updates, then {}", eager.updates, exact.updates)),
    };
    difference.map(|difference| {
        format!("batches of {batch_size}, seed {seed}, {threads} threads: {difference}")
    })
}

/// LeNet-5 of the registry.
fn lenet5(seed: u64) -> Model {
    registered("lenet5", models::named("lenet5").unwrap().options(), seed)
}

/// A model of the registry with these options.
fn registered(name: &str, options: &ModelOptions, seed: u64) -> Model {
    let entry = models::named(name).unwrap();
    tch::manual_seed(seed as i64);
    Model::new(entry.class, entry.input, entry.kind(), |vs| (entry.build.unwrap())(vs, options))
        .unwrap()
}

/// Batch sizes with every seed; threads so that each batch size has all of 1 to 3.
fn runs() -> Vec<(usize, u64, i32)> {
    let of_seed = |seed: u64| {
        let sizes = BATCH_SIZES.into_iter().enumerate();
        sizes.map(move |(i, size)| (size, seed, 1 + ((seed as usize + i) % 3) as i32))
    };
    let mut runs: Vec<_> = (0..SEEDS).flat_map(of_seed).collect();
    // Changing the number of threads takes time.
    runs.sort_by_key(|(.., threads)| *threads);
    runs
}

#[test]
fn lenet5_ends_with_the_same_bits_in_both_engines() {
    let _guard = libtorch(1);
    let failures = runs().into_iter().filter_map(|run| compare(lenet5, run, 200));
    assert_none(&failures.collect::<Vec<_>>());
}

#[test]
fn batch_norm_and_dropout_end_with_the_same_bits_in_both_engines() {
    let _guard = libtorch(1);
    let networks = [
        ("deepcnn", true, 0.5),
        ("deepcnn", true, 0.0),
        ("deepcnn", false, 0.5),
        ("lenet5", true, 0.3),
    ];
    let mut failures = Vec::new();
    for threads in 1..=3 {
        for (i, (name, batch_norm, dropout)) in networks.into_iter().enumerate() {
            let options = ModelOptions { batch_norm, dropout, ..ModelOptions::NONE };
            for batch_size in [1, 3, 37, 64, 100] {
                let run = (batch_size, i as u64, threads);
                let images = (3 * batch_size).min(130);
                let difference = compare(|seed| registered(name, &options, seed), run, images);
                failures.extend(difference.map(|it| format!("{name}, {options:?}: {it}")));
            }
        }
    }
    assert_none(&failures);
}

#[test]
fn own_networks_end_with_the_same_bits_in_both_engines() {
    let _guard = libtorch(1);
    let mut failures = Vec::new();
    for threads in 1..=3 {
        for (i, network) in NETWORKS.iter().enumerate() {
            // A fifth of the runs of LeNet-5 per network: each batch size once, with another seed.
            let is_of_network = |(batch_size, seed, of_run): &(usize, u64, i32)| {
                let number = BATCH_SIZES.iter().position(|size| size == batch_size).unwrap();
                *of_run == threads && (number as u64 + seed + i as u64).is_multiple_of(SEEDS)
            };
            for run in runs().into_iter().filter(is_of_network) {
                let difference = compare(|seed| network.model(seed), run, 120);
                failures.extend(difference.map(|it| format!("{}: {it}", network.name)));
            }
        }
    }
    assert_none(&failures);
}

#[test]
fn the_mlp_differs_by_less_than_its_tolerance() {
    let _guard = libtorch(1);
    let (entry, data) = (models::named("mlp").unwrap(), data(300));
    for (batch_size, seed, threads) in runs() {
        tch::set_num_threads(threads);
        let [eager, exact] = [Engine::Eager, Engine::Exact].map(|engine| {
            let config =
                TrainConfig { model: entry.name.into(), ..config(engine, batch_size, seed) };
            train(Trainer::new(&config, &data).unwrap(), &config, &data)
        });
        let difference = greatest_difference(&eager.tensors, &exact.tensors);
        assert!(difference <= 1e-12, "batches of {batch_size}, seed {seed}: {difference:e}");
        assert_eq!(eager.updates, exact.updates);
    }
}
