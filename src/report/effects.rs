//! What the options of training changed: configurations that differ in one option, or in all of them.

use serde::Serialize;
use serde_json::{Map, Value};
use stitch_run::rows;

use super::configurations::{Configuration, in_words};
use crate::study::statistics::{self, Interval};

/// The comparison of a configuration with the one that lacks some of its options.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect<'a> {
    /// The configuration with the options.
    pub with: &'a Configuration,
    /// The configuration without them; all other settings are equal.
    pub without: &'a Configuration,
    /// The options that only `with` has, by name.
    pub added: Map<String, Value>,
    /// Mean test accuracy of `with` minus that of `without`, with its 95 % confidence interval; `None` unless both have
    /// several runs.
    difference: Option<(f64, Interval)>,
}

/// What a comparison shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Conclusion {
    /// The interval is above 0.
    #[serde(rename = "helped")]
    Helped,
    /// The interval is below 0.
    #[serde(rename = "hurt")]
    Hurt,
    /// The interval contains 0.
    #[serde(rename = "no significant difference")]
    NotSignificant,
    /// There is no interval.
    #[serde(rename = "too few runs")]
    TooFewRuns,
}

/// Compares each configuration with those that lack one of its options, and one with several options also with the one
/// that has none of them, as far as they are among `all`.
pub fn effects(all: &[Configuration]) -> Vec<Effect<'_>> {
    let of = |with| {
        let options = Configuration::options(with);
        let single =
            |(name, value): (&String, &Value)| Map::from_iter([(name.clone(), value.clone())]);
        let mut added: Vec<_> = options.iter().map(single).collect();
        added.extend((options.len() > 1).then_some(options));
        added.into_iter().filter_map(move |added| Effect::new(with, added, all))
    };
    all.iter().flat_map(of).collect()
}

impl<'a> Effect<'a> {
    /// `None` without a configuration that lacks exactly the options `added`.
    fn new(
        with: &'a Configuration,
        added: Map<String, Value>,
        all: &'a [Configuration],
    ) -> Option<Self> {
        let mut settings = with.of_all_seeds();
        settings.retain(|name, _| !added.contains_key(name));
        let without = all.iter().find(|it| it.of_all_seeds() == settings)?;
        let difference = statistics::difference(&with.values(), &without.values());
        Some(Self { with, without, added, difference })
    }

    /// The added options as text: `batch norm`, or `batch norm and dropout 0.5 together`.
    pub fn options(&self) -> String {
        let words: Vec<String> = in_words(self.added.iter()).collect();
        match words.split_last() {
            Some((last, first)) if !first.is_empty() => {
                format!("{} and {last} together", first.join(", "))
            }
            _ => words.concat(),
        }
    }

    /// What the interval supports: an effect only if it does not contain 0.
    pub fn conclusion(&self) -> Conclusion {
        match self.difference {
            None => Conclusion::TooFewRuns,
            Some((_, Interval { low, .. })) if low > 0.0 => Conclusion::Helped,
            Some((_, Interval { high, .. })) if high < 0.0 => Conclusion::Hurt,
            Some(_) => Conclusion::NotSignificant,
        }
    }

    /// Number of runs with and without the options.
    pub fn runs(&self) -> [usize; 2] {
        [self.with, self.without].map(|it| it.accuracies.len())
    }

    /// The difference and its interval as text: `+0.0123` and `+0.0081 to +0.0165`; `None` for too few runs.
    pub fn numbers(&self) -> Option<[String; 2]> {
        let (by, Interval { low, high }) = self.difference?;
        Some([format!("{by:+.4}"), format!("{low:+.4} to {high:+.4}")])
    }

    /// The comparison as a sentence.
    pub fn sentence(&self) -> String {
        let rest: Vec<String> = in_words(self.without.options().iter()).collect();
        let rest =
            if rest.is_empty() { String::new() } else { format!(", with {}", rest.join(", ")) };
        let (subject, options) = (self.without.without_options() + &rest, self.options());
        let [with, without] = self.runs();
        let runs = format!("{with} and {without} runs");
        let Some([by, interval]) = self.numbers() else {
            let needed = "at least two of each are needed";
            return format!("{subject}: {options} cannot be judged from {runs}; {needed}.");
        };
        let did = match self.conclusion() {
            Conclusion::Helped => "helped",
            Conclusion::Hurt => "hurt",
            _ => "made no significant difference",
        };
        format!("{subject}: {options} {did}, {by} (95 % interval {interval}; {runs}).")
    }
}

/// Formats `effects.csv`: one row per comparison, with the settings of the configuration that has the options.
pub fn effects_csv(effects: &[Effect]) -> Vec<u8> {
    rows::write(effects.iter().map(EffectRow::new))
}

/// A row of `effects.csv`.
#[derive(Serialize)]
struct EffectRow {
    /// All settings except the seed.
    #[serde(flatten)]
    settings: Map<String, Value>,
    /// Names of the settings that are off in the other configuration, separated by `+`.
    added: String,
    n: usize,
    n_without: usize,
    mean: Option<f64>,
    mean_without: Option<f64>,
    difference: Option<f64>,
    difference_low: Option<f64>,
    difference_high: Option<f64>,
    conclusion: Conclusion,
}

impl EffectRow {
    fn new(it: &Effect) -> Self {
        let [n, n_without] = it.runs();
        let [mean, mean_without] =
            [it.with, it.without].map(|it| it.summary().map(|summary| summary.mean));
        Self {
            settings: it.with.of_all_seeds(),
            added: it.added.keys().map(String::as_str).collect::<Vec<_>>().join("+"),
            n,
            n_without,
            mean,
            mean_without,
            difference: it.difference.map(|(by, _)| by),
            difference_low: it.difference.map(|(_, interval)| interval.low),
            difference_high: it.difference.map(|(_, interval)| interval.high),
            conclusion: it.conclusion(),
        }
    }
}
