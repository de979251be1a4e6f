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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::models::named;
    use crate::train::TrainConfig;

    /// LeNet-5 with these options and accuracies.
    fn configuration(options: Value, accuracies: &[f64]) -> Configuration {
        let model = named("lenet5").unwrap();
        let mut map = TrainConfig { epochs: 10, threads: Some(1), ..model.config() }.to_map();
        map.extend(options.as_object().unwrap().clone());
        let settings = TrainConfig::from_map(map).unwrap();
        Configuration {
            model,
            paper: None,
            settings,
            accuracies: (0..).zip(accuracies.iter().copied()).collect(),
            failed: 0,
        }
    }

    #[test]
    fn each_option_is_compared_with_the_configuration_that_lacks_only_it() {
        let all = [
            configuration(json!({}), &[0.89, 0.891, 0.892, 0.893, 0.894]),
            configuration(json!({ "batch_norm": true }), &[0.90, 0.901, 0.902, 0.903, 0.904]),
            configuration(json!({ "dropout": 0.5 }), &[0.891, 0.889, 0.893, 0.894, 0.8925]),
            configuration(json!({ "dropout": 0.25 }), &[0.88]),
            configuration(
                json!({ "batch_norm": true, "dropout": 0.5 }),
                &[0.88, 0.881, 0.882, 0.883, 0.884],
            ),
            // No counterpart: another number of epochs.
            configuration(json!({ "batch_norm": true, "epochs": 5 }), &[0.9, 0.9]),
        ];
        let sentences: Vec<String> = effects(&all).iter().map(Effect::sentence).collect();
        let base = "LeNet-5, batch 32, lr 0.002, 10 epochs";
        let end = "; 5 and 5 runs).";
        let welch = "(95 % interval +0.0077 to +0.0123";
        assert_eq!(
            sentences,
            [
                format!("{base}: batch norm helped, +0.0100 {welch}{end}"),
                format!(
                    "{base}: dropout 0.5 made no significant difference, -0.0001 (95 % interval -0.0027 to +0.0025{end}"
                ),
                format!(
                    "{base}: dropout 0.25 cannot be judged from 1 and 5 runs; at least two of each are needed."
                ),
                format!(
                    "{base}, with dropout 0.5: batch norm hurt, -0.0099 (95 % interval -0.0125 to -0.0073{end}"
                ),
                format!(
                    "{base}, with batch norm: dropout 0.5 hurt, -0.0200 (95 % interval -0.0223 to -0.0177{end}"
                ),
                format!(
                    "{base}: batch norm and dropout 0.5 together hurt, -0.0100 (95 % interval -0.0123 to -0.0077{end}"
                ),
            ]
        );
        let table = String::from_utf8(effects_csv(&effects(&all))).unwrap();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 7);
        assert!(lines[3].ends_with(",0.25,dropout,1,5,0.88,0.892,,,,too few runs"), "{table}");
        assert!(lines[6].contains(",true,0.5,batch_norm+dropout,5,5,"), "{table}");
        assert!(lines[6].ends_with(",hurt"), "{table}");
    }

    #[test]
    fn an_option_that_needs_another_is_compared_with_what_there_is() {
        let sgd = json!({ "optimizer": "sgd", "momentum": 0.9, "nesterov": true });
        let all = [
            configuration(json!({}), &[0.5, 0.5]),
            configuration(json!({ "optimizer": "sgd", "momentum": 0.9 }), &[0.5, 0.5]),
            configuration(sgd, &[0.5, 0.5]),
        ];
        let words: Vec<String> = effects(&all).iter().map(Effect::options).collect();
        assert_eq!(
            words,
            [
                "optimizer sgd and momentum 0.9 together",
                "nesterov",
                "optimizer sgd, momentum 0.9 and nesterov together"
            ]
        );
    }
}
