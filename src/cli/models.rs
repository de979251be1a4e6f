//! Names of models and help texts with their defaults, all from the registry.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use stitch::models::{self, Defaults, Library, MODELS, ModelEntry, ModelOptions, names_of};

/// The parser of a model's name.
pub fn parser() -> impl TypedValueParser<Value = &'static ModelEntry> {
    let value = |entry: &&ModelEntry| PossibleValue::new(entry.name).help(entry.description);
    PossibleValuesParser::new(MODELS.iter().map(value)).try_map(|name| models::named(&name))
}

/// The parser of a model's name or of the path of a TorchScript file.
pub fn network_parser() -> impl TypedValueParser<Value = &'static ModelEntry> {
    NetworkParser
}

/// See [`network_parser`].
#[derive(Clone)]
struct NetworkParser;

impl TypedValueParser for NetworkParser {
    type Value = &'static ModelEntry;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        match value.to_str() {
            Some(path) if models::script::is_path(path) => Ok(models::script::entry(path)),
            _ => parser().parse_ref(command, argument, value),
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let value = |entry: &&ModelEntry| PossibleValue::new(entry.name).help(entry.description);
        let file = PossibleValue::new("FILE.pt").help("the network of a TorchScript file");
        Some(Box::new(MODELS.iter().map(value).chain([file])))
    }
}

/// A default for each model, such as `lenet5 5`.
fn by_model(value: impl Fn(&Defaults) -> String) -> String {
    let of = |entry: &&ModelEntry| format!("{entry} {}", value(&entry.defaults));
    MODELS.iter().map(of).collect::<Vec<_>>().join(", ")
}

/// `; not given in the notebook for lenet5`, or nothing.
fn not_given() -> String {
    let open = MODELS.iter().copied();
    let open = names_of(open.filter(|entry| entry.paper.is_some_and(|it| !it.settings_given)));
    if open.is_empty() { open } else { format!("; not given in the notebook for {open}") }
}

/// Help of `--epochs`.
pub fn epochs() -> String {
    format!(
        "Number of passes over the training images [default: {}]",
        by_model(|it| it.epochs.to_string())
    )
}

/// Help of `--batch-size`.
pub fn batch_size() -> String {
    let defaults = by_model(|it| it.batch_size.to_string());
    format!("Images per step [default: {defaults}{}]", not_given())
}

/// Help of `--lr`.
pub fn lr() -> String {
    let defaults = by_model(|it| format!("{:e}", it.lr));
    format!(
        "Learning rate; the maximum with --lr-schedule onecycle [default: {defaults}{}]",
        not_given()
    )
}

/// A default for each PyTorch model.
fn by_pytorch_model(value: impl Fn(&ModelOptions) -> String) -> String {
    let models = MODELS.iter().filter(|entry| entry.library == Library::PyTorch);
    let of = |entry: &&ModelEntry| format!("{entry} {}", value(entry.options()));
    models.map(of).collect::<Vec<_>>().join(", ")
}

/// Help of `--batch-norm`.
pub fn batch_norm() -> String {
    let defaults = by_pytorch_model(|it| if it.batch_norm { "on" } else { "off" }.into());
    format!("Batch normalization after each convolution [default: {defaults}]")
}

/// Help of `--dropout`.
pub fn dropout() -> String {
    let defaults = by_pytorch_model(|it| it.dropout.to_string());
    format!("Probability of dropout before the last layer; 0: no dropout [default: {defaults}]")
}

/// Help of `--seed`.
pub fn seed() -> String {
    format!("Seed of initial weights and shuffling [default: 0{}]", not_given())
}

/// Long help of `--seed`.
pub fn seed_in_full() -> String {
    let ranges = MODELS.iter().map(|entry| match entry.library.largest_seed() {
        u64::MAX => format!("{entry} accepts 0 to 2^64-1, like {}", entry.library),
        largest => format!("{entry} accepts 0 to {largest}, like {}", entry.library),
    });
    format!("{}\n\n{}.", seed(), ranges.collect::<Vec<_>>().join("; "))
}

/// Help of `--future` of `stitch reproduce`.
pub fn future() -> String {
    let others = names_of(models::future_work());
    format!("Also train the paper's future work ({others}), and add it to the comparison")
}

/// Help of `--out` of `stitch reproduce`.
pub fn reproduce_out() -> String {
    let names = names_of(models::of_the_paper());
    let others = names_of(models::future_work());
    format!("Folder for the run folders ({names}; with --future also {others}) and report.html")
}

/// Help of `--model` of `stitch predict`.
pub fn predict_model() -> String {
    let default = models::default_for_predict();
    let default = default.map_or(String::new(), |entry| format!(" [default: {entry}]"));
    format!(
        "The model of FILE, instead of identifying it by names and shapes; without FILE, the built-in \
         model to use{default}"
    )
}
