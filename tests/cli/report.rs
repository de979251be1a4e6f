//! `stitch report`: the page of a run folder alone, and run folders that are not what they say.

use std::fs;
use std::path::Path;

use predicates::str::contains;
use stitch::dataset::classes;
use stitch::run_folder::{
    CONFIG, CONFUSION_MATRIX, CONFUSION_MATRIX_SVG, HISTORY, HISTORY_SVG, METRICS, PARITY,
    PREDICTIONS, REPORT, SAFETENSORS,
};
use tempfile::TempDir;

use crate::{
    cells, finished_run, folder_with_data, model_names, put, refused, stderr_of, stdout_of, stitch,
    temporary_folder, text, train,
};

/// A folder with the cut data set and a finished run of each of `models`, in a folder of its name.
fn folder_with_runs(models: &[&str]) -> TempDir {
    let folder = folder_with_data();
    for model in models {
        put(finished_run(model), &folder.path().join("runs").join(model));
    }
    folder
}

/// `stitch report ARGS --data data --threads 1`, done; what it wrote to `written`.
fn page(folder: &Path, args: &[&str], written: &str) -> String {
    let mut command = stitch(folder);
    command.arg("report").args(args).args(["--data", "data", "--threads", "1"]);
    let assert = command.assert().code(0);
    assert_eq!(stdout_of(&assert), format!("{written}\n"));
    fs::read_to_string(folder.join(written)).unwrap()
}

#[test]
fn made_again_from_the_folder_the_page_has_the_bytes_of_the_trainings() {
    for model in ["mlp", "lenet5"] {
        let folder = folder_with_runs(&[model]);
        let run = format!("runs/{model}");
        fs::remove_file(folder.path().join(&run).join(REPORT)).unwrap();
        let again = page(folder.path(), &[&run], &format!("{run}/{REPORT}"));
        assert!(again == text(finished_run(model), REPORT), "{model}: another page");
    }
}

#[test]
fn the_page_is_complete_in_itself_and_every_image_has_words() {
    let folder = folder_with_runs(&["mlp", "lenet5"]);
    let page = page(folder.path(), &["runs"], &format!("runs/{REPORT}"));
    for outside in ["http://", "https://", "<script", "<link", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    let images: Vec<&str> = page.split("<img ").skip(1).collect();
    assert!(images.len() > 60, "{}", images.len());
    for image in images {
        let (tag, _) = image.split_once('>').unwrap();
        assert!(tag.starts_with("src=\"data:image/png;base64,"), "{tag}");
        assert!(tag.contains(" alt=\"") && !tag.contains(" alt=\"\""), "{tag}");
    }
    assert!(page.contains("MLP against LeNet-5") && page.contains("McNemar"));
    assert!(page.contains("paper 0.8709") && page.contains("paper 0.8953"));
}

/// The text between two marks.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from} in {text}"));
    rest.split_once(to).unwrap().0
}

#[test]
fn parity_and_the_figures_come_before_the_images_and_the_contents_link_to_all_sections() {
    let folder = folder_with_runs(&["mlp", "lenet5"]);
    let page = page(folder.path(), &["runs"], &format!("runs/{REPORT}"));
    let ids = page.split("<section id=\"").skip(1).map(|it| it.split_once('"').unwrap().0);
    let order = ["parity", "result", "run-1", "run-2", "run-1-images", "run-2-images", "settings"];
    assert!(ids.eq(order));
    assert!(page.rfind("<figure").unwrap() < page.find("<img ").unwrap());
    let contents = between(&page, "<nav class=\"contents\"", "</nav>");
    order.iter().for_each(|id| assert!(contents.contains(&format!("href=\"#{id}\"")), "{id}"));
    // Links within the page have targets.
    let path = folder.path().join("runs").join(REPORT);
    crate::common::run_python("cli/divergence/page.py", &[path.to_str().unwrap()]);
}

#[test]
fn a_run_that_was_not_compared_shows_what_parity_proves_and_how_to_run_it() {
    let page = text(finished_run("lenet5"), REPORT);
    let parity = between(page, "<section id=\"parity\"", "</section>");
    assert!(page.contains("parity</a>: not compared yet") && parity.contains("Not compared yet"));
    assert!(parity.contains("<code>make parity</code>"));
    for stage in ["data", "init", "order", "forward", "gradient", "step", "result"] {
        assert!(parity.contains(&format!("<li><b>{stage}</b>")), "{stage}");
    }
    // The bars of F1 have a header; the last digits are explained for the model that PyTorch trains.
    assert!(page.contains("F1 as a bar from 0 to 1"));
    let machines = "Why the fourth digit of LeNet-5 differs between machines";
    assert!(between(page, "<section id=\"result\"", "</section>").contains(machines));
    assert!(!text(finished_run("mlp"), REPORT).contains("differs between machines"));
}

#[test]
fn the_figures_hold_every_number_of_the_tables_and_every_name_whole() {
    let run = finished_run("lenet5");
    let matrix = text(run, CONFUSION_MATRIX_SVG);
    let shown: Vec<&str> =
        matrix.split("</text>").map(|it| it.rsplit('>').next().unwrap()).collect();
    classes::NAMES.iter().for_each(|name| {
        assert_eq!(shown.iter().filter(|text| *text == name).count(), 2, "{name}");
    });
    let counts: Vec<String> =
        cells(run, CONFUSION_MATRIX)[1..].iter().flat_map(|row| row[1..].to_vec()).collect();
    let drawn: Vec<&str> = shown.into_iter().filter(|text| text.parse::<u64>().is_ok()).collect();
    assert_eq!(drawn, counts);
    let last = cells(run, HISTORY).pop().unwrap()[1].parse::<f64>().unwrap();
    assert!(text(run, HISTORY_SVG).contains(&format!("training {last:.4}")));
}

#[test]
fn several_runs_need_a_file_and_of_one_model_are_told_apart_by_their_folders() {
    let folder = folder_with_runs(&["lenet5"]);
    put(finished_run("lenet5"), &folder.path().join("runs/twin"));
    let mut command = stitch(folder.path());
    refused(command.args(["report", "runs/lenet5", "runs/twin"]), 2, &["--output", "2 runs"]);
    let args = ["runs/lenet5", "runs/twin", "-o", "both.html"];
    let page = page(folder.path(), &args, "both.html");
    assert!(page.contains("LeNet-5 in runs/lenet5") && page.contains("LeNet-5 in runs/twin"));
    let mut command = stitch(folder.path());
    let command = command.arg("report").args(args).args(["--data", "data"]);
    refused(command, 2, &["--output both.html", "--force"]);
    for file in ["config.json", "weights.safetensors", "history.svg"] {
        let output = format!("runs/twin/{file}");
        let mut command = stitch(folder.path());
        command.args(["report", "runs/twin", "--force", "-o", &output]);
        refused(&mut command, 2, &[&output, "is a file of a run", "report.html"]);
    }
}

#[test]
fn without_the_runs_test_images_the_page_is_written_and_says_so() {
    let folder = folder_with_runs(&["mlp"]);
    crate::common::small_dataset(&folder.path().join("other"), crate::TRAIN, 50);
    // Named none, Debian's package may be found, or nothing: the reason differs.
    for (args, why) in [(vec![], ""), (vec!["--data", "other"], "the checksums differ")] {
        let mut command = stitch(folder.path());
        let assert = command.args(["report", "runs/mlp"]).args(args).assert().code(0);
        assert!(stderr_of(&assert).contains("the report has no images"), "{}", stderr_of(&assert));
        let page = fs::read_to_string(folder.path().join("runs/mlp").join(REPORT)).unwrap();
        assert!(page.contains("This report has no test images") && !page.contains("<img"), "{why}");
        assert!(why.is_empty() || page.contains(why), "{why}");
    }
}

#[test]
fn a_verdict_is_shown_for_the_weights_it_is_about_and_for_no_others() {
    let folder = folder_with_runs(&["lenet5"]);
    put(finished_run("lenet5"), &folder.path().join("runs/reference"));
    let mut command = stitch(folder.path());
    command.args(["parity", "runs/reference", "runs/lenet5"]).assert().code(0);
    let written = format!("runs/lenet5/{REPORT}");
    let checked = page(folder.path(), &["runs/lenet5"], &written);
    assert!(checked.contains("PARITY: EQUAL (bit for bit)"));
    // Without traces, the steps of the training are not compared: the page says so.
    assert!(checked.contains("<li>the steps of the training: no traces are compared</li>"));
    let path = folder.path().join("runs/lenet5").join(PARITY);
    let verdict = fs::read_to_string(&path).unwrap();
    let saved: serde_json::Value = serde_json::from_str(&verdict).unwrap();
    assert_eq!(saved["not_compared"].as_array().unwrap().len(), 1, "{verdict}");
    // The counts of the stages add up to the tensors, and are shown by group.
    let stages = saved["stages"].as_array().unwrap();
    let equal: u64 = stages.iter().map(|stage| stage["equal"].as_u64().unwrap()).sum();
    assert_eq!(saved["tensors"], equal, "{verdict}");
    let rows = between(&checked, "<table class=\"stages\">", "</table>");
    let row = |name: &str| between(rows, &format!("<th scope=\"row\">{name} "), "</tr>");
    assert!(row("gradient").contains("not compared"), "{rows}");
    // The true labels of the test images are data, all other tensors results.
    assert!(row("data").contains("> 1 equal</td>"), "{rows}");
    assert!(row("result").contains(&format!("> {} equal</td>", equal - 1)), "{rows}");
    let parity = between(&checked, "<section id=\"parity\"", "</section>");
    assert!(parity.contains("PARITY: EQUAL") && !parity.contains("Not compared yet"));
    assert!(checked.contains("parity</a>: equal, bit for bit"));
    // Verdicts of earlier versions have neither the list nor the counts.
    let mut earlier = saved;
    earlier.as_object_mut().unwrap().remove("not_compared");
    earlier.as_object_mut().unwrap().remove("stages");
    fs::write(&path, earlier.to_string()).unwrap();
    let page_of_earlier = page(folder.path(), &["runs/lenet5"], &written);
    assert!(
        page_of_earlier.contains("PARITY: EQUAL") && !page_of_earlier.contains("Not compared:")
    );
    assert!(page_of_earlier.contains("no counts by stage"));
    assert!(page_of_earlier.contains("<li><b>gradient</b>"), "no list of the stages");
    fs::write(&path, verdict.replace("\"weights_sha256\": \"", "\"weights_sha256\": \"0")).unwrap();
    let stale = page(folder.path(), &["runs/lenet5"], &written);
    assert!(!stale.contains("PARITY: EQUAL") && stale.contains("about other weights"));
}

/// The run with `file` changed is refused, by a sentence with each of `parts`.
fn damaged(file: &str, change: impl Fn(&str) -> String, parts: &[&str]) {
    let folder = temporary_folder();
    let mut files = finished_run("mlp").clone();
    let text = String::from_utf8(files[file].clone()).unwrap();
    let changed = change(&text);
    assert_ne!(changed, text, "{file} was not changed");
    files.insert(file.into(), changed.into_bytes());
    files.remove(REPORT);
    put(&files, &folder.path().join("run"));
    refused(stitch(folder.path()).args(["report", "run"]), 2, &[&["run", file], parts].concat());
    assert!(!folder.path().join("run").join(REPORT).exists(), "{file}: a page was written");
}

#[test]
fn hostile_run_folders_are_refused_with_a_sentence_and_nothing_is_written() {
    let replaced =
        |from: &'static str, to: &'static str| move |text: &str| text.replacen(from, to, 1);
    damaged(CONFIG, |_| "{".into(), &["EOF"]);
    damaged(
        CONFIG,
        replaced("\"mlp\"", "\"resnet\""),
        &["unknown model \"resnet\"", &model_names()],
    );
    damaged(HISTORY, |_| String::new(), &["empty"]);
    damaged(HISTORY, replaced("epoch,loss", "epoch,lost"), &["line 2", "unknown field `lost`"]);
    damaged(HISTORY, replaced("\n1,", "\n7,"), &["line 2", "epoch 7"]);
    damaged(HISTORY, replaced("\n1,", "\n1,nan,"), &["2"]);
    damaged(PREDICTIONS, replaced("\n0,9,", "\n0,10,"), &["line 2", "10 is not a class"]);
    damaged(PREDICTIONS, |_| "index,y_true,y_pred\n".into(), &["it has no rows"]);
    damaged(HISTORY, replaced("seconds", "minutes"), &["line 2", "minutes"]);
    damaged(
        HISTORY,
        |text| text.to_owned() + "2,0.5,0.001,0.1\n",
        &["2 epochs", "a run of 1 epoch "],
    );
    damaged(METRICS, replaced("\"epochs_run\": 1", "\"epochs_run\": 5"), &["different runs"]);
    damaged(METRICS, replaced("{", "{\"loss\": 1, "), &["unknown field"]);
    damaged(CONFUSION_MATRIX, replaced("Trouser", "Trousers"), &["Trouser"]);
    damaged(
        METRICS,
        replaced("\"test_accuracy\": 0.", "\"test_accuracy\": 1."),
        &["different runs"],
    );
    damaged(METRICS, |_| "[]".into(), &[]);
    damaged(
        METRICS,
        replaced("\"test_accuracy\": ", "\"test_accuracy\": \"\", \"x\": "),
        &["string"],
    );
    damaged(METRICS, replaced("\"epochs_run\": 1", "\"epochs_run\": \"1\""), &["string"]);
    damaged(METRICS, replaced("\"train_seconds\"", "\"seconds\""), &["train_seconds"]);
}

#[test]
fn metrics_of_a_wrong_type_are_refused_wherever_they_are_read() {
    let folder = folder_with_runs(&["mlp"]);
    put(finished_run("mlp"), &folder.path().join("other"));
    let path = folder.path().join("other").join(METRICS);
    let metrics = fs::read_to_string(&path).unwrap();
    for (from, to) in [
        ("\"test_accuracy\": ", "\"test_accuracy\": \"\", \"was\": "),
        ("\"epochs_run\": 1", "\"epochs_run\": [1]"),
    ] {
        fs::write(&path, metrics.replacen(from, to, 1)).unwrap();
        let parts = ["other", "metrics.json", "invalid type"];
        for arguments in [
            &["report", "other", "--data", "data"][..],
            &["parity", "runs/mlp", "other"],
            &["parity", "other", "runs/mlp"],
        ] {
            refused(stitch(folder.path()).args(arguments), 2, &parts);
        }
        let mut resumed = train(folder.path(), "mlp");
        refused(resumed.args(["--out", "other", "--resume", "-q"]), 2, &parts);
    }
}

#[test]
fn what_a_run_folder_says_is_text_on_the_page_and_never_markup() {
    let folder = folder_with_runs(&["mlp"]);
    let path = folder.path().join("runs/mlp").join(CONFIG);
    let config = fs::read_to_string(&path).unwrap();
    let hostile = "\"stitch\": \"<script>alert(1)</script>\"";
    fs::write(&path, config.replace("\"stitch\": \"0.1.0\"", hostile)).unwrap();
    let page = page(folder.path(), &["runs/mlp"], &format!("runs/mlp/{REPORT}"));
    assert!(!page.contains("<script") && page.contains("alert(1)"));
}

#[test]
fn damaged_weights_and_folders_without_a_run_are_refused() {
    let folder = folder_with_runs(&["mlp"]);
    fs::write(folder.path().join("runs/mlp").join(SAFETENSORS), "no tensors").unwrap();
    let mut command = stitch(folder.path());
    refused(command.args(["report", "runs/mlp", "--data", "data"]), 2, &[SAFETENSORS]);
    refused(stitch(folder.path()).args(["report", "data"]), 2, &["data", "no complete run"]);
    refused(stitch(folder.path()).args(["report", "nowhere"]), 2, &["nowhere", "not a folder"]);
    let mut command = stitch(folder.path());
    command.args(["report", "--help"]).assert().code(0).stdout(contains("notebook.py"));
}
