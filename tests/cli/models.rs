//! `stitch models`: the registry and the layers of its models.

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};
use stitch::models::MODELS;
use stitch::nn::LayerSummary;
use stitch::report::figures::thousands;

use crate::{model_names, refused, stdout_of, stitch, temporary_folder};

/// What the command prints, without lines and padding: the cells of each line.
fn cells(arguments: &[&str]) -> Vec<Vec<String>> {
    let folder = temporary_folder();
    let assert = stitch(folder.path()).arg("models").args(arguments).assert().code(0).stderr("");
    let line = |line: &str| {
        let cells = line.split(['│', '┆']).map(|cell| cell.trim().to_owned());
        cells.filter(|cell| !cell.is_empty()).collect()
    };
    stdout_of(&assert).lines().map(line).collect()
}

fn document(arguments: &[&str]) -> Value {
    let folder = temporary_folder();
    let mut command = stitch(folder.path());
    let assert = command.arg("models").args(arguments).arg("--json").assert().code(0).stderr("");
    serde_json::from_str(stdout_of(&assert)).unwrap()
}

fn with_batch(sizes: &[i64]) -> String {
    let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
    format!("(N, {})", sizes.join(", "))
}

#[test]
fn the_list_has_a_row_per_model_of_the_registry() {
    let lines = cells(&[]);
    let rows: Vec<_> = lines.iter().filter(|cells| cells.len() == 10).collect();
    assert_eq!(rows.len(), 1 + MODELS.len(), "{lines:#?}");
    for (row, entry) in rows[1..].iter().zip(MODELS) {
        let expected = [
            entry.name.into(),
            entry.class.into(),
            entry.library.to_string(),
            with_batch(entry.input),
            entry.dtype.to_string(),
            thousands(entry.parameter_count()),
            entry.defaults.epochs.to_string(),
            entry.defaults.batch_size.to_string(),
            format!("{:e}", entry.defaults.lr),
            entry.paper_accuracy().map_or("–".into(), |accuracy| format!("{accuracy:.4}")),
        ];
        assert_eq!(row[..], expected);
        let described = |cells: &Vec<String>| {
            let line = cells.join(" ");
            line.contains(entry.title) && line.contains(entry.description)
        };
        assert!(lines.iter().any(described), "{entry} has no description: {lines:#?}");
    }
}

#[test]
fn a_model_has_a_row_per_layer_and_a_row_of_totals() {
    for entry in MODELS {
        let summary = entry.graph(entry.options()).summary();
        let lines = cells(&[entry.name]);
        for LayerSummary { name, class, output, parameters, multiply_adds } in &summary.layers {
            let [parameters, multiply_adds] = [*parameters, *multiply_adds].map(thousands);
            let output = with_batch(output);
            let row = [name.clone(), (*class).into(), output, parameters, multiply_adds];
            assert!(lines.iter().any(|line| line[..] == row), "{row:?}: {lines:#?}");
        }
        let output = with_batch(entry.graph(entry.options()).output());
        let [parameters, multiply_adds] =
            [summary.parameters, summary.multiply_adds].map(thousands);
        let totals = ["total".into(), output, parameters, multiply_adds];
        assert!(lines.iter().any(|line| line[..] == totals), "{totals:?}: {lines:#?}");
        let rows = lines.iter().filter(|line| line.len() == 5).count();
        assert_eq!(rows, 1 + summary.layers.len(), "{entry}");
    }
}

#[test]
fn the_documents_are_the_registry_and_its_graphs() {
    let list = document(&[]);
    assert_eq!(list.as_array().unwrap().len(), MODELS.len());
    for (i, entry) in MODELS.iter().enumerate() {
        let (graph, defaults) = (entry.graph(entry.options()), entry.defaults);
        let summary = graph.summary();
        let mut expected = json!({
            "name": entry.name, "class": entry.class, "title": entry.title,
            "description": entry.description, "library": entry.library.to_string(),
            "input": entry.input, "dtype": entry.dtype.name(),
            "parameters": summary.parameters,
            "defaults": {
                "epochs": defaults.epochs, "batch_size": defaults.batch_size, "lr": defaults.lr,
                "batch_norm": defaults.options.batch_norm, "dropout": defaults.options.dropout,
                "classes": defaults.options.classes,
            },
            "paper_accuracy": entry.paper_accuracy(), "shipped": entry.shipped.is_some(),
        });
        assert_eq!(list[i], expected);
        let layer = |layer: &LayerSummary| {
            json!({
                "name": layer.name, "class": layer.class, "output": layer.output,
                "parameters": layer.parameters, "multiply_adds": layer.multiply_adds,
            })
        };
        expected["output"] = json!(graph.output());
        expected["layers"] = summary.layers.iter().map(layer).collect();
        expected["buffers"] = json!(summary.buffers);
        expected["multiply_adds"] = json!(summary.multiply_adds);
        assert_eq!(document(&[entry.name]), expected);
    }
}

#[test]
fn an_unknown_model_is_refused_as_by_the_other_commands() {
    let folder = temporary_folder();
    for name in ["lenet", "resnet50"] {
        let parts = [&format!("'{name}'")[..], "[MODEL]", &model_names()];
        refused(stitch(folder.path()).args(["models", name]), 2, &parts);
        let mut command = stitch(folder.path());
        let assert = command.args(["models", name, "--json"]).assert().code(2);
        let failure: Value = serde_json::from_str(stdout_of(&assert)).unwrap();
        assert_eq!(failure["exit_code"], 2);
        parts.iter().for_each(|part| assert!(failure["error"].as_str().unwrap().contains(part)));
    }
}

#[test]
fn help_and_completions_know_the_names() {
    let folder = temporary_folder();
    let help = stitch(folder.path()).args(["models", "--help"]).assert().code(0);
    let script = stitch(folder.path()).args(["completions", "zsh"]).assert().code(0);
    for entry in MODELS {
        assert!(contains(entry.description).eval(&stdout_of(&help).replace("\n", " ")), "{entry}");
        assert!(stdout_of(&script).contains(entry.name), "{entry}");
    }
}
