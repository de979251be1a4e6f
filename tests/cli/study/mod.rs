//! `stitch study`: the plan, its runs, killed and gone on with, and their results as one table.

mod options;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use crate::{Place, common};
use stitch::dataset::source::OFFICIAL;
use stitch::sha256;
use stitch::stitch_run::digest;
use stitch::study::results::{self, Record};

impl Place {
    fn stitch(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stitch"));
        command.current_dir(self.0.path()).env("FASHION_MNIST_DIR", "data").args(flags);
        command
    }

    /// Runs it to the end; panics when its exit code is another.
    #[track_caller]
    fn ends(&self, flags: &[&str], code: i32) -> Output {
        let output = self.stitch(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {}", said(&output));
        output
    }

    /// Six short rows in `study`: three seeds of each model.
    fn six(&self) {
        let flags = ["study", "plan", "--model", "lenet5,mlp", "--seeds", "0..2,5"];
        let more = ["--batch-size", "60", "--epochs", "2", "-o", "study"];
        self.ends(&[&flags[..], &more].concat(), 0);
    }

    fn results(&self, study: &str) -> BTreeMap<String, Record> {
        let folder = self.path(study).join("results");
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let record = |path: PathBuf| {
            let mut record = Record::read(&fs::read(&path).unwrap()).unwrap();
            record.outcome.train_seconds = None;
            assert_eq!(path.file_stem().unwrap().to_str().unwrap(), record.id);
            (record.id.clone(), record)
        };
        entries.map(record).collect()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_plan_is_a_row_a_run_and_is_not_replaced_unasked() {
    let place = Place::new();
    place.six();
    let plan = fs::read_to_string(place.path("study/plan.csv")).unwrap();
    let lines: Vec<&str> = plan.lines().collect();
    assert_eq!(lines[0], "row,id,model,epochs,batch_size,lr,seed,threads,device,engine");
    assert_eq!(lines[1], "0,lenet5-b60-lr0.002-e2-s0-t1,lenet5,2,60,0.002,0,1,cpu,exact");
    assert_eq!(lines[6], "5,mlp-b60-lr0.001-e2-s5-t1,mlp,2,60,0.001,5,1,cpu,exact");
    assert_eq!(lines.len(), 7);
    place.six();
    let other = ["study", "plan", "--model", "mlp", "--seeds", "1", "-o", "study"];
    assert!(said(&place.ends(&other, 2)).contains("contains another plan. Give --force"));
    assert_eq!(fs::read_to_string(place.path("study/plan.csv")).unwrap(), plan);
    place.ends(&[&other[..], &["--force"]].concat(), 0);
    let grid = "[[grid]]\nmodel = \"mlp\"\nseeds = 1\n";
    fs::write(place.path("grid.toml"), grid).unwrap();
    place.ends(&["study", "plan", "--file", "grid.toml", "-o", "same"], 0);
    let [flags, file] =
        ["study/plan.csv", "same/plan.csv"].map(|p| fs::read(place.path(p)).unwrap());
    assert!(flags == file, "the flags and the file say another plan");
}

#[test]
fn a_signal_to_the_study_alone_stops_its_rows_too() {
    let place = Place::new();
    let plan = ["study", "plan", "--model", "lenet5", "--seeds", "0..2", "--epochs", "1000000"];
    place.ends(&[&plan[..], &["-o", "study"]].concat(), 0);
    let mut command = place.stitch(&["study", "run", "study", "--jobs", "1", "--data", "data"]);
    let study = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let row = place.path("study/runs/lenet5-b32-lr0.002-e1000000-s0-t1");
    while !row.exists() {
        thread::sleep(Duration::from_millis(10));
    }
    let id = study.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let ended = study.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(143), "{}", said(&ended));
    let resume = "study run study --jobs 1 --data data";
    assert!(said(&ended).contains("the study was stopped; to resume it:"), "{}", said(&ended));
    assert!(said(&ended).trim_end().ends_with(resume), "{}", said(&ended));
    assert!(!place.path("study/results").exists());
}

#[test]
fn the_rows_that_are_missing_are_not_run_on_other_data() {
    let place = Place::new();
    place.six();
    place.ends(&["study", "run", "study", "--rows", "0..1"], 0);
    common::small_dataset(&place.path("other"), 70, 20);
    let output = place.ends(&["study", "run", "study", "--data", "other"], 2);
    assert!(said(&output).contains("other is another data set (SHA-256 "), "{}", said(&output));
    assert_eq!(place.results("study").len(), 1);
}

#[test]
fn every_row_has_the_bits_of_stitch_train() {
    let place = Place::new();
    place.six();
    place.ends(&["study", "run", "study", "--jobs", "2"], 0);
    let fast = ["study", "plan", "--model", "lenet5", "--seeds", "3", "--fast", "--threads", "2"];
    place.ends(&[&fast[..], &["--epochs", "1", "-o", "fast"]].concat(), 0);
    place.ends(&["study", "run", "fast"], 0);
    assert_eq!(names(&place.path("study/runs")), [""; 0], "left behind");
    let all = place.results("study").into_values().chain(place.results("fast").into_values());
    let all: Vec<Record> = all.collect();
    assert_eq!(all.len(), 7);
    for record in all {
        let settings = &record.settings;
        let numbers = [settings.epochs, settings.batch_size, settings.seed as usize];
        let [epochs, batch, seed] = numbers.map(|number| number.to_string());
        let threads = settings.threads.unwrap().to_string();
        let mut flags = vec!["train", &settings.model, "--epochs", &epochs, "--batch-size", &batch];
        flags.extend(["--seed", &seed, "--threads", &threads, "--out", &record.id]);
        flags.extend((settings.engine() == stitch::train::Engine::Fast).then_some("--fast"));
        place.ends(&flags, 0);
        let weights = fs::read(place.path(&record.id).join("weights.safetensors")).unwrap();
        assert_eq!(record.outcome.weights_sha256, Some(sha256::of(weights)), "{}", record.id);
    }
    let run = "mlp-b60-lr0.001-e2-s0-t1";
    let page = || fs::read_to_string(place.path(run).join("report.html")).unwrap();
    let alone = page();
    place.ends(&["report", run, "--study", "study", "--study", "fast"], 0);
    let section = "Accuracy over seeds";
    assert!(page().contains(section) && !alone.contains(section));
    place.ends(&["report", run], 0);
    assert!(page() == alone, "another page");
    let mut other = place.results("fast").into_values().next().unwrap();
    other.outcome.data_sha256 = Some("b".repeat(64));
    fs::write(place.path("other.csv"), results::write(&[other])).unwrap();
    let refused = place.ends(&["report", run, "--study", "other.csv"], 2);
    assert!(said(&refused).contains("used another data set (SHA-256 bbb"), "{}", said(&refused));
    let refused = place.ends(&["report", run, "--study", "nowhere"], 2);
    assert!(said(&refused).contains("--study: nowhere does not exist"), "{}", said(&refused));
}

#[test]
fn killed_and_started_again_it_runs_what_is_missing_and_ends_with_the_same_results() {
    let place = Place::new();
    place.six();
    place.ends(&["study", "run", "study"], 0);
    let wanted = place.results("study");
    fs::rename(place.path("study"), place.path("alone")).unwrap();
    place.six();
    let mut command = place.stitch(&["study", "run", "study", "--jobs", "2"]);
    let mut study = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(study.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("2/6: ")));
    study.kill().unwrap();
    study.wait().unwrap();
    let again = place.ends(&["study", "run", "study"], 0);
    let told = said(&again);
    let first = told.lines().find(|line| line.contains("runs: ")).unwrap();
    let before: usize = first.split(' ').nth(2).unwrap().parse().unwrap();
    assert!((2..6).contains(&before) && first.contains("0 already failed"), "{first}");
    assert!(place.results("study") == wanted, "other results");
    assert_eq!(names(&place.path("study/runs")), [""; 0], "left behind");
    assert!(said(&place.ends(&["study", "run", "study"], 0)).contains("6 already done"));
}

#[test]
fn a_row_that_fails_is_recorded_and_the_others_run() {
    let place = Place::new();
    let flags = ["study", "plan", "--model", "lenet5", "--seeds", "0", "--epochs", "1"];
    place.ends(&[&flags[..], &["--lr", "1e30,1e-3", "-o", "study"]].concat(), 0);
    let run = place.ends(&["study", "run", "study"], 1);
    assert!(printed(&run).contains("2 runs: 1 done, 1 failed"), "{}", printed(&run));
    assert!(said(&run).contains("FAILED: training diverged"), "{}", said(&run));
    let results = place.results("study");
    let error = results["lenet5-b32-lr1e30-e1-s0-t1"].outcome.error.clone().unwrap();
    assert!(error.contains("training diverged"), "{error}");
    assert!(results["lenet5-b32-lr0.001-e1-s0-t1"].is_done());
    let again = place.ends(&["study", "run", "study"], 1);
    assert!(said(&again).contains("1 already failed, 0 to do"), "{}", said(&again));
    let again = place.ends(&["study", "run", "study", "--retry-failed"], 1);
    assert!(said(&again).contains("0 already failed, 1 to do"), "{}", said(&again));
    let table = place.ends(&["study", "collect", "study"], 0);
    assert!(printed(&table).contains("1 run done, 1 failed"), "{}", printed(&table));
}

/// The processes that `parent` has started.
#[cfg(target_os = "linux")]
fn children(parent: u32) -> Vec<String> {
    let numbers = names(Path::new("/proc")).into_iter();
    let numbers = numbers.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let is_child = |number: &String| {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        // The name, in brackets, may hold anything.
        let behind = stat.rsplit(')').next().unwrap_or_default();
        behind.split_whitespace().nth(1) == Some(&parent.to_string())
    };
    numbers.filter(is_child).collect()
}

/// Kills the next `times` processes of rows of a study, one after the other.
#[cfg(target_os = "linux")]
fn kill_rows(study: u32, times: usize) {
    let mut killed = std::collections::BTreeSet::new();
    while killed.len() < times {
        for child in children(study) {
            if killed.insert(child.clone()) {
                assert!(Command::new("kill").args(["-KILL", &child]).status().unwrap().success());
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_row_whose_process_is_killed_is_run_again_and_is_no_failure() {
    let place = Place::new();
    let plan = ["study", "plan", "--model", "lenet5", "--seeds", "0", "-o"];
    place.ends(&[&plan[..], &["study", "--epochs", "1000"]].concat(), 0);
    let start = |study: &str| {
        let mut command = place.stitch(&["study", "run", study, "--jobs", "1"]);
        command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    };
    let study = start("study");
    kill_rows(study.id(), 3);
    let ended = study.wait_with_output().unwrap();
    let told = said(&ended);
    assert_eq!(ended.status.code(), Some(2), "{told}");
    assert_eq!(
        told.matches("its process was killed (signal: 9 (SIGKILL)); it will run again").count(),
        2
    );
    assert!(
        told.contains("was killed (signal: 9 (SIGKILL)) in every attempt. If memory"),
        "{told}"
    );
    assert!(!place.path("study/results").exists(), "a killed row has a result");

    place.ends(&[&plan[..], &["again", "--epochs", "1"]].concat(), 0);
    let study = start("again");
    kill_rows(study.id(), 1);
    let ended = study.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    assert!(said(&ended).contains("; it will run again"), "{}", said(&ended));
    assert!(printed(&ended).contains("1 run: 1 done, 0 failed"), "{}", printed(&ended));
}

#[test]
fn one_row_is_run_once_however_many_processes_are_told_to() {
    let place = Place::new();
    place.six();
    let row = || {
        let mut row = place.stitch(&["study", "run", "study", "--row", "3"]);
        row.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let processes = [row(), row(), row()];
    for mut process in processes {
        assert_eq!(process.wait().unwrap().code(), Some(0));
    }
    assert_eq!(place.results("study").len(), 1);
    assert_eq!(names(&place.path("study/runs")), [""; 0], "left behind");
    let again = place.ends(&["study", "run", "study", "--row", "3"], 0);
    assert!(said(&again).contains("already done"), "{}", said(&again));
    let none = place.ends(&["study", "run", "study", "--row", "6"], 2);
    assert!(said(&none).contains("the plan has rows 0 to 5"), "{}", said(&none));
    place.ends(&["study", "run", "study", "--rows", "0..7"], 2);
    place.ends(&["study", "run", "nowhere"], 2);
}

#[test]
fn results_of_several_studies_become_one_table_and_contradictions_an_error() {
    let place = Place::new();
    place.six();
    place.ends(&["study", "run", "study", "--rows", "0..2"], 0);
    fs::rename(place.path("study"), place.path("first")).unwrap();
    place.six();
    place.ends(&["study", "run", "study", "--rows", "1..4"], 0);
    place.ends(&["study", "collect", "study", "first", "-o", "both.csv"], 0);
    place.ends(&["study", "collect", "both.csv", "first", "-o", "again.csv"], 0);
    let table = |name: &str| results::read(&fs::read(place.path(name)).unwrap()).unwrap();
    let ids: Vec<String> = table("both.csv").into_iter().map(|record| record.id).collect();
    let wanted =
        ["lenet5-b60-lr0.002-e2-s0", "lenet5-b60-lr0.002-e2-s1", "lenet5-b60-lr0.002-e2-s5"];
    let wanted = [&wanted[..], &["mlp-b60-lr0.001-e2-s0"]].concat();
    let wanted: Vec<String> = wanted.iter().map(|id| format!("{id}-t1")).collect();
    assert_eq!(ids, wanted);
    assert!(table("both.csv") == table("again.csv"), "collected twice");

    let path = place.path("first/results/lenet5-b60-lr0.002-e2-s1-t1.json");
    let mut record = Record::read(&fs::read(&path).unwrap()).unwrap();
    record.outcome.weights_sha256 = Some("a".repeat(64));
    fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
    let refused = place.ends(&["study", "collect", "study", "first", "-o", "no.csv"], 1);
    for part in ["lenet5-b60-lr0.002-e2-s1-t1: weights aaaa", "first/results"] {
        assert!(said(&refused).contains(part), "no {part} in {}", said(&refused));
    }
    assert!(!place.path("no.csv").exists());
    record.outcome.weights_sha256 =
        place.results("study")[&record.id].outcome.weights_sha256.clone();
    record.outcome.test_accuracy = record.outcome.test_accuracy.map(|accuracy| accuracy / 2.0);
    fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
    for both in [["study", "first"], ["first", "study"]] {
        let flags = [&["study", "collect"][..], &both, &["-o", "no.csv"]].concat();
        let refused = said(&place.ends(&flags, 1));
        assert!(
            refused.contains("s1-t1: test accuracy ") && refused.contains("edited"),
            "{refused}"
        );
    }
    record.outcome.data_sha256 = Some("b".repeat(64));
    fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
    let refused = place.ends(&["study", "collect", "first", "-o", "no.csv"], 2);
    assert!(said(&refused).contains("has another data set (SHA-256 "), "{}", said(&refused));
    assert!(!place.path("no.csv").exists());
    let [other, own] = ["s0", "s1"]
        .map(|seed| path.with_file_name(format!("lenet5-b60-lr0.002-e2-{seed}-t1.json")));
    fs::copy(other, own).unwrap();
    for flags in [["study", "collect", "first"], ["study", "run", "first"]] {
        let misnamed = said(&place.ends(&flags, 2));
        let part =
            "s1-t1.json: it contains the result of lenet5-b60-lr0.002-e2-s0-t1. Remove it to run";
        assert!(misnamed.contains(part), "no {part} in {misnamed}");
    }
    fs::write(&path, "{").unwrap();
    let damaged = place.ends(&["study", "collect", "first"], 2);
    assert!(said(&damaged).contains("s1-t1.json: EOF"), "{}", said(&damaged));
    assert!(said(&damaged).contains("Remove it to run the row again"), "{}", said(&damaged));
    fs::rename(&path, path.with_file_name("a.json")).unwrap();
    let stray = said(&place.ends(&["study", "collect", "first"], 2));
    let part = "It is not a result of this study: move it away";
    assert!(stray.contains("a.json: EOF") && stray.contains(part), "{stray}");
}

#[test]
fn a_dask_cluster_does_every_row_once_though_a_worker_is_killed() {
    let place = Place::new();
    let folder = place.0.path().to_str().unwrap();
    let said = common::run_python("cli/study/dask.py", &[env!("CARGO_BIN_EXE_stitch"), folder]);
    assert!(said.contains("9 rows, each done once"), "{said}");
}

#[test]
fn a_task_of_the_slurm_array_runs_its_rows() {
    let place = Place::new();
    place.six();
    let script = common::root().join("distributed/slurm_study.sh");
    let task = |number: &str, each: &str| {
        let mut task = Command::new("bash");
        task.arg(&script).arg("study").current_dir(place.0.path());
        task.env("SLURM_ARRAY_TASK_ID", number).env("ROWS_EACH", each);
        task.env("STITCH", env!("CARGO_BIN_EXE_stitch")).env("FASHION_MNIST_DIR", "data");
        let output = task.output().unwrap();
        assert!(output.status.success(), "{number}, {each}: {}", said(&output));
        place.results("study").into_keys().collect::<Vec<_>>()
    };
    assert_eq!(task("1", "1"), ["lenet5-b60-lr0.002-e2-s1-t1"]);
    // Rows 4 and 5 are the last ones.
    assert_eq!(task("1", "4").len(), 3);
    assert_eq!(task("2", "4").len(), 3);
    assert_eq!(task("0", "4").len(), 6);
}

#[test]
fn the_kubernetes_manifest_is_one_by_its_schema_and_runs_the_row_of_its_index() {
    let manifest = common::root().join("distributed/kubernetes_study.yaml");
    let validate = common::python().with_file_name("kubernetes-validate");
    let checked = Command::new(validate).arg("--strict").arg(&manifest).output().unwrap();
    assert!(checked.status.success(), "{}", said(&checked));
    // The kubelet puts the index in place of the variable; the rest of the command is stitch's.
    let text = fs::read_to_string(manifest).unwrap();
    let command = text.lines().find_map(|line| line.trim().strip_prefix("command: ")).unwrap();
    let command = command.replace("$(JOB_COMPLETION_INDEX)", "4").replace("/study", "study");
    let words: Vec<String> = serde_json::from_str(&command).unwrap();
    assert_eq!(words[0], "stitch");
    let place = Place::new();
    place.six();
    let flags: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    place.ends(&flags, 0);
    assert_eq!(
        place.results("study").into_keys().collect::<Vec<_>>(),
        ["mlp-b60-lr0.001-e2-s1-t1"]
    );
}

/// Results of runs that nobody made: seed and accuracy of a model's, on the official data set.
fn write_results(study: &Path, model: &str, batch_size: usize, accuracies: &[f64]) {
    let official = OFFICIAL.map(|file| (file.name.into(), file.sha256.into()));
    write_results_of(&digest(&official.into()), study, model, batch_size, accuracies);
}

/// The same on the data set of this SHA-256.
fn write_results_of(
    data_sha256: &str,
    study: &Path,
    model: &str,
    batch_size: usize,
    accuracies: &[f64],
) {
    fs::create_dir_all(study.join("results")).unwrap();
    for (seed, accuracy) in accuracies.iter().enumerate() {
        let id = format!("{model}-b{batch_size}-lr0.001-e5-s{seed}-t1");
        let record = serde_json::json!({
            "id": id, "model": model, "engine": "exact", "epochs": 5, "batch_size": batch_size,
            "lr": 0.001, "seed": seed, "threads": 1, "test_accuracy": accuracy, "train_loss": 0.5,
            "epochs_run": 5, "weights_sha256": "a".repeat(64), "error": null, "train_seconds": 1.5,
            "cpu_capability": "AVX2", "stitch": "0.1.0", "libtorch": "2.13.0",
            "data_sha256": data_sha256,
        });
        fs::write(study.join(format!("results/{id}.json")), record.to_string()).unwrap();
    }
}

#[test]
fn a_report_tells_what_the_runs_say_of_the_papers_accuracy_and_no_more() {
    let place = Place::new();
    let study = place.path("study");
    write_results(&study, "mlp", 200, &[0.86, 0.87, 0.88, 0.89]);
    write_results(&study, "lenet5", 64, &[0.875, 0.8953, 0.9, 0.88]);
    write_results(&study, "lenet5", 32, &[0.9, 0.91]);
    write_results(&study, "lenet5", 16, &[0.88]);
    place.ends(&["study", "report", "study"], 0);
    let read = |name: &str| fs::read_to_string(study.join(name)).unwrap();
    let (page, summary) = (read("report.html"), read("summary.csv"));
    for part in [
        "11 runs of 4 configurations",
        "LeNet-5: the paper&#39;s 0.8953 is within the range of the runs of batch 64, lr 0.001 (reached by 2 of 4)",
        "above every run of batch 16, lr 0.001",
        "below every run of batch 32, lr 0.001",
        "Of 2 configurations of LeNet-5",
        "LeNet-5 is compared with MLP, batch 200, lr 0.001, 5 epochs",
    ] {
        assert!(page.contains(part), "no {part:?} in {page}");
    }
    // SVG's name space is no address that is fetched.
    let others = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!others.contains("http://") && !others.contains("https://"), "{page}");
    let lines: Vec<Vec<&str>> = summary.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| lines[0].iter().position(|it| *it == name).unwrap();
    let of = |line: usize, name: &str| lines[line][column(name)];
    assert_eq!(
        (of(1, "model"), of(1, "n"), of(1, "mean"), of(1, "max")),
        ("mlp", "4", "0.875", "0.89")
    );
    // One run has no spread, and is not compared.
    assert_eq!((of(2, "batch_size"), of(2, "sd"), of(2, "ahead_of_mlp")), ("16", "", ""));
    assert_eq!((of(4, "batch_size"), of(4, "at_least_paper")), ("64", "2"));
    let before = [page, summary, read("accuracies.svg")];
    place.ends(&["study", "collect", "study", "-o", "results.csv"], 0);
    place.ends(&["study", "report", "results.csv", "-o", "again"], 0);
    for (name, before) in ["report.html", "summary.csv", "accuracies.svg"].iter().zip(before) {
        let again = fs::read_to_string(place.path("again").join(name)).unwrap();
        assert!(again == before, "{name} is another from the table");
    }
    place.ends(&["study", "report", "data"], 2);
}

#[test]
fn a_report_of_another_data_set_does_not_speak_of_the_paper() {
    let place = Place::new();
    let study = place.path("study");
    write_results_of(&"b".repeat(64), &study, "lenet5", 64, &[1.0, 1.0]);
    place.ends(&["study", "report", "study"], 0);
    let page = fs::read_to_string(study.join("report.html")).unwrap();
    assert!(page.contains("<h1>Accuracy with confidence intervals</h1>"), "{page}");
    for part in ["paper", "Fashion-MNIST", "compared with", "1.000001"] {
        assert!(!page.contains(part), "{part} in {page}");
    }
}
