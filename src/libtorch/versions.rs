//! The libtorch that this process has loaded, and the libraries that it computes with.

use std::ffi::{CStr, c_char, c_int};
use std::path::PathBuf;

/// Version and instruction set of each library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// The version of libtorch's headers that this program was built with, such as `2.13.0`.
    pub libtorch: &'static str,
    /// The path of the loaded `libtorch_cpu.so`; `None` on systems other than Linux.
    pub path: Option<PathBuf>,
    /// `torch.backends.cpu.get_cpu_capability()`: the instruction set of ATen's kernels.
    pub cpu_capability: String,
    /// oneDNN, as libtorch describes it.
    pub onednn: String,
    /// MKL, as libtorch describes it.
    pub mkl: String,
    /// OpenMP, as libtorch describes it.
    pub openmp: String,
}

unsafe extern "C" {
    /// In `versions.cpp`.
    fn stitch_version(which: c_int) -> *mut c_char;
}

impl Versions {
    /// Those of this process.
    pub fn of_process() -> Self {
        let [cpu_capability, onednn, mkl, openmp] = [0, 1, 2, 3].map(version);
        let libtorch = crate::LIBTORCH;
        Self { libtorch, path: loaded(), cpu_capability, onednn, mkl, openmp }
    }
}

fn version(which: c_int) -> String {
    // SAFETY: the function returns a string that was allocated with malloc and that nobody else frees.
    unsafe {
        let text = stitch_version(which);
        let version = CStr::from_ptr(text).to_string_lossy().into_owned();
        libc::free(text.cast());
        version
    }
}

/// The path of the loaded `libtorch_cpu.so`.
fn loaded() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("/libtorch_cpu.so"))?;
    Some(line[line.find('/')?..].into())
}
