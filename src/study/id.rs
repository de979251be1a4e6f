//! Ids of runs, and the order of configurations.

use std::path::Path;

use serde_json::{Map, Value};

use crate::train::{Device, Engine, TrainConfig};

/// The settings of the validation that are on, then the options.
pub(crate) fn others(settings: &TrainConfig) -> Map<String, Value> {
    let mut others = settings.to_map();
    let options = settings.options();
    others.retain(|name, _| {
        ["val", "patience"].contains(&name.as_str()) || options.contains_key(name)
    });
    others
}

/// The id of a run, determined by its settings: `lenet5-b64-lr0.001-e5-s0-t1`. It contains the engine if that is not
/// `exact`, the device if that is not the CPU, and the options that are on: `-batch_norm-augment_crop2+flip0.5`. It
/// consists of letters, digits and `.+-_`, so it is a valid file name on every system.
pub fn id(settings: &TrainConfig) -> String {
    let TrainConfig { epochs, batch_size, lr, seed, threads, .. } = settings;
    let model = model(settings);
    let engine = match settings.engine() {
        Engine::Exact => String::new(),
        other => format!("-{other}"),
    };
    let threads = threads.map_or(String::new(), |threads| format!("-t{threads}"));
    let device = match settings.device {
        Device::Cpu => String::new(),
        Device::Cuda(number) => format!("-cuda{number}"),
    };
    let options: String =
        others(settings).iter().map(|(name, value)| option(name, value)).collect();
    format!("{model}{engine}-b{batch_size}-lr{lr:?}-e{epochs}-s{seed}{threads}{device}{options}")
}

/// The name of a model, or of a TorchScript file with the start of its SHA-256: `model-1b4f0e98`.
fn model(settings: &TrainConfig) -> String {
    let Some(sha256) = &settings.model_sha256 else { return settings.model.clone() };
    let stem = Path::new(&settings.model).file_stem().unwrap_or_default().to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".+-_".contains(c);
    let name: String = stem.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    format!("{name}-{}", sha256.get(..8).unwrap_or(sha256))
}

/// The part of an id for an option that is on, or one that is on by default and off.
fn option(name: &str, value: &Value) -> String {
    match value {
        Value::Bool(true) => format!("-{name}"),
        Value::Bool(false) => format!("-no_{name}"),
        Value::String(text) => format!("-{name}_{}", text.replace(':', "").replace(',', "+")),
        number => format!("-{name}{}", number_text(number)),
    }
}

/// A number as in the learning rate's part of an id: `60`, `0.5`, `1e-5`.
pub(crate) fn number_text(number: &Value) -> String {
    match number.as_f64() {
        Some(value) if number.is_f64() => format!("{value:?}"),
        _ => number.to_string(),
    }
}

/// The sort key of the configurations of a model: all settings except the seed. Those with fewer options come first, then
/// the order of the options decides.
pub fn order(settings: &TrainConfig) -> impl Ord + use<> {
    let TrainConfig { epochs, batch_size, lr, threads, device, .. } = *settings;
    let names = TrainConfig::names();
    let options = others(settings);
    let places: Vec<_> =
        options.keys().map(|name| names.iter().position(|it| it == name)).collect();
    let values: String = options.iter().map(|(name, value)| option(name, value)).collect();
    // Learning rates are above 0, so their bits have the same order as their values.
    let lr = lr.to_bits();
    let device = device.to_string();
    (settings.engine(), epochs, batch_size, lr, threads, device, places.len(), places, values)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn with(options: Value) -> TrainConfig {
        let settings = TrainConfig {
            threads: Some(1),
            engine: Some(Engine::Exact),
            ..TrainConfig::new("deepcnn", 10, 64, 1e-3)
        };
        let mut map = settings.to_map();
        map.extend(options.as_object().unwrap().clone());
        TrainConfig::from_map(map).unwrap()
    }

    #[test]
    fn ids_are_unique_file_names() {
        let base = "deepcnn-b64-lr0.001-e10-s0-t1";
        let cases = [
            (json!({}), ""),
            (json!({ "batch_norm": true }), "-batch_norm"),
            (
                json!({ "augment": "crop,flip", "dropout": 0.5, "batch_norm": true }),
                "-batch_norm-dropout0.5-augment_crop2+flip0.5",
            ),
            (json!({ "augment": "flip,crop" }), "-augment_flip0.5+crop2"),
            (json!({ "augment": "crop:25" }), "-augment_crop25"),
            (
                json!({ "optimizer": "sgd", "momentum": 0.9, "nesterov": true }),
                "-optimizer_sgd-momentum0.9-nesterov",
            ),
            (json!({ "lr_schedule": "step:5,0.1" }), "-lr_schedule_step5+0.1"),
            (json!({ "lr_schedule": "step:50,0.1" }), "-lr_schedule_step50+0.1"),
            (
                json!({ "weight_decay": 1e-5, "label_smoothing": 0.1 }),
                "-weight_decay1e-5-label_smoothing0.1",
            ),
            (
                json!({ "normalize": "0.286,0.353", "shuffle": false, "drop_last": true, "loss": "nll" }),
                "-normalize_0.286+0.353-no_shuffle-drop_last-loss_nll",
            ),
            (json!({ "val": 60, "patience": 3 }), "-val60-patience3"),
        ];
        let mut seen = BTreeSet::new();
        for (options, end) in cases {
            let id = id(&with(options));
            assert_eq!(id, format!("{base}{end}"));
            let is_valid = |c: char| c.is_ascii_alphanumeric() || ".+-_".contains(c);
            assert!(id.chars().all(is_valid) && seen.insert(id));
        }
    }

    #[test]
    fn configurations_with_fewer_options_come_first() {
        let sorted = [
            json!({}),
            json!({ "batch_norm": true }),
            json!({ "dropout": 0.25 }),
            json!({ "dropout": 0.5 }),
            json!({ "augment": "flip" }),
            json!({ "batch_norm": true, "dropout": 0.5 }),
            json!({ "device": "cuda:0" }),
        ];
        assert!(sorted.map(|options| order(&with(options))).is_sorted());
    }
}
