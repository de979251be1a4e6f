//! Flags that other programs have: the flag of stitch that does the same, or why there is none.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};
use stitch::stitch_run::closest::most_similar;
use stitch::stitch_run::{plain, setting_of};

/// What to say about a flag that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// The flag to use, with its value if that is always the same: `--device cuda`.
    Use(String),
    /// Why there is no such flag.
    None(&'static str),
}

/// Flags in the form of [`plain`], and those that do the same: the first one that the command has is suggested. The other
/// names of settings are in [`setting_of`].
const FLAGS: [(&[&str], &[&str]); 17] = [
    (&["gpu", "gpus", "cuda", "usecuda", "usegpu", "accelerator"], &["--device cuda"]),
    (&["cpu", "nocuda", "nogpu", "usecpu"], &["--device cpu"]),
    (
        &[
            "output",
            "out",
            "o",
            "outdir",
            "outputdir",
            "to",
            "dest",
            "savedir",
            "logdir",
            "resultsdir",
            "workdir",
            "rundir",
        ],
        &["--out", "--output", "--to"],
    ),
    (&["datadir", "datapath", "dataroot", "dataset", "datasetdir", "root"], &["--data"]),
    (&["weights", "pretrained", "initweights", "finetune"], &["--init"]),
    (
        &["augmentation", "augmentations", "dataaugmentation", "transform", "transforms"],
        &["--augment"],
    ),
    (&["valsplit", "validationsplit", "valfraction", "validationfraction", "holdout"], &["--val"]),
    (&["earlystopping", "earlystop"], &["--patience"]),
    (&["gamma", "lrgamma", "lrstep", "lrstepsize"], &["--lr-schedule step:EVERY,GAMMA"]),
    (
        &["saveevery", "savesteps", "savefreq", "checkpointinterval", "checkpointfreq"],
        &["--checkpoint-every"],
    ),
    (&["resumefrom", "resumefromcheckpoint", "continue"], &["--resume"]),
    (&["overwrite", "overwriteoutputdir", "yes"], &["--force"]),
    (&["silent", "noprogress", "noprogressbar"], &["--quiet"]),
    (&["abstol", "absolutetolerance", "tolabs"], &["--atol"]),
    (&["reltol", "relativetolerance", "tolrel"], &["--rtol"]),
    (&["k", "top"], &["--top-k"]),
    (&["j", "parallel", "processes", "workers", "numworkers", "nprocs"], &["--jobs"]),
];

/// Flags that no flag of stitch replaces, and why.
const NONE: [(&[&str], &str); 6] = [
    (
        &[
            "workers",
            "numworkers",
            "dataloadernumworkers",
            "dataloaderworkers",
            "pinmemory",
            "prefetch",
            "prefetchfactor",
        ],
        "the data set is in memory, no worker processes load it",
    ),
    (
        &["deterministic", "usedeterministicalgorithms"],
        "every run is deterministic for its seed and threads",
    ),
    (
        &["amp", "fp16", "bf16", "half", "mixedprecision", "precision", "dtype"],
        "a model is trained in its own type, float32 or float64",
    ),
    (
        &["betas", "beta1", "beta2", "eps", "epsilon", "adamepsilon", "amsgrad"],
        "the optimizers have PyTorch's defaults for it",
    ),
    (
        &["clipgrad", "clipgradnorm", "gradclip", "maxgradnorm", "gradientclipping"],
        "gradients are not clipped",
    ),
    (&["savemodel", "save", "savebest"], "the weights are always saved, in the run folder"),
];

/// What to say about a flag or setting called `name`, which `command` does not have.
pub fn hint(command: &Command, name: &str) -> Option<Hint> {
    let longs = || command.get_arguments().filter_map(|argument| argument.get_long());
    let has = |flag: &str| {
        let long = flag.trim_start_matches("--").split(' ').next();
        longs().any(|it| Some(it) == long)
    };
    let name = plain(name);
    if let Some(long) = longs().find(|long| plain(long) == name) {
        return Some(Hint::Use(format!("--{long}")));
    }
    let setting = setting_of(&name).map(|setting| format!("--{}", setting.replace('_', "-")));
    if let Some(flag) = setting.filter(|flag| has(flag)) {
        return Some(Hint::Use(flag));
    }
    let replaced = FLAGS.iter().filter(|(names, _)| names.contains(&name.as_str()));
    if let Some(flag) = replaced.flat_map(|(_, flags)| *flags).find(|flag| has(flag)) {
        return Some(Hint::Use((*flag).to_owned()));
    }
    let (_, reason) = NONE.iter().find(|(names, _)| names.contains(&name.as_str()))?;
    // Commands that compute nothing have no reason of theirs.
    has("--threads").then_some(Hint::None(reason))
}

/// The error with a suggestion for an unknown flag, or for an unknown subcommand after `help`, which clap gives none for.
pub fn with_hint(mut error: Error, root: &Command, arguments: &[&str]) -> Error {
    let command = command_of(root, arguments);
    let text = |error: &Error, kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let hint = text(&error, ContextKind::InvalidArg).and_then(|name| hint(command, &name));
            let tip = match hint {
                None => return error,
                Some(Hint::Use(flag)) => format!("use '{flag}'"),
                Some(Hint::None(reason)) => format!("there is no such flag: {reason}"),
            };
            error.remove(ContextKind::SuggestedArg);
            error.remove(ContextKind::SuggestedSubcommand);
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
        }
        ErrorKind::InvalidSubcommand if error.get(ContextKind::SuggestedSubcommand).is_none() => {
            let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
            let name = text(&error, ContextKind::InvalidSubcommand).unwrap_or_default();
            // Stricter about long words than clap, less strict about short ones.
            let similarity = |it: &str| strsim::normalized_damerau_levenshtein(&name, it);
            if let Some(closest) = most_similar(names, similarity, 0.6) {
                let closest = ContextValue::Strings(vec![closest.to_owned()]);
                error.insert(ContextKind::SuggestedSubcommand, closest);
            }
        }
        _ => {}
    }
    error
}

/// The command that the arguments name: `study run` for `stitch study run --flag`, and for `stitch help study run`.
fn command_of<'a>(root: &'a Command, arguments: &[&str]) -> &'a Command {
    arguments
        .iter()
        .filter(|word| **word != "help")
        .fold(root, |command, word| command.find_subcommand(word).unwrap_or(command))
}
