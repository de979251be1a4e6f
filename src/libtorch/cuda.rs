//! Loads libtorch's CUDA library on demand: it takes half a second and 300 MB, which a run on the CPU does not need.

use super::LibtorchError;

/// Loads `libtorch_cuda.so`, after which `tch::Cuda` finds the GPUs. Must be called before the first use of CUDA
/// through libtorch in this process. Does nothing on systems other than Linux.
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
    Ok(())
}
