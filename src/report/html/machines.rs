//! The paragraph on why an accuracy differs between machines.

use stitch_run::counted;

use super::text::list;
use crate::dataset::classes::Classes;
use crate::models::Library;
use crate::report::Run;
use crate::train::Device;

/// Why the accuracy of the runs with PyTorch's training differs between machines.
pub struct Machines {
    /// The names of these runs.
    pub names: String,
    /// Whether there are several.
    pub several: bool,
    /// The CPU kernels and threads, or the device, of these runs.
    pub with: String,
}

/// The paragraph for the runs with PyTorch's training on Fashion-MNIST; `None` without one.
pub fn machines(runs: &[&Run], names: &[String]) -> Option<Machines> {
    let is_pytorch = |run: &Run| {
        run.model.library == Library::PyTorch && run.classes == Classes::fashion_mnist()
    };
    let of_pytorch: Vec<(&Run, &String)> =
        runs.iter().copied().zip(names).filter(|(run, _)| is_pytorch(run)).collect();
    if of_pytorch.is_empty() {
        return None;
    }
    let kernels = |run: &Run| {
        let device = run.config.settings.device;
        if device != Device::Cpu {
            return format!("{device}");
        }
        let kernels = run.config.cpu_capability.as_deref().unwrap_or("unknown");
        let threads = match run.config.settings.threads {
            Some(threads) => counted(threads, "thread"),
            None => "an unknown number of threads".into(),
        };
        format!("{kernels} kernels with {threads}")
    };
    let mut with: Vec<String> = Vec::new();
    for kernels in of_pytorch.iter().map(|(run, _)| kernels(run)) {
        if !with.contains(&kernels) {
            with.push(kernels);
        }
    }
    let names: Vec<String> = of_pytorch.into_iter().map(|(_, name)| name.clone()).collect();
    Some(Machines { names: list(&names), several: names.len() > 1, with: list(&with) })
}
