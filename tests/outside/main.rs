//! What other programs make of what stitch writes: a browser of its pages, groff of its manual, shells of
//! their completions. Where one of them is not installed, its test is ignored, and says so. A binary of its own, since
//! Rust's own test harness cannot ignore a test at run time; libtest-mimic can.

#[path = "../common/mod.rs"]
mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let tests = [
        trial("a_browser_shows_the_report_of_two_models", "chromium", || shown(reproduced)),
        trial("a_browser_shows_the_report_of_one_run_with_validation", "chromium", || {
            shown(trained)
        }),
        trial("a_browser_shows_the_report_of_a_study", "chromium", || shown(studied)),
        trial("a_browser_shows_the_page_of_a_comparison", "chromium", || shown(compared)),
        trial("groff_has_nothing_to_warn_of_in_the_manual", "groff", groff),
        trial("zsh_reads_its_completions", "zsh", || completions("zsh")),
        trial("fish_reads_its_completions", "fish", || completions("fish")),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests.into()).exit();
}

/// A test that wants `program`.
fn trial(
    name: &str,
    program: &str,
    test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        eprintln!(
            "{name}: ignored, since {program} is not installed (setup/outside.sh installs it)"
        );
    }
    Trial::test(name, test).with_ignored_flag(!is_there)
}

fn stitch(folder: &Path, arguments: &[&str]) -> Result<(), Failed> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stitch"));
    command.current_dir(folder).env("FASHION_MNIST_DIR", "data").args(arguments);
    ends_well(&mut command).map(drop)
}

/// Runs it; what it printed, or what it said when it failed.
fn ends_well(command: &mut Command) -> Result<String, Failed> {
    let output = command.output()?;
    let [printed, said] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if output.status.success() {
        Ok(printed)
    } else {
        Err(format!("{command:?}: {printed}{said}").into())
    }
}

/// What page a folder gets, and the run folders whose tables it shows, by the titles of their models.
type Page = fn(&Path) -> Result<Vec<String>, Failed>;

fn reproduced(folder: &Path) -> Result<Vec<String>, Failed> {
    stitch(folder, &["reproduce", "--threads", "1", "--quiet", "--out", "page"])?;
    let plan =
        ["study", "plan", "--model", "mlp", "--seeds", "0..3", "--epochs", "1", "-o", "study"];
    stitch(folder, &plan)?;
    stitch(folder, &["study", "run", "study", "--quiet"])?;
    // One of the two models has a verdict, the other is not compared.
    fs::create_dir(folder.join("reference"))?;
    for entry in fs::read_dir(folder.join("page/lenet5"))? {
        let entry = entry?;
        fs::copy(entry.path(), folder.join("reference").join(entry.file_name()))?;
    }
    stitch(folder, &["parity", "reference", "page/lenet5"])?;
    stitch(folder, &["report", "page", "--study", "study"])?;
    Ok(vec!["page/mlp".into(), "page/lenet5".into()])
}

fn trained(folder: &Path) -> Result<Vec<String>, Failed> {
    let flags = ["train", "lenet5", "--threads", "1", "--quiet", "--out", "page"];
    stitch(folder, &[&flags[..], &["--val", "50", "--normalize"]].concat())?;
    Ok(vec!["page".into()])
}

fn studied(folder: &Path) -> Result<Vec<String>, Failed> {
    let flags = ["study", "plan", "--model", "mlp,lenet5", "--seeds", "0..3", "--epochs", "1"];
    stitch(folder, &[&flags[..], &["--batch-size", "32,64", "-o", "page"]].concat())?;
    stitch(folder, &["study", "run", "page", "--quiet"])?;
    stitch(folder, &["study", "report", "page"])?;
    Ok(Vec::new())
}

fn compared(folder: &Path) -> Result<Vec<String>, Failed> {
    for (run, lr) in [("page", "1e-3"), ("other", "2e-3")] {
        let flags = ["train", "lenet5", "--engine", "eager", "--epochs", "1", "--trace", "--quiet"];
        stitch(folder, &[&flags[..], &["--threads", "1", "--lr", lr, "--out", run]].concat())?;
    }
    let mut parity = Command::new(env!("CARGO_BIN_EXE_stitch"));
    // The report of the run is no page of stitch parity.
    fs::remove_file(folder.join("page/report.html"))?;
    parity.current_dir(folder).args(["parity", "other", "page", "--html", "page/report.html"]);
    match parity.output()?.status.code() {
        Some(1) => Ok(Vec::new()),
        code => Err(format!("stitch parity ended with {code:?}").into()),
    }
}

/// Opens the page in Chromium: as phones, a tablet and a desktop show it, light and dark, and for print.
fn shown(page: Page) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    common::small_dataset(&folder.path().join("data"), 300, 100);
    let runs = page(folder.path())?;
    let mut browser = Command::new(common::python());
    browser.arg(common::root().join("tests/outside/browser.py")).arg("page/report.html").args(runs);
    ends_well(browser.current_dir(folder.path())).map(drop)
}

fn groff() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    stitch(folder.path(), &["man", "."])?;
    let mut pages = 0;
    for entry in fs::read_dir(folder.path())? {
        let path = entry?.path();
        let mut groff = Command::new("groff");
        let output = groff.args(["-man", "-ww", "-Tutf8"]).arg(&path).output()?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let [text, said] = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if !said.is_empty() || !text.contains(&format!("{name}(1)")) {
            return Err(format!("{name}: {said}{text}").into());
        }
        pages += 1;
    }
    if pages < 12 { Err(format!("{pages} pages").into()) } else { Ok(()) }
}

fn completions(shell: &str) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let script =
        Command::new(env!("CARGO_BIN_EXE_stitch")).args(["completions", shell]).output()?;
    let path = folder.path().join("completions");
    fs::write(&path, script.stdout)?;
    ends_well(Command::new(shell).arg("-n").arg(&path)).map(drop)
}
