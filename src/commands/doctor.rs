//! `stitch doctor`: checks what this machine has, and says what to do about what it lacks.

use std::env;
use std::fs;
use std::path::Path;

use anyhow::Result;
use clap::builder::styling::AnsiColor;
use serde::Serialize;
use serde_json::json;
use stitch::dataset::source::{self, FindError, Identity};

#[cfg(feature = "libtorch")]
use super::cpu_quota;
use super::terminal::Colors;
use super::{Console, Outcome, environment};

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// Something that only some commands need is missing.
    Note,
    /// Something is wrong.
    Problem,
}

/// A check.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    found: String,
    /// What to do; `None` if nothing is needed.
    remedy: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, found: found.into(), remedy: None }
    }

    fn note(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { name, status: Status::Note, found: found.into(), remedy }
    }

    fn problem(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Problem, ..Self::note(name, found, remedy) }
    }
}

pub fn run(console: Console) -> Result<Outcome> {
    let mut checks = vec![Check::ok("stitch", env!("CARGO_PKG_VERSION"))];
    #[cfg(feature = "libtorch")]
    checks.extend(libtorch());
    #[cfg(not(feature = "libtorch"))]
    checks.push(Check::note(
        "libtorch",
        "none: this stitch reads, compares and converts files, but computes no network",
        "to train, evaluate and predict, build it with its default features: make install",
    ));
    checks.push(Check::ok("CPU", environment::cpu().unwrap_or_else(|| "unknown".into())));
    #[cfg(feature = "libtorch")]
    checks.push(threads());
    checks.push(data());
    checks.extend(reference());
    #[cfg(feature = "libtorch")]
    checks.push(gpu());
    checks.push(terminal(console));
    let problems = checks.iter().filter(|check| check.status == Status::Problem).count();
    for check in &checks {
        let (color, word) = match check.status {
            Status::Ok => (AnsiColor::Green, "ok     "),
            Status::Note => (AnsiColor::Yellow, "note   "),
            Status::Problem => (AnsiColor::Red, "PROBLEM"),
        };
        let word = console.screen.colored(color, word);
        console.show(&format!("{word} {}: {}", check.name, check.found))?;
        if let Some(remedy) = &check.remedy {
            console.show(&format!("        {remedy}"))?;
        }
    }
    console.document(|| Ok(json!({ "problems": problems, "checks": checks })))?;
    Ok(if problems == 0 { Outcome::Done } else { Outcome::CheckFailed })
}

/// libtorch and the libraries that it computes with.
#[cfg(feature = "libtorch")]
fn libtorch() -> Vec<Check> {
    use stitch::libtorch::Versions;

    let versions = Versions::of_process();
    let built_with = versions.libtorch;
    let path = versions.path.as_ref().map(|path| format!(" ({})", path.display()));
    let shown = format!("{built_with}{}", path.unwrap_or_default());
    let loaded = versions.path.as_deref().and_then(version_beside);
    let libtorch = match loaded.filter(|loaded| loaded != built_with) {
        None => Check::ok("libtorch", shown),
        Some(loaded) => Check::problem(
            "libtorch",
            format!("{shown} is version {loaded}, but stitch was built with {built_with}"),
            "build stitch again: cargo build --release, or make install",
        ),
    };
    let capability = match &versions.cpu_capability[..] {
        "DEFAULT" => Check::note(
            "ATen kernels",
            "DEFAULT: no AVX2",
            "training is slow; if the CPU has AVX2, unset ATEN_CPU_CAPABILITY",
        ),
        name => kernels("ATen kernels", name, &["ATEN_CPU_CAPABILITY"]),
    };
    let onednn = kernels("oneDNN", &versions.onednn, &["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"]);
    let mkl = kernels("MKL", &versions.mkl, &["MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS"]);
    vec![libtorch, capability, onednn, mkl]
}

/// A library, with those of its variables that are set: they choose its kernels, which the bits depend on.
#[cfg(feature = "libtorch")]
fn kernels(name: &'static str, found: &str, variables: &[&str]) -> Check {
    let set: Vec<String> = variables
        .iter()
        .filter_map(|name| Some(format!("${name}={}", env::var(name).ok()?)))
        .collect();
    match &set[..] {
        [] => Check::ok(name, found),
        set => Check::note(
            name,
            format!("{found}, kernels chosen by {}", set.join(", ")),
            "unset it for those of this CPU: other kernels give other bits",
        ),
    }
}

/// The version of libtorch in the file beside its libraries, such as `2.13.0`.
#[cfg(feature = "libtorch")]
fn version_beside(library: &Path) -> Option<String> {
    let root = library.parent()?.parent()?;
    // In the wheel, and in the archive of libtorch.
    let text = fs::read_to_string(root.join("version.py"))
        .ok()
        .and_then(|text| Some(text.split_once("__version__ = '")?.1.split_once('\'')?.0.to_owned()))
        .or_else(|| fs::read_to_string(root.join("build-version")).ok())?;
    text.trim().split('+').next().map(str::to_owned)
}

/// The number of threads that libtorch uses by default, and what limits it.
#[cfg(feature = "libtorch")]
fn threads() -> Check {
    const NAME: &str = "threads";
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    let quota =
        cpu_quota::of_process().map_or(String::new(), |cpus| format!(", a quota of {cpus} CPUs"));
    match super::inputs::set_threads(None) {
        Err(error) => Check::problem(NAME, format!("{error:#}"), "correct the variables of OpenMP"),
        Ok(threads) if threads > allowed => Check::note(
            NAME,
            format!("{threads} by default, but this process may use {allowed} CPUs{quota}"),
            format!("give --threads {allowed}: more threads than CPUs wait for each other"),
        ),
        Ok(threads) => {
            let found = format!("{threads} by default; this process may use {allowed} CPUs{quota}");
            Check::ok(NAME, found)
        }
    }
}

/// The data set.
fn data() -> Check {
    let found = match source::find(None) {
        Ok(found) => found,
        Err(FindError::Nowhere(_)) => {
            return Check::note("data", "Fashion-MNIST was not found", "stitch data fetch");
        }
        Err(error) => {
            return Check::problem(
                "data",
                error.to_string(),
                "correct or unset $FASHION_MNIST_DIR",
            );
        }
    };
    let directory = found.directory.display().to_string();
    match source::load(found).map(|data| data.origin.identity()) {
        Ok(Identity::Official) => Check::ok("data", format!("Fashion-MNIST in {directory}")),
        Ok(Identity::Another) => {
            Check::note("data", format!("another data set in {directory}"), "stitch data shows it")
        }
        Ok(Identity::Mixed) => Check::problem(
            "data",
            format!("{directory}: some files are not the official ones"),
            "stitch data verify names them; stitch data fetch downloads them again",
        ),
        Err(error) => {
            Check::problem("data", error.to_string(), "stitch data fetch downloads it again")
        }
    }
}

/// The Python environment of the reference, in stitch's repository; `None` elsewhere.
fn reference() -> Option<Check> {
    /// Distributions that notebook.py imports.
    const NEEDED: [&str; 3] = ["torch", "torchvision", "scikit_learn"];
    const NAME: &str = "reference";
    if !Path::new("tests/reference/notebook.py").exists() {
        return None;
    }
    let remedy = "only make test, make parity and make bench need it: make venv";
    let versions: Vec<Option<String>> = NEEDED.map(installed).into();
    let shown = NEEDED.iter().zip(&versions);
    let missing: Vec<&str> =
        shown.clone().filter(|(_, version)| version.is_none()).map(|it| *it.0).collect();
    if !missing.is_empty() {
        let found = match Path::new(".venv").exists() {
            true => format!(".venv has no {}", missing.join(", ")),
            false => "there is no .venv".into(),
        };
        return Some(Check::note(NAME, found, remedy));
    }
    let shown: Vec<String> =
        shown.filter_map(|(name, version)| Some(format!("{name} {}", version.as_ref()?))).collect();
    let shown = shown.join(", ");
    let built_with = stitch::LIBTORCH;
    Some(match &versions[0] {
        Some(torch) if built_with != "none" && torch.split('+').next() != Some(built_with) => {
            Check::problem(
                NAME,
                format!(
                    "{shown}, but stitch was built with libtorch {built_with}: bits may differ"
                ),
                "make build, which installs the pinned versions and builds with them",
            )
        }
        _ => Check::ok(NAME, shown),
    })
}

/// The version of a distribution in `.venv`, from the name of its `.dist-info` folder.
fn installed(name: &str) -> Option<String> {
    let libraries = fs::read_dir(".venv/lib").ok()?.filter_map(Result::ok);
    let packages = libraries.map(|library| library.path().join("site-packages"));
    let entries = packages.filter_map(|packages| fs::read_dir(packages).ok()).flatten();
    entries.filter_map(Result::ok).find_map(|entry| {
        let entry = entry.file_name().into_string().ok()?;
        let version = entry.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(".dist-info")?;
        Some(version.to_owned())
    })
}

/// The GPUs that libtorch finds.
#[cfg(feature = "libtorch")]
fn gpu() -> Check {
    use stitch::libtorch::cuda;
    use stitch::train::Device;

    match cuda::check(Device::Cuda(0)) {
        Ok(()) => {
            let count = tch::Cuda::device_count();
            Check::ok("GPU", format!("{count}; --device cuda uses the first"))
        }
        Err(error) => {
            Check::note("GPU", error.to_string(), "nothing needs one: all engines run on the CPU")
        }
    }
}

/// Width and colors of the output.
fn terminal(console: Console) -> Check {
    let width = match console.screen.width {
        Some(width) => format!("{width} columns"),
        None => "stdout is not a terminal".into(),
    };
    let colors = match console.screen.colors {
        Colors::None => "no colors",
        Colors::Indexed => "256 colors",
        Colors::True => "24-bit colors",
    };
    let found = format!("{width}, {colors}");
    match console.screen.width {
        Some(width) if width < 80 => {
            Check::note("terminal", found, "tables are laid out for 80 columns or more")
        }
        _ => Check::ok("terminal", found),
    }
}
