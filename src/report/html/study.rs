//! The HTML report of a study, from `study.html`.

use askama::Template;

use crate::models::{self, ModelEntry};
use crate::report::configurations::{Configuration, ahead, baseline, in_words, is_fashion_mnist};
use crate::report::effects::{Effect, effects};
use crate::report::figures::{self, Drawn, Group, Sample, thousands};
use crate::study::results::Record;

#[derive(Template)]
#[template(path = "study.html")]
struct Page<'a> {
    version: &'static str,
    title: &'static str,
    lead: String,
    study: &'a Study,
}

/// The contents of the sections about a study.
#[derive(Debug)]
pub struct Study {
    done: usize,
    configurations: usize,
    is_fashion_mnist: bool,
    pub(super) wide: String,
    pub(super) narrow: String,
    pub(super) likely: Vec<String>,
    pub(super) rows: Vec<Row>,
    /// Whether the paper has a result of one of the models.
    pub(super) has_paper: bool,
    /// The paper's two models with their articles; `None` unless the study has both.
    pub(super) pair: Option<[String; 2]>,
    pub(super) difference: Vec<String>,
    pub(super) ahead: Vec<Row>,
    /// The comparisons of options as sentences.
    pub(super) effects: Vec<String>,
    pub(super) effect_rows: Vec<Row>,
    pub(super) failures: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) cells: Vec<String>,
}

/// A cell without a value.
const EMPTY: &str = "–";

impl Study {
    /// The sections about a study with these configurations and results. The same results give the same bytes.
    pub fn new(all: &[Configuration], records: &[Record]) -> Self {
        let samples = samples(all);
        let effects = effects(all);
        let has_paper = all.iter().any(|it| it.paper.is_some());
        let has = |model| all.iter().any(|it| it.model == model);
        let pair = models::paper_pair().filter(|pair| pair.iter().copied().all(has));
        let pair = pair.map(|pair| pair.map(|it| format!("{}{}", it.article, it.title)));
        Self {
            done: records.iter().filter(|record| record.is_done()).count(),
            configurations: all.len(),
            is_fashion_mnist: records.iter().all(is_fashion_mnist),
            wide: figures::samples(&samples, Drawn::Wide).embedded(),
            narrow: figures::samples(&samples, Drawn::Narrow).embedded(),
            likely: models::of_the_paper().filter_map(|it| likely(it, all)).collect(),
            rows: all.iter().map(|it| row(it, has_paper)).collect(),
            has_paper,
            difference: pair.as_ref().map_or(Vec::new(), |[_, second]| difference(all, second)),
            pair,
            ahead: ahead_rows(all),
            effects: effects.iter().map(Effect::sentence).collect(),
            effect_rows: effects.iter().map(effect_row).collect(),
            failures: records.iter().filter_map(failure).collect(),
        }
    }

    /// Renders the report of the study alone.
    pub fn page(&self) -> String {
        let Self { done, configurations, .. } = *self;
        let page = Page {
            version: env!("CARGO_PKG_VERSION"),
            title: match self.is_fashion_mnist {
                true => "Fashion-MNIST: accuracy with confidence intervals",
                false => "Accuracy with confidence intervals",
            },
            lead: format!(
                "{} run{} of {configurations} configuration{} with different seeds.",
                thousands(done as u64),
                plural(done),
                plural(configurations),
            ),
            study: self,
        };
        page.render().expect("writes to a string cannot fail")
    }
}

/// The rows of the figure. Configurations that differ only in their options are grouped.
pub fn samples(all: &[Configuration]) -> Vec<Sample> {
    let sample = |it: &Configuration| {
        let heading = it.without_options();
        let alike = || all.iter().filter(|other| other.without_options() == heading);
        let group = (alike().count() > 1).then(|| {
            let plain = alike().find(|other| other.options().is_empty());
            let plain = plain.and_then(|it| it.summary()).map(|summary| summary.mean);
            Group { heading: heading.clone(), plain }
        });
        let options: Vec<String> = in_words(it.others().iter()).collect();
        let name = match (&group, options.as_slice()) {
            (None, _) => it.name(),
            (Some(_), []) => "no options".into(),
            (Some(_), options) => options.join(", "),
        };
        let summary = it.summary();
        let mean = summary.and_then(|summary| {
            summary.mean_interval.map(|interval| (summary.mean, interval.low, interval.high))
        });
        Sample { name, group, values: it.values(), mean, paper: it.paper }
    };
    all.iter().map(sample).collect()
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// Which configurations of a model have the paper's accuracy within the range of their runs.
fn likely(model: &ModelEntry, all: &[Configuration]) -> Option<String> {
    let paper = model.paper_accuracy()?;
    let (mut within, mut above, mut below) = (Vec::new(), Vec::new(), Vec::new());
    for it in all.iter().filter(|it| it.model == model) {
        let (Some(summary), Some(share)) = (it.summary(), it.at_least_paper()) else { continue };
        let settings = it.settings();
        match paper {
            _ if paper > summary.max => above.push(settings),
            _ if paper < summary.min => below.push(settings),
            _ => within.push(format!("{settings} (reached by {} of {})", share.count, share.n)),
        }
    }
    let clause = |what: &str, configurations: Vec<String>| {
        (!configurations.is_empty()).then(|| format!("{what} of {}", configurations.join("; ")))
    };
    let clauses = [
        clause("within the range of the runs", within),
        clause("above every run", above),
        clause("below every run", below),
    ];
    let clauses: Vec<String> = clauses.into_iter().flatten().collect();
    (!clauses.is_empty()).then(|| {
        format!("{}: the paper's {paper:.4} is {}.", model.title, clauses.join(". It is "))
    })
}

fn row(it: &Configuration, has_paper: bool) -> Row {
    let number = |value: Option<f64>| value.map_or(EMPTY.into(), |value| format!("{value:.4}"));
    let summary = it.summary();
    let interval = summary.and_then(|summary| summary.mean_interval);
    let share = it.at_least_paper();
    let mut cells = vec![
        match it.failed {
            0 => it.accuracies.len().to_string(),
            failed => format!("{} ({failed} failed)", it.accuracies.len()),
        },
        number(summary.map(|summary| summary.mean)),
        interval.map_or(EMPTY.into(), |it| format!("{:.4} to {:.4}", it.low, it.high)),
        number(summary.and_then(|summary| summary.sd)),
        number(summary.map(|summary| summary.median)),
        summary.map_or(EMPTY.into(), |it| format!("{:.4} to {:.4}", it.min, it.max)),
    ];
    if has_paper {
        cells.push(share.map_or(EMPTY.into(), |share| {
            let (low, high) = (percent(share.interval.low), percent(share.interval.high));
            format!("{} of {}, {low} to {high}", share.count, share.n)
        }));
    }
    Row { name: it.name(), cells }
}

fn difference(all: &[Configuration], second: &str) -> Vec<String> {
    let Some(baseline) = baseline(all) else { return Vec::new() };
    let compared: Vec<_> =
        all.iter().filter_map(|it| Some((it, ahead(it, Some(baseline))?))).collect();
    if compared.is_empty() {
        let both = "at least two runs of each are needed";
        return vec![format!("This study is too small to compare the two models: {both}.")];
    }
    let count = |is_counted: fn(f64, f64) -> bool| {
        compared.iter().filter(|(_, (_, interval))| is_counted(interval.low, interval.high)).count()
    };
    let (above, below) = (count(|low, _| low > 0.0), count(|_, high| high < 0.0));
    let open = compared.len() - above - below;
    vec![
        format!(
            "{second} is compared with {}: the difference of the mean accuracies over the seeds, for each \
             configuration.",
            baseline.name()
        ),
        format!(
            "Of {} configuration{} of {second}, the 95 % confidence interval of the difference is above 0 for \
             {above}, below 0 for {below}, and contains 0 for {open} (no significant difference). Intervals are \
             not corrected for multiple comparisons.",
            compared.len(),
            plural(compared.len()),
        ),
    ]
}

fn ahead_rows(all: &[Configuration]) -> Vec<Row> {
    let baseline = baseline(all);
    let row = |it: &Configuration| {
        let (by, interval) = ahead(it, baseline)?;
        let cells =
            vec![format!("{by:+.4}"), format!("{:+.4} to {:+.4}", interval.low, interval.high)];
        Some(Row { name: it.name(), cells })
    };
    all.iter().filter_map(row).collect()
}

fn effect_row(it: &Effect) -> Row {
    let [with, without] = it.runs();
    let [by, interval] = it.numbers().unwrap_or([EMPTY; 2].map(String::from));
    let cells = vec![it.options(), format!("{with} and {without}"), by, interval];
    Row { name: it.with.name(), cells }
}

fn failure(record: &Record) -> Option<String> {
    let error = record.outcome.error.as_ref()?;
    Some(format!("{}: {error}", record.id))
}
