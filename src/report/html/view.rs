//! The values of `page.html`, formatted as text.

use askama::Template;
use serde_json::Value;

use super::images::ImagesView;
use super::machines::{Machines, machines};
use super::parity::{ParityView, State};
use super::text::{self, signed};
use super::{Parity, Section, Study};
use crate::dataset::source::OFFICIAL;
use crate::metrics::Scores;
use crate::report::Run;
use crate::report::compare::recall_gains;
use crate::report::figures::{self, Accuracy, Normalize, Widths, thousands};
use crate::report::images::ImagesError;
use crate::train::TrainConfig;

#[derive(Template)]
#[template(path = "page.html")]
pub struct Page<'a> {
    version: &'static str,
    title: String,
    summary: String,
    lead: String,
    result_title: &'static str,
    question: String,
    result: Vec<String>,
    study: Option<&'a Study>,
    why: Vec<String>,
    /// Why the accuracy differs between machines; `None` without a run of PyTorch's training.
    machines: Option<Machines>,
    accuracy: Widths,
    /// Whether the paper has a result of one of the models.
    has_paper: bool,
    recalls: Option<Recalls<'a>>,
    /// Name of a setting and its value in each run.
    settings: Vec<(String, Vec<String>)>,
    data: Vec<Data<'a>>,
    runs: Vec<RunView<'a>>,
    parity: ParityView<'a>,
}

struct Recalls<'a> {
    first: &'a str,
    second: &'a str,
    rows: Vec<Recall<'a>>,
}

struct Recall<'a> {
    class: &'a str,
    first: String,
    second: String,
    difference: String,
}

struct Data<'a> {
    sentence: String,
    files: Vec<(&'a String, &'a String)>,
}

struct RunView<'a> {
    id: String,
    name: &'a str,
    description: String,
    accuracy: String,
    correct: String,
    total: String,
    /// The paper's accuracy and the difference from it.
    paper: Option<(String, String)>,
    /// The verdict of `stitch parity` in a few words.
    parity: &'static str,
    losses: String,
    history: Widths,
    matrix: String,
    classes: &'a [String],
    counts: Vec<(&'a String, &'a Vec<u64>)>,
    scores: Vec<Score<'a>>,
    averages: Vec<Score<'a>>,
    pairs: Vec<Pair<'a>>,
    images: Result<ImagesView<'a>, &'a ImagesError>,
}

struct Score<'a> {
    name: &'a str,
    precision: String,
    recall: String,
    f1: String,
    percent: String,
    support: String,
}

struct Pair<'a> {
    truth: &'a str,
    predicted: &'a str,
    count: String,
    share: String,
}

impl<'a> Page<'a> {
    pub fn new(
        sections: &[&'a Section],
        names: &'a [String],
        study: Option<&'a Study>,
        normalize: Normalize,
    ) -> Self {
        let runs: Vec<&Run> = sections.iter().map(|section| &section.run).collect();
        let summary = |(run, name): (&&Run, &String)| format!("{name} {:.4}", accuracy(run));
        let numbered = (1..).zip(sections.iter().zip(names));
        Self {
            version: env!("CARGO_PKG_VERSION"),
            title: text::heading(&runs, names),
            summary: runs.iter().zip(names).map(summary).collect::<Vec<_>>().join(", "),
            lead: text::lead(&runs, names),
            result_title: if runs.len() == 1 { "The result" } else { "The comparison" },
            question: text::question(&runs, names),
            result: text::result(&runs, names),
            study,
            why: text::why(&runs, names),
            machines: machines(&runs, names),
            accuracy: accuracies(&runs, names),
            has_paper: runs.iter().any(|run| run.paper().is_some()),
            recalls: recalls(&runs, names),
            settings: settings(&runs),
            data: data(&runs, names),
            runs: numbered.map(|(i, (&section, name))| run(i, section, name, normalize)).collect(),
            parity: ParityView::new(sections, names),
        }
    }
}

fn accuracy(run: &Run) -> f64 {
    run.matrix.report().accuracy
}

fn accuracies(runs: &[&Run], names: &[String]) -> Widths {
    let row = |(run, name): (&&Run, &String)| Accuracy {
        name: name.clone(),
        value: accuracy(run),
        paper: run.paper().map(|paper| paper.accuracy),
    };
    let rows: Vec<Accuracy> = runs.iter().zip(names).map(row).collect();
    Widths::new(|drawn| figures::accuracies(&rows, drawn))
}

fn recalls<'a>(runs: &[&'a Run], names: &'a [String]) -> Option<Recalls<'a>> {
    let [(first, a), (second, b)] = text::pair(runs)?;
    if a.classes != b.classes {
        return None;
    }
    let gains = recall_gains(&a.matrix, &b.matrix);
    let [of_a, of_b] = [a, b].map(|run| run.matrix.report().classes);
    let row = |(class, name): (usize, &'a String)| Recall {
        class: name,
        first: format!("{:.3}", of_a[class].recall),
        second: format!("{:.3}", of_b[class].recall),
        difference: signed(gains[class], 3),
    };
    let rows = a.classes.names().iter().enumerate().map(row).collect();
    Some(Recalls { first: &names[first], second: &names[second], rows })
}

fn settings(runs: &[&Run]) -> Vec<(String, Vec<String>)> {
    let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
    let row = |name: String, value: &dyn Fn(&Run) -> String| -> (String, Vec<String>) {
        (name, runs.iter().map(|run| value(run)).collect())
    };
    let mut rows = vec![row("program".into(), &|run| run.config.program.clone())];
    let is_written =
        |name: &str| runs.iter().any(|run| run.config.settings.to_map().contains_key(name));
    let is_shown = |name: &String| match name.as_str() {
        "model" => false,
        "engine" | "optimizer" => true,
        name => is_written(name),
    };
    for name in TrainConfig::names().into_iter().filter(is_shown) {
        let value = |run: &Run| match (name.as_str(), run.config.settings.value(&name)) {
            ("epochs", _) => match (run.curves.loss.len(), run.config.settings.epochs) {
                (done, asked) if done == asked => done.to_string(),
                (done, asked) => format!("{done} of at most {asked}"),
            },
            ("engine", Value::Null) => or_none(&None),
            (_, Value::Null) => "none".into(),
            (_, Value::Bool(false)) => "off".into(),
            (_, Value::Bool(true)) => "on".into(),
            (_, Value::String(text)) => text,
            // The file of initial values.
            (_, Value::Object(object)) => object["file"].as_str().unwrap_or_default().into(),
            (_, value) => value.to_string(),
        };
        rows.push(row(name.replace('_', " "), &value));
    }
    rows.extend([
        row("CPU kernels".into(), &|run| or_none(&run.config.cpu_capability)),
        row("versions".into(), &|run| {
            let versions = run.config.versions.iter();
            versions.map(|(name, of)| format!("{name} {of}")).collect::<Vec<_>>().join(", ")
        }),
    ]);
    rows
}

/// The data sets of the runs, without duplicates.
fn data<'a>(runs: &[&'a Run], names: &[String]) -> Vec<Data<'a>> {
    let mut blocks: Vec<(&Run, Vec<String>)> = Vec::new();
    for (run, name) in runs.iter().zip(names) {
        match blocks
            .iter_mut()
            .find(|(other, _)| other.config.data.sha256 == run.config.data.sha256)
        {
            Some((_, names)) => names.push(name.clone()),
            None => blocks.push((run, vec![name.clone()])),
        }
    }
    let block = |(run, names): (&'a Run, Vec<String>)| {
        let sums = &run.config.data.sha256;
        let official =
            OFFICIAL.iter().all(|file| sums.get(file.name).is_some_and(|s| s == file.sha256));
        let what = match official {
            true => "the four official files of Fashion-MNIST",
            false => "another data set",
        };
        Data {
            sentence: format!("{}: {what}. SHA-256 of the unpacked files:", text::list(&names)),
            files: sums.iter().collect(),
        }
    };
    blocks.into_iter().map(block).collect()
}

fn run<'a>(
    number: usize,
    section: &'a Section,
    name: &'a str,
    normalize: Normalize,
) -> RunView<'a> {
    let run = &section.run;
    let report = run.matrix.report();
    let against = |paper: f64| (format!("{paper:.4}"), signed(report.accuracy - paper, 4));
    let classes = run.classes.names();
    let scores = classes.iter().zip(&report.classes);
    let averages = [("macro average", report.macro_avg), ("weighted average", report.weighted_avg)];
    RunView {
        id: format!("run-{number}"),
        name,
        description: text::description(run),
        accuracy: format!("{:.4}", report.accuracy),
        correct: thousands(run.matrix.correct()),
        total: thousands(run.matrix.total()),
        paper: run.paper().map(|paper| against(paper.accuracy)),
        parity: State::of(&section.parity).words(),
        losses: text::losses(run),
        history: Widths::new(|drawn| figures::losses(&run.curves, drawn)),
        matrix: figures::confusion_matrix(&run.matrix, &run.classes, normalize).embedded(),
        classes,
        counts: classes.iter().zip(&run.matrix.counts).collect(),
        scores: scores.map(|(name, &scores)| score(name, scores)).collect(),
        averages: averages.into_iter().map(|(name, scores)| score(name, scores)).collect(),
        pairs: pairs(run),
        images: section.images.as_ref().map(|it| ImagesView::new(it, &run.classes)),
    }
}

fn score(name: &str, Scores { precision, recall, f1, support }: Scores) -> Score<'_> {
    let [precision, recall] = [precision, recall].map(|value| format!("{value:.4}"));
    let (percent, f1) = (format!("{:.1}", 100.0 * f1), format!("{f1:.4}"));
    Score { name, precision, recall, f1, percent, support: thousands(support) }
}

fn pairs(run: &Run) -> Vec<Pair<'_>> {
    let pair = |pair: crate::metrics::Confusion| {
        let support: u64 = run.matrix.counts[pair.truth].iter().sum();
        Pair {
            truth: &run.classes.names()[pair.truth],
            predicted: &run.classes.names()[pair.predicted],
            count: thousands(pair.count),
            share: format!("{:.1} %", 100.0 * pair.count as f64 / support as f64),
        }
    };
    run.matrix.most_confused(10).into_iter().map(pair).collect()
}
