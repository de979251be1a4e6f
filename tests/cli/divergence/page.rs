//! `stitch parity --html`: the page of a comparison, and the link to it in the report of the run.

use stitch::tensor_files::{Metadata, safetensors};

use super::*;

/// Two traced runs of LeNet-5 in `runs/a` and `runs/b`, of which the second has another learning rate.
static RUNS: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    common::small_dataset(&folder.path().join("data"), 200, 50);
    for (run, lr) in [("a", "1e-3"), ("b", "2e-3")] {
        let mut command = common::stitch(folder.path());
        command.args(["train", "lenet5", "--engine", "eager", "--epochs", "1", "--threads", "1"]);
        command.args(["--trace", "--quiet", "--data", "data", "--lr", lr]);
        command.args(["--out", &format!("runs/{run}")]).assert().code(0);
    }
    folder
});

/// The page of two sides in the folder of [`RUNS`], which is written to `page`.
#[track_caller]
fn page(sides: [&str; 2], page: &Path, code: i32) -> String {
    let mut command = common::stitch(RUNS.path());
    command.arg("parity").args(sides).arg("--html").arg(page).assert().code(code);
    fs::read_to_string(page).unwrap()
}

/// The text between two marks.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap();
    rest.split_once(to).unwrap().0
}

#[test]
fn the_page_begins_with_the_first_divergence_and_marks_it_in_the_matrix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("parity.html");
    let text = page(["runs/a", "runs/b"], &path, 1);
    assert!(text.contains("<h1>PARITY: DIFFERENT ("));
    let first = between(&text, "<section id=\"first\"", "</section>");
    assert!(first.contains("step 1, conv1.weight[0, 0, 0, 0] after the optimizer step: expected "));
    assert!(first.contains("<li>the learning rate: 1e-3 in the reference, 2e-3 in the candidate"));
    assert!(first.contains("<dt>cosine</dt>") && first.contains("<table class=\"histogram\">"));
    let matrix = between(&text, "<section id=\"matrix\"", "</section>");
    assert_eq!(matrix.matches(" origin\"><a href=\"#first\"").count(), 1);
    assert!(matrix.contains("conv1.weight <em>first divergence</em>"));
    // Stages before it are equal, a row each; the first divergence is in the first of the columns of steps.
    let init = between(matrix, "<span>init</span>", "</tbody>");
    assert!(init.contains(">10 tensors</th><td class=\"e\">=</td>"), "{init}");
    for figure in ["Relative error of each tensor", "Greatest relative error by step"] {
        assert_eq!(text.matches(&format!("aria-label=\"{figure}")).count(), 2, "{figure}");
    }
    assert!(
        text.contains("<h3>Settings that differ</h3>") && text.contains("<h3>Not compared</h3>")
    );
    for outside in ["http://", "https://", "<script", "<link", "@import", "url(", "src="] {
        assert!(!text.contains(outside), "{outside}");
    }
    let links: usize = common::run_python("cli/divergence/page.py", &[path.to_str().unwrap()])
        .trim()
        .parse()
        .unwrap();
    assert!(links > 100, "{links}");
    // Written again, it replaces the earlier one with the same bytes.
    assert!(page(["runs/a", "runs/b"], &path, 1) == text);
}

#[test]
fn the_page_of_equal_runs_has_a_matrix_and_no_divergence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("parity.html");
    let text = page(["runs/a/trace", "runs/a/trace"], &path, 0);
    assert!(text.contains("<h1>PARITY: EQUAL (bit for bit)</h1>"));
    assert!(text.contains("<table class=\"matrix\">"));
    for absent in ["First divergence", "<details", "<figure", "class=\"d1\""] {
        assert!(!text.contains(absent), "{absent}");
    }
    common::run_python("cli/divergence/page.py", &[path.to_str().unwrap()]);
}

#[test]
fn any_other_file_is_kept() {
    let path = RUNS.path().join("notes.html");
    fs::write(&path, "<!doctype html>notes").unwrap();
    let mut command = common::stitch(RUNS.path());
    command.args(["parity", "runs/a", "runs/a", "--html", "notes.html"]).assert().code(2).stderr(
        predicate::str::contains(
            "--html notes.html: the file exists and is no page of stitch parity",
        ),
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "<!doctype html>notes");
}

/// Writes float32 vectors with these names and a value each.
fn write_weights(path: &Path, names: &[String], value: f32) {
    let data = value.to_le_bytes().repeat(3);
    let tensor = |name: &String| {
        let (name, data) = (name.clone(), data.clone());
        NamedTensor { name, dtype: Dtype::F32, shape: vec![3], data }
    };
    let tensors: Vec<NamedTensor> = names.iter().map(tensor).collect();
    fs::write(path, safetensors::write(&tensors, &Metadata::new()).unwrap()).unwrap();
}

#[test]
fn names_are_text_and_of_many_tensors_the_first_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let [reference, port, path] =
        ["a.safetensors", "b.safetensors", "p.html"].map(|name| folder.path().join(name));
    let names: Vec<String> = (0..300).map(|i| format!("<script>{i}\u{1b}[31m&")).collect();
    write_weights(&reference, &names, 1.0);
    write_weights(&port, &names, 1.5);
    let sides = [&reference, &port].map(|path| path.to_str().unwrap());
    let text = page(sides, &path, 1);
    assert!(!text.contains("<script") && !text.contains('\u{1b}'));
    assert!(text.contains("Of 300 tensors, 200 that are not equal"));
    assert_eq!(text.matches("<details").count(), 200);
    assert!(text.contains("… and 99 more (<code>--json</code> lists all)"));
    common::run_python("cli/divergence/page.py", &[path.to_str().unwrap()]);
    // Equal tensors are one row, however many there are.
    let text = page([sides[0], sides[0]], &path, 0);
    assert!(text.contains("300 tensors") && !text.contains("Nothing to compare"), "{text}");
    // A difference after as many within tolerance stays in sight.
    let mut command = common::stitch(Path::new("/"));
    command.args(["parity", "--atol", "1", "--tol", "<script>299*=0", "--html"]).arg(&path);
    command.args(sides).assert().code(1);
    let text = fs::read_to_string(&path).unwrap();
    let matrix = between(&text, "<section id=\"matrix\"", "</section>");
    assert!(matrix.contains(";299") && !matrix.contains(";0"), "{matrix}");
}

#[test]
fn the_report_of_the_run_links_to_the_page_while_it_exists() {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(RUNS.path(), folder.path());
    let report = |output: &str| {
        let mut command = common::stitch(folder.path());
        command.args([
            "report",
            "runs/b",
            "--data",
            "data",
            "--threads",
            "1",
            "--force",
            "-o",
            output,
        ]);
        command.assert().code(0);
        fs::read_to_string(folder.path().join(output)).unwrap()
    };
    let link = |href: &str| format!("<a href=\"{href}\">The comparison by layer and step</a>");
    for (page, in_run, beside) in [
        ("runs/b/parity.html", "parity.html", "runs/b/parity.html"),
        ("my page.html", "../../my%20page.html", "my%20page.html"),
    ] {
        let mut command = common::stitch(folder.path());
        command.args(["parity", "runs/a", "runs/b", "--html", page]).assert().code(1);
        assert!(report("runs/b/report.html").contains(&link(in_run)), "{page}");
        assert!(report("both.html").contains(&link(beside)), "{page}");
        fs::remove_file(folder.path().join(page)).unwrap();
        assert!(!report("runs/b/report.html").contains("by layer and step"), "{page}");
    }
    let mut command = common::stitch(folder.path());
    command.args(["parity", "runs/a", "runs/b"]).assert().code(1);
    let verdict = fs::read_to_string(folder.path().join("runs/b/parity.json")).unwrap();
    assert!(!verdict.contains("\"html\""), "{verdict}");
}
