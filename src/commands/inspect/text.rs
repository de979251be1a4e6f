//! What is in a file, as text.

use serde_json::{Number, Value};
use stitch::report::figures::thousands;
use stitch::stitch_run::counted;

use super::contents::{
    Checkpoint, Contents, FileSum, Idx, Run, Script, Statistics, Tensor, Tensors, Trace, Weights,
};
use crate::cli::InspectArgs;
use crate::commands::shell::quoted;
use crate::commands::terminal::{Screen, table_with_text, visible_line};

/// Digits of a SHA-256 in tables.
const DIGITS: usize = 12;
/// Longest value of metadata that is shown, in characters.
const LONGEST: usize = 100;

/// A file with what is in it.
pub fn contents(screen: Screen, path: &str, contents: &Contents, args: &InspectArgs) -> String {
    let mut text = Text { screen, lines: vec![visible_line(path)] };
    match contents {
        Contents::Tensors(tensors) => text.tensors(tensors, args),
        Contents::Trace(trace) => text.trace(trace),
        Contents::Run(run) => text.run(run),
        Contents::Idx(idx) => text.idx(idx),
    }
    text.lines.join("\n")
}

/// The lines of a file.
struct Text {
    screen: Screen,
    lines: Vec<String>,
}

impl Text {
    /// An indented line; broken between words where it is too long.
    fn line(&mut self, text: &str) {
        let text = visible_line(text);
        self.lines.push(self.screen.lines(text.split(' '), "  "));
    }

    fn sum(&mut self, kind: &str, FileSum { bytes, sha256 }: &FileSum) {
        self.line(&format!("{kind}, {} bytes, SHA-256 {sha256}", thousands(*bytes)));
    }

    /// A table, unless it is empty.
    fn table(&mut self, text: usize, header: &[&str], rows: Vec<Vec<String>>) {
        if !rows.is_empty() {
            self.lines.push(table_with_text(self.screen, text, header, rows));
        }
    }

    fn tensors(&mut self, tensors: &Tensors, args: &InspectArgs) {
        self.sum(tensors.title, &tensors.sum);
        if let Some(checkpoint) = &tensors.checkpoint {
            self.checkpoint(checkpoint);
        }
        if let Some(script) = &tensors.torchscript {
            self.script(script);
        }
        if let Some(weights) = &tensors.weights {
            self.weights(weights, args.stats);
        }
        self.candidates(&tensors.candidates);
        if tensors.more_candidates > 0 {
            let more = tensors.more_candidates;
            self.line(&format!("and {more} more dicts of tensors: --key KEY shows one"));
        }
        for (name, value) in &tensors.metadata {
            // The settings of a checkpoint are shown above.
            if tensors.checkpoint.is_none() || name != "checkpoint" {
                self.line(&format!("metadata {name}: {}", shortened(value)));
            }
        }
        if !tensors.skipped.is_empty() {
            let skipped = tensors.skipped.iter().map(|it| format!("{} ({})", it.path, it.what));
            self.line(&format!("skipped: {}", skipped.collect::<Vec<_>>().join(", ")));
        }
        let code = tensors.torchscript.as_ref().and_then(|script| script.code.as_ref());
        for (module, text) in code.into_iter().flatten() {
            self.lines.push(format!("  {}:", visible_line(module)));
            let lines = text.as_str().unwrap_or_default().lines();
            self.lines.extend(lines.map(|line| format!("    {}", visible_line(line))));
        }
    }

    fn weights(&mut self, weights: &Weights, stats: bool) {
        let key = weights.key.as_ref().map(|key| format!(" under the key {key}"));
        let model = weights.model.map(|model| format!(", names and shapes of {model}"));
        self.line(&format!(
            "{}{}: {} elements, {} bytes{}",
            counted(weights.tensors.len(), "tensor"),
            key.unwrap_or_default(),
            thousands(weights.elements),
            thousands(weights.tensor_bytes),
            model.unwrap_or_default()
        ));
        self.line(&format!("tensors SHA-256 {}", weights.tensors_sha256));
        let mut header = vec!["tensor", "dtype", "shape", "elements", "bytes"];
        if stats {
            header.extend(["min", "max", "mean", "nan", "inf"]);
        }
        header.push("sha256");
        let rows = weights.tensors.iter().map(row).collect();
        self.table(3, &header, rows);
        if !weights.tensors.is_empty() {
            self.line(&format!(
                "sha256: the first {DIGITS} digits, of the elements (row-major, little-endian); --json has all"
            ));
        }
    }

    fn candidates(&mut self, candidates: &[Weights]) {
        let Some(first) = candidates.first().and_then(|weights| weights.key.as_ref()) else {
            return;
        };
        let first = quoted(first.as_ref());
        self.line(&format!(
            "{} dicts of tensors; --key shows the tensors of one, such as --key {first}",
            candidates.len()
        ));
        let row = |weights: &Weights| {
            let numbers = [weights.tensors.len() as u64, weights.elements, weights.tensor_bytes];
            let [tensors, elements, bytes] = numbers.map(thousands);
            let key = weights.key.clone().unwrap_or_default();
            let model = weights.model.unwrap_or("–").to_owned();
            let sum = weights.tensors_sha256[..DIGITS].to_owned();
            vec![key, model, tensors, elements, bytes, sum]
        };
        let header = ["key", "model", "tensors", "elements", "bytes", "tensors sha256"];
        self.table(2, &header, candidates.iter().map(row).collect());
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) {
        let Checkpoint { version, epochs, steps, updates, config } = checkpoint;
        self.line(&format!(
            "version {version}: {} finished, {} of the next, {}",
            counted(*epochs, "epoch"),
            counted(*steps as usize, "step"),
            counted(*updates as usize, "optimizer step")
        ));
        self.settings(config);
    }

    /// The settings of a run, without versions and checksums.
    fn settings(&mut self, config: &Value) {
        let settings = config.as_object().into_iter().flatten().filter_map(|(name, value)| {
            let value = match value {
                Value::Null | Value::Object(_) => return None,
                Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            (name != "kernels_sha256").then(|| format!("{name} {value}"))
        });
        self.line(&format!("settings: {}", settings.collect::<Vec<_>>().join(", ")));
    }

    fn script(&mut self, script: &Script) {
        let Script { class, training, lines, forward, code } = script;
        let mode = match training {
            Some(true) => ", saved in training mode",
            Some(false) => ", saved in evaluation mode",
            None => "",
        };
        let forward = forward.as_deref().unwrap_or("forward cannot be parsed");
        let hint = if code.is_some() || *lines == 0 { "" } else { " (--code shows them)" };
        self.line(&format!("class {class}: {forward}{mode}"));
        self.line(&format!("{} of code{hint}", counted(*lines, "line")));
    }

    fn trace(&mut self, trace: &Trace) {
        let model = Some(&trace.model).filter(|model| !model.is_empty());
        let model = model.map_or(String::new(), |model| format!(" of {model}"));
        let state = match trace.complete {
            true => "complete",
            false => "truncated: no end marker, since the run did not end or the file was cut",
        };
        self.line(&format!("trace{model}, version {}, {state}", trace.version));
        self.line(&format!(
            "{}, {} of them as SHA-256 only; {}, {}",
            counted(trace.tensors, "tensor"),
            thousands(trace.hash_only as u64),
            counted(trace.epochs, "epoch"),
            counted(trace.steps, "step")
        ));
        let rows = trace.stages.iter().map(|stage| {
            let numbers = [stage.names, stage.tensors, stage.hash_only];
            let [names, tensors, hash_only] = numbers.map(|number| thousands(number as u64));
            let steps = match stage.steps {
                None => "–".into(),
                Some([first, last]) if first == last => first.to_string(),
                Some([first, last]) => format!("{first} to {last}"),
            };
            vec![stage.stage.clone(), names, tensors, hash_only, steps]
        });
        let header = ["stage", "names", "tensors", "SHA-256 only", "steps"];
        self.table(1, &header, rows.collect());
        for file in &trace.files {
            let sum = file.sha256.as_deref().unwrap_or_default();
            self.line(&format!("{}: {} bytes, SHA-256 {sum}", file.name, thousands(file.bytes)));
        }
    }

    fn run(&mut self, run: &Run) {
        let model = run.model.as_ref().map_or(String::new(), |model| format!(" of {model}"));
        let kind = match (run.kind, run.complete) {
            ("evaluation", _) => "folder of an evaluation".to_owned(),
            (_, true) => format!("run folder{model}"),
            (_, false) => format!("folder of an interrupted run{model}"),
        };
        self.line(&kind);
        if let Some(config) = &run.config {
            self.settings(config);
        }
        if let Some(metrics) = &run.metrics {
            let numbers = metrics.as_object().into_iter().flatten();
            let numbers = numbers
                .filter(|(_, value)| value.is_number())
                .map(|(name, value)| format!("{name} {value}"));
            self.line(&format!("metrics: {}", numbers.collect::<Vec<_>>().join(", ")));
        }
        if let Some(sum) = &run.weights_sha256 {
            self.line(&format!("weights.safetensors: SHA-256 {sum}"));
        }
        let files = run.files.iter().map(|file| vec![file.name.clone(), thousands(file.bytes)]);
        self.table(1, &["file", "bytes"], files.collect());
    }

    fn idx(&mut self, idx: &Idx) {
        let (one, what) = match idx.labels.is_some() {
            true => ("label", "labels"),
            false => ("image", "images"),
        };
        let packed = if idx.gzip { ", gzip" } else { "" };
        self.sum(&format!("IDX file of {what}{packed}"), &idx.sum);
        if idx.gzip {
            self.sum("unpacked", &idx.unpacked);
        }
        let shape = idx.shape.map(|[channels, height, width]| {
            let color = if channels == 1 { "gray" } else { "color" };
            let pixels = if height * width == 1 { "pixel" } else { "pixels" };
            format!(" of {height}x{width} {pixels}, {color}")
        });
        let official = match idx.official {
            Some(name) => format!("; the official {name} of Fashion-MNIST"),
            None => "; not a file of Fashion-MNIST".into(),
        };
        let (count, counted) = (thousands(idx.count), if idx.count == 1 { one } else { what });
        self.line(&format!("{count} {counted}{}{official}", shape.unwrap_or_default()));
        if let Some(Statistics { min, max, mean, .. }) = &idx.statistics {
            let [min, max, mean] = [min, max, mean].map(|value| number(value.as_ref()));
            self.line(&format!("min {min}, max {max}, mean {mean}"));
        }
        let rows = idx.labels.iter().flatten().map(|label| {
            let class = label.class.clone().unwrap_or("–".into());
            vec![label.label.to_string(), class, thousands(label.count)]
        });
        self.table(2, &["label", "class", "count"], rows.collect());
    }
}

/// A tensor as a row of the table.
fn row(tensor: &Tensor) -> Vec<String> {
    let Tensor { name, dtype, shape, elements, bytes, sha256, statistics } = tensor;
    let sizes = shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut row = vec![name.clone(), (*dtype).to_owned(), format!("[{sizes}]")];
    row.extend([*elements, *bytes].map(thousands));
    if let Some(Statistics { min, max, mean, nan, inf }) = statistics {
        row.extend([min, max, mean].map(|value| number(value.as_ref())));
        row.push(thousands(*nan));
        row.push(inf.map_or_else(|| "-".into(), thousands));
    }
    row.push(sha256[..DIGITS].to_owned());
    row
}

/// An integer, or a number with about five digits.
fn number(value: Option<&Number>) -> String {
    let Some(number) = value else { return "–".into() };
    match number.as_f64().filter(|_| number.is_f64()) {
        None => number.to_string(),
        Some(value) if value.fract() == 0.0 && value.abs() < 1e7 => value.to_string(),
        Some(value) if (1e-3..1e5).contains(&value.abs()) => format!("{value:.4}"),
        Some(value) => format!("{value:.4e}"),
    }
}

/// A value of metadata, cut if it is long.
fn shortened(value: &str) -> String {
    let mut shown: String = value.chars().take(LONGEST).collect();
    if shown.len() < value.len() {
        shown += &format!("… ({} characters)", value.chars().count());
    }
    shown
}
