//! The summary against torchinfo's.

use std::collections::BTreeMap;
use std::fs;

use stitch::models;
use stitch::nn::{Graph, LayerSummary};

use super::networks::all;
use super::{assert_none, libtorch, python};

/// Elements of all parameters, multiply-adds per image, and the layers as they are called: the last part
/// of their name, class, shape of the output without the batch, elements of their parameters, multiply-adds.
type Summary = (u64, u64, Vec<Line>);
type Line = (String, String, Vec<i64>, u64, u64);

fn line(layer: &LayerSummary) -> Line {
    let LayerSummary { name, class, output, parameters, multiply_adds } = layer;
    // torchinfo calls a network that is a single layer by its class.
    let name = if name.is_empty() { class } else { name.rsplit('.').next().unwrap() };
    (name.into(), (*class).into(), output.clone(), *parameters, *multiply_adds)
}

/// A layer that is called more than once, at its last call, with the multiply-adds of all.
fn merged(calls: &[Line]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (i, (name, class, output, parameters, multiply_adds)) in calls.iter().enumerate() {
        let is_same = |other: &&Line| (&other.0, &other.1) == (name, class);
        if !calls[i + 1..].iter().any(|other| is_same(&other)) {
            let before: u64 = calls[..i].iter().filter(is_same).map(|other| other.4).sum();
            let all = before + multiply_adds;
            lines.push((name.clone(), class.clone(), output.clone(), *parameters, all));
        }
    }
    lines
}

#[test]
fn parameters_and_multiply_adds_are_those_of_torchinfo() {
    let _guard = libtorch(1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("summary.json");
    python("summary", &file);
    let reference: BTreeMap<String, Summary> =
        serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let lenet5 = models::named("lenet5").unwrap();
    let traced = |network: &super::networks::Network| {
        (network.name, Graph::trace(network.input, network.build).unwrap())
    };
    let graphs = all().map(traced).chain([("lenet5", lenet5.graph(lenet5.options()))]);
    let graphs: BTreeMap<&str, Graph> = graphs.collect();
    assert!(graphs.keys().eq(reference.keys()), "networks.rs and networks.py hold other networks");
    let failures = graphs.into_iter().filter_map(|(name, graph)| {
        let found = graph.summary();
        let lines: Vec<Line> = found.layers.iter().map(line).collect();
        let (parameters, multiply_adds, calls) = &reference[name];
        let expected = match name {
            "a layer applied twice" | "tanh lenet" => (*parameters, *multiply_adds, merged(calls)),
            _ => (*parameters, *multiply_adds, calls.clone()),
        };
        let found = (found.parameters, found.multiply_adds, lines);
        (found != expected).then(|| format!("{name}: expected {expected:?}, got {found:?}"))
    });
    assert_none(&failures.collect::<Vec<_>>());
}
