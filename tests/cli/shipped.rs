//! The weights in `models/`: what `models/README.md` says of them is so.

use std::fs;
use stitch::sha256;

use predicates::str::contains;
use serde_json::Value;

use crate::{common, copy_real, stitch, temporary_folder};

/// File, accuracy and SHA-256 of each row of the table.
fn table() -> Vec<[String; 3]> {
    let readme = fs::read_to_string(common::root().join("models/README.md")).unwrap();
    let rows = readme.lines().filter(|line| line.starts_with("| `"));
    let cells =
        rows.map(|row| row.split('|').skip(1).take(3).map(|cell| cell.trim().replace('`', "")));
    cells.map(|cells| cells.collect::<Vec<_>>().try_into().unwrap()).collect()
}

fn json(file: &str) -> Value {
    serde_json::from_slice(&fs::read(common::root().join("models").join(file)).unwrap()).unwrap()
}

#[test]
fn the_shipped_weights_have_the_sums_and_the_accuracy_that_are_written_beside_them() {
    let folder = temporary_folder();
    copy_real(&folder.path().join("data"));
    let rows = table();
    assert_eq!(rows.len(), 4, "{rows:?}");
    for [file, accuracy, sha256] in rows {
        let path = common::root().join("models").join(&file);
        assert_eq!(sha256::of(fs::read(&path).unwrap()), sha256, "{file}");
        let model = file.split('/').next().unwrap();
        let metrics = json(&format!("{model}/metrics.json"));
        let accuracy: f64 = accuracy.parse().unwrap();
        assert_eq!(metrics["test_accuracy"], accuracy);
        let evaluated =
            format!("{model}: test accuracy {accuracy:.4} ({:.0} of 10000)", accuracy * 1e4);
        let mut command = stitch(folder.path());
        command.arg("evaluate").arg(&path).args(["--data", "data"]);
        command.assert().code(0).stdout(contains(evaluated));
    }
}

#[test]
fn the_shipped_weights_were_made_by_the_command_that_is_written_beside_them() {
    let readme = fs::read_to_string(common::root().join("models/README.md")).unwrap();
    let script = fs::read_to_string(common::root().join("setup/models.sh")).unwrap();
    for model in ["deepcnn", "lenet5", "mlp"] {
        let command = format!("train {model} ");
        let line = readme.lines().find(|line| line.contains(&command)).unwrap();
        let flags = line.split_once(&command).unwrap().1;
        assert!(script.contains(&format!("{command}{flags} ")), "{flags}");
        let config = json(&format!("{model}/config.json"));
        assert_eq!(config["model"], model);
        let flag = |name: &str| flags.split(' ').skip_while(|flag| *flag != name).nth(1);
        for (name, key) in [
            ("--batch-size", "batch_size"),
            ("--lr", "lr"),
            ("--seed", "seed"),
            ("--threads", "threads"),
            ("--epochs", "epochs"),
        ] {
            if let Some(value) = flag(name) {
                assert_eq!(config[key].as_f64(), value.parse().ok(), "{model} {name}");
            }
        }
        assert_eq!(config["data"]["official"], true);
    }
}
