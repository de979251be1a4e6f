//! Studies of options: batch normalization, dropout, augmentation.

use std::fs;

use super::{printed, said};
use crate::{Place, common};
use stitch::study::plan;
use stitch::study::results::{self, Record};
use stitch::train::TrainConfig;

/// The plan of `docs/study/future.toml`.
fn future(place: &Place) -> Vec<TrainConfig> {
    let grids = common::root().join("docs/study/future.toml");
    place.ends(&["study", "plan", "--file", grids.to_str().unwrap(), "-o", "study"], 0);
    plan::read(&fs::read(place.path("study/plan.csv")).unwrap()).unwrap()
}

/// The result of a run that nobody made.
fn record(settings: &TrainConfig, test_accuracy: f64) -> Record {
    let mut record = Record::new(settings);
    record.outcome.test_accuracy = Some(test_accuracy);
    record.outcome.weights_sha256 = Some("a".repeat(64));
    record
}

#[test]
fn the_study_of_the_future_work_has_ten_cells_of_five_seeds() {
    let rows = future(&Place::new());
    assert_eq!(rows.len(), 50);
    let mut cells: Vec<TrainConfig> = rows.into_iter().filter(|row| row.seed == 0).collect();
    assert_eq!(cells.len(), 10);
    assert!(cells.iter().all(|it| it.epochs == 10 && it.threads == Some(1)));
    cells.retain(|it| it.batch_norm == (it.dropout > 0.0) && it.dropout > 0.0);
    let augmented = cells.iter().filter(|it| it.augment.to_string() == "crop:2,flip:0.5");
    assert_eq!(augmented.count(), 2, "the cells with all three");
}

#[test]
fn a_report_tells_which_options_helped_and_no_more_than_the_runs_show() {
    let place = Place::new();
    let accuracy = |row: &TrainConfig| {
        // Batch normalization helps, dropout hurts, the rest is noise.
        let effects = [(row.batch_norm, 0.02), (row.dropout > 0.0, -0.01)];
        let effect: f64 = effects.into_iter().filter(|(is_on, _)| *is_on).map(|it| it.1).sum();
        0.88 + effect + 0.001 * (row.seed as f64 * 1.5).sin()
    };
    let records: Vec<Record> =
        future(&place).iter().map(|row| record(row, accuracy(row))).collect();
    fs::write(place.path("results.csv"), results::write(&records)).unwrap();
    let report = printed(&place.ends(&["study", "report", "results.csv", "-o", "report"], 0));
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines.len(), 8 + 2, "{report}");
    for (line, parts) in [
        (0, ["LeNet-5, batch 32, lr 0.002, 10 epochs: batch norm helped, +0.0200", "5 and 5 runs"]),
        (1, ["dropout 0.5 hurt, -0.0100", "95 % interval -0.01"]),
        (2, ["crop:2,flip:0.5 made no significant difference, +0.0000", "-0.00"]),
        (3, ["batch norm, dropout 0.5 and crop:2,flip:0.5 together helped, +0.0100", "+0.01"]),
        (4, ["DeepCNN, batch 64, lr 0.001, 10 epochs: batch norm helped", "+0.02"]),
        (8, ["not corrected for multiple comparisons", "these epochs and settings only"]),
    ] {
        assert!(parts.iter().all(|part| lines[line].contains(part)), "{line}: {report}");
    }
    let read = |name: &str| fs::read_to_string(place.path("report").join(name)).unwrap();
    let page = read("report.html");
    for part in [
        "What helped, and by how much",
        lines[3],
        "DeepCNN, batch 64, lr 0.001, batch norm, without dropout",
        ">DeepCNN, batch 64, lr 0.001, 10 epochs</text>",
    ] {
        assert!(page.contains(part), "no {part:?} in {page}");
    }
    let table = read("effects.csv");
    let header = "augment,added,n,n_without,mean,mean_without,difference,difference_low,difference_high,conclusion";
    assert!(table.lines().next().unwrap().ends_with(header), "{table}");
    assert_eq!(table.lines().count(), 9);
    // A report on runs without options leaves no comparison of an earlier one.
    let plain: Vec<Record> =
        records.into_iter().filter(|it| plan::id(&it.settings).ends_with("-t1")).collect();
    fs::write(place.path("plain.csv"), results::write(&plain)).unwrap();
    let again = place.ends(&["study", "report", "plain.csv", "-o", "report"], 0);
    assert_eq!(printed(&again).lines().count(), 1, "{}", said(&again));
    assert!(!place.path("report/effects.csv").exists());
    assert!(!read("report.html").contains("What helped"));
}

#[test]
fn rows_with_options_run_from_the_plan_to_the_report() {
    let place = Place::new();
    let grid = "[[grid]]\nmodel = \"lenet5\"\nseeds = \"0..2\"\nepochs = 1\nbatch_size = 100\n\
                batch_norm = [false, true]\naugment = [\"none\", \"crop,flip\"]\n";
    fs::write(place.path("grid.toml"), grid).unwrap();
    place.ends(&["study", "plan", "--file", "grid.toml", "-o", "study"], 0);
    place.ends(&["study", "run", "study"], 0);
    let results = place.results("study");
    assert_eq!(results.len(), 8);
    let id = "lenet5-b100-lr0.002-e1-s1-t1-batch_norm-augment_crop2+flip0.5";
    let flags = ["--batch-norm", "on", "--augment", "crop,flip", "--epochs", "1", "--seed", "1"];
    let more = ["--batch-size", "100", "--threads", "1", "--out", "run"];
    place.ends(&[&["train", "lenet5"][..], &flags, &more].concat(), 0);
    let weights = fs::read(place.path("run/weights.safetensors")).unwrap();
    assert_eq!(results[id].outcome.weights_sha256, Some(stitch::sha256::of(weights)));
    place.ends(&["study", "collect", "study"], 0);
    let table = fs::read(place.path("study/results.csv")).unwrap();
    let mut read = results::read(&table).unwrap();
    read.iter_mut().for_each(|record| record.outcome.train_seconds = None);
    assert!(read.iter().all(|record| results[&record.id] == *record));
    let report = printed(&place.ends(&["study", "report", "study"], 0));
    // Two options alone, each in the cell with the other, and both.
    assert_eq!(report.matches("2 and 2 runs").count(), 5, "{report}");
    assert!(report.contains("1 epoch, with batch norm: crop:2,flip:0.5 "), "{report}");
}
