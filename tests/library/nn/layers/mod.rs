//! Every network, bit for bit: initial values, two training steps with dropout masks, gradients, buffers, and
//! an evaluation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use stitch::nn::{Model, to_tensor};
use stitch::optim::{Adam, Optimizer};
use stitch::tensor_files::{NamedTensor, read_weights};
use tch::{Device, Kind, Tensor};

use super::compare::{first_difference, named};
use super::networks::{Network, all, network};
use super::{assert_none, libtorch, python};

/// The tensors of a run, in causal order.
type Run = Vec<NamedTensor>;

/// What PyTorch computes, by the name of the network, then of the run, such as `seed=0 batch=1 threads=1`.
fn reference() -> BTreeMap<String, BTreeMap<String, Run>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("expected.safetensors");
    python("layers", &file);
    let mut found: BTreeMap<String, BTreeMap<String, Run>> = BTreeMap::new();
    for tensor in read_weights(&fs::read(file).unwrap()).unwrap() {
        let parts: Vec<&str> = tensor.name.splitn(4, '|').collect();
        let [network, run, _, what] = parts[..] else { panic!("{:?}", tensor.name) };
        let run = found.entry(network.into()).or_default().entry(run.into()).or_default();
        run.push(NamedTensor { name: format!("{}|{what}", parts[2]), ..tensor.clone() });
    }
    for run in found.values_mut().flat_map(BTreeMap::values_mut) {
        // A safetensors file has an order of its own.
        run.sort_by(|a, b| a.name.cmp(&b.name));
        run.iter_mut().for_each(|tensor| {
            tensor.name = tensor.name.split_once('|').unwrap().1.into();
        });
    }
    found
}

/// The twin of `run` in reference.py.
fn run(network: &Network, seed: u64, expected: &[NamedTensor]) -> Run {
    let mut run = Run::new();
    let model = network.model(seed);
    let mut adam = Adam::new(model.parameters(), 0.01);
    state("initial", &model, &mut run);
    let given = |name: &str, run: &mut Run| {
        let name = format!("given {name}");
        let tensor = expected.iter().find(|tensor| tensor.name == name).unwrap();
        run.push(tensor.clone());
        to_tensor(tensor).unwrap()
    };
    for step in [1, 2] {
        let xs = given(&format!("input {step}"), &mut run).set_requires_grad(true);
        let output = model.forward(&xs, true);
        run.push(named(format!("output {step}"), &output));
        adam.zero_grad();
        let weights = given(&format!("weights {step}"), &mut run);
        (&output * weights).sum(output.kind()).backward();
        run.push(named(format!("gradient {step} of the input"), &xs.grad()));
        run.extend(gradients(step, &model));
        adam.step();
        state(&format!("after step {step}"), &model, &mut run);
    }
    let xs = given("input 3", &mut run);
    run.push(named("evaluation", &tch::no_grad(|| model.forward(&xs, false))));
    state("after the evaluation", &model, &mut run);
    run.push(named("next draw", &Tensor::rand([4], (Kind::Double, Device::Cpu))));
    run
}

/// The gradients w.r.t. those parameters that the output depends on, in the order of the state_dict.
fn gradients(step: i64, model: &Model) -> impl Iterator<Item = NamedTensor> {
    model.graph().state().filter_map(move |spec| {
        let i = model.graph().parameters().iter().position(|it| it.name == spec.name)?;
        let gradient = model.parameters()[i].grad();
        gradient.defined().then(|| named(format!("gradient {step} of {}", spec.name), &gradient))
    })
}

/// Adds the state_dict; the numbers tell the order of its keys.
fn state(when: &str, model: &Model, run: &mut Run) {
    let entries = model.state().enumerate();
    run.extend(entries.map(|(i, (name, tensor))| named(format!("{when} {i:02} {name}"), &tensor)));
}

/// The number in a run's name.
fn argument<T: std::str::FromStr>(run: &str, key: &str) -> T {
    let value = run.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{key} in {run:?}"))
}

#[test]
fn every_network_has_the_bits_of_torch_nn() {
    let _guard = libtorch(1);
    let reference = reference();
    let [here, there]: [BTreeSet<&str>; 2] = [
        all().map(|network| network.name).collect(),
        reference.keys().map(String::as_str).collect(),
    ];
    assert_eq!(here, there, "networks.rs and networks.py hold other networks");
    let mut runs: Vec<(&str, &str, &Run)> = Vec::new();
    for (name, of_network) in &reference {
        runs.extend(of_network.iter().map(|(run, tensors)| (name.as_str(), run.as_str(), tensors)));
    }
    // Changing the number of threads takes time.
    runs.sort_by_key(|(_, run, _)| argument::<i32>(run, "threads"));
    let failures = runs.into_iter().filter_map(|(name, at, expected)| {
        tch::set_num_threads(argument(at, "threads"));
        let actual = run(network(name), argument(at, "seed"), expected);
        first_difference(expected, &actual).map(|difference| format!("{name}, {at}: {difference}"))
    });
    assert_none(&failures.collect::<Vec<_>>());
}

#[test]
fn the_names_of_networks_differ() {
    let names: BTreeSet<&str> = all().map(|network| network.name).collect();
    assert_eq!(names.len(), all().count());
}
