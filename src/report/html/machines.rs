//! The paragraph on why an accuracy differs between machines.

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
    pub here: String,
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
        let threads = run.config.settings.threads.unwrap_or(1);
        let plural = if threads == 1 { "" } else { "s" };
        format!("{kernels} kernels with {threads} thread{plural}")
    };
    let mut here: Vec<String> = of_pytorch.iter().map(|(run, _)| kernels(run)).collect();
    here.dedup();
    let names: Vec<String> = of_pytorch.into_iter().map(|(_, name)| name.clone()).collect();
    Some(Machines { names: list(&names), several: names.len() > 1, here: list(&here) })
}
