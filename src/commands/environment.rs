//! What the bits of a result depend on: libraries, CPU, threads and environment variables (`stitch --version --verbose`).

use std::collections::BTreeMap;
use std::env;
use std::fs;

use anyhow::Result;
use serde::Serialize;

#[cfg(not(feature = "libtorch"))]
use super::engine;
use super::{Console, Outcome};

/// Environment variables that choose kernels or numbers of threads.
const VARIABLES: [&str; 13] = [
    "ATEN_CPU_CAPABILITY",
    "DNNL_MAX_CPU_ISA",
    "KMP_AFFINITY",
    "MKL_CBWR",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_NUM_THREADS",
    "OMP_DYNAMIC",
    "OMP_MAX_ACTIVE_LEVELS",
    "OMP_NUM_THREADS",
    "OMP_THREAD_LIMIT",
    "OMP_WAIT_POLICY",
    "ONEDNN_MAX_CPU_ISA",
];

/// What the bits of a result depend on.
#[derive(Serialize)]
struct Environment {
    stitch: &'static str,
    /// Name of the CPU, if the system tells it.
    cpu: Option<String>,
    #[cfg(feature = "libtorch")]
    #[serde(flatten)]
    libraries: Libraries,
    /// The environment variables that are set.
    variables: BTreeMap<&'static str, String>,
}

/// libtorch, and what it computes with.
#[cfg(feature = "libtorch")]
#[derive(Serialize)]
struct Libraries {
    libtorch: &'static str,
    path: Option<String>,
    cpu_capability: String,
    onednn: String,
    mkl: String,
    openmp: String,
    /// The default number of threads.
    threads: usize,
    /// By model: the SHA-256 of a step with the default settings, `kernels_sha256` of `config.json`.
    kernels_sha256: BTreeMap<&'static str, String>,
}

/// `stitch --version --verbose`
pub fn run(console: Console) -> Result<Outcome> {
    #[cfg(not(feature = "libtorch"))]
    if engine::EXISTS {
        return engine::start();
    }
    let environment = Environment {
        stitch: env!("CARGO_PKG_VERSION"),
        cpu: cpu(),
        #[cfg(feature = "libtorch")]
        libraries: Libraries::of_process()?,
        variables: variables(),
    };
    console.document(|| Ok(&environment))?;
    console.show(&environment.text())?;
    Ok(Outcome::Done)
}

impl Environment {
    fn text(&self) -> String {
        let mut lines = vec![format!("stitch {}", self.stitch)];
        let mut line = |name: &str, value: &str| lines.push(format!("{name}: {value}"));
        line("CPU", self.cpu.as_deref().unwrap_or("unknown"));
        #[cfg(not(feature = "libtorch"))]
        line("libtorch", "none (built without the feature libtorch)");
        #[cfg(feature = "libtorch")]
        self.libraries.lines(&mut line);
        for (name, value) in &self.variables {
            line(&format!("${name}"), value);
        }
        lines.join("\n")
    }
}

#[cfg(feature = "libtorch")]
impl Libraries {
    fn of_process() -> Result<Self> {
        use stitch::libtorch::Versions;
        use stitch::models::MODELS;

        let threads = super::inputs::set_threads(None)?;
        let kernels = MODELS.iter().map(|model| {
            let config = stitch::train::TrainConfig { threads: Some(threads), ..model.config() };
            Ok((model.name, stitch::train::kernels_sha256(&config)?))
        });
        let kernels_sha256 = kernels.collect::<Result<_>>()?;
        let Versions { libtorch, path, cpu_capability, onednn, mkl, openmp } =
            Versions::of_process();
        let path = path.map(|path| path.display().to_string());
        Ok(Self { libtorch, path, cpu_capability, onednn, mkl, openmp, threads, kernels_sha256 })
    }

    fn lines(&self, line: &mut impl FnMut(&str, &str)) {
        let path = self.path.as_ref().map_or(String::new(), |path| format!(" ({path})"));
        line("libtorch", &format!("{}{path}", self.libtorch));
        line("ATen kernels", &self.cpu_capability);
        line("oneDNN", &self.onednn);
        line("MKL", &self.mkl);
        line("OpenMP", &self.openmp);
        line("threads", &self.threads.to_string());
        for (model, sha256) in &self.kernels_sha256 {
            line(&format!("SHA-256 of a step of {model}"), sha256);
        }
    }
}

/// The name of the CPU.
pub fn cpu() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().into())
}

/// The environment variables of [`VARIABLES`] that are set.
pub fn variables() -> BTreeMap<&'static str, String> {
    VARIABLES.into_iter().filter_map(|name| Some((name, env::var(name).ok()?))).collect()
}
