//! `stitch models`: lists the models, or the layers of one model.

use anyhow::Result;
use stitch::models::{Defaults, MODELS, ModelEntry};
use stitch::nn::{LayerSummary, Summary};
use stitch::report::figures::thousands;

use super::terminal::table_with_text;
use super::{Console, Outcome, documents};
use crate::cli::ModelsArgs;

pub fn run(args: &ModelsArgs, console: Console) -> Result<Outcome> {
    match args.model {
        None => list(console)?,
        Some(entry) => show(entry, console)?,
    }
    Ok(Outcome::Done)
}

/// Lists the registered models.
fn list(console: Console) -> Result<()> {
    console.document(|| {
        Ok(MODELS.iter().map(|entry| documents::Model::of(entry)).collect::<Vec<_>>())
    })?;
    let header = [
        "model",
        "class",
        "library",
        "input",
        "dtype",
        "parameters",
        "epochs",
        "batch size",
        "lr",
        "paper",
    ];
    let rows = MODELS.iter().map(|entry| {
        let Defaults { epochs, batch_size, lr, .. } = entry.defaults;
        let paper =
            entry.paper_accuracy().map_or("–".into(), |accuracy| format!("{accuracy:.4}"));
        vec![
            entry.name.into(),
            entry.class.into(),
            entry.library.to_string(),
            shape(entry.input),
            entry.dtype.name().into(),
            thousands(entry.parameter_count()),
            epochs.to_string(),
            batch_size.to_string(),
            format!("{lr:e}"),
            paper,
        ]
    });
    // The first five columns are text.
    console.show(&table_with_text(console.screen, 5, &header, rows))?;
    for entry in MODELS {
        console.show(&console.screen.paragraph(&description(entry)))?;
    }
    console.show("`stitch models MODEL` shows the layers of a model.")
}

/// Shows the layers of a model.
fn show(entry: &ModelEntry, console: Console) -> Result<()> {
    let graph = entry.graph(entry.options());
    let Summary { layers, parameters, buffers, multiply_adds } = graph.summary();
    console.document(|| Ok(documents::ModelLayers::of(entry, &graph)))?;
    console.show(&console.screen.paragraph(&description(entry)))?;
    console.show(&format!(
        "class {}, {}, input {}",
        entry.class,
        entry.dtype,
        shape(entry.input)
    ))?;
    let row = |layer: &LayerSummary| {
        let LayerSummary { name, class, output, parameters, multiply_adds } = layer;
        let [parameters, multiply_adds] = [*parameters, *multiply_adds].map(thousands);
        vec![name.clone(), (*class).into(), shape(output), parameters, multiply_adds]
    };
    let total =
        ["total", "", &shape(graph.output()), &thousands(parameters), &thousands(multiply_adds)];
    let rows = layers.iter().map(row).chain([total.map(str::to_owned).to_vec()]);
    let header = ["layer", "class", "output", "parameters", "multiply-adds"];
    console.show(&table_with_text(console.screen, 3, &header, rows))?;
    if buffers > 0 {
        console.show(&format!("plus {} buffer elements", thousands(buffers)))?;
    }
    console.show("Multiply-adds are per image.")
}

/// The description of a model: `LeNet-5 (lenet5): the notebook's PyTorch LeNet-5, float32`.
fn description(entry: &ModelEntry) -> String {
    format!("{} ({entry}): {}", entry.title, entry.description)
}

/// A shape with the batch dimension: `(N, 1, 28, 28)`.
fn shape(sizes: &[i64]) -> String {
    let sizes = sizes.iter().map(ToString::to_string);
    let all: Vec<String> = std::iter::once("N".into()).chain(sizes).collect();
    format!("({})", all.join(", "))
}
