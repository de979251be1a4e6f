//! Loads libtorch's CUDA library on demand: it takes half a second and 300 MB, which a run on the CPU does not need.

use stitch_run::Device;
use tch::Cuda;

use super::LibtorchError;

/// Checks that a device exists; [`load`]s libtorch's CUDA library for a GPU.
///
/// # Errors
/// The GPU does not exist, or libtorch has no GPU support.
pub fn check(device: Device) -> Result<(), LibtorchError> {
    let Device::Cuda(number) = device else { return Ok(()) };
    if let Err(LibtorchError(error)) = load() {
        let message = match error.split_once(": cannot open shared object file") {
            Some((library, _)) if !library.contains("libtorch_cuda") => format!(
                "{device}: libtorch's GPU support needs {library}, which is not installed (`make venv` installs it with the \
                 reference environment). Use cpu, or install it"
            ),
            _ => format!("{device}: this libtorch has no GPU support ({error}). Use cpu"),
        };
        return Err(LibtorchError(message));
    }
    let count = if Cuda::is_available() { Cuda::device_count() } else { 0 };
    let found = match count {
        count if (number as i64) < count => return Ok(()),
        0 => "libtorch finds no GPU".into(),
        1 => "libtorch finds one GPU, cuda:0".into(),
        n => format!("libtorch finds {n} GPUs, cuda:0 to cuda:{}", n - 1),
    };
    Err(LibtorchError(format!("{device}: {found}. Use cpu, or an existing GPU")))
}

unsafe extern "C" {
    /// In `cuda.cpp`.
    fn stitch_deterministic_cudnn();
}

/// Loads `libtorch_cuda.so` on Linux, after which `tch::Cuda` finds the GPUs. Must be called before the first use of CUDA
/// through libtorch in this process. cuDNN then uses deterministic algorithms only, as with
/// `torch.backends.cudnn.deterministic = True`: with the others, gradients of convolutions differ from run to run.
///
/// # Errors
/// The dynamic loader's message if the library or one of its dependencies is missing.
pub fn load() -> Result<(), LibtorchError> {
    #[cfg(target_os = "linux")]
    {
        use std::ffi::CStr;

        // SAFETY: the name is null-terminated. The library's initializers register its kernels with libtorch, as in a
        // program that links it. It is never unloaded.
        let handle = unsafe {
            libc::dlopen(c"libtorch_cuda.so".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL)
        };
        if handle.is_null() {
            // SAFETY: after a failure, dlerror returns a string that is valid until its next call.
            let text = unsafe { CStr::from_ptr(libc::dlerror()) };
            return Err(LibtorchError(text.to_string_lossy().into_owned()));
        }
    }
    // SAFETY: it sets a variable of libtorch.
    unsafe { stitch_deterministic_cudnn() };
    Ok(())
}
