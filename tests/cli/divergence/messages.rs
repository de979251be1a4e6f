//! What parity says must be true: advice that passes, names that are matched, what was left out.

use std::fs;

use serde_json::Value;

use super::*;

/// The files that `weights.py` writes.
static FILES: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    common::run_python("cli/divergence/weights.py", &[folder.path().to_str().unwrap()]);
    folder
});

fn file(name: &str) -> PathBuf {
    FILES.path().join(name)
}

fn pair(name: &str) -> [PathBuf; 2] {
    ["reference", "port"].map(|side| file(&format!("{name}-{side}.pt")))
}

/// What parity prints about two files that differ.
fn said(name: &str) -> String {
    let [reference, port] = pair(name);
    let shown = parity(&[&reference, &port]).assert().code(1);
    String::from_utf8(shown.get_output().stdout.clone()).unwrap()
}

#[test]
fn the_advice_passes_for_every_type() {
    for name in
        ["int64", "bool", "uint8", "float16", "bfloat16", "zero", "scalar", "complex", "float8"]
    {
        let text = said(name);
        let advice =
            text.lines().find_map(|line| line.trim().strip_prefix("it would pass with ")).unwrap();
        for flags in advice.split(", or ") {
            let [reference, port] = pair(name);
            let mut command = parity(&[&reference, &port]);
            let assert = command.args(flags.split(' ')).assert().code(0);
            assert.stdout(predicate::str::starts_with("PARITY: EQUAL within tolerance\n"));
        }
    }
}

#[test]
fn a_complex_nan_equals_itself_only_if_asked() {
    let [reference, port] = pair("nan-complex");
    parity(&[&reference, &port])
        .assert()
        .code(1)
        .stdout(predicate::str::contains("1 elements are NaN on one side or both"));
    parity(&[&reference, &port, Path::new("--equal-nan")]).assert().code(0);
}

#[test]
fn verbose_shows_the_numbers_of_every_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let sides = [1.0f32, 2.0].map(|value| {
        let tensors = ["a", "b", "c"].map(|name| NamedTensor {
            name: name.into(),
            dtype: Dtype::F32,
            shape: vec![1],
            data: value.to_le_bytes().to_vec(),
        });
        let path = folder.path().join(format!("{value}.safetensors"));
        fs::write(&path, safetensors::write(&tensors, &Metadata::new()).unwrap()).unwrap();
        path
    });
    let said = |flags: &[&str]| {
        let sides = sides.each_ref().map(PathBuf::as_path);
        let assert = parity(&sides).args(flags).assert().code(1);
        String::from_utf8(assert.get_output().stdout.clone()).unwrap()
    };
    let [brief, verbose] = [said(&[]), said(&["--verbose"])];
    assert!(
        brief.contains("the elements of 2 other tensors differ (--verbose shows them)"),
        "{brief}"
    );
    assert_eq!(brief.matches("greatest absolute difference").count(), 1);
    assert_eq!(verbose.matches("greatest absolute difference").count(), 3);
}

/// Lines on a terminal of 80 columns.
fn screen_lines(text: &str) -> usize {
    text.lines().map(|line| line.chars().count().div_ceil(80).max(1)).sum()
}

#[test]
fn a_report_fits_a_screen_and_verbose_has_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let train = |out: &str, lr: &str| {
        let data = LENET5.data();
        let mut command = common::stitch(folder.path());
        command.args(["train", "lenet5", "--data", data.to_str().unwrap(), "--out", out]);
        command.args(["--epochs", "1", "--threads", "1", "--trace", "--lr", lr]).assert().success();
        folder.path().join(out)
    };
    let [run, slower] = [train("run", "1e-3"), train("slower", "1e-4")];
    let weights = |run: &Path| run.join("weights.safetensors");
    let said = |sides: [&Path; 2], flags: &[&str], code: i32| {
        let assert = parity(&sides).args(flags).assert().code(code);
        String::from_utf8(assert.get_output().stdout.clone()).unwrap()
    };
    for (sides, code) in [
        ([run.clone(), run.clone()], 0),
        ([run.clone(), slower.clone()], 1),
        ([weights(&run), weights(&slower)], 1),
    ] {
        let [brief, verbose] = [&[][..], &["--verbose"]]
            .map(|flags| said(sides.each_ref().map(PathBuf::as_path), flags, code));
        assert!(screen_lines(&brief) <= 24, "{brief}");
        assert!(brief.lines().next() == verbose.lines().next(), "{brief}{verbose}");
        let table = |text: &str| text.contains("│ final ");
        assert!(table(&verbose) && !table(&brief), "{brief}{verbose}");
        let stages = if code == 0 { "\nequal bits: " } else { "\ndifferent: " };
        assert!(brief.contains(stages), "{brief}");
        assert_eq!(brief.contains("\ndetails: --verbose "), code == 1, "{brief}");
    }
    let brief = said([&run, &slower], &[], 1);
    for line in [
        "lr differs: 0.001 in the reference, 0.0001 in the candidate",
        "first divergence: step 1, conv1.weight[0, 0, 0, 0] after the optimizer step: expected ",
        "likely cause: the learning rate: 1e-3 in the reference, 1e-4 in the candidate",
        "  greatest absolute difference ",
        "  it would pass with --atol ",
        "not compared: steps without a record: ",
        "results that differ: ",
    ] {
        assert!(brief.lines().any(|it| it.starts_with(line)), "no {line:?} in {brief}");
    }
    let verbose = said([&run, &slower], &["--verbose"], 1);
    for part in ["elements differ (100.000 %)", "predictions differ:\n  image ", "cosine "] {
        assert!(verbose.contains(part) && !brief.contains(part), "no {part:?} in {verbose}");
    }
}

#[test]
fn no_advice_is_given_where_none_passes() {
    for name in ["infinity", "nan"] {
        assert!(!said(name).contains("it would pass"), "{}", said(name));
    }
}

#[test]
fn a_shape_and_a_type_have_causes_of_their_own() {
    assert!(
        said("shape").contains("likely cause: a layer of a different size"),
        "{}",
        said("shape")
    );
    assert!(said("type").contains("likely cause: a different dtype"), "{}", said("type"));
}

#[test]
fn infinities_are_numbers_in_json() {
    let [reference, port] = pair("infinity");
    let output = parity(&[&reference, &port]).arg("--json").assert().code(1);
    let report: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let numbers = &report["tensors"][0]["outcome"]["different"];
    assert_eq!((&numbers["abs"]["value"], &numbers["mean"]), (&"inf".into(), &"inf".into()));
}

#[test]
fn an_empty_side_misses_every_tensor() {
    let (empty, net) = (file("empty.pt"), file("net.pt"));
    let first = "final value of conv.weight: ";
    assert_diverges(&net, &empty, &format!("{first}missing in the candidate"))
        .stdout(predicate::str::contains("PARITY: DIFFERENT (2 of 2)"));
    assert_diverges(&empty, &net, &format!("{first}unexpected"));
}

#[test]
fn names_that_differ_by_a_prefix_are_matched_with_a_note() {
    for wrapped in ["lightning", "parallel", "deep", "averaged"] {
        let averaged = wrapped == "averaged";
        let wrapped = file(&format!("{wrapped}.pt"));
        for sides in [[&file("net.pt"), &wrapped], [&wrapped, &file("net.pt")]] {
            parity(&sides.map(PathBuf::as_path))
                .assert()
                .code(0)
                .stdout(predicate::str::contains("begin with "))
                .stdout(predicate::function(|text: &str| {
                    text.contains("not compared: ") && text.contains("the tensor n_averaged")
                        || !averaged
                }))
                .stdout(predicate::str::starts_with("PARITY: EQUAL (bit for bit)\n"));
        }
    }
}

#[test]
fn one_of_several_dicts_is_chosen_by_its_key() {
    let (net, two) = (file("net.pt"), file("two.pt"));
    let refused = parity(&[&net, &two]).assert().code(2);
    refused.stderr(predicate::str::contains("model, ema. Choose with --key NAME"));
    let with_key = |key: &str| {
        let mut command = parity(&[&net, &two]);
        command.args(["--key", key]).assert()
    };
    with_key("model")
        .code(0)
        .stdout(predicate::str::contains("two.pt: the weights are those under model"))
        .stdout(predicate::str::contains("entries of the file that are not tensors: "));
    with_key("ema").code(1);
    with_key("nets").code(2).stderr(predicate::str::contains("nets"));
    // One dict under two keys is one.
    assert_equal(&net, &file("alias.pt"));
    for key in ["model", "copy"] {
        let mut alias = parity(&[&net, &file("alias.pt")]);
        alias.args(["--key", key]).assert().code(0);
    }
    let mut unused = parity(&[&net, &net]);
    unused.args(["--key", "ema"]).assert().code(2).stderr(predicate::str::contains("--key ema"));
    let notebook = LENET5.notebook();
    let table = notebook.join("predictions.csv");
    for sides in [[&notebook, &notebook], [&notebook.join("trace"), &notebook], [&table, &table]] {
        let mut unused = parity(&sides.map(PathBuf::as_path));
        unused
            .args(["--key", "ema"])
            .assert()
            .code(2)
            .stderr(predicate::str::contains("--key ema"));
    }
}

#[test]
fn the_recorder_takes_every_type_and_leaves_what_it_has_recorded_when_a_run_fails() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, more: &[&str]| {
        let path = folder.path().join(name);
        let mut command = std::process::Command::new(common::python());
        command.arg(common::root().join("tests/cli/divergence/tracer.py")).arg(&path).args(more);
        (path, command.output().unwrap())
    };
    let (reference, output) = run("reference", &["0.5"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (same, _) = run("same", &["0.5"]);
    assert_equal(&reference, &same);
    // Float targets that the same integers are made of.
    let (other, _) = run("other", &["0.75"]);
    assert_diverges(&reference, &other, "data of train.labels[1]: expected 0.5 ");
    let (failed, output) = run("failed", &["0.5", "fail"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be recorded"));
    let records =
        |path: &Path| fs::read_to_string(path.join("trace.jsonl")).unwrap().lines().count();
    assert_eq!(records(&failed) + 1, records(&reference));
    parity(&[&failed, &failed])
        .assert()
        .code(1)
        .stdout(predicate::str::contains("PARITY: INCOMPLETE"));
    let stages = fs::read_to_string(reference.join("trace.jsonl")).unwrap();
    for stage in ["momentum_buffer", "buffer\", \"name\": \"1.running_mean"] {
        assert!(stages.contains(stage), "{stage}");
    }
}

#[test]
fn advice_of_a_size_that_is_no_rounding_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, values: [f32; 2]| {
        let data = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let tensor = NamedTensor { name: "w".into(), dtype: Dtype::F32, shape: vec![2], data };
        let path = folder.path().join(name);
        fs::write(&path, safetensors::write(&[tensor], &Metadata::new()).unwrap()).unwrap();
        path
    };
    let reference = write("reference.safetensors", [1.0, 2.0]);
    let shown = |port: &Path| {
        let assert = parity(&[&reference, port]).assert().code(1);
        String::from_utf8(assert.get_output().stdout.clone()).unwrap()
    };
    let near = shown(&write("near.safetensors", [1.0, 2.001]));
    assert!(near.contains("it would pass with --atol ") && near.contains("--rtol 5e-4"), "{near}");
    // Two files of other programs have no --trace.
    let note = "note: with traces of both programs (docs/parity.md) the first divergence is found within the run";
    assert!(near.contains(note), "{near}");
    let far = shown(&write("far.safetensors", [1.0, 3.0]));
    assert!(!far.contains("it would pass"), "{far}");
}

#[test]
fn predictions_are_compared_as_classes_with_both_accuracies() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let reference = write("reference.csv", "index,y_true,y_pred\n0,1,1\n1,5,5\n2,3,3\n3,2,1\n");
    let port = write("port.csv", "index,y_true,y_pred\n0,1,1\n1,5,9\n2,3,3\n3,2,1\n");
    let page = folder.path().join("page.html");
    parity(&[&reference, &port])
        .arg("--html")
        .arg(&page)
        .assert()
        .code(1)
        .stdout(predicate::str::contains("image 1 (true class 5): expected 5, got 9"))
        .stdout(predicate::str::contains("accuracy: expected 0.75, got 0.5 ("))
        .stdout(predicate::str::contains("it would pass").not())
        .stdout(predicate::str::contains("greatest absolute difference").not());
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("Accuracy: expected 0.75, got 0.5"), "{page}");
    assert!(!page.contains("passes with") && !page.contains("greatest absolute"), "{page}");
    let other = write("other.csv", "index,label,predicted\n0,1,1\n");
    parity(&[&reference, &other]).assert().code(2).stderr(predicate::str::contains(
        "neither predictions (header index,y_true,y_pred) nor a confusion matrix (class names in the first row and column, the \
         first cell empty): the header is \"index,label,predicted\"",
    ));
}

#[test]
fn the_folder_of_an_interrupted_run_is_named_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    fs::create_dir_all(run.join("checkpoints")).unwrap();
    let notebook = LENET5.notebook();
    for sides in [[&notebook, &run], [&run, &notebook]] {
        parity(&sides.map(PathBuf::as_path)).assert().code(2).stderr(predicate::str::contains(
            "folder of an interrupted run, which has no results yet: resume it first (the command that began it, with --resume)",
        ));
    }
}

#[test]
fn no_format_has_characters_that_act_on_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let name = "\u{1b}]0;title\u{7}\u{202e}w\u{9b}";
    let sides = [1.0f32, 1.5].map(|value| {
        let data = value.to_le_bytes().to_vec();
        let tensor = NamedTensor { name: name.into(), dtype: Dtype::F32, shape: vec![1], data };
        let path = folder.path().join(format!("{value}.safetensors"));
        fs::write(&path, safetensors::write(&[tensor], &Metadata::new()).unwrap()).unwrap();
        path
    });
    let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    let [junit, page] = ["junit.xml", "page.html"].map(|file| folder.path().join(file));
    let run = |flags: &[&str]| {
        let mut command = parity(&sides.each_ref().map(PathBuf::as_path));
        let assert = command.args(flags).assert().code(1);
        String::from_utf8(assert.get_output().stdout.clone()).unwrap()
    };
    let files = ["--junit", junit.to_str().unwrap(), "--html", page.to_str().unwrap()];
    let github = run(&[&["--format", "github"][..], &files].concat());
    assert!(github.contains("::error title=") && github.contains("\\u{1b}]0;title"), "{github}");
    let json = run(&["--json"]);
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["tensors"][0]["name"], name);
    let files = [junit, page].map(|path| fs::read_to_string(path).unwrap());
    for text in [&github, &json, &files[0], &files[1]] {
        assert!(!text.contains(acts), "{text:?}");
    }
}
