//! The names that other programs give to the settings: PyTorch's scripts, Keras, scikit-learn, Hugging Face.

use crate::TrainConfig;

/// Other names by setting, in the form of [`plain`].
const OTHER_NAMES: [(&str, &[&str]); 16] = [
    ("model", &["arch", "architecture", "net", "network", "modelname"]),
    (
        "epochs",
        &["epoch", "numepochs", "nepochs", "maxepochs", "numtrainepochs", "trainepochs", "maxiter"],
    ),
    ("batch_size", &["batch", "bs", "minibatchsize", "trainbatchsize", "perdevicetrainbatchsize"]),
    ("lr", &["learningrate", "learnrate", "lrate", "initiallr", "baselr", "learningrateinit"]),
    ("seed", &["randomstate", "randomseed", "manualseed", "rngseed"]),
    ("threads", &["numthreads", "nthreads", "njobs"]),
    ("engine", &["backend"]),
    ("val", &["valsize", "valimages", "validation", "validationsize", "validationimages"]),
    ("patience", &["earlystoppingpatience", "earlystoppatience", "niternochange"]),
    ("batch_norm", &["bn", "usebn", "usebatchnorm"]),
    ("dropout", &["dropoutrate", "dropoutp", "dropoutprob", "pdropout"]),
    ("classes", &["numclasses", "nclasses", "numlabels"]),
    ("optimizer", &["optim", "opt", "solver"]),
    ("weight_decay", &["wd"]),
    ("loss", &["criterion", "lossfn", "lossfunction"]),
    ("lr_schedule", &["scheduler", "schedule", "lrscheduler", "lrschedulertype"]),
];

/// A name in lower case, without hyphens and underscores: `batchsize` for `batch_size`, `--batch-size` and `batchSize`.
pub fn plain(name: &str) -> String {
    name.chars().filter(|c| !['-', '_'].contains(c)).flat_map(char::to_lowercase).collect()
}

/// The setting that a name of another program means, or its own name in another spelling: `lr` for `learning_rate`,
/// `batch_size` for `batch-size`.
///
/// ```
/// use stitch_run::setting_of;
///
/// assert_eq!(setting_of("learning_rate").as_deref(), Some("lr"));
/// assert_eq!(setting_of("batchSize").as_deref(), Some("batch_size"));
/// assert_eq!(setting_of("pace"), None);
/// ```
pub fn setting_of(name: &str) -> Option<String> {
    let name = plain(name);
    let own = TrainConfig::names().into_iter().find(|own| plain(own) == name);
    let other = || OTHER_NAMES.iter().find(|(_, names)| names.contains(&name.as_str()));
    own.or_else(|| Some(other()?.0.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_name_is_plain_and_means_one_existing_setting() {
        let own = TrainConfig::names();
        let mut seen: Vec<String> = own.iter().map(|name| plain(name)).collect();
        for (setting, names) in OTHER_NAMES {
            assert!(own.iter().any(|name| name == setting), "{setting}");
            for name in names {
                assert_eq!(plain(name), *name);
                assert!(!seen.contains(&name.to_string()), "{name} is given twice");
                assert_eq!(setting_of(name).as_deref(), Some(setting));
                seen.push(name.to_string());
            }
        }
        for name in own {
            assert_eq!(setting_of(&name.replace('_', "-").to_uppercase()), Some(name));
        }
    }
}
