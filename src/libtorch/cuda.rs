//! libtorch's CUDA half, which is loaded when a GPU is asked for: it takes half a second and 300 MB
//! that a run on the CPU has no use for.

#![allow(unsafe_code)]

/// Loads libtorch's CUDA half, if this libtorch has one; then `tch::Cuda` finds the GPUs. To be called
/// before anything else asks libtorch for CUDA.
///
/// # Errors
/// The loader's message, when the library is not there or lacks one that it needs.
pub fn load() -> Result<(), String> {
    #[cfg(target_os = "linux")]
    {
        use std::ffi::CStr;

        // SAFETY: a name that ends with 0; the library's initialisers register its kernels with
        // libtorch, as they do when a program is linked with it. It is never unloaded.
        let handle = unsafe {
            libc::dlopen(c"libtorch_cuda.so".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL)
        };
        if handle.is_null() {
            // SAFETY: after a failure dlerror gives a text that stays until the next call.
            let text = unsafe { CStr::from_ptr(libc::dlerror()) };
            return Err(text.to_string_lossy().into_owned());
        }
    }
    Ok(())
}
