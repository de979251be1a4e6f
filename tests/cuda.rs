//! Loading libtorch's CUDA library. A test binary of its own: libtorch looks for CUDA once per process.

#![cfg(target_os = "linux")]

#[test]
fn libtorch_finds_its_cuda_library_after_load() {
    stitch::libtorch::cuda::load().unwrap();
    // Comes from the CUDA library, even on a machine without a GPU; without the library libtorch
    // returns an error.
    assert!(tch::utils::version_cudart() >= 12_000);
}
